/* ranking.c: scores of words, and one ranking out of two. */
#include <stdlib.h>

#include "base/real.h"
#include "search/search.h"

enum { DEPTH = 100 };
static const double words_weight = 2, idle_weight = 1;

double nlp_bm25_idf(double n_documents, double df) {
    uint64_t saved = nlp_fp_enter();
    double idf = nlp_log(1 + (n_documents - df + 0.5) / (df + 0.5));
    nlp_fp_restore(saved);
    return idf;
}

double nlp_bm25_score(const nlp_bm25 *c, double df, double tf, double length) {
    uint64_t saved = nlp_fp_enter();
    double relative = c->average_length > 0 ? length / c->average_length : 1;
    double idf = nlp_bm25_idf(c->n_documents, df);
    double score =
        tf > 0 ? idf * tf * (c->k1 + 1) / (tf + c->k1 * (1 - c->b + c->b * relative)) : 0;
    nlp_fp_restore(saved);
    return score;
}

/* By id, then by the list it comes from, then by score: sums are made in this order. */
static int by_id(const void *a, const void *b) {
    const nlp_fused *x = a, *y = b;
    if (x->id != y->id) return x->id > y->id ? 1 : -1;
    if (!x->dense_rank != !y->dense_rank) return x->dense_rank ? -1 : 1;
    if (!x->text_rank != !y->text_rank) return x->text_rank ? -1 : 1;
    return (x->score < y->score) - (x->score > y->score);
}

/* A rank of 0, of those that a half does not have, is the last. */
static int by_rank(uint32_t a, uint32_t b) {
    return (a - 1 > b - 1) - (a - 1 < b - 1);
}

/* Where scores are equal, as 0 is of all that are far, the halves' own order counts. */
static int by_score(const void *a, const void *b) {
    const nlp_fused *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    int order = by_rank(x->dense_rank, y->dense_rank);
    if (!order) order = by_rank(x->text_rank, y->text_rank);
    return order ? order : by_id(a, b);
}

/* From 1, the nearest, to 0, the hundredth nearest: how far cosines lie apart differs from model to model. */
static double by_meaning(const nlp_half *dense, size_t i) {
    double top = dense->hits[0].score,
           low = dense->hits[dense->n < DEPTH ? dense->n - 1 : DEPTH - 1].score;
    double part = top > low ? (dense->hits[i].score - low) / (top - low) : 1;
    return dense->weight * (part > 0 ? part : 0);
}

nlp_said nlp_said_by(double mass, const nlp_hit *best, double best_mass, size_t n_idle) {
    uint64_t saved = nlp_fp_enter();
    nlp_said said = {0, 0};
    if (mass > 0) {
        double all_of_best = best && best_mass > 0 ? best->score * mass / best_mass : mass;
        said.full = all_of_best < mass ? all_of_best : mass;
        said.part = mass / (mass + idle_weight * (double)n_idle);
    }
    nlp_fp_restore(saved);
    return said;
}

/* The share, squared: a few common words of many are next to nothing. */
static double by_words(const nlp_half *text, size_t i) {
    double share = text->said.full > 0 ? text->hits[i].score / text->said.full : 0;
    share = (share < 0 ? 0 : share > 1 ? 1 : share) * text->said.part;
    return text->weight * words_weight * share * share;
}

/* Rows of the halves and those that hold a name, a row several times. */
static size_t list_all(const nlp_half *dense, const nlp_half *text, const nlp_hit *named,
                       size_t n_named, nlp_fused *fused) {
    size_t n = 0;
    double most = dense->weight + text->weight * words_weight;
    for (size_t i = 0; i < dense->n; i++)
        fused[n++] = (nlp_fused){.id = dense->hits[i].id,
                                 .score = by_meaning(dense, i),
                                 .dense_rank = (uint32_t)(i + 1)};
    for (size_t i = 0; i < text->n; i++)
        fused[n++] = (nlp_fused){
            .id = text->hits[i].id, .score = by_words(text, i), .text_rank = (uint32_t)(i + 1)};
    for (size_t i = 0; i < n_named; i++)
        fused[n++] = (nlp_fused){.id = named[i].id, .score = most * named[i].score};
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

size_t nlp_fuse(const nlp_half *dense, const nlp_half *text, const nlp_hit *named, size_t n_named,
                nlp_fused *fused) {
    uint64_t saved = nlp_fp_enter();
    size_t n = list_all(dense, text, named, n_named, fused);
    qsort(fused, n, sizeof *fused, by_id);
    n = merge_equal(fused, n);
    qsort(fused, n, sizeof *fused, by_score);
    nlp_fp_restore(saved);
    return n;
}
