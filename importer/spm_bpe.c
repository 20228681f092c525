/* spm_bpe.c: every way to cut a piece in two pieces is a merge. */
#include "spm_bpe.h"

#include <stdlib.h>
#include <string.h>

static int by_score(const void *a, const void *b, void *context) {
    const double *scores = context;
    double x = scores[*(const uint32_t *)a], y = scores[*(const uint32_t *)b];
    return x > y ? -1 : x < y;
}

/* Rank of each piece: the place of its score among the different scores, the highest first. */
static nlp_status rank_pieces(compiler *c, const spm_vocabulary *v, uint32_t **ranks) {
    uint32_t *order = NLP_PUSH(c->arena, uint32_t, v->n), rank = 0;
    *ranks = NLP_PUSH(c->arena, uint32_t, v->n);
    NLP_TRY(nlp_arena_status(c->arena, c->err));
    for (uint32_t i = 0; i < v->n; i++) order[i] = i;
    qsort_r(order, v->n, sizeof *order, by_score, (void *)(uintptr_t)v->scores);
    for (uint32_t i = 0; i < v->n; i++) {
        if (i && v->scores[order[i]] != v->scores[order[i - 1]]) rank++;
        (*ranks)[order[i]] = rank;
    }
    return NLP_OK;
}

static bool begins_character(char byte) {
    return ((uint8_t)byte & 0xC0) != 0x80;
}

static nlp_status push_merge(compiler *c, size_t *capacity, merge_rule merge) {
    if (c->n_merges == *capacity) {
        *capacity = 2 * *capacity + 4096;
        merge_rule *merges = NLP_PUSH(c->arena, merge_rule, *capacity);
        NLP_TRY(nlp_arena_status(c->arena, c->err));
        if (c->n_merges) memcpy(merges, c->merges, c->n_merges * sizeof *merges);
        c->merges = merges;
    }
    c->merges[c->n_merges++] = merge;
    return NLP_OK;
}

nlp_status spm_merges(compiler *c, const spm_vocabulary *v) {
    piece_index index;
    uint32_t *ranks;
    size_t capacity = 0;
    NLP_TRY(compiler_index(c, &index));
    NLP_TRY(rank_pieces(c, v, &ranks));
    for (uint32_t i = 0; i < v->n; i++) {
        const piece *p = &v->pieces[i];
        if (!v->whole[i] || !p->n_bytes) continue;
        uint32_t id = compiler_lookup(c, &index, p->text, p->n_bytes);
        for (size_t cut = 1; cut < p->n_bytes && id != NLP_NO_ID; cut++) {
            if (!begins_character(p->text[cut])) continue;
            uint32_t left = compiler_lookup(c, &index, p->text, cut),
                     right = compiler_lookup(c, &index, p->text + cut, p->n_bytes - cut);
            if (left == NLP_NO_ID || right == NLP_NO_ID) continue;
            NLP_TRY(push_merge(c, &capacity, (merge_rule){left, right, ranks[i], id}));
        }
    }
    return NLP_OK;
}
