/* spec.h: what a pack says about its model: fixed structs, little-endian, append-only; a zero is
 * the default, so a shorter section of an older pack means defaults for the rest. The switches and
 * their values: docs/models.md. */
#ifndef NLP_MODEL_SPEC_H
#define NLP_MODEL_SPEC_H

#include <stdint.h>

enum { NLP_KIND_ENCODER = 1, NLP_KIND_DECODER = 2, NLP_KIND_SEQ2SEQ = 3, NLP_KIND_STATIC = 4 };
enum { NLP_POSITION_NONE = 0, NLP_POSITION_LEARNED = 1 };
enum { NLP_NORM_LAYER = 0 /* LayerNorm(w, b) */ };
enum { NLP_PLACE_POST = 0, NLP_PLACE_PRE = 1 };

typedef struct nlp_arch_spec { /* section "spec" */
    uint32_t struct_size;
    uint32_t kind;
    uint32_t vocabulary, hidden_size, n_layers, n_heads, n_kv_heads, head_dim, ffn_size;
    uint32_t position, position_offset, n_positions;
    uint32_t n_types;        /* rows of the token-type table: 0, 1 or 2 */
    uint32_t embedding_norm; /* 1: a norm behind the embeddings */
    uint32_t norm, norm_place;
    float norm_eps;
    uint32_t activation;   /* nlp_activation of the FFN */
    float attention_scale; /* 0: 1 / sqrt(head_dim) */
    uint32_t max_tokens;   /* special tokens included */
    uint32_t reserved[40];
} nlp_arch_spec;

/* Tensors of an encoder, by role; N is the layer. Names in the pack:
 *   embedding.word [vocabulary, hidden]   embedding.position [n_positions, hidden]   embedding.type
 * [n_types, hidden] embedding.norm.gain .bias [1, hidden] layer.N.attention.qkv panels n =
 * 3*hidden, k = hidden     layer.N.attention.out panels n = hidden, k = hidden
 *   layer.N.attention.norm.gain .bias
 *   layer.N.ffn.up panels n = ffn, k = hidden                 layer.N.ffn.down panels n = hidden, k
 * = ffn layer.N.ffn.norm.gain .bias and, for i8 panels X: X.factors [1, k]. Heads: pooler panels,
 * classifier panels. Dense of a pipeline: dense.I panels. */

enum { NLP_STAGE_DENSE = 1, NLP_STAGE_NORMALIZE = 2 };
#define NLP_MAX_STAGES 8

typedef struct nlp_pooling_spec { /* section "pipeline" */
    uint32_t struct_size;
    uint32_t pooling;        /* NLP_POOL_*, several are concatenated in that order */
    uint32_t exclude_prompt; /* 1: the prompt's tokens are not pooled */
    uint32_t n_stages;
    uint32_t stages[NLP_MAX_STAGES];           /* NLP_STAGE_* */
    uint32_t stage_activation[NLP_MAX_STAGES]; /* nlp_activation of a Dense */
    uint32_t dims;                             /* of the final vector */
    uint32_t strip_text, lower_text;
    uint32_t reserved[20];
} nlp_pooling_spec;

enum {
    NLP_HEAD_POOLER_CLASSIFIER = 1, /* BERT: classifier(tanh(pooler(x[0]))) on the hidden states */
    NLP_HEAD_VECTOR_LINEAR = 2,     /* classifier(v), v the base's pooled vector */
    NLP_HEAD_VECTOR_MLP = 3
}; /* classifier(act(hidden(v))): panels "hidden" and "classifier" */
enum { NLP_SCORE_SOFTMAX = 0, NLP_SCORE_SIGMOID = 1, NLP_SCORE_NONE = 2 };
enum {
    NLP_POLARITY_NONE = 0,
    NLP_POLARITY_NEGATIVE = 1,
    NLP_POLARITY_NEUTRAL = 2,
    NLP_POLARITY_POSITIVE = 3
};
#define NLP_MAX_POLARITIES 16

typedef struct nlp_head_spec { /* section "head" */
    uint32_t struct_size;
    uint32_t head, score, n_labels;
    uint32_t hidden_size, hidden_activation; /* of an MLP head */
    uint32_t polarity[NLP_MAX_POLARITIES]; /* of label i, where labels mean sentiment; else zeros */
    uint32_t reserved[32];
} nlp_head_spec;

#endif
