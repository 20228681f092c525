/* sampling.c: penalties over what a text has, then the filters, then one draw. */
#include "generate/sampling.h"

#include <math.h>
#include <string.h>

const nlp_sampling nlp_plain_sampling = {.top_p = 1, .repetition_penalty = 1};

size_t nlp_sampler_bytes(uint32_t n) {
    return (size_t)n * (3 * sizeof(uint32_t) + sizeof(float)) + 4 * 64;
}

nlp_status nlp_sampler_open(nlp_sampler *s, const nlp_kernels *kernels, uint32_t n,
                            nlp_arena *arena, nlp_error *err) {
    *s = (nlp_sampler){.kernels = kernels, .n = n};
    s->seen = NLP_PUSH_ZERO(arena, uint32_t, n);
    s->count = NLP_PUSH(arena, uint32_t, n);
    s->probabilities = NLP_PUSH(arena, float, n);
    s->order = NLP_PUSH(arena, uint32_t, n);
    return nlp_arena_status(arena, err);
}

/* ---- Penalties ---- */

/* Marks distinct tokens of ids and counts them; returns whether `id` is new. */
static bool mark(nlp_sampler *s, int32_t id) {
    if ((uint32_t)id >= s->n) return false;
    if (s->seen[id] == s->stamp) {
        s->count[id]++;
        return false;
    }
    s->seen[id] = s->stamp;
    s->count[id] = 1;
    return true;
}

static void new_stamp(nlp_sampler *s) {
    if (++s->stamp) return;
    memset(s->seen, 0, s->n * sizeof *s->seen); /* after 2^32 rows */
    s->stamp = 1;
}

/* Once for each token that has come: what is above 0 is divided, what is below is multiplied. */
static void penalise_repetition(nlp_sampler *s, float penalty, const nlp_history *h,
                                float *logits) {
    if (penalty == 1) return;
    new_stamp(s);
    for (size_t i = 0; i < h->n; i++) {
        if (!mark(s, h->ids[i])) continue;
        float *score = &logits[h->ids[i]];
        *score = *score > 0 ? *score / penalty : *score * penalty;
    }
}

static void penalise_presence(nlp_sampler *s, const nlp_sampling *p, const nlp_history *h,
                              float *logits) {
    if (p->presence_penalty == 0 && p->frequency_penalty == 0) return;
    new_stamp(s);
    for (size_t i = h->n_prompt; i < h->n; i++) mark(s, h->ids[i]);
    for (size_t i = h->n_prompt; i < h->n; i++) {
        int32_t id = h->ids[i];
        if ((uint32_t)id >= s->n || !s->count[id]) continue;
        logits[id] -= p->presence_penalty + p->frequency_penalty * (float)s->count[id];
        s->count[id] = 0; /* once */
    }
}

/* A token that would end a run of n tokens which is there already may not come. */
static void forbid_repeats(const nlp_sampler *s, uint32_t n, const nlp_history *h, float *logits) {
    if (!n || h->n < n) return;
    const int32_t *last = h->ids + h->n - (n - 1);
    for (size_t i = 0; i + n <= h->n; i++)
        if (!memcmp(h->ids + i, last, (n - 1) * sizeof *last) && (uint32_t)h->ids[i + n - 1] < s->n)
            logits[h->ids[i + n - 1]] = -INFINITY;
}

/* ---- The model's rules ---- */

static void suppress(const nlp_sampler *s, const nlp_generation_spec *g, float *logits) {
    for (uint32_t i = 0; i < g->n_suppressed; i++) logits[g->suppressed[i]] = -INFINITY;
    for (uint32_t i = g->n_vocabulary ? g->n_vocabulary : s->n; i < s->n; i++)
        logits[i] = -INFINITY;
}

void nlp_adjust_scores(nlp_sampler *s, const nlp_sampling *p, const nlp_generation_spec *rules,
                       const nlp_history *h, float *logits) {
    penalise_repetition(s, p->repetition_penalty, h, logits);
    penalise_presence(s, p, h, logits);
    for (size_t i = 0; i < p->n_biases; i++)
        if ((uint32_t)p->biases[i].id < s->n) logits[p->biases[i].id] += p->biases[i].value;
    forbid_repeats(s, p->no_repeat_ngram, h, logits);
    suppress(s, rules, logits);
    for (uint32_t i = 0; i < rules->n_ends && h->n - h->n_prompt < rules->min_tokens; i++)
        logits[rules->ends[i]] = -INFINITY;
}

/* ---- Candidates ---- */

/* Whether a stands before b: the more probable one, of equal ones the lower id. */
static bool before(const float *p, uint32_t a, uint32_t b) {
    return p[a] > p[b] || (p[a] == p[b] && a < b);
}

/* Restores a heap whose first stands before all others, from place i down. */
static void sift(const float *p, uint32_t *heap, size_t n, size_t i) {
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(p, heap[child + 1], heap[child])) child++;
        if (!before(p, heap[child], heap[i])) return;
        uint32_t up = heap[child];
        heap[child] = heap[i];
        heap[i] = up;
    }
}

static void make_heap(nlp_sampler *s, const float *p) {
    for (uint32_t i = 0; i < s->n; i++) s->order[i] = i;
    for (size_t i = s->n / 2; i-- > 0;) sift(p, s->order, s->n, i);
}

/* The best of a heap goes behind its end. */
static uint32_t pop(const float *p, uint32_t *heap, size_t *n) {
    uint32_t best = heap[0];
    heap[0] = heap[--*n];
    heap[*n] = best;
    sift(p, heap, *n, 0);
    return best;
}

/* The k that were popped stand at the end, the best last: they come to the front, the best first. */
static void bring_forward(nlp_sampler *s, size_t k) {
    uint32_t *last = s->order + s->n - k;
    for (size_t i = 0; i < k / 2; i++) {
        uint32_t a = last[i];
        last[i] = last[k - 1 - i];
        last[k - 1 - i] = a;
    }
    memmove(s->order, last, k * sizeof *s->order);
}

/* The k best, with probabilities of their own sum. */
static size_t take_best(nlp_sampler *s, const nlp_sampling *p, const float *logits) {
    size_t k = p->top_k, left = s->n;
    make_heap(s, logits);
    while (left > s->n - k) pop(logits, s->order, &left);
    bring_forward(s, k);
    for (size_t i = 0; i < k; i++) s->probabilities[i] = logits[s->order[i]] / p->temperature;
    s->kernels->softmax(s->probabilities, k);
    return k;
}

/* How many of n probabilities, best first, top_p and min_p keep: the first always. */
static size_t filter(const nlp_sampling *p, const float *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (i && (sum >= (double)p->top_p || x[i] < p->min_p * x[0])) return i;
        sum += (double)x[i];
    }
    return n;
}

/* The same without top_k: the vocabulary is sorted only as far as it is kept. */
static size_t take_likely(nlp_sampler *s, const nlp_sampling *p, float *all) {
    size_t left = s->n;
    double sum = 0;
    s->kernels->softmax(all, s->n);
    make_heap(s, all);
    float top = all[s->order[0]];
    while (left && (left == s->n || (sum < (double)p->top_p && all[s->order[0]] >= p->min_p * top)))
        sum += (double)all[pop(all, s->order, &left)];
    bring_forward(s, s->n - left);
    for (size_t i = 0; i < s->n - left; i++) s->probabilities[i] = all[s->order[i]];
    return s->n - left;
}

nlp_candidates nlp_sampling_candidates(nlp_sampler *s, const nlp_sampling *p, float *logits) {
    bool best = p->top_k && p->top_k < s->n, likely = p->top_p < 1 || p->min_p > 0;
    nlp_candidates c = {.ids = s->order, .probabilities = s->probabilities, .n = s->n};
    if (best) {
        c.n = take_best(s, p, logits);
        if (likely) c.n = filter(p, s->probabilities, c.n);
        return c;
    }
    for (uint32_t i = 0; i < s->n; i++) logits[i] /= p->temperature;
    if (likely) {
        c.n = take_likely(s, p, logits);
        return c;
    }
    s->kernels->softmax(logits, s->n);
    return (nlp_candidates){.probabilities = logits, .n = s->n};
}

uint32_t nlp_draw(const nlp_candidates *c, double u) {
    double total = 0, sum = 0;
    size_t last = 0;
    for (size_t i = 0; i < c->n; i++) total += (double)c->probabilities[i];
    for (size_t i = 0; i < c->n; i++) {
        if (c->probabilities[i] <= 0) continue;
        last = i;
        sum += (double)c->probabilities[i];
        if (sum > u * total) break;
    }
    return c->ids ? c->ids[last] : (uint32_t)last;
}

enum { CHUNK = 64 };

/* Without a way out in between, so that compilers compare many at once. */
static bool any_above(const float *x, float limit) {
    int above = 0;
    for (int i = 0; i < CHUNK; i++) above |= x[i] > limit;
    return above;
}

uint32_t nlp_best_token(const float *logits, uint32_t n, float *gap) {
    uint32_t best = 0;
    float second = -INFINITY;
    for (uint32_t at = 0; at < n; at += CHUNK) {
        uint32_t end = n - at < CHUNK ? n : at + CHUNK;
        if (end - at == CHUNK && !any_above(logits + at, second)) continue;
        for (uint32_t i = at ? at : 1; i < end; i++)
            if (logits[i] > logits[best])
                second = logits[best], best = i;
            else if (logits[i] > second)
                second = logits[i];
    }
    *gap = logits[best] - second;
    return best;
}
