/* fuzz_constraint: a byte for the kind, then choices (a line each), a schema or a grammar, up to a byte 0;
 * what follows that drives tokens. Any text gives a status; what opens is walked, and at each step a mask
 * says what single tokens say, and the closing is within its bound and ends the text. */
#include "fuzz.h"
#include "writer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CHOICES = 64, MOST_LOGITS = 1024, MOST_STEPS = 24, MOST_CHECKED = 4096 };

static nlp_mem mem;
static const nlp_vocabulary *vocabularies[2];

static nlp_status open_choices(const nlp_vocabulary *v, nlp_text text, nlp_arena *arena,
                               const nlp_constraint **c, nlp_error *err) {
    nlp_text choices[MOST_CHOICES];
    size_t n = 0;
    for (size_t i = 0, start = 0; i <= text.n_bytes && n < MOST_CHOICES; i++) {
        if (i < text.n_bytes && text.bytes[i] != '\n') continue;
        choices[n++] = (nlp_text){text.bytes + start, i - start};
        start = i + 1;
    }
    return nlp_constraint_open_choices(v, choices, n, arena, NULL, c, err);
}

static nlp_status open_kind(const nlp_vocabulary *v, uint8_t kind, nlp_text text, nlp_arena *arena,
                            const nlp_constraint **c, nlp_error *err) {
    if (kind % 3 == 0) return open_choices(v, text, arena, c, err);
    if (kind % 3 == 1) return nlp_constraint_open_schema(v, text, arena, NULL, c, err);
    return nlp_constraint_open_grammar(v, text, arena, NULL, c, err);
}

/* Every token of the closing may follow, unless a bound of parses forbids it; its end is one. */
static void check_closing(const nlp_constraint *c, nlp_constraint_work *work,
                          const nlp_constraint_state *state) {
    int32_t ids[MOST_CHECKED];
    nlp_constraint_state at;
    size_t n_bytes = nlp_constraint_closing_bytes(c, state);
    size_t n = nlp_constraint_closing(work, state, ids, MOST_CHECKED);
    fuzz_require(n <= n_bytes, "a closing has no more tokens than bytes");
    if (n > MOST_CHECKED) return;
    nlp_constraint_copy(&at, state);
    for (size_t i = 0; i < n; i++)
        if (!nlp_constraint_advance(work, &at, ids[i])) {
            fuzz_require(at.n_tops + at.n_cells > NLP_CONSTRAINT_WORDS / 8, "a closing is taken");
            return;
        }
    fuzz_require(nlp_constraint_may_end(&at), "a closing ends the text");
}

/* The n'th token that may follow; -1 where there is none. */
static int32_t choose(const nlp_vocabulary *v, nlp_constraint_work *work,
                      const nlp_constraint_state *state, uint8_t n) {
    float logits[MOST_LOGITS] = {0};
    size_t kept, seen = 0;
    nlp_error err;
    int32_t found = -1;
    fuzz_require(nlp_constraint_mask(work, state, logits, MOST_LOGITS, &kept, NULL, &err) == NLP_OK,
                 "a mask is made");
    for (uint32_t id = 0; id < v->spellings.n; id++) {
        bool keeps = !isinf(logits[id]);
        fuzz_require(n % 8 || keeps == nlp_constraint_takes(work, state, (int32_t)id),
                     "the mask agrees with single tokens");
        if (keeps && seen++ == n % kept) found = (int32_t)id;
    }
    fuzz_require(seen == kept, "the tokens are counted");
    return found;
}

static void walk(const nlp_vocabulary *v, const nlp_constraint *c, nlp_constraint_work *work,
                 const uint8_t *bytes, size_t n) {
    nlp_constraint_state state;
    nlp_constraint_begin(c, n && *bytes & 1, &state);
    check_closing(c, work, &state);
    for (size_t i = 0; i < n && i < MOST_STEPS && !nlp_constraint_must_end(&state); i++) {
        int32_t id = choose(v, work, &state, bytes[i]);
        if (id < 0) break; /* a bound: only the closing is left */
        fuzz_require(nlp_constraint_advance(work, &state, id), "what the mask keeps may follow");
        check_closing(c, work, &state);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    nlp_arena arena;
    nlp_error err;
    const nlp_constraint *c;
    nlp_constraint_work *work;
    if (!vocabularies[0]) {
        nlp_mem_init(&mem, NULL, NULL, 0);
        vocabularies[0] = nlp_test_vocabulary("sharp-llama");
        vocabularies[1] = nlp_test_vocabulary("sharp-flan-t5");
    }
    if (!n) return 0;
    const nlp_vocabulary *v = vocabularies[*bytes / 128];
    const uint8_t *text = bytes + 1, *end = memchr(text, 0, n - 1);
    size_t n_text = end ? (size_t)(end - text) : n - 1, n_steps = end ? n - n_text - 2 : 0;
    nlp_arena_init(&arena, &mem);
    nlp_text given = {(const char *)text, n_text};
    if (open_kind(v, *bytes, given, &arena, &c, &err) == NLP_OK) {
        fuzz_require(nlp_constraint_work_open(c, &arena, &work, &err) == NLP_OK, "work is opened");
        walk(v, c, work, n_steps ? end + 1 : bytes, n_steps ? n_steps : 1);
    } else {
        fuzz_require(err.message[0] != 0, "an error says what is wrong");
    }
    nlp_arena_deinit(&arena);
    return 0;
}
