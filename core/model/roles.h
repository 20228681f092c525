/* roles.h: every tensor that a pack may hold, by role: its name, its shape as a function of the
 * spec, its place in the bound model. One table, read by the importer (which writes the roles) and
 * by binding.c (which finds and checks them), so the two can't differ. */
#ifndef NLP_MODEL_ROLES_H
#define NLP_MODEL_ROLES_H

#include <stdbool.h>
#include <stddef.h>

#include "model/spec.h"

/* A dimension of a tensor; nlp_size_of gives 0 where the spec has no such part, and then the role
 * is absent. */
typedef enum nlp_size {
    NLP_SIZE_ONE,
    NLP_SIZE_VOCABULARY,
    NLP_SIZE_POSITIONS, /* of a learned table */
    NLP_SIZE_TYPES,
    NLP_SIZE_EMBEDDING,      /* width of the embedding tables */
    NLP_SIZE_EMBEDDING_NORM, /* width of the norm behind them */
    NLP_SIZE_PROJECTED,      /* hidden size where the tables are narrower or wider */
    NLP_SIZE_HIDDEN,
    NLP_SIZE_HEAD,    /* numbers of one head */
    NLP_SIZE_QUERIES, /* all heads */
    NLP_SIZE_QKV,     /* queries, then keys and values of the key heads */
    NLP_SIZE_UP,      /* FFN size, twice with a gate */
    NLP_SIZE_FFN,
    NLP_SIZE_POST_NORM,  /* hidden size where norms stand behind the blocks too */
    NLP_SIZE_FINAL_NORM, /* hidden size where a norm ends the stack */
    NLP_SIZE_CROSS,      /* queries of cross attention */
    NLP_SIZE_CROSS_KV,
    NLP_SIZE_CROSS_HIDDEN, /* hidden size where there is cross attention */
    NLP_SIZE_MEMORY,
    NLP_SIZE_RECURRENT, /* hidden size where an SSRU stands for self attention */
    NLP_SIZE_ATTENTIVE, /* hidden size where there is self attention */
    NLP_SIZE_OUTPUTS,
    NLP_SIZE_RELATIVE_HEADS, /* heads of a relative bias */
    NLP_SIZE_ALIBI_HEADS,
    NLP_SIZE_DISTANCES,     /* 2 * reach + 1 */
    NLP_SIZE_BUCKETS,       /* the same, of a disentangled bias */
    NLP_SIZE_ROTARY,        /* pairs that turn */
    NLP_SIZE_ROTARY_LONG,   /* the same, of the second table */
    NLP_SIZE_CONVOLUTION,   /* hidden size where layer 0 has a convolution */
    NLP_SIZE_CONVOLUTION_IN /* three tokens of it */
} nlp_size;

typedef enum nlp_role_kind {
    NLP_ROLE_TABLE, /* rows that are looked up: f32 plain, or s8 rows */
    NLP_ROLE_PLAIN, /* f32 plain */
    NLP_ROLE_NORM,  /* NAME.gain, and NAME.bias where the norm is LayerNorm: f32 plain */
    NLP_ROLE_LINEAR /* panels with their bias; for i8 also NAME.factors */
} nlp_role_kind;

typedef struct nlp_role {
    const char *name; /* with per_layer behind "layer.N." */
    nlp_role_kind kind;
    bool per_layer;
    bool optional; /* a model of the family may lack it, or single layers may */
    nlp_size rows, columns;
    size_t place; /* offset in nlp_stack, per_layer in nlp_layer */
} nlp_role;

extern const nlp_role nlp_roles[]; /* ended by a NULL name */

const nlp_role *nlp_role_find(const char *name); /* NULL where there is none */
/* At most 2^27: a product of two fits 64 bits. The spec must have passed nlp_spec_check. */
uint32_t nlp_size_of(const nlp_arch_spec *spec, nlp_size size);

#endif
