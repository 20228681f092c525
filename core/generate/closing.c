/* closing.c: the shortest way from a state to the end of the text, and its tokens. */
#include <string.h>

#include "generate/automaton.h"

/* Bytes to the end from each cell of a state, then the shortest of its places; *place is that one. */
static size_t find_way(const nlp_constraint *constraint, const nlp_constraint_state *state,
                       uint32_t *place) {
    size_t below[NLP_CONSTRAINT_WORDS + 1], shortest = SIZE_MAX;
    const uint32_t *cells = state->words + state->n_tops;
    below[0] = 0;
    *place = 0;
    for (uint32_t i = 0; i < state->n_cells; i++)
        below[i + 1] = constraint->nodes[word_node(cells[i])].shortest + below[word_cell(cells[i])];
    for (uint32_t i = 0; i < state->n_tops; i++) {
        uint32_t word = state->words[i];
        size_t length = constraint->nodes[word_node(word)].shortest + below[word_cell(word)];
        if (length < shortest) shortest = length, *place = word;
    }
    return shortest;
}

size_t nlp_constraint_closing_bytes(const nlp_constraint *constraint,
                                    const nlp_constraint_state *state) {
    uint32_t place;
    if (state->may_end) return 0;
    return find_way(constraint, state, &place) + state->drops_blank;
}

/* ---- Its bytes ---- */

typedef struct way {
    const nlp_constraint *constraint;
    uint32_t node;
    size_t depth;
    uint32_t stack[NLP_CONSTRAINT_WORDS + GRAMMAR_MAX_HEIGHT + 1]; /* nodes to return to */
} way;

static void open_way(way *w, const nlp_constraint *constraint, const nlp_constraint_state *state) {
    const uint32_t *cells = state->words + state->n_tops;
    uint32_t place;
    find_way(constraint, state, &place);
    w->constraint = constraint;
    w->node = word_node(place);
    w->depth = 0;
    for (uint32_t cell = word_cell(place); cell; cell = word_cell(cells[cell - 1]))
        w->stack[w->depth++] = word_node(cells[cell - 1]);
    for (size_t i = 0, j = w->depth; i + 1 < j; i++) { /* the bottom comes first */
        uint32_t swap = w->stack[i];
        w->stack[i] = w->stack[--j], w->stack[j] = swap;
    }
}

/* The next byte, or -1 at the end. */
static int next_byte(way *w) {
    for (;;) {
        const grammar_node *n = &w->constraint->nodes[w->node];
        if (n->kind == NODE_BYTES) {
            const grammar_edge *e = &w->constraint->edges[n->a];
            while (e->target != n->best) e = &w->constraint->edges[e->next];
            w->node = n->best;
            return e->low;
        }
        if (n->kind == NODE_RETURN && !w->depth) return -1;
        if (n->kind == NODE_CALL) w->stack[w->depth++] = n->b;
        w->node = n->kind == NODE_RETURN ? w->stack[--w->depth]
                  : n->kind == NODE_CALL ? n->a
                                         : n->best;
    }
}

/* ---- Its tokens ---- */

typedef struct window { /* bytes that no token has spelt yet */
    char bytes[NLP_VOCABULARY_MAX_TOKEN_BYTES];
    size_t n;
    bool ended;
} window;

static void fill(window *bytes, way *w) {
    while (!bytes->ended && bytes->n < sizeof bytes->bytes) {
        int byte = next_byte(w);
        bytes->ended = byte < 0;
        if (byte >= 0) bytes->bytes[bytes->n++] = (char)byte;
    }
}

/* The decoder would take a blank that comes first: one more is put before it. */
static void open_window(window *bytes, way *w, bool drops_blank) {
    *bytes = (window){.n = 0};
    int byte = next_byte(w);
    bytes->ended = byte < 0;
    if (bytes->ended) return;
    if (drops_blank && byte == ' ') bytes->bytes[bytes->n++] = ' ';
    bytes->bytes[bytes->n++] = (char)byte;
}

/* The longest token each time. There is one: the bytes, or the characters, of all that the grammar has
 * kept are tokens. */
size_t nlp_constraint_closing(nlp_constraint_work *work, const nlp_constraint_state *state,
                              int32_t *ids, size_t capacity) {
    way w;
    window bytes;
    size_t n = 0, length;
    if (state->may_end) return 0;
    open_way(&w, work->constraint, state);
    open_window(&bytes, &w, state->drops_blank);
    for (fill(&bytes, &w); bytes.n && n <= capacity; n++, fill(&bytes, &w)) {
        int32_t id =
            nlp_vocabulary_longest(work->constraint->vocabulary, bytes.bytes, bytes.n, &length);
        if (id < 0) return SIZE_MAX;
        if (n < capacity && ids) ids[n] = id;
        bytes.n -= length;
        memmove(bytes.bytes, bytes.bytes + length, bytes.n);
    }
    return n;
}
