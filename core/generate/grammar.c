/* grammar.c: expressions to a program. Each is compiled with the node that follows it, from the back to
 * the front, so that nothing is patched but loops. */
#include "generate/grammar.h"

#include <string.h>

#include "base/utf8.h"

/* ---- Building expressions ---- */

nlp_status grammar_init(grammar *g, const nlp_vocabulary *vocabulary, const char *what,
                        nlp_arena *arena, nlp_poll *poll, nlp_error *err) {
    *g = (grammar){.vocabulary = vocabulary,
                   .arena = arena,
                   .poll = poll,
                   .err = err,
                   .what = what,
                   .n_nodes = 1,
                   .n_edges = 1,
                   .nodes_capacity = 256,
                   .edges_capacity = 256};
    g->rules = NLP_PUSH(arena, grammar_rule *, GRAMMAR_MAX_RULES);
    g->nodes = NLP_PUSH_ZERO(arena, grammar_node, g->nodes_capacity); /* node 0 returns */
    g->edges = NLP_PUSH_ZERO(arena, grammar_edge, g->edges_capacity);
    return nlp_arena_status(arena, err);
}

grammar_expression *grammar_new(grammar *g, grammar_kind kind) {
    grammar_expression *e = NLP_PUSH_ZERO(g->arena, grammar_expression, 1);
    if (e) e->kind = kind;
    return e;
}

grammar_expression *grammar_literal(grammar *g, nlp_text text) {
    grammar_expression *e = grammar_new(g, GRAMMAR_LITERAL);
    if (e) e->text = text;
    return e;
}

grammar_expression *grammar_call(grammar *g, grammar_rule *rule) {
    grammar_expression *e = grammar_new(g, GRAMMAR_RULE);
    if (e) e->rule = rule;
    return e;
}

grammar_expression *grammar_repeat(grammar *g, grammar_expression *member, uint32_t min,
                                   uint32_t max) {
    grammar_expression *e = grammar_new(g, GRAMMAR_REPEAT);
    if (e) e->members = member, e->min = min, e->max = max;
    return e;
}

void grammar_add(grammar_expression *list, grammar_expression *member) {
    if (!list || !member) return;
    member->next = list->members;
    list->members = member;
}

nlp_status grammar_rule_new(grammar *g, nlp_text name, uint32_t line, grammar_rule **rule) {
    if (g->n_made++ == GRAMMAR_MAX_RULES)
        return nlp_fail(g->err, NLP_ELIMIT, "the %s has more than %d rules", g->what,
                        GRAMMAR_MAX_RULES);
    *rule = NLP_PUSH_ZERO(g->arena, grammar_rule, 1);
    NLP_TRY(nlp_arena_status(g->arena, g->err));
    (*rule)->name = name;
    (*rule)->line = line;
    return NLP_OK;
}

/* The name is cut at a character, so that the message stays UTF-8. */
nlp_status grammar_refuse(const grammar *g, nlp_status code, const grammar_rule *rule,
                          const char *what) {
    nlp_text name = rule->name;
    size_t n = 0;
    for (uint32_t c; n < name.n_bytes && n < 40;)
        n += nlp_utf8_decode(name.bytes + n, name.n_bytes - n, &c);
    if (!rule->line) return nlp_fail(g->err, code, "the %s %s", g->what, what);
    return nlp_fail(g->err, code, "the %s's line %u: rule \"%.*s\" %s", g->what, rule->line, (int)n,
                    name.bytes, what);
}

/* ---- Nodes and edges ---- */

static nlp_status add_node(grammar *g, grammar_node_kind kind, uint32_t a, uint32_t b,
                           uint32_t *at) {
    if (g->n_nodes == GRAMMAR_MAX_NODES)
        return nlp_fail(g->err, NLP_ELIMIT, "the %s is too large: it needs more than %d states",
                        g->what, GRAMMAR_MAX_NODES);
    g->nodes = nlp_arena_grow(g->arena, g->nodes, g->n_nodes, &g->nodes_capacity, sizeof *g->nodes);
    NLP_TRY(nlp_arena_status(g->arena, g->err));
    g->nodes[g->n_nodes] = (grammar_node){.kind = kind, .a = a, .b = b};
    *at = g->n_nodes++;
    return nlp_poll_work(g->poll, 64, g->err);
}

/* Edges of one node don't overlap, so their order does not matter. */
static nlp_status add_edge(grammar *g, uint32_t node, uint8_t low, uint8_t high, uint32_t target) {
    if (g->n_edges == GRAMMAR_MAX_EDGES)
        return nlp_fail(g->err, NLP_ELIMIT, "the %s is too large: it needs more than %d steps",
                        g->what, GRAMMAR_MAX_EDGES);
    g->edges = nlp_arena_grow(g->arena, g->edges, g->n_edges, &g->edges_capacity, sizeof *g->edges);
    NLP_TRY(nlp_arena_status(g->arena, g->err));
    g->edges[g->n_edges] = (grammar_edge){low, high, target, g->nodes[node].a};
    g->nodes[node].a = g->n_edges++;
    return NLP_OK;
}

static uint32_t find_edge(const grammar *g, uint32_t node, uint8_t low, uint8_t high) {
    uint32_t edge = g->nodes[node].a;
    while (edge && (g->edges[edge].low != low || g->edges[edge].high != high))
        edge = g->edges[edge].next;
    return edge;
}

/* ---- Literals ---- */

static nlp_status check_spelt(const grammar *g, nlp_text text) {
    for (size_t i = 0; i < text.n_bytes;) {
        uint32_t code;
        i += nlp_utf8_decode(text.bytes + i, text.n_bytes - i, &code);
        if (!code) return nlp_fail(g->err, NLP_EINVAL, "the %s asks for U+0000", g->what);
        if (!nlp_vocabulary_spells(g->vocabulary, code))
            return nlp_fail(g->err, NLP_EINVAL,
                            "the %s asks for U+%04X, for which the model has no token", g->what,
                            code);
    }
    return NLP_OK;
}

static nlp_status compile_literal(grammar *g, nlp_text text, uint32_t next, uint32_t *at) {
    NLP_TRY(check_spelt(g, text));
    *at = next;
    for (size_t i = text.n_bytes; i-- > 0;) {
        uint32_t node;
        NLP_TRY(add_node(g, NODE_BYTES, 0, 0, &node));
        NLP_TRY(add_edge(g, node, (uint8_t)text.bytes[i], (uint8_t)text.bytes[i], *at));
        *at = node;
    }
    return NLP_OK;
}

/* The node behind an edge of a trie, as one that takes bytes: made where a word ends there so far. */
static nlp_status open_branch(grammar *g, uint32_t *target, uint32_t next, uint32_t *node) {
    uint32_t fork;
    *node = g->nodes[*target].b;
    if (*target != next) {
        if (g->nodes[*target].kind == NODE_BYTES) *node = *target;
        return NLP_OK;
    }
    NLP_TRY(add_node(g, NODE_BYTES, 0, 0, node));
    NLP_TRY(add_node(g, NODE_FORK, next, *node, &fork));
    *target = fork;
    return NLP_OK;
}

/* A word ends at the target of this edge: `next` may follow as well. */
static nlp_status end_word(grammar *g, uint32_t *target, uint32_t next) {
    if (*target == next || g->nodes[*target].kind == NODE_FORK) return NLP_OK;
    uint32_t fork;
    NLP_TRY(add_node(g, NODE_FORK, next, *target, &fork));
    *target = fork;
    return NLP_OK;
}

/* From `root`, which takes bytes. Edges are named by index, since they move when they grow. */
static nlp_status add_word(grammar *g, uint32_t *root, nlp_text word, uint32_t next) {
    uint32_t node, target = *root, edge = 0;
    NLP_TRY(check_spelt(g, word));
    for (size_t i = 0; i < word.n_bytes; i++) {
        uint8_t byte = (uint8_t)word.bytes[i];
        NLP_TRY(open_branch(g, &target, next, &node));
        *(edge ? &g->edges[edge].target : root) = target;
        edge = find_edge(g, node, byte, byte);
        if (!edge) {
            bool last = i + 1 == word.n_bytes;
            uint32_t child = next;
            if (!last) NLP_TRY(add_node(g, NODE_BYTES, 0, 0, &child));
            NLP_TRY(add_edge(g, node, byte, byte, child));
            edge = g->n_edges - 1;
        }
        target = g->edges[edge].target;
    }
    NLP_TRY(end_word(g, &target, next));
    *(edge ? &g->edges[edge].target : root) = target;
    return NLP_OK;
}

/* Alternatives that are texts share their beginnings: one way at a time, however many there are. */
static nlp_status compile_words(grammar *g, const grammar_expression *e, uint32_t next,
                                uint32_t *at) {
    NLP_TRY(add_node(g, NODE_BYTES, 0, 0, at));
    for (const grammar_expression *m = e->members; m; m = m->next) {
        if (m->kind != GRAMMAR_LITERAL) continue;
        NLP_TRY(add_word(g, at, m->text, next));
        NLP_TRY(nlp_poll_work(g->poll, 64 * m->text.n_bytes, g->err));
    }
    bool empty = g->nodes[*at].kind == NODE_FORK && !g->nodes[g->nodes[*at].b].a;
    if (empty) *at = next; /* "" is the only word */
    return NLP_OK;
}

/* ---- Classes ---- */

/* Ascending. */
static void note_spelt(grammar *g, uint32_t low, uint32_t high) {
    grammar_range *last = g->n_spelt ? &g->spelt[g->n_spelt - 1] : NULL;
    if (last && low <= last->high + 1)
        last->high = high;
    else
        g->spelt[g->n_spelt++] = (grammar_range){low, high};
}

/* All characters with a first byte that is a token, since those behind it are. */
static void note_first_bytes(grammar *g) {
    const bool *has = g->vocabulary->has_byte;
    for (uint32_t byte = 1; byte < 0x80; byte++)
        if (has[byte]) note_spelt(g, byte, byte);
    for (uint32_t byte = 0xC2; byte < 0xF5; byte++) {
        uint32_t bits = byte < 0xE0 ? 6 : byte < 0xF0 ? 12 : 18;
        uint32_t low = (byte & (0xFFu >> (bits / 6 + 2))) << bits, high = low + (1u << bits) - 1;
        if (byte == 0xE0) low = 0x800;
        if (byte == 0xF0) low = 0x10000;
        if (byte == 0xF4) high = 0x10FFFF;
        if (has[byte]) note_spelt(g, low, high);
    }
}

/* The characters that can be spelt. */
static nlp_status find_spelt(grammar *g) {
    const nlp_vocabulary *v = g->vocabulary;
    g->spelt = NLP_PUSH(g->arena, grammar_range, v->is_bytes ? 256 : v->n_tokens);
    NLP_TRY(nlp_arena_status(g->arena, g->err));
    if (v->is_bytes) note_first_bytes(g);
    for (uint32_t i = 0; !v->is_bytes && i < v->n_tokens; i++) { /* sorted, as UTF-8 sorts */
        nlp_text text = nlp_vocabulary_text(v, v->order[i]);
        uint32_t code;
        if (nlp_utf8_decode(text.bytes, text.n_bytes, &code) == text.n_bytes && code)
            note_spelt(g, code, code);
    }
    return NLP_OK;
}

/* The way of one class's characters into bytes. */
typedef struct class_tree {
    uint32_t root, next;
    uint32_t rest[3]; /* what takes 1 .. 3 bytes 80 to BF and goes to next; 0: not made yet */
} class_tree;

static nlp_status any_rest(grammar *g, class_tree *tree, size_t n, uint32_t *at) {
    for (size_t i = 0; i < n; i++) {
        if (tree->rest[i]) continue;
        uint32_t target = i ? tree->rest[i - 1] : tree->next;
        NLP_TRY(add_node(g, NODE_BYTES, 0, 0, &tree->rest[i]));
        NLP_TRY(add_edge(g, tree->rest[i], 0x80, 0xBF, target));
    }
    *at = n ? tree->rest[n - 1] : tree->next;
    return NLP_OK;
}

/* Characters of equal length whose bytes are equal up to `at`, then low[at] .. high[at], and from there
 * all that there are. */
static nlp_status add_bytes(grammar *g, class_tree *tree, const char *low, const char *high,
                            size_t at, size_t n) {
    uint32_t node = tree->root, target;
    for (size_t i = 0; i < at; i++) {
        uint8_t byte = (uint8_t)low[i];
        uint32_t edge = find_edge(g, node, byte, byte);
        if (!edge) {
            NLP_TRY(add_node(g, NODE_BYTES, 0, 0, &target));
            NLP_TRY(add_edge(g, node, byte, byte, target));
            edge = g->n_edges - 1;
        }
        node = g->edges[edge].target;
    }
    NLP_TRY(any_rest(g, tree, n - at - 1, &target));
    return add_edge(g, node, (uint8_t)low[at], (uint8_t)high[at], target);
}

/* How many last bytes of a character low may begin and high may end all values of. */
static uint32_t span_of(uint32_t low, uint32_t high, size_t n, size_t *at) {
    for (size_t rest = n; rest-- > 1;) {
        uint32_t size = 1u << 6 * rest;
        if (low % size || high - low < size - 1) continue;
        *at = n - 1 - rest;
        uint32_t parent = rest + 1 < n ? size << 6 : 0; /* stays under one byte before */
        uint32_t last = low + (high - low + 1) / size * size - 1;
        return parent && last / parent != low / parent ? (low / parent + 1) * parent - 1 : last;
    }
    *at = n - 1;
    uint32_t last = n > 1 ? low | 63u : high;
    return last < high ? last : high;
}

/* Code points of one length in UTF-8, cut into stretches that are one range of bytes and then
 * anything. */
static nlp_status add_length(grammar *g, class_tree *tree, uint32_t low, uint32_t high, size_t n) {
    char first[NLP_UTF8_MAX_BYTES], last[NLP_UTF8_MAX_BYTES];
    while (low <= high) {
        size_t at;
        uint32_t end = span_of(low, high, n, &at);
        nlp_utf8_encode(low, first);
        nlp_utf8_encode(end, last);
        NLP_TRY(add_bytes(g, tree, first, last, at, n));
        low = end + 1;
    }
    return NLP_OK;
}

static nlp_status add_range(grammar *g, class_tree *tree, grammar_range range) {
    static const grammar_range lengths[] = {/* without surrogates */
                                            {1, 0x7F},
                                            {0x80, 0x7FF},
                                            {0x800, 0xD7FF},
                                            {0xE000, 0xFFFF},
                                            {0x10000, 0x10FFFF}};
    static const uint8_t n_bytes[] = {1, 2, 3, 3, 4};
    for (size_t i = 0; i < 5; i++) {
        uint32_t low = range.low > lengths[i].low ? range.low : lengths[i].low;
        uint32_t high = range.high < lengths[i].high ? range.high : lengths[i].high;
        if (low <= high) NLP_TRY(add_length(g, tree, low, high, n_bytes[i]));
    }
    return NLP_OK;
}

/* A range cut to the characters that can be spelt; *from moves along them. */
static nlp_status add_spelt(grammar *g, class_tree *tree, grammar_range range, uint32_t *from) {
    while (*from < g->n_spelt && g->spelt[*from].high < range.low) ++*from;
    for (uint32_t i = *from; i < g->n_spelt && g->spelt[i].low <= range.high; i++) {
        grammar_range s = g->spelt[i];
        if (s.low < range.low) s.low = range.low;
        if (s.high > range.high) s.high = range.high;
        NLP_TRY(add_range(g, tree, s));
    }
    return NLP_OK;
}

static nlp_status compile_class(grammar *g, const grammar_expression *e, uint32_t next,
                                uint32_t *at) {
    class_tree tree = {.next = next};
    uint32_t from = 0;
    if (!g->spelt) NLP_TRY(find_spelt(g));
    NLP_TRY(add_node(g, NODE_BYTES, 0, 0, &tree.root));
    for (uint32_t i = 0; i < e->n_ranges; i++) NLP_TRY(add_spelt(g, &tree, e->ranges[i], &from));
    if (!g->nodes[tree.root].a)
        return nlp_fail(g->err, NLP_EINVAL,
                        "the %s asks for a class of characters that no text can have", g->what);
    *at = tree.root;
    return NLP_OK;
}

/* ---- Compiling ---- */

static nlp_status compile(grammar *g, const grammar_expression *e, uint32_t next, uint32_t *at);

static bool has_literal(const grammar_expression *member) {
    while (member && member->kind != GRAMMAR_LITERAL) member = member->next;
    return member != NULL;
}

static nlp_status compile_choice(grammar *g, const grammar_expression *e, uint32_t next,
                                 uint32_t *at) {
    bool first = !has_literal(e->members);
    if (!first) NLP_TRY(compile_words(g, e, next, at));
    for (const grammar_expression *m = e->members; m; m = m->next) {
        uint32_t branch;
        if (m->kind == GRAMMAR_LITERAL) continue;
        NLP_TRY(compile(g, m, next, &branch));
        if (!first) NLP_TRY(add_node(g, NODE_FORK, branch, *at, &branch));
        *at = branch;
        first = false;
    }
    return NLP_OK;
}

static nlp_status compile_repeat(grammar *g, const grammar_expression *e, uint32_t next,
                                 uint32_t *at) {
    uint32_t body;
    *at = next;
    if (e->max == GRAMMAR_NO_LIMIT) {
        NLP_TRY(add_node(g, NODE_FORK, 0, next, at));
        NLP_TRY(compile(g, e->members, *at, &body));
        g->nodes[*at].a = body;
    }
    for (uint32_t i = e->min; e->max != GRAMMAR_NO_LIMIT && i < e->max; i++) {
        NLP_TRY(compile(g, e->members, *at, &body));
        NLP_TRY(add_node(g, NODE_FORK, body, next, at));
    }
    for (uint32_t i = 0; i < e->min; i++) NLP_TRY(compile(g, e->members, *at, at));
    return NLP_OK;
}

static nlp_status compile_call(grammar *g, grammar_rule *rule, uint32_t next, uint32_t *at) {
    if (!rule->reached) {
        rule->reached = true;
        rule->index = g->n_rules;
        g->rules[g->n_rules++] = rule;
    }
    return add_node(g, NODE_CALL, rule->index, next, at);
}

/* Goes as deep as the parentheses of a grammar. */
static nlp_status compile(grammar *g, const grammar_expression *e, uint32_t next, uint32_t *at) {
    if (g->work++ == GRAMMAR_MAX_WORK)
        return nlp_fail(g->err, NLP_ELIMIT, "the %s repeats too much: more than %d parts", g->what,
                        GRAMMAR_MAX_WORK);
    NLP_TRY(nlp_poll_work(g->poll, 64, g->err));
    switch (e->kind) {
    case GRAMMAR_LITERAL:
        return compile_literal(g, e->text, next, at);
    case GRAMMAR_CLASS:
        return compile_class(g, e, next, at);
    case GRAMMAR_CHOICE:
        return compile_choice(g, e, next, at);
    case GRAMMAR_REPEAT:
        return compile_repeat(g, e, next, at);
    case GRAMMAR_RULE:
        return compile_call(g, e->rule, next, at);
    case GRAMMAR_SEQUENCE:
        break;
    }
    *at = next;
    for (const grammar_expression *m = e->members; m; m = m->next) NLP_TRY(compile(g, m, *at, at));
    return NLP_OK;
}

/* Calls name the rule until all of them have their entry. */
nlp_status grammar_compile(grammar *g, grammar_rule *root) {
    uint32_t call;
    NLP_TRY(nlp_arena_status(g->arena, g->err));
    NLP_TRY(compile_call(g, root, 0, &call)); /* node 1 begins the text */
    for (uint32_t i = 0; i < g->n_rules; i++)
        NLP_TRY(compile(g, g->rules[i]->body, 0, &g->rules[i]->entry));
    for (uint32_t i = 1; i < g->n_nodes; i++)
        if (g->nodes[i].kind == NODE_CALL) g->nodes[i].a = g->rules[g->nodes[i].a]->entry;
    return grammar_check(g);
}
