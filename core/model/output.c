/* output.c: what stands beside the layers of a decoder: its view of an encoder, and the scores of
 * the vocabulary. */
#include "model/transformer.h"
#include "nn/linear.h"

nlp_kv_shape nlp_kv_shape_of(const nlp_stack *s) {
    const nlp_arch_spec *spec = &s->spec;
    if (spec->recurrence)
        return (nlp_kv_shape){.n_layers = spec->n_layers, .state_width = spec->hidden_size};
    return (nlp_kv_shape){.n_layers = spec->n_layers,
                          .n_heads = spec->n_kv_heads,
                          .head_dim = spec->head_dim,
                          .half = s->half_cache};
}

static size_t memory_width(const nlp_stack *s) {
    return nlp_size_of(&s->spec, NLP_SIZE_CROSS_KV);
}

size_t nlp_memory_floats(const nlp_stack *s, size_t n_tokens) {
    return s->spec.n_layers * n_tokens * memory_width(s);
}

size_t nlp_memory_scratch(const nlp_stack *s, size_t n_tokens) {
    size_t most = 0; /* layers may differ in their number formats */
    for (uint32_t i = 0; i < s->spec.n_layers; i++) {
        size_t n_bytes = nlp_linear_scratch_bytes(&s->layers[i].cross_kv, n_tokens);
        most = n_bytes > most ? n_bytes : most;
    }
    return most;
}

/* Layer behind layer, so that a layer finds its rows by its number. */
nlp_status nlp_memory_make(const nlp_stack *s, const nlp_kernels *kernels, const float *hidden,
                           nlp_memory *memory, float *rows, void *scratch, nlp_poll *poll,
                           nlp_error *err) {
    size_t n = memory->n_tokens, width = memory_width(s);
    memory->rows = rows;
    memory->width = width / 2;
    for (uint32_t i = 0; i < s->spec.n_layers; i++)
        NLP_TRY(nlp_linear(kernels, &s->layers[i].cross_kv, n, hidden, NULL, rows + i * n * width,
                           scratch, poll, err));
    return NLP_OK;
}

size_t nlp_output_scratch(const nlp_stack *s, size_t n) {
    return nlp_linear_scratch_bytes(&s->output, n);
}

nlp_status nlp_output_run(const nlp_stack *s, const nlp_kernels *kernels, float *hidden, size_t n,
                          float *logits, void *scratch, nlp_poll *poll, nlp_error *err) {
    const nlp_arch_spec *spec = &s->spec;
    if (spec->output_scale != 0) kernels->scale(hidden, n * spec->hidden_size, spec->output_scale);
    NLP_TRY(nlp_linear(kernels, &s->output, n, hidden, NULL, logits, scratch, poll, err));
    if (spec->logit_cap > 0) kernels->cap(logits, n * spec->n_outputs, spec->logit_cap);
    return NLP_OK;
}
