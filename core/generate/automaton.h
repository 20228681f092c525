/* automaton.h: runs a grammar's program. A state is a set of places (node, stack), all of whose nodes take
 * a byte; its stacks share their lower cells. */
#ifndef NLP_GENERATE_AUTOMATON_H
#define NLP_GENERATE_AUTOMATON_H

#include "generate/constraint.h"
#include "generate/grammar.h"

/* A word of a state: the node in the high 20 bits, below it its cell + 1 (0: the bottom of the stack).
 * A cell is such a word too: the node to return to, and the cell under it. The words are first those of
 * the places, then those of the cells, lower ones first. */
enum { CELL_BITS = 12, CELL_MASK = (1 << CELL_BITS) - 1 };
_Static_assert(NLP_CONSTRAINT_WORDS < CELL_MASK, "a word names any cell");

static inline uint32_t word_node(uint32_t word) {
    return word >> CELL_BITS;
}
static inline uint32_t word_cell(uint32_t word) {
    return word & CELL_MASK;
}

struct nlp_constraint {
    const nlp_vocabulary *vocabulary;
    const grammar_node *nodes;
    const grammar_edge *edges;
    nlp_constraint_state start;
};

enum { AUTOMATON_SLOTS = 16384, AUTOMATON_MOST = AUTOMATON_SLOTS / 2 };

typedef struct automaton_slot { /* of a table that is empty when the epoch is another one */
    uint32_t epoch, key, value;
} automaton_slot;

/* Scratch of one step: what does not fit is over the bound, and the byte is not taken. */
typedef struct automaton {
    const grammar_node *nodes;
    const grammar_edge *edges;
    uint32_t epoch;
    bool over, may_end;
    uint32_t n_visited, n_stack, n_tops, n_cells;
    automaton_slot visited[AUTOMATON_SLOTS], known[AUTOMATON_SLOTS];
    uint32_t stack[2 * AUTOMATON_MOST + 2];
    uint32_t tops[NLP_CONSTRAINT_WORDS], cells[NLP_CONSTRAINT_WORDS];
    uint32_t targets[NLP_CONSTRAINT_WORDS], parents[NLP_CONSTRAINT_WORDS];
    uint16_t map[NLP_CONSTRAINT_WORDS + 1];
} automaton;

/* Zeroed before. */
void automaton_init(automaton *a, const grammar_node *nodes, const grammar_edge *edges);
/* The state before any byte; false where it is over the bounds. */
bool automaton_start(automaton *a, nlp_constraint_state *to);
/* The state behind a byte; false where it may not follow. from and to are not the same. */
bool automaton_step(automaton *a, const nlp_constraint_state *from, uint8_t byte,
                    nlp_constraint_state *to);

/* Bytes that a state takes up. */
static inline size_t state_bytes(const nlp_constraint_state *state) {
    return offsetof(nlp_constraint_state, words) +
           ((size_t)state->n_tops + state->n_cells) * sizeof(uint32_t);
}

/* constraint.c's scratch and caches. */
typedef struct constraint_cache constraint_cache;
struct nlp_constraint_work {
    const nlp_constraint *constraint;
    automaton automaton;
    nlp_constraint_state before, after; /* of a token's bytes */
    constraint_cache *cache;
};

/* mask.c */
nlp_status constraint_cache_open(nlp_constraint_work *work, nlp_arena *arena, nlp_error *err);
/* One byte, the blank before a text included. */
bool constraint_step(nlp_constraint_work *work, const nlp_constraint_state *from, uint8_t byte,
                     nlp_constraint_state *to);

#endif
