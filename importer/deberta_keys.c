/* deberta_keys.c: DeBERTa's relative keys and queries (He and others 2021): they depend on weights
 * alone, so each layer's are computed here, once, as small products a head. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "assembly.h"
#include "base/real.h"
#include "tensor/quant.h"

/* Distances near 0 have a bucket each, farther ones share them by their logarithm. */
static int64_t log_bucket(int64_t distance, uint32_t n_buckets, uint32_t max_positions) {
    int64_t mid = n_buckets / 2, size = distance < 0 ? -distance : distance;
    if (size <= mid) return distance;
    double log = nlp_log((double)size / (double)mid) /
                 nlp_log(((double)max_positions - 1) / (double)mid) * (double)(mid - 1);
    int64_t bucket = (int64_t)ceil(log * (1 - 1e-12)) + mid;
    return distance < 0 ? -bucket : bucket;
}

static void write_buckets(const assembly *a) {
    const nlp_arch_spec *s = &a->config->spec;
    int64_t reach = s->bias_reach, span = s->n_relative / 2;
    float *out = assembly_tensor(a, "attention.buckets", NLP_F32, NLP_TENSOR_PLAIN,
                                 NLP_GRID_SYMMETRIC, 1, 2 * (uint64_t)reach + 1);
    for (int64_t d = -reach; out && d <= reach; d++) {
        int64_t b =
            a->config->n_buckets ? log_bucket(d, a->config->n_buckets, a->config->max_distance) : d;
        b += span;
        out[d + reach] = (float)(b < 0 ? 0 : b > 2 * span - 1 ? 2 * span - 1 : b);
    }
}

/* LayerNorm in double, row by row. */
static void norm_rows(matrix *m, const float *gain, const float *bias, double eps) {
    for (size_t i = 0; i < m->n; i++) {
        float *row = m->w + i * m->k;
        double mean = 0, square = 0;
        for (size_t c = 0; c < m->k; c++) mean += (double)row[c];
        mean /= (double)m->k;
        for (size_t c = 0; c < m->k; c++)
            square += ((double)row[c] - mean) * ((double)row[c] - mean);
        double inverse = 1 / sqrt(square / (double)m->k + eps);
        for (size_t c = 0; c < m->k; c++)
            row[c] = (float)(((double)row[c] - mean) * inverse * (double)gain[c] + (double)bias[c]);
    }
}

static nlp_status read_table(const assembly *a, matrix *table) {
    const nlp_arch_spec *s = &a->config->spec;
    matrix norm;
    NLP_TRY(matrix_alloc(a, table, s->n_relative, s->hidden_size));
    NLP_TRY(assembly_read(a, assembly_find(a, "encoder.rel_embeddings", 0, false, ".weight"),
                          "encoder.rel_embeddings", s->n_relative, s->hidden_size, table->w));
    if (!a->config->deberta_norm) return NLP_OK;
    nlp_status status = matrix_alloc(a, &norm, s->hidden_size, 1);
    if (status == NLP_OK)
        status = assembly_read(a, assembly_find(a, "encoder.LayerNorm", 0, false, ".weight"),
                               "encoder.LayerNorm", s->hidden_size, 0, norm.w);
    if (status == NLP_OK)
        status = assembly_read(a, assembly_find(a, "encoder.LayerNorm", 0, false, ".bias"),
                               "encoder.LayerNorm", s->hidden_size, 0, norm.bias);
    if (status == NLP_OK) norm_rows(table, norm.w, norm.bias, (double)s->norm_eps);
    matrix_free(a, &norm);
    return status;
}

/* Rows of the table through the rows of a head: out [n_relative, head_dim]. */
static void project(const matrix *table, const float *w, const float *bias, size_t n, float *out) {
    for (size_t i = 0; i < table->n; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = (double)bias[j];
            for (size_t c = 0; c < table->k; c++)
                sum += (double)table->w[i * table->k + c] * (double)w[j * table->k + c];
            out[i * n + j] = (float)sum;
        }
}

/* One layer's projection (of content, or its own) of the table, cut into heads. */
static nlp_status write_layer(const assembly *a, const matrix *table, uint32_t layer,
                              const char *source, const char *what) {
    const nlp_arch_spec *s = &a->config->spec;
    matrix w, head;
    char name[64];
    NLP_TRY(matrix_alloc(a, &w, s->hidden_size, s->hidden_size));
    nlp_status status = matrix_alloc(a, &head, s->n_relative, s->head_dim);
    if (status == NLP_OK)
        status = assembly_read(a, assembly_find(a, source, layer, true, ".weight"), source, w.n,
                               w.k, w.w);
    if (status == NLP_OK)
        status = assembly_read(a, assembly_find(a, source, layer, true, ".bias"), source, w.n, 0,
                               w.bias);
    for (uint32_t h = 0; status == NLP_OK && h < s->n_heads; h++) {
        size_t first = (size_t)h * s->head_dim;
        project(table, w.w + first * w.k, w.bias + first, s->head_dim, head.w);
        snprintf(name, sizeof name, "layer.%u.attention.%s.%u", layer, what, h);
        assembly_write_f32(a, name, &head);
        status = nlp_poll_work(a->options->poll, (uint64_t)table->n * table->k * s->head_dim * 4,
                               a->err);
    }
    matrix_free(a, &w);
    matrix_free(a, &head);
    return status;
}

nlp_status deberta_keys_write(const assembly *a) {
    const nlp_stack_config *c = a->config;
    const char *keys = c->deberta_own ? "attention.self.pos_key_proj" : "attention.self.key_proj",
               *queries =
                   c->deberta_own ? "attention.self.pos_query_proj" : "attention.self.query_proj";
    matrix table;
    write_buckets(a);
    nlp_status status = read_table(a, &table);
    for (uint32_t layer = 0; layer < c->spec.n_layers; layer++) {
        if (status == NLP_OK && c->deberta_c2p)
            status = write_layer(a, &table, layer, keys, "position_keys");
        if (status == NLP_OK && c->deberta_p2c)
            status = write_layer(a, &table, layer, queries, "position_queries");
    }
    matrix_free(a, &table);
    return status;
}
