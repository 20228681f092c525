/* binding.h: tensors of a pack by role (roles.h). A bound model holds only pointers into the pack,
 * all shapes checked against the spec. */
#ifndef NLP_MODEL_BINDING_H
#define NLP_MODEL_BINDING_H

#include "base/arena.h"
#include "model/roles.h"
#include "pack/pack.h"

typedef struct nlp_norm_weights {
    const float *gain; /* [width]; NULL: there is no norm here */
    const float *bias; /* [width]; NULL for RMS */
} nlp_norm_weights;

typedef struct nlp_table { /* rows of an embedding: f32, or s8 with a scale a row */
    nlp_dtype dtype;       /* NLP_F32 or NLP_S8_ROWS */
    const void *rows;
    const float *scales;
    const nlp_weight *panels; /* the rows are the columns of the tied output; NULL: they are rows */
    uint32_t n_rows, width;
} nlp_table;

/* What a task pack adds to a linear of its base: W x + up (down x), down [rank, k] in f32 or, over an i8
 * linear, in i8 for the bytes that it takes, up [n, rank] in f32. down.panels NULL: nothing. */
typedef struct nlp_adapter {
    nlp_weight down, up;
    const nlp_k_span *spans; /* of up's panels */
} nlp_adapter;

/* The linears that an adapter may stand on. */
enum {
    NLP_ADAPTED_QKV,
    NLP_ADAPTED_ATTENTION_OUT,
    NLP_ADAPTED_FFN_UP,
    NLP_ADAPTED_FFN_DOWN,
    NLP_N_ADAPTED
};
#define NLP_MAX_ADAPTER_RANK 128
extern const char *const nlp_adapted_roles[NLP_N_ADAPTED]; /* of roles.c */

/* Of a role that the model lacks, panels, gain or pointer are NULL. */
typedef struct nlp_layer {
    nlp_layer_spec spec;
    nlp_weight qkv, attention_out, ffn_up, ffn_down;
    nlp_weight input, forget; /* of an SSRU */
    nlp_norm_weights attention_norm, attention_post_norm, ffn_norm, ffn_post_norm, q_norm, k_norm;
    nlp_weight cross_q, cross_kv, cross_out;
    nlp_norm_weights cross_norm;
    const float *bias; /* [n_heads, 2 * bias_reach + 1], of this layer alone */
    /* [n_heads] of n = n_relative, k = head_dim: DeBERTa's Kr and Qr */
    const nlp_weight *position_keys, *position_queries;
    nlp_adapter adapters[NLP_N_ADAPTED];
} nlp_layer;

/* The linear of a layer that NLP_ADAPTED_... names. */
const nlp_weight *nlp_adapted_weight(const nlp_layer *layer, uint32_t which);

/* One stack of layers: an encoder, a decoder, or one half of a seq2seq. */
typedef struct nlp_stack {
    nlp_arch_spec spec;
    nlp_table word, position, type; /* n_rows 0 where the family has none */
    nlp_norm_weights embedding_norm, final_norm;
    nlp_weight project, output;
    const float *rope[2]; /* frequencies [rotary_dim / 2]; [1] NULL: there is one table */
    const float *bias, *slopes, *buckets;
    nlp_weight conv;
    nlp_norm_weights conv_norm;
    const nlp_layer *layers; /* [spec.n_layers] */
    uint32_t adapter_rank;   /* the largest of all layers; 0: there are no adapters */
    bool half_cache; /* keys and values are rounded to half floats: writers that are not f32 */
} nlp_stack;

/* Pooling pipeline and head, bound the same way. Zeroed where the pack has none. */
typedef struct nlp_pooler {
    nlp_pooling_spec spec;
    nlp_weight dense[NLP_MAX_STAGES];
} nlp_pooler;

typedef struct nlp_head {
    nlp_head_spec spec;
    nlp_weight hidden, classifier; /* hidden: BERT's pooler, or an MLP's first layer */
    nlp_norm_weights norm;
} nlp_head;

/* Copies a section of a fixed struct whose first field is struct_size: a shorter one of an older
 * pack leaves zeros, a longer one of a newer pack must hold zeros where this library knows nothing.
 */
nlp_status nlp_section_read(const nlp_pack *pack, const char *name, void *out, size_t n_bytes,
                            nlp_error *err);
/* The spec of section `name`, its ranges and what must agree with what: after this no size of it
 * can overflow a product of two. */
nlp_status nlp_spec_read(const nlp_pack *pack, const char *name, nlp_arch_spec *spec,
                         nlp_error *err);
/* prefix "" binds section "spec" and the tensors as roles.c names them, "decoder." binds
 * "decoder.spec" and "decoder.layer.0..." The layers come from the arena. Errors name the tensor
 * and both shapes. */
nlp_status nlp_stack_bind(const nlp_pack *pack, const char *prefix, nlp_arena *arena,
                          nlp_stack **stack, nlp_error *err);
/* The base's stack with the adapters of a task pack, tensors "layer.0.attention.qkv.down" and ".up": a
 * copy from the arena that shares the base's weights. *stack is the base itself where the pack has
 * none. */
nlp_status nlp_adapters_bind(const nlp_pack *pack, const nlp_stack *base, nlp_arena *arena,
                             const nlp_stack **stack, nlp_error *err);
/* input_width: of the vectors that are pooled, hidden_size. */
nlp_status nlp_pooler_bind(const nlp_pack *pack, uint32_t hidden_size, nlp_pooler *pooler,
                           nlp_error *err);
/* input_width: hidden_size of the pack's own model, or dims of the base of a task pack. */
nlp_status nlp_head_bind(const nlp_pack *pack, uint32_t input_width, nlp_head *head,
                         nlp_error *err);

#endif
