/* grammar_check.c: what a program must be before it runs. How many bytes each node needs to its rule's
 * return comes from Knuth's generalisation of Dijkstra's algorithm (1977): nodes become final in the
 * order of their length, so that the ways never turn in circles. */
#include "generate/grammar.h"

enum { UNKNOWN = UINT32_MAX };

/* ---- Shortest ways ---- */

typedef struct ways {
    grammar *g;
    uint32_t *users_from, *users; /* nodes that go on at node i: users[users_from[i] ..] */
    uint32_t *heads;              /* of the lists of nodes by length */
    uint32_t *next, *previous;    /* in those lists; 0: none */
    uint16_t *height;             /* calls inside each other on the way */
    bool *is_final;
} ways;

/* Visits what a node goes on at: counts, or writes, depending on `users`. */
static void note_users(const grammar *g, uint32_t node, uint32_t *count, uint32_t *users) {
    const grammar_node *n = &g->nodes[node];
    uint32_t to[2] = {n->a, n->b};
    size_t n_to = n->kind == NODE_FORK || n->kind == NODE_CALL ? 2 : 0;
    for (size_t i = 0; i < n_to; i++) {
        if (users)
            users[--count[to[i]]] = node;
        else
            count[to[i]]++;
    }
    for (uint32_t e = n->kind == NODE_BYTES ? n->a : 0; e; e = g->edges[e].next) {
        if (users)
            users[--count[g->edges[e].target]] = node;
        else
            count[g->edges[e].target]++;
    }
}

static nlp_status open_ways(ways *w, grammar *g) {
    uint32_t n = g->n_nodes;
    *w = (ways){.g = g};
    w->users_from = NLP_PUSH_ZERO(g->arena, uint32_t, (size_t)n + 1);
    w->users = NLP_PUSH(g->arena, uint32_t, 2 * (size_t)n + g->n_edges);
    w->heads = NLP_PUSH_ZERO(g->arena, uint32_t, GRAMMAR_MAX_SHORTEST + 1);
    w->next = NLP_PUSH_ZERO(g->arena, uint32_t, n);
    w->previous = NLP_PUSH_ZERO(g->arena, uint32_t, n);
    w->height = NLP_PUSH_ZERO(g->arena, uint16_t, n);
    w->is_final = NLP_PUSH_ZERO(g->arena, bool, n);
    NLP_TRY(nlp_arena_status(g->arena, g->err));
    for (uint32_t i = 0; i < n; i++) note_users(g, i, w->users_from, NULL);
    for (uint32_t i = 0; i < n; i++) w->users_from[i + 1] += w->users_from[i];
    for (uint32_t i = 0; i < n; i++) note_users(g, i, w->users_from, w->users);
    for (uint32_t i = 1; i < n; i++) g->nodes[i].shortest = UNKNOWN;
    return NLP_OK;
}

static void list_remove(ways *w, uint32_t node) {
    uint32_t length = w->g->nodes[node].shortest;
    if (length == UNKNOWN) return;
    if (w->previous[node])
        w->next[w->previous[node]] = w->next[node];
    else
        w->heads[length] = w->next[node];
    if (w->next[node]) w->previous[w->next[node]] = w->previous[node];
}

static void list_insert(ways *w, uint32_t node, uint32_t length) {
    w->next[node] = w->heads[length];
    w->previous[node] = 0;
    if (w->next[node]) w->previous[w->next[node]] = node;
    w->heads[length] = node;
    w->g->nodes[node].shortest = length;
}

/* `node` goes on at `to`, which has just become final. */
static void offer_way(ways *w, uint32_t node, uint32_t to) {
    grammar_node *n = &w->g->nodes[node];
    uint32_t length = w->g->nodes[to].shortest, height = w->height[to];
    if (w->is_final[node]) return;
    if (n->kind == NODE_CALL) {
        if (!w->is_final[n->a] || !w->is_final[n->b]) return;
        length = w->g->nodes[n->a].shortest + w->g->nodes[n->b].shortest;
        height = w->height[n->a] + (n->b ? 1u : 0u); /* a call in last place becomes a jump */
        if (w->height[n->b] > height) height = w->height[n->b];
    }
    length += n->kind == NODE_BYTES;
    if (length > GRAMMAR_MAX_SHORTEST || length >= n->shortest) return;
    list_remove(w, node);
    list_insert(w, node, length);
    n->best = to;
    w->height[node] = (uint16_t)(height < UINT16_MAX ? height : UINT16_MAX);
}

static nlp_status make_final(ways *w, uint32_t node) {
    uint32_t first = w->users_from[node], end = w->users_from[node + 1];
    w->is_final[node] = true;
    for (uint32_t i = first; i < end; i++) offer_way(w, w->users[i], node);
    return nlp_poll_work(w->g->poll, 64 * (uint64_t)(end - first), w->g->err);
}

static nlp_status find_shortest(ways *w) {
    NLP_TRY(make_final(w, 0));
    for (uint32_t length = 0; length <= GRAMMAR_MAX_SHORTEST; length++) {
        for (uint32_t node; (node = w->heads[length]) != 0;) {
            list_remove(w, node);
            NLP_TRY(make_final(w, node));
        }
    }
    return NLP_OK;
}

/* ---- Left recursion ---- */

typedef struct left_call {   /* a rule may call another before it takes a byte */
    uint32_t from, to, next; /* next: call of the same caller, + 1 */
} left_call;

typedef struct left_calls {
    grammar *g;
    uint32_t *rule_of;           /* of an entry node: rule + 1 */
    uint32_t *seen;              /* of a node: the last rule that came by, + 1 */
    uint32_t *stack;             /* nodes to visit */
    uint32_t *first, *n_callers; /* by rule; first: call + 1 */
    left_call *calls;
    uint32_t n_calls, n_stack;
} left_calls;

static void visit(left_calls *l, uint32_t node, uint32_t rule) {
    if (l->seen[node] == rule + 1) return;
    l->seen[node] = rule + 1;
    l->stack[l->n_stack++] = node;
}

/* Nodes that a rule comes to without a byte; those of others it only calls. */
static nlp_status find_left_calls(left_calls *l, uint32_t rule) {
    grammar *g = l->g;
    visit(l, g->rules[rule]->entry, rule);
    while (l->n_stack) {
        const grammar_node *n = &g->nodes[l->stack[--l->n_stack]];
        NLP_TRY(nlp_poll_work(g->poll, 64, g->err));
        if (n->kind == NODE_FORK) visit(l, n->a, rule), visit(l, n->b, rule);
        if (n->kind != NODE_CALL) continue;
        uint32_t to = l->rule_of[n->a] - 1;
        l->calls[l->n_calls] = (left_call){rule, to, l->first[rule]};
        l->first[rule] = ++l->n_calls;
        l->n_callers[to]++;
        if (g->nodes[n->a].shortest == 0) visit(l, n->b, rule);
    }
    return NLP_OK;
}

/* Takes away rules that no rule calls, over and over; circles stay. */
static uint32_t take_uncalled(left_calls *l) {
    uint32_t n_left = l->g->n_rules;
    for (uint32_t i = 0; i < l->g->n_rules; i++)
        if (!l->n_callers[i]) l->stack[l->n_stack++] = i;
    while (l->n_stack) {
        uint32_t rule = l->stack[--l->n_stack];
        n_left--;
        for (uint32_t c = l->first[rule]; c; c = l->calls[c - 1].next)
            if (!--l->n_callers[l->calls[c - 1].to]) l->stack[l->n_stack++] = l->calls[c - 1].to;
    }
    return n_left;
}

/* Callers of what is left are left too; going from caller to caller ends in a circle. */
static const grammar_rule *rule_in_circle(const left_calls *l) {
    uint32_t *caller = l->stack, rule = 0;
    for (uint32_t c = 0; c < l->n_calls; c++)
        if (l->n_callers[l->calls[c].from]) caller[l->calls[c].to] = l->calls[c].from;
    while (!l->n_callers[rule]) rule++;
    for (uint32_t i = 0; i < l->g->n_rules; i++) rule = caller[rule];
    return l->g->rules[rule];
}

static nlp_status refuse_left_recursion(grammar *g) {
    left_calls l = {.g = g};
    l.rule_of = NLP_PUSH_ZERO(g->arena, uint32_t, g->n_nodes);
    l.seen = NLP_PUSH_ZERO(g->arena, uint32_t, g->n_nodes);
    l.stack = NLP_PUSH(g->arena, uint32_t, (size_t)g->n_nodes + g->n_rules);
    l.calls = NLP_PUSH(g->arena, left_call, g->n_nodes);
    l.first = NLP_PUSH_ZERO(g->arena, uint32_t, g->n_rules);
    l.n_callers = NLP_PUSH_ZERO(g->arena, uint32_t, g->n_rules);
    NLP_TRY(nlp_arena_status(g->arena, g->err));
    for (uint32_t i = 0; i < g->n_rules; i++) l.rule_of[g->rules[i]->entry] = i + 1;
    for (uint32_t i = 0; i < g->n_rules; i++) NLP_TRY(find_left_calls(&l, i));
    if (!take_uncalled(&l)) return NLP_OK;
    return grammar_refuse(g, NLP_EINVAL, rule_in_circle(&l),
                          "is left-recursive: it calls itself before any character");
}

/* ---- Checks ---- */

static nlp_status refuse_endless(const ways *w) {
    const grammar *g = w->g;
    static const char endless[] = "never ends, or only after more than 65536 bytes";
    for (uint32_t i = 0; i < g->n_rules; i++)
        if (!w->is_final[g->rules[i]->entry])
            return grammar_refuse(g, NLP_EINVAL, g->rules[i], endless);
    for (uint32_t i = 1; i < g->n_nodes; i++) {
        bool unused = g->nodes[i].kind == NODE_BYTES && !g->nodes[i].a; /* of the word "" alone */
        if (!w->is_final[i] && !unused)
            return nlp_fail(g->err, NLP_EINVAL, "a part of the %s %s", g->what, endless);
        if (w->height[i] > GRAMMAR_MAX_HEIGHT)
            return nlp_fail(g->err, NLP_ELIMIT, "the %s nests %u rules, more than %d", g->what,
                            w->height[i], GRAMMAR_MAX_HEIGHT);
    }
    return NLP_OK;
}

/* A call in last place needs no return: lists by recursion then keep their depth. */
static void jump_in_last_place(grammar *g) {
    for (uint32_t i = 1; i < g->n_nodes; i++) {
        grammar_node *n = &g->nodes[i];
        if (n->kind == NODE_CALL && n->b == 0) n->kind = NODE_FORK, n->b = n->best = n->a;
    }
}

nlp_status grammar_check(grammar *g) {
    ways w;
    NLP_TRY(open_ways(&w, g));
    NLP_TRY(find_shortest(&w));
    NLP_TRY(refuse_left_recursion(g));
    NLP_TRY(refuse_endless(&w));
    jump_in_last_place(g);
    return NLP_OK;
}
