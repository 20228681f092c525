/* output.c: what stands beside the layers of a decoder: its view of an encoder, and the scores of
 * the vocabulary. */
#include <string.h>

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

nlp_status nlp_shifted_states(const nlp_stack *d, int32_t start, const nlp_kernels *kernels,
                              const nlp_unit *source, const float *hidden, nlp_arena *arena,
                              nlp_poll *poll, const float **out, nlp_error *err) {
    size_t bytes, n = source->n_tokens;
    nlp_memory memory = {.n_tokens = n};
    NLP_TRY(nlp_transformer_plan(d, n, n, n, &bytes, err));
    int32_t *shifted = NLP_PUSH(arena, int32_t, n);
    void *scratch = nlp_arena_push(arena, bytes, 1),
         *more = nlp_arena_push(arena, nlp_memory_scratch(d, n), 1);
    float *rows = NLP_PUSH(arena, float, nlp_memory_floats(d, n));
    NLP_TRY(nlp_arena_status(arena, err));
    shifted[0] = start;
    memcpy(shifted + 1, source->ids, (n - 1) * sizeof *shifted);
    NLP_TRY(nlp_memory_make(d, kernels, hidden, &memory, rows, more, poll, err));
    nlp_unit unit = *source;
    unit.ids = shifted;
    unit.memories = &memory;
    return nlp_transformer_run(d, kernels, &unit, scratch, bytes, NULL, poll, out, err);
}
