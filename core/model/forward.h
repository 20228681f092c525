/* forward.h: what the files of the forward pass share: one unit on its way through a stack. */
#ifndef NLP_MODEL_FORWARD_H
#define NLP_MODEL_FORWARD_H

#include "model/transformer.h"
#include "nn/attention.h"
#include "nn/position.h"

/* rows of a block of the FFN: its [rows, ffn_size] stays in the second cache level */
enum { NLP_FFN_ROWS = 48 };

/* Scratch of one unit of n tokens; widths in brackets. */
typedef struct workspace {
    float *x, *next;  /* [n, hidden] the residual stream, and what a block makes of it */
    float *y;         /* [n, widest of hidden, queries] a normed input, then attention's output */
    float *wide;      /* [n, widest of qkv, hidden, embedding] a product's output */
    float *up;        /* [FFN_ROWS, up] */
    float *attention; /* of nlp_attend */
    float *cached;    /* [2][keys][keys' width] of a cache, side by side */
    float *row_max;   /* [FFN_ROWS][16] */
    float *q_scales;  /* [n] */
    float *up_scales; /* [FFN_ROWS] */
    float *conv;      /* [n, hidden] where layer 0 has a convolution */
    float *turns;     /* [2 tables][cos, sin][n][pairs] */
    uint8_t *q;       /* [n] rows of nlp_row_bytes, of the widest of hidden, queries */
    uint8_t *up_q;    /* [FFN_ROWS], of the FFN's size */
    float *low, *addend; /* of adapters: [n, rank], and nlp_addend's tile */
} workspace;

typedef struct forward {
    const nlp_stack *stack;
    const nlp_kernels *kernels;
    const nlp_unit *unit;
    const nlp_hooks *hooks;
    nlp_poll *poll;
    nlp_error *err;
    workspace w;
    size_t n, d;
    const nlp_weight *ready; /* the i8 product whose input lies quantised in w.q; NULL: none */
} forward;

/* forward.c */
void forward_trace(const forward *f, const char *point, size_t layer, const float *rows, size_t n,
                   size_t width);
/* rows [n, hidden] to out (may be rows), quantised on the way for an i8 product that follows (next
 * NULL: none does). */
void forward_norm(forward *f, const nlp_norm_weights *weights, const float *rows, float *out,
                  const nlp_weight *next);
/* rows [n, k] as the product takes them: unless it is f32 they are quantised, where a norm has not
 * done it; an i8 product's are scaled for it in w.y (which may be rows). */
nlp_rows forward_rows(forward *f, const nlp_weight *weight, float *rows);
nlp_status forward_product(const forward *f, const nlp_weight *weight, size_t n,
                           const nlp_rows *rows, const nlp_epilogue *epilogue, float *out);
/* The same with what an adapter makes of the rows. */
nlp_status forward_adapted(const forward *f, const nlp_weight *weight, const nlp_adapter *adapter,
                           size_t n, const nlp_rows *rows, const nlp_epilogue *epilogue,
                           float *out);
size_t forward_position(const forward *f, size_t text); /* of its first row in this unit */

void forward_advance(forward *f); /* w.next becomes the stream */

/* embedding.c: w.x = the embeddings of all tokens. */
nlp_status forward_embed(forward *f);
/* self_attention.c: w.x += attention of layer `index`. */
nlp_status forward_self_attention(forward *f, const nlp_layer *layer, size_t index);
nlp_status forward_cross_attention(forward *f, const nlp_layer *layer, size_t index);
/* Cosines and sines of all rows, once a unit. */
void forward_turns(forward *f);
/* recurrence.c: the same place in a Marian decoder. */
nlp_status forward_recurrence(forward *f, const nlp_layer *layer, size_t index);
/* ffn.c */
nlp_status forward_ffn(forward *f, const nlp_layer *layer, size_t index);

#endif
