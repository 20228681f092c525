/* spec.h: what a pack says about its model: fixed structs, little-endian, append-only; a zero is
 * the default (BERT's), so a shorter section of an older pack means defaults for the rest. The
 * switches and their values: docs/models.md. */
#ifndef NLP_MODEL_SPEC_H
#define NLP_MODEL_SPEC_H

#include <stdint.h>

enum { NLP_KIND_ENCODER = 1, NLP_KIND_DECODER = 2, NLP_KIND_SEQ2SEQ = 3, NLP_KIND_STATIC = 4 };
/* LEARNED: a table is added to the embeddings (computed sinusoids too). ROPE: the halves of a
 * head's first rotary_dim numbers turn by position * frequency. */
enum { NLP_POSITION_NONE = 0, NLP_POSITION_LEARNED = 1, NLP_POSITION_ROPE = 2 };
enum { NLP_NORM_LAYER = 0 /* LayerNorm(w, b) */, NLP_NORM_RMS = 1 /* x / rms(x) * w */ };
enum {
    NLP_PLACE_POST = 0,    /* x = N(x + F(x)) */
    NLP_PLACE_PRE = 1,     /* x = x + F(N(x)), and a norm at the end */
    NLP_PLACE_SANDWICH = 2 /* x = x + N'(F(N(x))), and a norm at the end */
};
enum {
    NLP_EMBEDDING_NORM_FIRST = 1, /* before the projection to hidden_size, or without one */
    NLP_EMBEDDING_NORM_LAST = 2   /* behind the projection */
};
/* What is added to the scores of attention; "query" and "key" are positions. */
enum {
    NLP_BIAS_NONE = 0,
    NLP_BIAS_RELATIVE = 1,    /* table[head][clamp(key - query)]: T5, MPNet */
    NLP_BIAS_ALIBI = 2,       /* -slope[head] * |query - key|: Jina v2 */
    NLP_BIAS_DISENTANGLED = 3 /* Q . Kr[x] + K . Qr[x], x = bucket(query - key): DeBERTa */
};

typedef struct nlp_arch_spec { /* section "spec"; of a seq2seq's decoder "decoder.spec" */
    uint32_t struct_size;
    uint32_t kind;
    uint32_t vocabulary, hidden_size, n_layers, n_heads, n_kv_heads, head_dim, ffn_size;
    uint32_t position, position_offset, n_positions;
    uint32_t n_types;        /* rows of the token-type table: 0, 1 or 2 */
    uint32_t embedding_norm; /* NLP_EMBEDDING_NORM_*, 0: none */
    uint32_t norm, norm_place;
    float norm_eps;
    uint32_t activation;       /* nlp_activation of the FFN */
    float attention_scale;     /* 0: 1 / sqrt(head_dim) */
    uint32_t max_tokens;       /* special tokens included */
    uint32_t causal;           /* 1: a token sees itself and those before it */
    uint32_t gated;            /* 1: FFN = Down(act(gate) * up), ffn.up gives gate, then up */
    float embedding_scale;     /* of the word's row; 0: 1 */
    uint32_t embedding_width;  /* of the embedding tables; 0: hidden_size, no projection */
    uint32_t rotary_dim;       /* of NLP_POSITION_ROPE; even, <= head_dim */
    float rope_scale;          /* of cos and sin; 0: 1 */
    uint32_t rope_switch;      /* longer texts turn by table 1 in place of 0; 0: never */
    uint32_t bias, bias_reach; /* NLP_BIAS_*; distances are clamped to -reach .. reach */
    uint32_t n_relative;       /* rows of DeBERTa's relative table */
    float score_cap;           /* s = cap * tanh(s / cap); 0: none */
    float logit_cap;           /* of the output, the same */
    float output_scale;        /* of the last hidden state before the output; 0: 1 */
    uint32_t skip_position_of; /* id + 1 of a token that takes no position (RoBERTa's pad); 0: none
                                */
    uint32_t convolution;      /* DeBERTa-v2's, beside layer 0: its nlp_activation + 1; 0: none */
    uint32_t n_outputs;        /* rows of "output"; 0: no output head */
    uint32_t memory_width;     /* hidden size of the encoder that cross attention sees */
    uint32_t recurrence;       /* 1: an SSRU in place of self attention (Marian) */
    uint32_t reserved[22];
} nlp_arch_spec;

/* What differs from layer to layer: section "layers", [n_layers]; absent: all zeros. */
typedef struct nlp_layer_spec {
    uint32_t
        window;    /* causal: keys that a token sees, itself included; else on each side; 0: all */
    uint32_t rope; /* 0: table 0, 1: table 1, 2: this layer does not turn */
    uint32_t
        same_as; /* number + 1 of the layer whose tensors this one takes (ALBERT); 0: its own */
    uint32_t reserved;
} nlp_layer_spec;
enum { NLP_ROPE_NONE = 2 };

/* Tensors by role, their names and shapes: roles.c. */

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
    uint32_t reserved0, lower_text;
    uint32_t max_characters; /* a text is cut before it is tokenized (model2vec); 0: not */
    uint32_t reserved[19];
} nlp_pooling_spec;

enum {
    NLP_HEAD_SEQUENCE = 1,      /* classifier(norm(act(hidden(x)))) of one token's hidden state */
    NLP_HEAD_VECTOR_LINEAR = 2, /* classifier(v), v the base's pooled vector */
    NLP_HEAD_VECTOR_MLP = 3,    /* classifier(act(hidden(v))): panels "hidden" and "classifier" */
    NLP_HEAD_TOKENS = 4,        /* as SEQUENCE, for every token: entities */
    NLP_HEAD_SPAN = 5,          /* as TOKENS, two outputs: start and end of an answer */
    NLP_HEAD_WORDS = 6          /* as TOKENS, the outputs are the vocabulary: masked words */
};
enum { NLP_HEAD_AT_FIRST = 0, NLP_HEAD_AT_LAST = 1, NLP_HEAD_AT_MEAN = 2 };
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
    uint32_t hidden_size, hidden_activation; /* of the layer before the classifier; 0: none */
    uint32_t polarity[NLP_MAX_POLARITIES]; /* of label i, where labels mean sentiment; else zeros */
    uint32_t at;                           /* NLP_HEAD_AT_*: which token a SEQUENCE head reads */
    uint32_t norm; /* 1: a norm of the model's kind behind the hidden layer */
    float norm_eps;
    uint32_t window; /* tokens, special ones included, of the parts in which a classifier reads a
                      * longer text; 0: the text is cut at the model's limit */
    uint32_t aggregation; /* of a TOKENS head: nlp_aggregation it was trained for; 0: none said */
    uint32_t reserved[27];
} nlp_head_spec;
enum { NLP_MIN_WINDOW = 16 };

typedef enum nlp_aggregation { /* of tokens to entities */
                               NLP_AGGREGATE_BY_MODEL,
                               NLP_AGGREGATE_SIMPLE,
                               NLP_AGGREGATE_FIRST,
                               NLP_AGGREGATE_AVERAGE,
                               NLP_AGGREGATE_MAX,
                               NLP_AGGREGATE_NONE
} nlp_aggregation;

typedef struct nlp_generation_spec { /* section "generation": of decoders and seq2seqs */
    uint32_t struct_size;
    uint32_t n_ends;
    uint32_t ends[8];                          /* ids that end a text */
    uint32_t start, forced_first, forced_last; /* id + 1; 0: none. start: of a seq2seq's decoder */
    uint32_t n_vocabulary;                     /* ids at or above are never chosen */
    uint32_t n_suppressed, suppressed[7];      /* ids never chosen (Marian's pad) */
    uint32_t max_tokens;                       /* of an answer; 0: what the positions allow */
    uint32_t n_beams;                          /* what the model's files recommend; 0: 1 */
    float length_penalty;
    uint32_t no_repeat_ngram;
    uint32_t early_stopping; /* nlp_early_stopping: 0 by score, 1 early, 2 never */
    uint32_t min_tokens;
    uint32_t reserved[32];
} nlp_generation_spec;

#endif
