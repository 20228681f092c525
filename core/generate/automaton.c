/* automaton.c: one byte further. Every (node, stack) is visited once a step, and equal stacks are one
 * cell, so that a step costs no more than its bounds allow, however ambiguous the grammar. */
#include "generate/automaton.h"

#include <string.h>

void automaton_init(automaton *a, const grammar_node *nodes, const grammar_edge *edges) {
    a->nodes = nodes;
    a->edges = edges;
}

static void begin(automaton *a) {
    if (++a->epoch == 0) { /* after 4 G steps the marks of old ones could be taken for new */
        memset(a->visited, 0, sizeof a->visited);
        memset(a->known, 0, sizeof a->known);
        a->epoch = 1;
    }
    a->over = a->may_end = false;
    a->n_visited = a->n_stack = a->n_tops = a->n_cells = 0;
}

/* The key's slot, or the empty one where it belongs: that has another epoch. */
static automaton_slot *find_slot(automaton_slot *slots, uint32_t epoch, uint32_t key) {
    uint32_t at = (key * 0x9e3779b1u) >> 18;
    while (slots[at].epoch == epoch && slots[at].key != key) at = (at + 1) % AUTOMATON_SLOTS;
    return &slots[at];
}
_Static_assert(AUTOMATON_SLOTS == 1 << (32 - 18), "a hash names any slot");

/* The cell of a word, + 1; made where it is new. */
static uint32_t find_cell(automaton *a, uint32_t word) {
    automaton_slot *slot = find_slot(a->known, a->epoch, word);
    if (slot->epoch == a->epoch) return slot->value;
    if (a->n_cells == NLP_CONSTRAINT_WORDS) {
        a->over = true;
        return 0;
    }
    a->cells[a->n_cells++] = word;
    *slot = (automaton_slot){a->epoch, word, a->n_cells};
    return a->n_cells;
}

static void push(automaton *a, uint32_t node, uint32_t cell) {
    a->stack[a->n_stack++] = node << CELL_BITS | cell;
}

/* Goes on from a place until only nodes are left that take a byte. Each visit pushes two at most. */
static void follow(automaton *a, uint32_t node, uint32_t cell) {
    push(a, node, cell);
    while (a->n_stack && !a->over) {
        uint32_t word = a->stack[--a->n_stack];
        automaton_slot *slot = find_slot(a->visited, a->epoch, word);
        if (slot->epoch == a->epoch) continue;
        *slot = (automaton_slot){a->epoch, word, 0};
        if (++a->n_visited == AUTOMATON_MOST) a->over = true;
        const grammar_node *n = &a->nodes[word_node(word)];
        cell = word_cell(word);
        if (n->kind == NODE_FORK) {
            push(a, n->b, cell), push(a, n->a, cell);
        } else if (n->kind == NODE_CALL) {
            push(a, n->a, find_cell(a, n->b << CELL_BITS | cell));
        } else if (n->kind == NODE_RETURN) {
            if (cell)
                push(a, word_node(a->cells[cell - 1]), word_cell(a->cells[cell - 1]));
            else
                a->may_end = true;
        } else if (a->n_tops == NLP_CONSTRAINT_WORDS) {
            a->over = true;
        } else {
            a->tops[a->n_tops++] = word;
        }
    }
    a->n_stack = 0;
}

/* Keeps the cells that the places stand on, so that equal states are equal in their words. */
static bool write_state(automaton *a, nlp_constraint_state *to) {
    size_t n_cells = 0;
    memset(a->map, 0, (a->n_cells + 1) * sizeof *a->map);
    for (uint32_t i = 0; i < a->n_tops; i++) a->map[word_cell(a->tops[i])] = 1;
    for (uint32_t i = a->n_cells; i > 0; i--)
        if (a->map[i]) a->map[word_cell(a->cells[i - 1])] = 1;
    a->map[0] = 0;
    for (uint32_t i = 1; i <= a->n_cells; i++)
        if (a->map[i]) a->map[i] = (uint16_t)++n_cells;
    if (a->over || a->n_tops + n_cells > NLP_CONSTRAINT_WORDS) return false;
    to->n_tops = (uint16_t)a->n_tops;
    to->n_cells = (uint16_t)n_cells;
    to->may_end = a->may_end;
    to->drops_blank = false;
    for (uint32_t i = 0; i < a->n_tops; i++)
        to->words[i] = (a->tops[i] & ~(uint32_t)CELL_MASK) | a->map[word_cell(a->tops[i])];
    for (uint32_t i = 1, at = a->n_tops; i <= a->n_cells; i++)
        if (a->map[i])
            to->words[at++] =
                (a->cells[i - 1] & ~(uint32_t)CELL_MASK) | a->map[word_cell(a->cells[i - 1])];
    return true;
}

bool automaton_start(automaton *a, nlp_constraint_state *to) {
    begin(a);
    follow(a, 1, 0);
    return write_state(a, to);
}

/* The node behind the byte; UINT32_MAX where the node does not take it. */
static uint32_t find_target(const automaton *a, uint32_t node, uint8_t byte) {
    for (uint32_t e = a->nodes[node].a; e; e = a->edges[e].next)
        if (a->edges[e].low <= byte && byte <= a->edges[e].high) return a->edges[e].target;
    return UINT32_MAX;
}

/* Places that take the byte, and the cells under them, which keep their order. */
static uint32_t take_byte(automaton *a, const nlp_constraint_state *from, uint8_t byte) {
    uint32_t n = 0;
    const uint32_t *cells = from->words + from->n_tops;
    memset(a->map, 0, (from->n_cells + 1u) * sizeof *a->map);
    for (uint32_t i = 0; i < from->n_tops; i++) {
        uint32_t target = find_target(a, word_node(from->words[i]), byte);
        if (target == UINT32_MAX) continue;
        a->targets[n] = target;
        a->parents[n++] = word_cell(from->words[i]);
        a->map[word_cell(from->words[i])] = 1;
    }
    for (uint32_t i = from->n_cells; i > 0; i--)
        if (a->map[i]) a->map[word_cell(cells[i - 1])] = 1;
    a->map[0] = 0;
    for (uint32_t i = 1; i <= from->n_cells; i++)
        if (a->map[i])
            a->map[i] = (uint16_t)find_cell(a, (cells[i - 1] & ~(uint32_t)CELL_MASK) |
                                                   a->map[word_cell(cells[i - 1])]);
    return n;
}

bool automaton_step(automaton *a, const nlp_constraint_state *from, uint8_t byte,
                    nlp_constraint_state *to) {
    begin(a);
    uint32_t n = take_byte(a, from, byte);
    for (uint32_t i = 0; i < n && !a->over; i++) follow(a, a->targets[i], a->map[a->parents[i]]);
    return n && write_state(a, to);
}
