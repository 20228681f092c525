/* gate.h: what a precision costs, measured against the f32 pack on the built-in texts: of a model that
 * writes the likelihood of the next token, of another the direction of its vectors. */
#ifndef NLP_IMPORTER_GATE_H
#define NLP_IMPORTER_GATE_H

#include "nlp.h"

typedef struct nlp_gate {
    bool passed;
    uint32_t n_texts;
    /* vectors; passed: mean of the plain sentences >= 0.998, min of all built-in texts >= 0.99 */
    double mean_cosine, min_cosine;
    /* next tokens of the plain sentences; passed: the mean of -ln p grows by at most 0.5 %, and so
     * does its expectation over texts that the f32 pack would write (the Kullback-Leibler
     * divergence) */
    uint32_t n_tokens;           /* 0: vectors alone were compared */
    double reference_loss, loss; /* mean of -ln p; e to it is the perplexity */
    double divergence;           /* mean, in the same unit */
} nlp_gate;

/* Compares two packs in memory: vectors where the model does not write, or where they are asked for.
 * A seq2seq writes its source: the decoder reads the text that the encoder has seen, and gives the
 * likelihood of each of its tokens. */
nlp_status nlp_gate_measure(const void *reference, size_t reference_bytes, const void *pack,
                            size_t pack_bytes, bool vectors, const nlp_stop *stop, nlp_gate *gate,
                            nlp_error *err);

#endif
