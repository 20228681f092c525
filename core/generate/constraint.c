/* constraint.c: opening, and single tokens. */
#include "generate/constraint.h"

#include <string.h>

#include "base/utf8.h"
#include "generate/automaton.h"

/* ---- Opening ---- */

static nlp_status check_size(size_t n_bytes, const char *what, nlp_error *err) {
    if (n_bytes <= GRAMMAR_MAX_TEXT) return NLP_OK;
    return nlp_fail(err, NLP_ELIMIT, "the %s has %zu bytes, at most %d are taken", what, n_bytes,
                    GRAMMAR_MAX_TEXT);
}

/* The automaton that finds the start is scratch of the call. */
static nlp_status finish(grammar *g, grammar_rule *root, const nlp_constraint **constraint) {
    NLP_TRY(grammar_compile(g, root));
    nlp_constraint *c = NLP_PUSH_ZERO(g->arena, nlp_constraint, 1);
    automaton *a = NLP_PUSH_ZERO(g->arena, automaton, 1);
    NLP_TRY(nlp_arena_status(g->arena, g->err));
    c->vocabulary = g->vocabulary;
    c->nodes = g->nodes;
    c->edges = g->edges;
    automaton_init(a, g->nodes, g->edges);
    if (!automaton_start(a, &c->start))
        return nlp_fail(g->err, NLP_ELIMIT, "the %s begins in more than %d ways at once", g->what,
                        NLP_CONSTRAINT_WORDS);
    *constraint = c;
    return NLP_OK;
}

static nlp_status check_choice(nlp_text choice, size_t index, nlp_error *err) {
    size_t bad_at;
    if (choice.bytes && nlp_utf8_valid(choice.bytes, choice.n_bytes, &bad_at)) return NLP_OK;
    if (!choice.bytes) return nlp_fail(err, NLP_EINVAL, "choice %zu is NULL", index + 1);
    return nlp_fail(err, NLP_EENCODING, "choice %zu is not valid UTF-8 at byte %zu", index + 1,
                    bad_at);
}

nlp_status nlp_constraint_open_choices(const nlp_vocabulary *vocabulary, const nlp_text *choices,
                                       size_t n_choices, nlp_arena *arena, nlp_poll *poll,
                                       const nlp_constraint **constraint, nlp_error *err) {
    grammar g;
    grammar_rule *root;
    size_t n_bytes = 0;
    if (!n_choices) return nlp_fail(err, NLP_EINVAL, "there are no choices");
    NLP_TRY(grammar_init(&g, vocabulary, "list of choices", arena, poll, err));
    grammar_expression *all = grammar_new(&g, GRAMMAR_CHOICE);
    for (size_t i = 0; i < n_choices; i++) {
        NLP_TRY(check_choice(choices[i], i, err));
        if (nlp_add_overflows(n_bytes, choices[i].n_bytes, &n_bytes)) n_bytes = SIZE_MAX;
        NLP_TRY(check_size(n_bytes, g.what, err));
        grammar_add(all, grammar_literal(&g, choices[i]));
        NLP_TRY(nlp_poll_work(poll, 256, err));
    }
    NLP_TRY(nlp_arena_status(arena, err));
    NLP_TRY(grammar_rule_new(&g, (nlp_text){"", 0}, 0, &root));
    root->body = all;
    return finish(&g, root, constraint);
}

nlp_status nlp_constraint_open_schema(const nlp_vocabulary *vocabulary, nlp_text schema,
                                      nlp_arena *arena, nlp_poll *poll,
                                      const nlp_constraint **constraint, nlp_error *err) {
    grammar g;
    grammar_rule *root;
    NLP_TRY(check_size(schema.n_bytes, "schema", err));
    NLP_TRY(grammar_init(&g, vocabulary, "schema", arena, poll, err));
    NLP_TRY(schema_read(&g, schema, &root));
    return finish(&g, root, constraint);
}

nlp_status nlp_constraint_open_grammar(const nlp_vocabulary *vocabulary, nlp_text text,
                                       nlp_arena *arena, nlp_poll *poll,
                                       const nlp_constraint **constraint, nlp_error *err) {
    static const char *const name = "root";
    grammar g;
    grammar_rule *root;
    NLP_TRY(check_size(text.n_bytes, "grammar", err));
    NLP_TRY(grammar_init(&g, vocabulary, "grammar", arena, poll, err));
    NLP_TRY(gbnf_read(&g, text, &name, 1, &root));
    return finish(&g, root, constraint);
}

nlp_status nlp_constraint_work_open(const nlp_constraint *constraint, nlp_arena *arena,
                                    nlp_constraint_work **work, nlp_error *err) {
    nlp_constraint_work *w = NLP_PUSH_ZERO(arena, nlp_constraint_work, 1);
    NLP_TRY(nlp_arena_status(arena, err));
    w->constraint = constraint;
    automaton_init(&w->automaton, constraint->nodes, constraint->edges);
    NLP_TRY(constraint_cache_open(w, arena, err));
    *work = w;
    return NLP_OK;
}

/* ---- States ---- */

void nlp_constraint_copy(nlp_constraint_state *to, const nlp_constraint_state *from) {
    memcpy(to, from, state_bytes(from));
}

void nlp_constraint_begin(const nlp_constraint *constraint, bool alone,
                          nlp_constraint_state *state) {
    nlp_constraint_copy(state, &constraint->start);
    state->drops_blank = alone && constraint->vocabulary->spellings.drops_blank;
}

bool nlp_constraint_may_end(const nlp_constraint_state *state) {
    return state->may_end;
}

bool nlp_constraint_must_end(const nlp_constraint_state *state) {
    return state->may_end && !state->n_tops;
}

/* ---- Tokens ---- */

bool constraint_step(nlp_constraint_work *work, const nlp_constraint_state *from, uint8_t byte,
                     nlp_constraint_state *to) {
    if (!from->drops_blank || byte != ' ') return automaton_step(&work->automaton, from, byte, to);
    nlp_constraint_copy(to, &work->constraint->start);
    return true;
}

/* The state behind a token, in work's memory; NULL where it may not follow. */
static const nlp_constraint_state *behind_token(nlp_constraint_work *work,
                                                const nlp_constraint_state *state, int32_t token) {
    const nlp_vocabulary *v = work->constraint->vocabulary;
    if (token < 0 || (uint32_t)token >= v->spellings.n) return NULL;
    nlp_text text = nlp_vocabulary_text(v, (uint32_t)token);
    if (!nlp_vocabulary_has(v, text)) return NULL;
    const nlp_constraint_state *from = state;
    for (size_t i = 0; i < text.n_bytes; i++) {
        nlp_constraint_state *to = from == &work->before ? &work->after : &work->before;
        if (!constraint_step(work, from, (uint8_t)text.bytes[i], to)) return NULL;
        from = to;
    }
    return from;
}

bool nlp_constraint_takes(nlp_constraint_work *work, const nlp_constraint_state *state,
                          int32_t token) {
    return behind_token(work, state, token) != NULL;
}

bool nlp_constraint_advance(nlp_constraint_work *work, nlp_constraint_state *state, int32_t token) {
    const nlp_constraint_state *behind = behind_token(work, state, token);
    if (behind) nlp_constraint_copy(state, behind);
    return behind != NULL;
}

bool nlp_constraint_fits(nlp_constraint_work *work, const nlp_constraint_state *state,
                         int32_t token, size_t n_left) {
    const nlp_constraint_state *behind = n_left ? behind_token(work, state, token) : NULL;
    if (!behind) return false;
    if (nlp_constraint_closing_bytes(work->constraint, behind) < n_left) return true;
    return nlp_constraint_closing(work, behind, NULL, n_left - 1) < n_left;
}
