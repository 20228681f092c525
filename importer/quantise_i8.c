/* quantise_i8.c: products as i8: channel factors from a calibration move range from the activations
 * into the weights, channel by channel, so that one scale a row is enough (kernels: quant.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "assembly.h"
#include "tensor/quant.h"

static nlp_grid grid_of(const assembly *a, size_t product) {
    const nlp_arch_spec *s = &a->config->spec;
    bool gelu = s->activation == NLP_ACT_GELU_ERF || s->activation == NLP_ACT_GELU_TANH;
    return product == 3 && gelu && !s->gated ? NLP_GRID_GELU : NLP_GRID_SYMMETRIC;
}

static const nlp_channel_stats *stats_of(const assembly *a, uint32_t layer, size_t product) {
    return &a->options->calibration->stats[layer * NLP_CALIBRATED_PRODUCTS + product];
}

int quantise_i8_product(const nlp_role *role) {
    for (int i = 0; role->per_layer && i < NLP_CALIBRATED_PRODUCTS; i++)
        if (!strcmp(role->name, nlp_calibration_points[i])) return i;
    return -1;
}

/* m = 1 / t with t = sqrt(largest input / largest weight) of the channel: half of the range goes to
 * each side. */
static float channel_factor(float input, float weight, nlp_grid grid) {
    float least = grid == NLP_GRID_GELU ? 1e-3f : 1e-5f;
    input = input > least ? input : least;
    return sqrtf(weight) / sqrtf(input);
}

static float channel_input(const nlp_channel_stats *s, size_t c, nlp_grid grid) {
    return grid == NLP_GRID_GELU ? s->highest[c] + NLP_GELU_OFFSET : s->top[c];
}

static float channel_weight(const matrix *m, size_t c) {
    float weight = 1e-9f;
    for (size_t j = 0; j < m->n; j++) {
        float size = fabsf(m->w[j * m->k + c]);
        weight = size > weight ? size : weight;
    }
    return weight;
}

static void channel_factors(const nlp_channel_stats *s, const matrix *m, nlp_grid grid,
                            float *factors) {
    for (size_t c = 0; c < m->k; c++)
        factors[c] = channel_factor(channel_input(s, c, grid), channel_weight(m, c), grid);
}

/* Factors of attention.out: query heads that share a value head share its factors, since these ride
 * on the V columns of the qkv product. */
static void value_factors(const assembly *a, const nlp_channel_stats *s, const matrix *out,
                          float *by_value, float *by_query) {
    const nlp_arch_spec *spec = &a->config->spec;
    size_t d = spec->head_dim, shared = spec->n_heads / spec->n_kv_heads;
    for (size_t i = 0; i < spec->n_kv_heads * d; i++) {
        size_t first = i / d * shared * d + i % d;
        float input = 0, weight = 0;
        for (size_t k = 0; k < shared; k++) {
            float x = channel_input(s, first + k * d, NLP_GRID_SYMMETRIC),
                  w = channel_weight(out, first + k * d);
            input = x > input ? x : input;
            weight = w > weight ? w : weight;
        }
        float factor = channel_factor(input, weight, NLP_GRID_SYMMETRIC);
        if (by_value) by_value[i] = factor;
        for (size_t k = 0; by_query && k < shared; k++) by_query[first + k * d] = factor;
    }
}

/* What the qkv product's outputs are multiplied by: 1 for queries and keys. */
static nlp_status value_scale(const assembly *a, uint32_t layer, float *scale, size_t n) {
    matrix out;
    const nlp_arch_spec *spec = &a->config->spec;
    size_t n_values = (size_t)spec->n_kv_heads * spec->head_dim;
    nlp_status status = matrix_read(a, nlp_role_find("attention.out"),
                                    assembly_source(a, "attention.out"), layer, &out);
    for (size_t i = 0; i < n - n_values; i++) scale[i] = 1;
    if (status == NLP_OK)
        value_factors(a, stats_of(a, layer, 1), &out, scale + (n - n_values), NULL);
    matrix_free(a, &out);
    return status;
}

static void pack(const assembly *a, uint32_t layer, size_t product, const matrix *m,
                 const float *scale, float *mean, float *factors, void *panels) {
    const nlp_channel_stats *s = stats_of(a, layer, product);
    nlp_grid grid = grid_of(a, product);
    if (product == 1)
        value_factors(a, s, m, NULL, factors);
    else
        channel_factors(s, m, grid, factors);
    for (size_t c = 0; c < m->k; c++) mean[c] = (float)(s->sum[c] / (double)s->n_rows);
    nlp_pack_i8(&(nlp_pack_i8_args){.w = m->w,
                                    .bias = m->bias,
                                    .k = m->k,
                                    .n = m->n,
                                    .factors = factors,
                                    .output_scale = product == 0 ? scale : NULL,
                                    .input_mean = mean,
                                    .grid = grid},
                panels);
}

nlp_status quantise_i8_write(const assembly *a, uint32_t layer, size_t product,
                             const char *pack_name, const matrix *m) {
    char name[112];
    nlp_mem *mem = a->folder->mem;
    const nlp_channel_stats *s = stats_of(a, layer, product);
    snprintf(name, sizeof name, "%s.factors", pack_name);
    float *factors =
        assembly_tensor(a, name, NLP_F32, NLP_TENSOR_PLAIN, NLP_GRID_SYMMETRIC, 1, m->k);
    void *panels =
        assembly_tensor(a, pack_name, NLP_I8, NLP_TENSOR_PANELS, grid_of(a, product), m->n, m->k);
    float *mean = nlp_mem_alloc(mem, m->k * sizeof *mean),
          *scale = nlp_mem_alloc(mem, m->n * sizeof *scale);
    nlp_status status = mean && scale ? NLP_OK : nlp_mem_fail(mem, m->k * sizeof *mean, a->err);
    if (status == NLP_OK && (s->width != m->k || !s->n_rows))
        status = nlp_fail(a->err, NLP_EINTERNAL, "calibration saw %zu channels of %s, it has %zu",
                          s->width, pack_name, m->k);
    if (status == NLP_OK && product == 0) status = value_scale(a, layer, scale, m->n);
    if (status == NLP_OK && factors && panels)
        pack(a, layer, product, m, scale, mean, factors, panels);
    nlp_mem_free(mem, mean, m->k * sizeof *mean);
    nlp_mem_free(mem, scale, m->n * sizeof *scale);
    return status;
}
