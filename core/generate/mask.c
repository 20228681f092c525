/* mask.c: which tokens may follow. The trie of the vocabulary and the automaton are walked together. What
 * the walk learns stays in a cache: states, where each byte leads from them, and masks; in a string most
 * bytes lead back to the same state, and the next mask is there already. A full cache is emptied before
 * the next mask; until then the walk goes on without it. */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "generate/automaton.h"

enum {
    MAX_STATES = 1024,
    STATE_WORDS = 1 << 17, /* of all states together */
    MAX_MASKS = 32,
    N_SLOTS = 4 * MAX_STATES,
    NOT_KNOWN = 0,
    NOT_TAKEN = 1,
    FIRST_STATE = 2, /* of the values of a step: the state's number follows */
    HEADER_WORDS = offsetof(nlp_constraint_state, words) / sizeof(uint32_t),
    MAX_DEPTH = NLP_VOCABULARY_MAX_TOKEN_BYTES + 1
};

/* A state in the cache, or one that found no room there: number -1. */
typedef struct place {
    const nlp_constraint_state *state;
    int32_t number;
} place;

struct constraint_cache {
    uint32_t n_states, n_words, next_mask;
    uint32_t *words;             /* [STATE_WORDS] states, each as long as it needs */
    uint32_t at[MAX_STATES];     /* its first word */
    uint16_t slots[N_SLOTS];     /* number + 1 by hash */
    uint16_t (*steps)[256];      /* [MAX_STATES] */
    uint8_t mask_of[MAX_STATES]; /* mask + 1, 0: none */
    uint16_t owner[MAX_MASKS];   /* state + 1 */
    size_t n_mask_words;
    uint64_t *masks;             /* [MAX_MASKS, n_mask_words] a bit a token */
    uint64_t *own_mask;          /* of a state that is not in the cache */
    uint64_t work;               /* of steps since the last poll */
    nlp_constraint_state *rooms; /* [MAX_DEPTH] */
};

nlp_status constraint_cache_open(nlp_constraint_work *work, nlp_arena *arena, nlp_error *err) {
    constraint_cache *c = work->cache = NLP_PUSH_ZERO(arena, constraint_cache, 1);
    NLP_TRY(nlp_arena_status(arena, err));
    c->n_mask_words = work->constraint->vocabulary->spellings.n / 64 + 1;
    c->words = NLP_PUSH(arena, uint32_t, STATE_WORDS);
    c->steps = nlp_arena_push(arena, MAX_STATES, sizeof *c->steps);
    c->masks = NLP_PUSH(arena, uint64_t, (MAX_MASKS + 1) * c->n_mask_words);
    c->rooms = NLP_PUSH(arena, nlp_constraint_state, MAX_DEPTH);
    NLP_TRY(nlp_arena_status(arena, err));
    c->own_mask = c->masks + MAX_MASKS * c->n_mask_words;
    return NLP_OK;
}

/* ---- States ---- */

static const nlp_constraint_state *state_at(const constraint_cache *c, uint32_t number) {
    return (const nlp_constraint_state *)(const void *)(c->words + c->at[number]);
}

static bool same_state(const nlp_constraint_state *a, const nlp_constraint_state *b) {
    return a->n_tops == b->n_tops && a->n_cells == b->n_cells && a->may_end == b->may_end &&
           a->drops_blank == b->drops_blank &&
           !memcmp(a->words, b->words, ((size_t)a->n_tops + a->n_cells) * sizeof *a->words);
}

static uint64_t hash_state(const nlp_constraint_state *state) {
    uint64_t hash = nlp_hash_bytes(state->words, ((size_t)state->n_tops + state->n_cells) * 4);
    return hash + state->may_end + 2u * state->drops_blank;
}

static void empty_cache(constraint_cache *c) {
    c->n_states = c->n_words = c->next_mask = 0;
    memset(c->slots, 0, sizeof c->slots);
    memset(c->owner, 0, sizeof c->owner);
}

static place find_state(constraint_cache *c, const nlp_constraint_state *state) {
    uint32_t slot = (uint32_t)(hash_state(state) % N_SLOTS);
    for (; c->slots[slot]; slot = (slot + 1) % N_SLOTS) {
        const nlp_constraint_state *known = state_at(c, c->slots[slot] - 1u);
        if (same_state(known, state)) return (place){known, c->slots[slot] - 1};
    }
    uint32_t number = c->n_states;
    uint32_t n = HEADER_WORDS + (uint32_t)state->n_tops + state->n_cells;
    if (number == MAX_STATES || n > STATE_WORDS - c->n_words) return (place){state, -1};
    c->at[number] = c->n_words;
    memcpy(c->words + c->n_words, state, n * sizeof *c->words);
    memset(c->steps[number], 0, sizeof *c->steps);
    c->mask_of[number] = 0;
    c->n_words += n;
    c->slots[slot] = (uint16_t)++c->n_states;
    return (place){state_at(c, number), (int32_t)number};
}

/* state NULL where the byte may not follow; room takes a state that the cache has no room for. */
static place step(nlp_constraint_work *work, place from, uint8_t byte, nlp_constraint_state *room) {
    constraint_cache *c = work->cache;
    c->work += 64;
    uint16_t *known = from.number < 0 ? NULL : &c->steps[from.number][byte];
    if (known && *known == NOT_TAKEN) return (place){NULL, -1};
    if (known && *known != NOT_KNOWN) {
        uint32_t number = *known - (uint32_t)FIRST_STATE;
        return (place){state_at(c, number), (int32_t)number};
    }
    place to = {NULL, -1};
    bool taken = constraint_step(work, from.state, byte, room);
    c->work += 32 * (uint64_t)work->automaton.n_visited;
    if (taken) to = find_state(c, room);
    if (known && !taken) *known = NOT_TAKEN;
    if (known && to.number >= 0) *known = (uint16_t)(FIRST_STATE + to.number);
    return to;
}

/* ---- Masks ---- */

static nlp_status walk(nlp_constraint_work *work, place start, uint64_t *mask, nlp_poll *poll,
                       nlp_error *err) {
    const nlp_vocabulary *v = work->constraint->vocabulary;
    place path[MAX_DEPTH];
    memset(mask, 0, work->cache->n_mask_words * sizeof *mask);
    path[0] = start;
    for (uint32_t i = 0; i < v->n_nodes;) {
        const nlp_vocabulary_node *node = &v->nodes[i];
        path[node->depth] =
            step(work, path[node->depth - 1], node->byte, &work->cache->rooms[node->depth]);
        if (work->cache->work > 1 << 14) {
            NLP_TRY(nlp_poll_work(poll, work->cache->work, err));
            work->cache->work = 0;
        }
        if (!path[node->depth].state) {
            i = node->end;
            continue;
        }
        for (uint32_t k = node->first; k < node->first + node->n_tokens; k++)
            mask[v->order[k] / 64] |= (uint64_t)1 << v->order[k] % 64;
        i++;
    }
    return NLP_OK;
}

/* A place among the masks: the oldest gives way. */
static uint64_t *new_mask(constraint_cache *c, place of) {
    if (of.number < 0) return c->own_mask;
    uint32_t index = c->next_mask;
    c->next_mask = (index + 1) % MAX_MASKS;
    if (c->owner[index]) c->mask_of[c->owner[index] - 1] = 0;
    c->owner[index] = 0;
    return c->masks + index * c->n_mask_words;
}

static nlp_status find_mask(nlp_constraint_work *work, const nlp_constraint_state *state,
                            const uint64_t **mask, nlp_poll *poll, nlp_error *err) {
    constraint_cache *c = work->cache;
    bool full = c->n_states > MAX_STATES / 4 * 3 || c->n_words > STATE_WORDS / 4 * 3;
    if (full) empty_cache(c);
    place start = find_state(c, state);
    if (start.number >= 0 && c->mask_of[start.number]) {
        *mask = c->masks + (c->mask_of[start.number] - 1u) * c->n_mask_words;
        return NLP_OK;
    }
    uint64_t *made = new_mask(c, start);
    NLP_TRY(walk(work, start, made, poll, err));
    if (start.number >= 0) {
        size_t index = (size_t)(made - c->masks) / c->n_mask_words;
        c->mask_of[start.number] = (uint8_t)(index + 1);
        c->owner[index] = (uint16_t)(start.number + 1);
    }
    *mask = made;
    return NLP_OK;
}

nlp_status nlp_constraint_mask(nlp_constraint_work *work, const nlp_constraint_state *state,
                               float *logits, size_t n_logits, size_t *n_kept, nlp_poll *poll,
                               nlp_error *err) {
    const uint64_t *mask;
    size_t n = 64 * work->cache->n_mask_words, kept = 0;
    NLP_TRY(find_mask(work, state, &mask, poll, err));
    for (size_t i = 0; i < n_logits; i++) {
        bool keep = i < n && mask[i / 64] >> i % 64 & 1;
        if (!keep) logits[i] = -INFINITY;
        kept += keep;
    }
    if (n_kept) *n_kept = kept;
    return NLP_OK;
}
