/* roles.c: the table of tensors. */
#include "model/roles.h"

#include <string.h>

#include "model/binding.h"

#define STACK(field) offsetof(nlp_stack, field)
#define LAYER(field) offsetof(nlp_layer, field)
#define SIZE(name)   NLP_SIZE_##name

const nlp_role nlp_roles[] = {
    /* name, kind, per layer, optional, rows, columns, place */
    {"embedding.word", NLP_ROLE_TABLE, 0, 0, SIZE(VOCABULARY), SIZE(EMBEDDING), STACK(word)},
    {"embedding.position", NLP_ROLE_TABLE, 0, 0, SIZE(POSITIONS), SIZE(EMBEDDING), STACK(position)},
    {"embedding.type", NLP_ROLE_TABLE, 0, 0, SIZE(TYPES), SIZE(EMBEDDING), STACK(type)},
    {"embedding.norm", NLP_ROLE_NORM, 0, 0, SIZE(ONE), SIZE(EMBEDDING_NORM), STACK(embedding_norm)},
    {"embedding.project", NLP_ROLE_LINEAR, 0, 0, SIZE(PROJECTED), SIZE(EMBEDDING), STACK(project)},
    {"rope.0", NLP_ROLE_PLAIN, 0, 0, SIZE(ONE), SIZE(ROTARY), STACK(rope[0])},
    {"rope.1", NLP_ROLE_PLAIN, 0, 1, SIZE(ONE), SIZE(ROTARY_LONG), STACK(rope[1])},
    {"attention.bias", NLP_ROLE_PLAIN, 0, 1, SIZE(RELATIVE_HEADS), SIZE(DISTANCES), STACK(bias)},
    {"attention.slopes", NLP_ROLE_PLAIN, 0, 0, SIZE(ONE), SIZE(ALIBI_HEADS), STACK(slopes)},
    {"attention.buckets", NLP_ROLE_PLAIN, 0, 0, SIZE(ONE), SIZE(BUCKETS), STACK(buckets)},
    {"convolution", NLP_ROLE_LINEAR, 0, 0, SIZE(CONVOLUTION), SIZE(CONVOLUTION_IN), STACK(conv)},
    {"convolution.norm", NLP_ROLE_NORM, 0, 0, SIZE(ONE), SIZE(CONVOLUTION), STACK(conv_norm)},

    {"recurrence.input", NLP_ROLE_LINEAR, 1, 0, SIZE(RECURRENT), SIZE(HIDDEN), LAYER(input)},
    {"recurrence.forget", NLP_ROLE_LINEAR, 1, 0, SIZE(RECURRENT), SIZE(HIDDEN), LAYER(forget)},
    {"attention.qkv", NLP_ROLE_LINEAR, 1, 0, SIZE(QKV), SIZE(HIDDEN), LAYER(qkv)},
    {"attention.q_norm", NLP_ROLE_NORM, 1, 1, SIZE(ONE), SIZE(HEAD), LAYER(q_norm)},
    {"attention.k_norm", NLP_ROLE_NORM, 1, 1, SIZE(ONE), SIZE(HEAD), LAYER(k_norm)},
    {"attention.layer_bias", NLP_ROLE_PLAIN, 1, 1, SIZE(RELATIVE_HEADS), SIZE(DISTANCES),
     LAYER(bias)},
    {"attention.out", NLP_ROLE_LINEAR, 1, 0, SIZE(ATTENTIVE), SIZE(QUERIES), LAYER(attention_out)},
    {"attention.norm", NLP_ROLE_NORM, 1, 1, SIZE(ONE), SIZE(HIDDEN), LAYER(attention_norm)},
    {"attention.post_norm", NLP_ROLE_NORM, 1, 0, SIZE(ONE), SIZE(POST_NORM),
     LAYER(attention_post_norm)},
    {"cross.q", NLP_ROLE_LINEAR, 1, 0, SIZE(CROSS), SIZE(HIDDEN), LAYER(cross_q)},
    {"cross.kv", NLP_ROLE_LINEAR, 1, 0, SIZE(CROSS_KV), SIZE(MEMORY), LAYER(cross_kv)},
    {"cross.out", NLP_ROLE_LINEAR, 1, 0, SIZE(CROSS_HIDDEN), SIZE(QUERIES), LAYER(cross_out)},
    {"cross.norm", NLP_ROLE_NORM, 1, 0, SIZE(ONE), SIZE(CROSS_HIDDEN), LAYER(cross_norm)},
    {"ffn.up", NLP_ROLE_LINEAR, 1, 0, SIZE(UP), SIZE(HIDDEN), LAYER(ffn_up)},
    {"ffn.down", NLP_ROLE_LINEAR, 1, 0, SIZE(HIDDEN), SIZE(FFN), LAYER(ffn_down)},
    {"ffn.norm", NLP_ROLE_NORM, 1, 0, SIZE(ONE), SIZE(HIDDEN), LAYER(ffn_norm)},
    {"ffn.post_norm", NLP_ROLE_NORM, 1, 0, SIZE(ONE), SIZE(POST_NORM), LAYER(ffn_post_norm)},

    {"final_norm", NLP_ROLE_NORM, 0, 0, SIZE(ONE), SIZE(FINAL_NORM), STACK(final_norm)},
    {"output", NLP_ROLE_LINEAR, 0, 0, SIZE(OUTPUTS), SIZE(HIDDEN), STACK(output)},
    {0},
};

const nlp_role *nlp_role_find(const char *name) {
    for (const nlp_role *role = nlp_roles; role->name; role++)
        if (!strcmp(role->name, name)) return role;
    return NULL;
}

static uint32_t attention_size(const nlp_arch_spec *s, nlp_size size) {
    uint32_t queries = s->n_heads * s->head_dim, keys = s->n_kv_heads * s->head_dim;
    switch (size) {
    case NLP_SIZE_HEAD:
        return s->head_dim;
    case NLP_SIZE_QUERIES:
        return queries;
    case NLP_SIZE_QKV:
        return s->recurrence ? 0 : queries + 2 * keys;
    case NLP_SIZE_CROSS:
        return s->memory_width ? queries : 0;
    case NLP_SIZE_CROSS_KV:
        return s->memory_width ? 2 * queries : 0;
    case NLP_SIZE_RELATIVE_HEADS:
        return s->bias == NLP_BIAS_RELATIVE ? s->n_heads : 0;
    case NLP_SIZE_ALIBI_HEADS:
        return s->bias == NLP_BIAS_ALIBI ? s->n_heads : 0;
    case NLP_SIZE_DISTANCES:
        return 2 * s->bias_reach + 1;
    case NLP_SIZE_BUCKETS:
        return s->bias == NLP_BIAS_DISENTANGLED ? 2 * s->bias_reach + 1 : 0;
    case NLP_SIZE_ROTARY:
    case NLP_SIZE_ROTARY_LONG:
        return s->position == NLP_POSITION_ROPE ? s->rotary_dim / 2 : 0;
    default:
        return 0;
    }
}

static uint32_t embedding_size(const nlp_arch_spec *s, nlp_size size) {
    uint32_t width = s->embedding_width ? s->embedding_width : s->hidden_size;
    switch (size) {
    case NLP_SIZE_VOCABULARY:
        return s->vocabulary;
    case NLP_SIZE_POSITIONS:
        return s->position == NLP_POSITION_LEARNED ? s->n_positions : 0;
    case NLP_SIZE_TYPES:
        return s->n_types;
    case NLP_SIZE_EMBEDDING:
        return width;
    case NLP_SIZE_PROJECTED:
        return s->embedding_width ? s->hidden_size : 0;
    case NLP_SIZE_EMBEDDING_NORM:
        if (!s->embedding_norm) return 0;
        return s->embedding_norm == NLP_EMBEDDING_NORM_LAST ? s->hidden_size : width;
    default:
        return attention_size(s, size);
    }
}

uint32_t nlp_size_of(const nlp_arch_spec *s, nlp_size size) {
    switch (size) {
    case NLP_SIZE_ONE:
        return 1;
    case NLP_SIZE_HIDDEN:
        return s->hidden_size;
    case NLP_SIZE_UP:
        return s->gated ? 2 * s->ffn_size : s->ffn_size;
    case NLP_SIZE_FFN:
        return s->ffn_size;
    case NLP_SIZE_POST_NORM:
        return s->norm_place == NLP_PLACE_SANDWICH ? s->hidden_size : 0;
    case NLP_SIZE_FINAL_NORM:
        return s->norm_place == NLP_PLACE_POST ? 0 : s->hidden_size;
    case NLP_SIZE_CROSS_HIDDEN:
        return s->memory_width ? s->hidden_size : 0;
    case NLP_SIZE_MEMORY:
        return s->memory_width;
    case NLP_SIZE_RECURRENT:
        return s->recurrence ? s->hidden_size : 0;
    case NLP_SIZE_ATTENTIVE:
        return s->recurrence ? 0 : s->hidden_size;
    case NLP_SIZE_OUTPUTS:
        return s->n_outputs;
    case NLP_SIZE_CONVOLUTION:
        return s->convolution ? s->hidden_size : 0;
    case NLP_SIZE_CONVOLUTION_IN:
        return 3 * s->hidden_size;
    default:
        return embedding_size(s, size);
    }
}
