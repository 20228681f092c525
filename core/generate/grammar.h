/* grammar.h: the one form of all constraints, for the files of core/generate. A front end (choices,
 * schema.c, gbnf.c) makes expressions of characters and rules; grammar.c makes of these a program over
 * bytes: nodes that take a byte, fork, call a rule or return. What runs it (automaton.c) keeps sets of
 * (node, stack of nodes to return to).
 *
 * Texts come from an untrusted user, so everything is counted: the limits below, and no step depends on
 * more than the nodes there are. */
#ifndef NLP_GENERATE_GRAMMAR_H
#define NLP_GENERATE_GRAMMAR_H

#include "generate/vocabulary.h"

enum {
    GRAMMAR_MAX_TEXT = 1 << 20,  /* bytes of a schema, a grammar or all choices */
    GRAMMAR_MAX_RULES = 8192,    /* those of a schema's parts included */
    GRAMMAR_MAX_NODES = 1 << 20, /* node numbers have 20 bits in a state */
    GRAMMAR_MAX_EDGES = 1 << 21,
    GRAMMAR_MAX_WORK = 1 << 22,    /* expressions that are compiled, repetitions counted */
    GRAMMAR_MAX_NESTING = 48,      /* parentheses of a grammar */
    GRAMMAR_MAX_HEIGHT = 1000,     /* calls inside each other that a shortest text needs */
    GRAMMAR_MAX_SHORTEST = 1 << 16 /* bytes of the shortest end from any node */
};
#define GRAMMAR_NO_LIMIT UINT32_MAX /* of repetitions */

/* ---- Expressions ---- */

typedef enum grammar_kind {
    GRAMMAR_LITERAL,  /* text */
    GRAMMAR_CLASS,    /* one character of the ranges */
    GRAMMAR_SEQUENCE, /* members, the last one first */
    GRAMMAR_CHOICE,   /* one of the members, the last one first */
    GRAMMAR_REPEAT,   /* the member min to max times */
    GRAMMAR_RULE
} grammar_kind;

typedef struct grammar_range { /* of code points, both ends included */
    uint32_t low, high;
} grammar_range;

typedef struct grammar_rule grammar_rule;

typedef struct grammar_expression {
    grammar_kind kind;
    uint32_t min, max, n_ranges;
    struct grammar_expression *members, *next; /* next: of the member before in the text */
    nlp_text text;
    const grammar_range *ranges; /* ascending, apart from each other */
    grammar_rule *rule;
} grammar_expression;

struct grammar_rule {
    nlp_text name;
    grammar_expression *body; /* NULL: only referred to so far */
    uint32_t line;            /* of its definition or first reference; 0: the rule of no line */
    uint32_t entry;           /* node, once compiled */
    uint32_t index;           /* place in the grammar's list */
    bool reached;             /* it has a place in the list */
};

/* ---- The program ---- */

typedef enum grammar_node_kind {
    NODE_RETURN, /* node 0 only */
    NODE_BYTES,  /* takes a byte by an edge of the list at a */
    NODE_FORK,   /* goes on at a and at b */
    NODE_CALL    /* runs the rule at a, then goes on at b */
} grammar_node_kind;

typedef struct grammar_node {
    grammar_node_kind kind;
    uint32_t a, b;
    uint32_t shortest; /* bytes from here to the rule's return, at least */
    uint32_t best;     /* the node on that way: of BYTES and FORK */
} grammar_node;

typedef struct grammar_edge {
    uint8_t low, high;
    uint32_t target, next; /* next: edge of the same node, 0 for none; edge 0 is not used */
} grammar_edge;

typedef struct grammar {
    const nlp_vocabulary *vocabulary;
    nlp_arena *arena;
    nlp_poll *poll;
    nlp_error *err;
    const char *what;     /* how messages call the text: "schema" */
    grammar_rule **rules; /* [n_rules] those that the root reaches, the root first */
    grammar_node *nodes;
    grammar_edge *edges;
    uint32_t n_rules, n_nodes, n_edges, n_spelt;
    size_t nodes_capacity, edges_capacity;
    uint32_t n_made; /* rules, reached or not */
    uint32_t work;
    grammar_range *spelt; /* characters that can be spelt; NULL: not asked yet */
} grammar;

nlp_status grammar_init(grammar *g, const nlp_vocabulary *vocabulary, const char *what,
                        nlp_arena *arena, nlp_poll *poll, nlp_error *err);
/* Expressions come from the arena and are NULL when that has failed, as are their members then. */
grammar_expression *grammar_new(grammar *g, grammar_kind kind);
grammar_expression *grammar_literal(grammar *g, nlp_text text);
grammar_expression *grammar_call(grammar *g, grammar_rule *rule);
grammar_expression *grammar_repeat(grammar *g, grammar_expression *member, uint32_t min,
                                   uint32_t max);
/* Behind the members that are there; any of both may be NULL. */
void grammar_add(grammar_expression *list, grammar_expression *member);
/* name is borrowed. */
nlp_status grammar_rule_new(grammar *g, nlp_text name, uint32_t line, grammar_rule **rule);
/* Compiles what the root reaches, then grammar_check. */
nlp_status grammar_compile(grammar *g, grammar_rule *root);
/* grammar_check.c: refuses left recursion and what has no end; fills `shortest` and `best`; turns calls
 * in last place into jumps. */
nlp_status grammar_check(grammar *g);
/* "the grammar's line 3: rule "a" <what>" */
nlp_status grammar_refuse(const grammar *g, nlp_status code, const grammar_rule *rule,
                          const char *what);

/* ---- Front ends ---- */
/* rules[i] is the one called names[i]. */
nlp_status gbnf_read(grammar *g, nlp_text text, const char *const *names, size_t n_names,
                     grammar_rule **rules);
nlp_status schema_read(grammar *g, nlp_text text, grammar_rule **root);

#endif
