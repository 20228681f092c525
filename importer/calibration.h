/* calibration.h: what the inputs of each product look like over a fixed text, measured with the f32
 * pack. From it come the channel factors and the bias correction of i8. */
#ifndef NLP_IMPORTER_CALIBRATION_H
#define NLP_IMPORTER_CALIBRATION_H

#include "base/arena.h"
#include "nlp.h"

/* Inputs of the four products of a layer, in the order of nlp_calibration_points. */
enum { NLP_CALIBRATED_PRODUCTS = 4 };
/* "attention.qkv" ... as tensors are named */
extern const char *const nlp_calibration_points[NLP_CALIBRATED_PRODUCTS];

typedef struct nlp_channel_stats {
    size_t width;
    float *top;     /* [width] largest |x| */
    float *highest; /* [width] largest x */
    double *sum;    /* [width] */
    uint64_t n_rows;
} nlp_channel_stats;

typedef struct nlp_calibration {
    uint32_t n_layers;
    nlp_channel_stats *stats; /* [n_layers][NLP_CALIBRATED_PRODUCTS] */
    nlp_arena *arena;
    bool failed;
} nlp_calibration;

/* The built-in texts: those that serve the factors, odd ones among them, and plain sentences for
 * the gate (gate.h). */
extern const char *const nlp_calibration_texts[], *const nlp_gate_texts[];
extern const size_t nlp_n_calibration_texts, nlp_n_gate_texts;

/* Runs a pack (in memory) over the built-in texts. */
nlp_status nlp_calibrate(const void *pack, size_t pack_bytes, nlp_arena *arena,
                         const nlp_stop *stop, nlp_calibration *calibration, nlp_error *err);

#endif
