/* scan.c: the best of many by distance, in a heap whose root is the worst that stays. */
#include <stdlib.h>
#include <string.h>

#include "search/search.h"

enum { PART = 256, EXACT = 10000, FEWEST = 256, USUAL = 32, USUAL_FEWEST = 2560 };

/* ---- The best ---- */

static bool is_better(nlp_hit a, nlp_hit b) {
    return a.score > b.score || (a.score == b.score && a.id < b.id);
}

static void swap(nlp_hit *a, nlp_hit *b) {
    nlp_hit saved = *a;
    *a = *b, *b = saved;
}

static void sift_up(nlp_hit *hits, size_t at) {
    for (; at && is_better(hits[(at - 1) / 2], hits[at]); at = (at - 1) / 2)
        swap(&hits[at], &hits[(at - 1) / 2]);
}

static void sift_down(nlp_hit *hits, size_t n, size_t at) {
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_better(hits[child], hits[child + 1])) child++;
        if (!is_better(hits[at], hits[child])) return;
        swap(&hits[at], &hits[child]);
    }
}

void nlp_top_push(nlp_top *top, int64_t id, double score) {
    nlp_hit hit = {id, score};
    if (top->n < top->capacity) {
        top->hits[top->n] = hit;
        sift_up(top->hits, top->n++);
    } else if (top->capacity && is_better(hit, top->hits[0])) {
        top->hits[0] = hit;
        sift_down(top->hits, top->n, 0);
    }
}

void nlp_top_sort(nlp_top *top) {
    for (size_t n = top->n; n > 1; n--) {
        swap(&top->hits[0], &top->hits[n - 1]);
        sift_down(top->hits, n - 1, 0);
    }
}

/* ---- Signatures ---- */

static int64_t id_at(const nlp_signature_block *block, size_t i) {
    uint64_t id = 0;
    if (!block->ids) return block->first_id + (int64_t)i;
    for (int byte = 7; byte >= 0; byte--) id = id << 8 | block->ids[8 * i + (size_t)byte];
    return (int64_t)id;
}

static bool is_allowed(const nlp_signature_block *block, size_t i) {
    return !block->allowed || block->allowed[i / 8] >> i % 8 & 1;
}

/* Farther ones than the worst that stays are most of all, and are told by one comparison. */
static void push_part(const nlp_signature_block *block, size_t first, const uint32_t *distances,
                      size_t n, nlp_top *top) {
    for (size_t i = 0; i < n; i++) {
        double score = -(double)distances[i];
        bool is_far = top->n == top->capacity && score < top->hits[0].score;
        if (!is_far && is_allowed(block, first + i))
            nlp_top_push(top, id_at(block, first + i), score);
    }
}

void nlp_query_scan(const nlp_query *query, const nlp_signature_block *block, nlp_top *top) {
    size_t width = nlp_signature_bytes(query->dims);
    uint32_t distances[PART];
    for (size_t at = 0; at < block->n && top->capacity; at += PART) {
        size_t n = block->n - at < PART ? block->n - at : PART;
        query->kernels->hamming(nlp_query_signature(query), block->signatures + at * width, n,
                                width / 8, distances);
        push_part(block, at, distances, n, top);
    }
}

uint64_t nlp_search_candidates(uint64_t k, uint64_t oversample, uint64_t n) {
    uint64_t fewest = oversample ? FEWEST : USUAL_FEWEST, wanted;
    if (n <= EXACT || __builtin_mul_overflow(k, oversample ? oversample : USUAL, &wanted)) return n;
    if (wanted < fewest) wanted = fewest;
    return wanted < n ? wanted : n;
}
