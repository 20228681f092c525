/* computed_roles.c: tensors that depend on the config, or on small tables of the source, alone: the
 * runtime sees numbers and no formula. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "assembly.h"
#include "base/real.h"
#include "nn/position.h"
#include "tensor/quant.h"

static float *plain(const assembly *a, const char *name, uint64_t rows, uint64_t columns) {
    return assembly_tensor(a, name, NLP_F32, NLP_TENSOR_PLAIN, NLP_GRID_SYMMETRIC, rows, columns);
}

/* ---- Positions ---- */

static void write_frequencies(const assembly *a) {
    static const char *const names[] = {"rope.0", "rope.1"};
    uint32_t n = a->config->spec.rotary_dim / 2;
    for (size_t table = 0; table < 2; table++) {
        if (!a->config->rope[table]) continue;
        float *out = plain(a, names[table], 1, n);
        if (out) memcpy(out, a->config->rope[table], n * sizeof *out);
    }
}

/* Sines in the first half of a row, cosines in the second. Marian: position / 10000^(2k / d). Tensor
 * 2 tensor: position * exp(-k ln 10000 / (d/2 - 1)), in the floats of the reference. */
static float sinusoid_angle(uint32_t kind, uint32_t position, uint32_t k, uint32_t d) {
    if (kind == NLP_SINUSOID_MARIAN)
        return (float)((double)position / nlp_power(10000, 2.0 * k / d));
    float step = (float)(nlp_log(10000) / (d / 2.0 - 1));
    return (float)position * (float)nlp_exp((double)((float)k * -step));
}

static void write_sinusoids(const assembly *a) {
    const nlp_arch_spec *s = &a->config->spec;
    uint32_t d = nlp_size_of(s, NLP_SIZE_EMBEDDING), half = d / 2;
    /* position 0 of the model stands in row position_offset */
    float *out = plain(a, "embedding.position", s->n_positions, d);
    for (uint32_t p = 0; out && p < s->n_positions; p++)
        for (uint32_t k = 0; k < half; k++) {
            double cos, sin;
            nlp_cosine_sine((double)sinusoid_angle(a->source->sinusoid, p, k, d), &cos, &sin);
            out[(size_t)p * d + k] = (float)sin;
            out[(size_t)p * d + half + k] = (float)cos;
        }
    if (out && s->skip_position_of) /* a token without a position gets the row before the first */
        memset(out + (size_t)(s->position_offset - 1) * d, 0, d * sizeof *out);
}

bool assembly_computes_positions(const assembly *a) {
    const nlp_role_source *s = assembly_source(a, "embedding.position");
    return a->source->sinusoid && !(s && assembly_find(a, s->parts[0], 0, false, ".weight"));
}

/* ---- T5's relative bias ---- */

/* Bucket of a distance key - query (Raffel and others 2020, section 2.1, as T5's code has it). */
static uint32_t t5_bucket(int64_t distance, bool causal, uint32_t n_buckets,
                          uint32_t max_distance) {
    uint32_t bucket = 0, n = n_buckets, exact;
    int64_t size = distance < 0 ? -distance : distance;
    if (causal) {
        size = distance < 0 ? -distance : 0;
    } else {
        n /= 2;
        if (distance > 0) bucket = n;
    }
    exact = n / 2;
    if (size < exact) return bucket + (uint32_t)size;
    double log = nlp_log((double)size / exact) / nlp_log((double)max_distance / exact);
    /* the smallest step up, so that a whole number that came out just below it stays whole */
    uint32_t large = exact + (uint32_t)(log * (n - exact) * (1 + 1e-12));
    return bucket + (large < n - 1 ? large : n - 1);
}

static nlp_status write_bias(const assembly *a, const nlp_role_source *s, const char *name,
                             uint32_t layer, bool per_layer) {
    const nlp_arch_spec *spec = &a->config->spec;
    uint32_t n_heads = spec->n_heads, reach = spec->bias_reach, n = a->config->n_buckets;
    matrix table;
    float *out = plain(a, name, n_heads, 2 * reach + 1);
    nlp_status status = matrix_alloc(a, &table, n, n_heads);
    if (status == NLP_OK)
        status = assembly_read(a, assembly_find(a, s->parts[0], layer, per_layer, ".weight"),
                               s->parts[0], n, n_heads, table.w);
    for (int64_t d = -(int64_t)reach; out && status == NLP_OK && d <= (int64_t)reach; d++) {
        uint32_t bucket = t5_bucket(d, spec->causal, n, a->config->max_distance);
        for (uint32_t head = 0; head < n_heads; head++)
            out[head * (2 * (size_t)reach + 1) + (size_t)(d + reach)] =
                table.w[bucket * n_heads + head];
    }
    matrix_free(a, &table);
    return status;
}

static nlp_status write_relative_bias(const assembly *a) {
    const nlp_role_source *shared = assembly_source(a, "attention.bias"),
                          *own = assembly_source(a, "attention.layer_bias");
    char name[64];
    if (shared)
        return write_bias(a, shared, "attention.bias", 0, (shared->form & NLP_FORM_LAYER_0) != 0);
    for (uint32_t layer = 0; own && layer < a->config->n_own; layer++) {
        snprintf(name, sizeof name, "layer.%u.attention.layer_bias", layer);
        NLP_TRY(write_bias(a, own, name, layer, true));
    }
    return NLP_OK;
}

/* ---- ALiBi ---- */

/* 2^(-8k / n) for n heads, a power of two; else those of the next lower power, then every other one
 * of twice that power (Press and others 2022). */
static void write_slopes(const assembly *a) {
    uint32_t n = a->config->spec.n_heads, power = 1;
    float *out = plain(a, "attention.slopes", 1, n);
    while (2 * power <= n) power *= 2;
    for (uint32_t i = 0; out && i < n; i++) {
        uint32_t k = i < power ? i + 1 : 2 * (i - power) + 1, of = i < power ? power : 2 * power;
        out[i] = (float)nlp_power(2, -8.0 * k / of);
    }
}

nlp_status computed_roles_write(const assembly *a) {
    const nlp_arch_spec *s = &a->config->spec;
    write_frequencies(a);
    if (assembly_computes_positions(a)) write_sinusoids(a);
    if (s->bias == NLP_BIAS_ALIBI) write_slopes(a);
    if (s->bias == NLP_BIAS_RELATIVE) NLP_TRY(write_relative_bias(a));
    return s->bias == NLP_BIAS_DISENTANGLED ? deberta_keys_write(a) : NLP_OK;
}
