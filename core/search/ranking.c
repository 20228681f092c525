/* ranking.c: scores of words, and one ranking out of two. */
#include <stdlib.h>

#include "base/real.h"
#include "search/search.h"

enum { LOOKED_AT = 10 };
static const double k0 = 60, gap = 0.3;

double nlp_bm25_score(const nlp_bm25 *c, double df, double tf, double length) {
    uint64_t saved = nlp_fp_enter();
    double relative = c->average_length > 0 ? length / c->average_length : 1;
    double idf = nlp_log(1 + (c->n_documents - df + 0.5) / (df + 0.5));
    double score =
        tf > 0 ? idf * tf * (c->k1 + 1) / (tf + c->k1 * (1 - c->b + c->b * relative)) : 0;
    nlp_fp_restore(saved);
    return score;
}

/* By id, then by the list it comes from. */
static int by_id(const void *a, const void *b) {
    const nlp_fused *x = a, *y = b;
    if (x->id != y->id) return x->id > y->id ? 1 : -1;
    if (!x->dense_rank != !y->dense_rank) return x->dense_rank ? -1 : 1;
    return !x->text_rank != !y->text_rank ? x->text_rank ? -1 : 1 : 0;
}

static int by_score(const void *a, const void *b) {
    const nlp_fused *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return by_id(a, b);
}

static double reciprocal(const nlp_half *half, size_t i) {
    return half->weight / (k0 + (double)(i + 1));
}

/* How many hits stand before the last large gap: natural questions have none. */
static size_t count_sure(const nlp_half *text) {
    size_t sure = 0;
    for (size_t i = 0; i < LOOKED_AT && i < text->n; i++) {
        double next = i + 1 < text->n ? text->hits[i + 1].score : 0;
        if (text->hits[i].score - next >= gap * text->hits[0].score) sure = i + 1;
    }
    return sure < text->n ? sure : 0;
}

/* Rows of the halves and those that are exact, a row up to three times. */
static size_t list_all(const nlp_half *dense, const nlp_half *text, const int64_t *exact,
                       size_t n_exact, nlp_fused *fused) {
    size_t n = 0, sure = count_sure(text);
    double above_all = 2 * (reciprocal(dense, 0) + 2 * reciprocal(text, 0));
    for (size_t i = 0; i < dense->n; i++)
        fused[n++] = (nlp_fused){.id = dense->hits[i].id,
                                 .score = reciprocal(dense, i),
                                 .dense_rank = (uint32_t)(i + 1)};
    for (size_t i = 0; i < text->n; i++)
        fused[n++] = (nlp_fused){.id = text->hits[i].id,
                                 .score = reciprocal(text, i) * (i < sure ? 2 : 1),
                                 .text_rank = (uint32_t)(i + 1)};
    for (size_t i = 0; i < n_exact; i++)
        fused[n++] = (nlp_fused){.id = exact[i], .score = above_all};
    return n;
}

/* Neighbours of one id become one. They are added in the order of the lists, whatever sorting did. */
static size_t merge_equal(nlp_fused *fused, size_t n) {
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        if (!out || fused[out - 1].id != fused[i].id) {
            fused[out++] = fused[i];
            continue;
        }
        fused[out - 1].score += fused[i].score;
        if (fused[i].dense_rank) fused[out - 1].dense_rank = fused[i].dense_rank;
        if (fused[i].text_rank) fused[out - 1].text_rank = fused[i].text_rank;
    }
    return out;
}

size_t nlp_fuse(const nlp_half *dense, const nlp_half *text, const int64_t *exact, size_t n_exact,
                nlp_fused *fused) {
    uint64_t saved = nlp_fp_enter();
    size_t n = list_all(dense, text, exact, n_exact, fused);
    qsort(fused, n, sizeof *fused, by_id);
    n = merge_equal(fused, n);
    qsort(fused, n, sizeof *fused, by_score);
    nlp_fp_restore(saved);
    return n;
}
