/* adapters.c: low-rank adapters of a task pack, over the layers of its base. */
#include <stdio.h>
#include <string.h>

#include "model/binding.h"

const char *const nlp_adapted_roles[NLP_N_ADAPTED] = {"attention.qkv", "attention.out", "ffn.up",
                                                      "ffn.down"};

const nlp_weight *nlp_adapted_weight(const nlp_layer *layer, uint32_t which) {
    const nlp_weight *weights[NLP_N_ADAPTED] = {&layer->qkv, &layer->attention_out, &layer->ffn_up,
                                                &layer->ffn_down};
    return weights[which];
}

static const nlp_pack_tensor *find_part(const nlp_pack *pack, uint32_t layer, uint32_t which,
                                        const char *part) {
    char name[96];
    snprintf(name, sizeof name, "layer.%u.%s.%s", layer, nlp_adapted_roles[which], part);
    return nlp_pack_tensor_find(pack, name);
}

static bool bind_part(const nlp_pack *pack, const nlp_pack_tensor *t, uint64_t n, uint64_t k,
                      nlp_weight *weight) {
    if (t->layout != NLP_TENSOR_PANELS || t->rows != n || t->columns != k) return false;
    *weight = (nlp_weight){.dtype = (nlp_dtype)t->dtype,
                           .grid = (nlp_grid)t->grid,
                           .n = (size_t)n,
                           .k = (size_t)k,
                           .panels = pack->weights + t->offset};
    return true;
}

/* Over an i8 product the adapter multiplies the same bytes. */
static bool reads_the_same(const nlp_weight *down, const nlp_weight *base) {
    if (base->dtype == NLP_I8) return down->dtype == NLP_I8 && down->grid == base->grid;
    return down->dtype == NLP_F32;
}

static nlp_status bind_adapter(const nlp_pack *pack, uint32_t layer, uint32_t which,
                               const nlp_weight *weight, nlp_arena *arena, nlp_adapter *adapter,
                               nlp_error *err) {
    const nlp_pack_tensor *down = find_part(pack, layer, which, "down"),
                          *up = find_part(pack, layer, which, "up");
    if (!down && !up) return NLP_OK;
    uint64_t rank = down ? down->rows : 0;
    if (!down || !up || !weight->panels || !rank || rank > NLP_MAX_ADAPTER_RANK ||
        !bind_part(pack, down, rank, weight->k, &adapter->down) ||
        !bind_part(pack, up, weight->n, rank, &adapter->up) || adapter->up.dtype != NLP_F32)
        return nlp_fail(
            err, NLP_ECORRUPT,
            "the adapter of layer %u's %s does not fit its base: it has rank %llu of at "
            "most %d, the base has %zu inputs and %zu outputs",
            layer, nlp_adapted_roles[which], (unsigned long long)rank, NLP_MAX_ADAPTER_RANK,
            weight->k, weight->n);
    if (!reads_the_same(&adapter->down, weight))
        return nlp_fail(
            err, NLP_ECORRUPT,
            "the adapter of layer %u's %s is in number format %d, which does not go with "
            "format %d of its base; import it again",
            layer, nlp_adapted_roles[which], adapter->down.dtype, weight->dtype);
    nlp_k_span *spans = NLP_PUSH(arena, nlp_k_span, (weight->n + NLP_PANEL - 1) / NLP_PANEL);
    NLP_TRY(nlp_arena_status(arena, err));
    nlp_k_spans(&adapter->up, spans);
    adapter->spans = spans;
    return NLP_OK;
}

static nlp_status bind_layer(const nlp_pack *pack, uint32_t index, nlp_arena *arena,
                             nlp_layer *layer, uint32_t *most, nlp_error *err) {
    for (uint32_t which = 0; which < NLP_N_ADAPTED; which++) {
        nlp_adapter *adapter = &layer->adapters[which];
        NLP_TRY(bind_adapter(pack, index, which, nlp_adapted_weight(layer, which), arena, adapter,
                             err));
        if (adapter->down.n > *most) *most = (uint32_t)adapter->down.n;
    }
    return NLP_OK;
}

nlp_status nlp_adapters_bind(const nlp_pack *pack, const nlp_stack *base, nlp_arena *arena,
                             const nlp_stack **stack, nlp_error *err) {
    uint32_t n = base->spec.n_layers, rank = 0;
    nlp_stack *own = NLP_PUSH(arena, nlp_stack, 1);
    nlp_layer *layers = NLP_PUSH(arena, nlp_layer, n);
    *stack = base;
    NLP_TRY(nlp_arena_status(arena, err));
    memcpy(layers, base->layers, n * sizeof *layers);
    for (uint32_t i = 0; i < n; i++) NLP_TRY(bind_layer(pack, i, arena, &layers[i], &rank, err));
    if (!rank) return NLP_OK;
    *own = *base;
    own->layers = layers;
    own->adapter_rank = rank;
    *stack = own;
    return NLP_OK;
}
