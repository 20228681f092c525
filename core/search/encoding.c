/* encoding.c: vectors as signatures and bytes, and a query that is compared with them. Sums are integers, so
 * they do not depend on an order. */
#include <math.h>
#include <string.h>

#include "search/search.h"

/* below it 127 / a leaves float's range */
static const float smallest_scalable = 1e-30f;

/* ---- Signatures ---- */

size_t nlp_signature_bytes(uint32_t dims) {
    return ((size_t)dims + 63) / 64 * 8;
}

void nlp_signature_encode(const float *x, uint32_t dims, uint8_t *signature) {
    memset(signature, 0, nlp_signature_bytes(dims));
    for (uint32_t i = 0; i < dims; i++)
        if (x[i] > 0) signature[i / 8] |= (uint8_t)(1u << i % 8);
}

/* ---- Steps of equal size to both sides of 0 ---- */

static nlp_status check_vector(const float *x, uint32_t dims, float *largest, nlp_error *err) {
    float top = 0;
    if (!dims || dims > NLP_SEARCH_MAX_DIMS)
        return nlp_fail(err, NLP_EINVAL, "a vector of %u numbers, an index takes 1 to %u", dims,
                        NLP_SEARCH_MAX_DIMS);
    for (uint32_t i = 0; i < dims; i++) {
        if (!isfinite(x[i])) return nlp_fail(err, NLP_EINVAL, "a vector holds NaN or infinity");
        top = fmaxf(top, fabsf(x[i]));
    }
    *largest = top < smallest_scalable ? 0 : top;
    return NLP_OK;
}

/* Half to even in the mode that nlp_fp_enter sets. |x| <= largest, so no step is over `steps`. */
static long step_of(float x, float multiplier) {
    return lrintf(x * multiplier);
}

size_t nlp_q8_bytes(uint32_t dims) {
    return sizeof(float) + dims;
}

nlp_status nlp_q8_encode(const float *x, uint32_t dims, uint8_t *q8, nlp_error *err) {
    float top = 0;
    NLP_TRY(check_vector(x, dims, &top, err));
    uint64_t saved = nlp_fp_enter();
    float scale = top / 127.0f, multiplier = top > 0 ? 127.0f / top : 0;
    memcpy(q8, &scale, sizeof scale);
    for (uint32_t i = 0; i < dims; i++)
        q8[sizeof scale + i] = (uint8_t)(int8_t)step_of(x[i], multiplier);
    nlp_fp_restore(saved);
    return NLP_OK;
}

void nlp_q8_decode(const uint8_t *q8, uint32_t dims, float *x) {
    float scale;
    memcpy(&scale, q8, sizeof scale);
    for (uint32_t i = 0; i < dims; i++) x[i] = (float)(int8_t)q8[sizeof scale + i] * scale;
}

/* ---- Queries ---- */

size_t nlp_query_bytes(uint32_t dims) {
    return sizeof(nlp_query) + nlp_signature_bytes(dims) + dims * sizeof(int16_t);
}

nlp_status nlp_query_prepare(const float *x, uint32_t dims, nlp_query *query, nlp_error *err) {
    float top = 0;
    NLP_TRY(check_vector(x, dims, &top, err));
    uint8_t *signature = (uint8_t *)(query + 1);
    int16_t *steps = (int16_t *)(void *)(signature + nlp_signature_bytes(dims));
    uint64_t saved = nlp_fp_enter();
    float multiplier = top > 0 ? NLP_QUERY_STEPS / top : 0;
    int64_t norm = 0;
    for (uint32_t i = 0; i < dims; i++) {
        steps[i] = (int16_t)step_of(x[i], multiplier);
        norm += steps[i] * steps[i];
    }
    nlp_fp_restore(saved);
    nlp_signature_encode(x, dims, signature);
    query->dims = dims;
    query->kernels = nlp_kernels_select(UINT32_MAX);
    query->norm = (double)norm;
    return NLP_OK;
}

/* Norms are whole numbers below 2^53. A byte of -128, which no encoder writes, only counts as itself. */
double nlp_query_cosine(const nlp_query *query, const uint8_t *q8) {
    int64_t norm,
        dot = query->kernels->dot_i16_i8(nlp_query_steps(query), (const int8_t *)q8 + sizeof(float),
                                         query->dims, &norm);
    if (!norm || query->norm == 0) return 0;
    uint64_t saved = nlp_fp_enter();
    double cosine = (double)dot / sqrt(query->norm * (double)norm);
    nlp_fp_restore(saved);
    return cosine;
}
