/* pick.c: a text in fewer of its own sentences. Each has a vector. What is wanted is near to the middle of
 * all of them, and not near to what was taken before (maximal marginal relevance: Carbonell and Goldstein,
 * 1998); the best goes first, until none that is left fits. */
#include <string.h>

#include "base/utf8.h"
#include "task/task.h"
#include "text/sentences.h"

enum {
    MOST_SENTENCES = 1024, /* of a text that has more, these are looked at, evenly spread */
    READ_TOKENS = 128      /* of a sentence: its beginning stands for it */
};

static const float relevance = 0.7f; /* the rest is the weight of what a sentence repeats */

typedef struct sentence {
    nlp_text text;
    size_t n_tokens;
    float worth;       /* cosine to the middle */
    float repeated;    /* the largest cosine to a taken one */
    bool taken, again; /* again: word for word a taken one */
} sentence;

typedef struct picking {
    nlp_task_call *call; /* its scratch is this text's */
    sentence *sentences;
    size_t n;
    float *vectors; /* [n, dims] of length 1 */
    uint32_t dims;
    size_t room; /* tokens that are left */
} picking;

/* ---- Sentences ---- */

static nlp_status find_sentences(picking *p, nlp_text text, nlp_output *output, nlp_error *err) {
    nlp_task_call *call = p->call;
    nlp_sentence *all;
    nlp_encoding e;
    size_t n;
    NLP_TRY(nlp_sentences_find(text, call->scratch, call->poll, &all, &n, err));
    p->n = n < MOST_SENTENCES ? n : MOST_SENTENCES;
    p->sentences = NLP_PUSH_ZERO(call->scratch, sentence, p->n);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    for (size_t i = 0; i < p->n; i++) {
        const nlp_sentence *one = &all[i * n / p->n];
        p->sentences[i].text = (nlp_text){text.bytes + one->start, one->end - one->start};
        NLP_TRY(nlp_task_plain_tokens(call, p->sentences[i].text, &e, err));
        p->sentences[i].n_tokens = e.n;
        output->n_tokens += (uint32_t)e.n;
    }
    return NLP_OK;
}

/* The option max_tokens is of the sum, not of what is read for it. */
static nlp_status embed_sentences(picking *p, nlp_error *err) {
    nlp_task_options options = *p->call->options;
    nlp_task_call own = *p->call;
    nlp_text *texts = NLP_PUSH(own.scratch, nlp_text, p->n);
    nlp_output *outputs = NLP_PUSH_ZERO(own.scratch, nlp_output, p->n);
    NLP_TRY(nlp_arena_status(own.scratch, err));
    options.max_tokens = READ_TOKENS;
    options.on_error_null = false;
    own.options = &options;
    for (size_t i = 0; i < p->n; i++) texts[i] = p->sentences[i].text;
    NLP_TRY(nlp_task_embed_all(&own, texts, p->n, &p->vectors, &p->dims, outputs, err));
    for (size_t i = 0; i < p->n; i++) nlp_normalize(own.kernels, p->vectors + i * p->dims, p->dims);
    return NLP_OK;
}

/* ---- Choice ---- */

static nlp_status find_worth(picking *p, nlp_error *err) {
    const nlp_kernels *kernels = p->call->kernels;
    float *middle = NLP_PUSH_ZERO(p->call->scratch, float, p->dims);
    NLP_TRY(nlp_arena_status(p->call->scratch, err));
    for (size_t i = 0; i < p->n; i++) kernels->add(middle, p->vectors + i * p->dims, p->dims);
    nlp_normalize(kernels, middle, p->dims);
    for (size_t i = 0; i < p->n; i++)
        p->sentences[i].worth = kernels->dot(middle, p->vectors + i * p->dims, p->dims);
    return nlp_poll_work(p->call->poll, 2 * (uint64_t)p->n * p->dims, err);
}

/* The first of equally good ones that fit; NULL: there is none. */
static sentence *best_that_fits(const picking *p) {
    sentence *best = NULL;
    float most = 0;
    for (sentence *u = p->sentences; u < p->sentences + p->n; u++) {
        float score = relevance * u->worth - (1 - relevance) * u->repeated;
        if (u->again || u->n_tokens > p->room || (best && score <= most)) continue;
        best = u, most = score;
    }
    return best;
}

static nlp_status take(picking *p, sentence *u, nlp_error *err) {
    const float *taken = p->vectors + (size_t)(u - p->sentences) * p->dims;
    u->taken = true;
    p->room -= u->n_tokens;
    for (size_t i = 0; i < p->n; i++) {
        float cosine = p->call->kernels->dot(taken, p->vectors + i * p->dims, p->dims);
        sentence *other = &p->sentences[i];
        if (cosine > other->repeated) other->repeated = cosine;
        other->again = other->again || nlp_text_equal(other->text, u->text);
        NLP_TRY(nlp_poll_work(p->call->poll, p->dims, err));
    }
    return NLP_OK;
}

/* Where not even one fits, the beginning of the best. */
static nlp_status cut_best(picking *p, nlp_error *err) {
    sentence *best = p->sentences;
    nlp_encoding e;
    for (sentence *u = p->sentences; u < p->sentences + p->n; u++)
        if (u->worth > best->worth) best = u;
    NLP_TRY(nlp_task_plain_tokens(p->call, best->text, &e, err));
    size_t end = nlp_utf8_fit(best->text, e.start[p->room]);
    while (end && best->text.bytes[end - 1] == ' ') end--;
    best->text.n_bytes = end;
    best->taken = true;
    return NLP_OK;
}

static nlp_status choose(picking *p, nlp_error *err) {
    size_t n_taken = 0;
    if (!p->n) return NLP_OK;
    NLP_TRY(embed_sentences(p, err));
    NLP_TRY(find_worth(p, err));
    for (sentence *u; (u = best_that_fits(p)); n_taken++) NLP_TRY(take(p, u, err));
    return n_taken ? NLP_OK : cut_best(p, err);
}

/* ---- Answers ---- */

static nlp_status join_taken(const picking *p, nlp_arena *arena, nlp_text *out, nlp_error *err) {
    size_t n_bytes = 1, used = 0;
    for (size_t i = 0; i < p->n; i++) n_bytes += p->sentences[i].text.n_bytes + 1;
    char *joined = NLP_PUSH(arena, char, n_bytes);
    NLP_TRY(nlp_arena_status(arena, err));
    for (const sentence *u = p->sentences; u < p->sentences + p->n; u++) {
        if (!u->taken || !u->text.n_bytes) continue;
        if (used) joined[used++] = ' ';
        memcpy(joined + used, u->text.bytes, u->text.n_bytes);
        used += u->text.n_bytes;
    }
    *out = (nlp_text){joined, used};
    return NLP_OK;
}

typedef struct picking_all {
    const nlp_text *texts;
    nlp_text *picked;
} picking_all;

/* Memory of a text is gone with it: a call holds the vectors of one. */
static nlp_status pick_one(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                           nlp_error *err) {
    const picking_all *all = job;
    nlp_task_call own = *call;
    nlp_arena scratch;
    nlp_word_cache words = {0};
    picking p = {.call = &own, .room = call->options->max_tokens};
    nlp_arena_init(&scratch, call->scratch->mem);
    own.scratch = &scratch, own.cache = &words;
    nlp_status status = find_sentences(&p, all->texts[i], output, err);
    if (status == NLP_OK) status = choose(&p, err);
    if (status == NLP_OK) status = join_taken(&p, call->arena, &all->picked[i], err);
    nlp_arena_deinit(&scratch);
    return status;
}

nlp_status nlp_task_pick(nlp_task_call *call, const nlp_text *texts, size_t n, nlp_text *picked,
                         nlp_output *outputs, nlp_error *err) {
    picking_all all = {texts, picked};
    return nlp_task_each(call, n, pick_one, &all, outputs, err);
}
