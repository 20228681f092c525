/* binding.h: tensors of a pack by role. One table {name pattern, place, shape} drives finding,
 * checking and listing; a bound model holds only pointers into the pack, all shapes checked against
 * the spec. */
#ifndef NLP_MODEL_BINDING_H
#define NLP_MODEL_BINDING_H

#include "base/arena.h"
#include "model/spec.h"
#include "pack/pack.h"

typedef struct nlp_norm_weights {
    const float *gain, *bias; /* [width] */
} nlp_norm_weights;

typedef struct nlp_table { /* rows of an embedding: f32, or s8 with a scale a row */
    nlp_dtype dtype;       /* NLP_F32 or NLP_S8_ROWS */
    const void *rows;
    const float *scales;
    uint32_t n_rows, width;
} nlp_table;

typedef struct nlp_encoder_layer {
    nlp_weight qkv, attention_out, ffn_up, ffn_down;
    nlp_norm_weights attention_norm, ffn_norm;
} nlp_encoder_layer;

typedef struct nlp_encoder {
    nlp_arch_spec spec;
    nlp_table word, position, type; /* n_rows 0 where the family has none */
    nlp_norm_weights embedding_norm;
    const nlp_encoder_layer *layers; /* [spec.n_layers] */
} nlp_encoder;

/* Pooling pipeline and head, bound the same way. Zeroed where the pack has none. */
typedef struct nlp_pooler {
    nlp_pooling_spec spec;
    nlp_weight dense[NLP_MAX_STAGES];
} nlp_pooler;

typedef struct nlp_head {
    nlp_head_spec spec;
    nlp_weight hidden, classifier; /* hidden: BERT's pooler, or an MLP's first layer */
} nlp_head;

/* Everything comes from the arena. Errors name the tensor and both shapes. */
nlp_status nlp_spec_read(const nlp_pack *pack, nlp_arch_spec *spec, nlp_error *err);
nlp_status nlp_encoder_bind(const nlp_pack *pack, nlp_arena *arena, nlp_encoder **encoder,
                            nlp_error *err);
nlp_status nlp_pooler_bind(const nlp_pack *pack, uint32_t hidden_size, nlp_pooler *pooler,
                           nlp_error *err);
/* input_width: hidden_size of the pack's own encoder, or dims of the base of a task pack. */
nlp_status nlp_head_bind(const nlp_pack *pack, uint32_t input_width, nlp_head *head,
                         nlp_error *err);

#endif
