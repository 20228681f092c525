#include "writer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "hf_tokenizer.h"
#include "models.h"
#include "test.h"

enum { MOST_OPEN = 8 };

static struct opened {
    char model[32];
    nlp_buf blob;
    nlp_tokenizer *tokenizer;
    const nlp_vocabulary *vocabulary;
} opened[MOST_OPEN];
static nlp_mem mem;
static nlp_arena arena;

static void open_tokenizer(struct opened *o, const char *model) {
    char path[512];
    nlp_error err;
    if (!arena.mem) nlp_mem_init(&mem, NULL, NULL, 0), nlp_arena_init(&arena, &mem);
    snprintf(o->model, sizeof o->model, "%s", model);
    snprintf(path, sizeof path, "%s/models/%s/tokenizer.json", nlp_test_data(), model);
    json_t *json = json_load_file(path, 0, NULL);
    nlp_buf_init(&o->blob, &mem);
    CHECK_STATUS(nlp_hf_tokenizer_build(json, model, &o->blob, &err), NLP_OK, &err);
    json_decref(json);
    CHECK_STATUS(nlp_tokenizer_open(o->blob.bytes, o->blob.n_bytes, &mem, &o->tokenizer, &err),
                 NLP_OK, &err);
}

static struct opened *find(const char *model) {
    size_t i = 0;
    while (*opened[i].model && strcmp(opened[i].model, model) != 0) i++;
    if (!*opened[i].model) open_tokenizer(&opened[i], model);
    return &opened[i];
}

const nlp_vocabulary *nlp_test_vocabulary(const char *model) {
    struct opened *o = find(model);
    nlp_error err;
    if (!o->vocabulary)
        CHECK_STATUS(nlp_vocabulary_open(o->tokenizer, &arena, NULL, &o->vocabulary, &err), NLP_OK,
                     &err);
    return o->vocabulary;
}
const nlp_tokenizer *nlp_test_tokenizer(const char *model) {
    return find(model)->tokenizer;
}

static nlp_status open_work(nlp_constrained *c, nlp_status opened_with, nlp_error *err) {
    if (opened_with != NLP_OK) return opened_with;
    nlp_constraint_begin(c->constraint, false, &c->state);
    return nlp_constraint_work_open(c->constraint, &c->arena, &c->work, err);
}

static void begin(nlp_constrained *c, const char *model) {
    *c = (nlp_constrained){.vocabulary = nlp_test_vocabulary(model)};
    nlp_arena_init(&c->arena, &mem);
}

nlp_status nlp_constrained_open(nlp_constrained *c, nlp_constraint_open_fn open, const char *model,
                                nlp_text text, nlp_error *err) {
    begin(c, model);
    return open_work(c, open(c->vocabulary, text, &c->arena, NULL, &c->constraint, err), err);
}

nlp_status nlp_constrained_choices(nlp_constrained *c, const char *model, const nlp_text *choices,
                                   size_t n, nlp_error *err) {
    begin(c, model);
    return open_work(c,
                     nlp_constraint_open_choices(c->vocabulary, choices, n, &c->arena, NULL,
                                                 &c->constraint, err),
                     err);
}

void nlp_constrained_close(nlp_constrained *c) {
    nlp_arena_deinit(&c->arena);
}

bool nlp_constrained_feed(nlp_constrained *c, const char *text) {
    size_t length;
    for (; *text; text++) {
        int32_t id = nlp_vocabulary_longest(c->vocabulary, text, 1, &length);
        if (!nlp_constraint_advance(c->work, &c->state, id)) return false;
    }
    return true;
}

bool nlp_constrained_accepts(nlp_constrained *c, const char *text) {
    nlp_constraint_begin(c->constraint, false, &c->state);
    return nlp_constrained_feed(c, text) && nlp_constraint_may_end(&c->state);
}

void nlp_constrained_grammar(nlp_constrained *c, const char *model, const char *text) {
    nlp_error err;
    CHECK_STATUS(
        nlp_constrained_open(c, nlp_constraint_open_grammar, model, nlp_test_text(text), &err),
        NLP_OK, &err);
}

void nlp_constrained_check(nlp_constraint_open_fn open, const char *model, const char *text,
                           const char *const *taken, const char *const *refused) {
    nlp_constrained c;
    nlp_error err;
    CHECK_STATUS(nlp_constrained_open(&c, open, model, nlp_test_text(text), &err), NLP_OK, &err);
    for (; c.work && *taken; taken++)
        if (!nlp_constrained_accepts(&c, *taken))
            nlp_test_fail(__FILE__, __LINE__, "%s does not take \"%s\"", text, *taken);
    for (; c.work && *refused; refused++)
        if (nlp_constrained_accepts(&c, *refused))
            nlp_test_fail(__FILE__, __LINE__, "%s takes \"%s\"", text, *refused);
    nlp_arena_deinit(&c.arena);
}

void nlp_constrained_refuses(nlp_constraint_open_fn open, const char *model, nlp_text text,
                             nlp_status expected, nlp_error *err) {
    nlp_constrained c;
    *err = (nlp_error){.code = NLP_OK};
    nlp_status status = nlp_constrained_open(&c, open, model, text, err);
    if (status != expected)
        nlp_test_fail(__FILE__, __LINE__, "%.60s ...: %s instead of %s: %s", text.bytes,
                      nlp_status_name(status), nlp_status_name(expected), err->message);
    nlp_arena_deinit(&c.arena);
}

/* A token that may follow, each as likely; -1 where there is none. */
static int32_t choose(nlp_test_writing *w, const nlp_constraint_state *state) {
    uint32_t n = w->vocabulary->spellings.n;
    int32_t guess = (int32_t)(random_u32(w->random) % n);
    if (nlp_constraint_takes(w->work, state, guess)) return guess;
    float *logits = calloc(n, sizeof *logits);
    size_t kept;
    nlp_error err;
    CHECK_STATUS(nlp_constraint_mask(w->work, state, logits, n, &kept, NULL, &err), NLP_OK, &err);
    size_t left = kept ? random_u32(w->random) % kept : 0;
    int32_t found = -1;
    for (uint32_t id = 0; id < n && kept && found < 0; id++)
        if (!isinf(logits[id]) && left-- == 0) found = (int32_t)id;
    free(logits);
    return found;
}

static void close_text(nlp_test_writing *w, const nlp_constraint_state *state) {
    size_t room = NLP_CONSTRAINT_MAX_CLOSING - w->n;
    size_t n = nlp_constraint_closing(w->work, state, w->ids + w->n, room);
    CHECK(n <= room);
    w->n += n <= room ? n : 0;
}

void nlp_test_write(nlp_test_writing *w) {
    nlp_constraint_state state;
    w->n = 0;
    nlp_constraint_begin(w->constraint, w->alone, &state);
    w->n_least = nlp_constraint_closing(w->work, &state, NULL, NLP_CONSTRAINT_MAX_CLOSING);
    while (!nlp_constraint_must_end(&state)) {
        if (nlp_constraint_may_end(&state) && random_u32(w->random) % 4 == 0) return;
        size_t n_left = w->n < w->max_tokens ? w->max_tokens - w->n : 0;
        int32_t id = choose(w, &state);
        if (id < 0 || !nlp_constraint_fits(w->work, &state, id, n_left)) {
            close_text(w, &state);
            return;
        }
        CHECK(nlp_constraint_advance(w->work, &state, id));
        w->ids[w->n++] = id;
    }
}

char *nlp_test_spelt(const nlp_vocabulary *vocabulary, const int32_t *ids, size_t n) {
    char *text = malloc(n * NLP_VOCABULARY_MAX_TOKEN_BYTES + 1);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        nlp_text piece = nlp_vocabulary_text(vocabulary, (uint32_t)ids[i]);
        if (piece.n_bytes) memcpy(text + at, piece.bytes, piece.n_bytes);
        at += piece.n_bytes;
    }
    text[at] = 0;
    return text;
}

char *nlp_test_decoded(const char *model, const int32_t *ids, size_t n) {
    nlp_arena work;
    nlp_text text = {"", 0};
    nlp_error err;
    const nlp_tokenizer *tokenizer = nlp_test_tokenizer(model);
    nlp_arena_init(&work, &mem);
    CHECK_STATUS(nlp_tokenizer_decode(tokenizer, ids, n, true, &work, &text, &err), NLP_OK, &err);
    char *copy = strndup(text.bytes, text.n_bytes);
    nlp_arena_deinit(&work);
    return copy;
}
