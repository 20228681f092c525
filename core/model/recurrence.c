/* recurrence.c: the Simpler Simple Recurrent Unit of Marian's small decoders (Kim and others 2019,
 * "From Research to Production and Back", section 3.1), in the place of self attention:
 *
 *     f = sigmoid(Wf x + bf);  c = f * c + (1 - f) * (W x);  x = N(x + relu(c))
 */
#include <string.h>

#include "model/forward.h"

/* One token: forget [d] and input [d] become the new state; the stream takes relu of it. */
static void step(const forward *f, float *forget, const float *input, float *state, float *x) {
    f->kernels->activate(forget, f->d, NLP_ACT_SIGMOID);
    for (size_t i = 0; i < f->d; i++) {
        state[i] = forget[i] * state[i] + (1 - forget[i]) * input[i];
        x[i] += state[i] > 0 ? state[i] : 0;
    }
}

nlp_status forward_recurrence(forward *f, const nlp_layer *layer, size_t index) {
    float *forget = f->w.wide, *input = f->w.y;
    if (!f->unit->caches)
        return nlp_fail(f->err, NLP_EINTERNAL, "a recurrence ran without its state");
    nlp_rows rows = forward_rows(f, &layer->forget, f->w.x);
    NLP_TRY(forward_product(f, &layer->forget, f->n, &rows, NULL, forget));
    rows = forward_rows(f, &layer->input, f->w.x);
    NLP_TRY(forward_product(f, &layer->input, f->n, &rows, NULL, input));
    size_t row = 0;
    for (size_t text = 0; text < f->unit->n_texts; text++) {
        nlp_kv_cache *cache = f->unit->caches[text];
        for (size_t t = 0; t < f->unit->lengths[text]; t++, row++)
            step(f, forget + row * f->d, input + row * f->d, cache->states + index * f->d,
                 f->w.x + row * f->d);
    }
    return NLP_OK;
}
