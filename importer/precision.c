/* precision.c: number formats of a pack, and of each product in it. */
#include "precision.h"

#include <string.h>

#include "assembly.h"

static const struct {
    const char *name;
    nlp_dtype dtype;
} precisions[] = {
    {"f32", NLP_F32}, {"i16", NLP_I16}, {"i8", NLP_I8}, {"q4", NLP_Q4}, {"q4m", NLP_Q4M}};
enum { N_PRECISIONS = sizeof precisions / sizeof *precisions };

const char *nlp_precision_name(nlp_dtype precision) {
    for (size_t i = 0; i < N_PRECISIONS; i++)
        if (precisions[i].dtype == precision) return precisions[i].name;
    return "?";
}

nlp_status nlp_precision_find(const char *name, nlp_dtype *precision, nlp_error *err) {
    for (size_t i = 0; i < N_PRECISIONS; i++)
        if (!strcmp(precisions[i].name, name)) {
            *precision = precisions[i].dtype;
            return NLP_OK;
        }
    return nlp_fail(err, NLP_EINVAL, "the precision is f32, i16, i8, q4 or q4m, not %.16s", name);
}

/* ---- Order of trying ---- */

/* Most of the weights have minima of their own, so that a grid without them would lose. */
static bool has_minima(const nlp_source *source) {
    uint64_t with = 0, all = 0;
    for (size_t i = 0; i < source->n_tensors; i++) {
        const nlp_source_tensor *t = &source->tensors[i];
        all += t->n_elements;
        if (t->dtype == NLP_SOURCE_Q4_1 || t->dtype == NLP_SOURCE_Q4_K) with += t->n_elements;
    }
    return with > all / 2;
}

size_t nlp_precision_order(const nlp_model_folder *folder, nlp_dtype order[NLP_MAX_PRECISIONS]) {
    size_t n = 0;
    uint32_t kind = folder->stack.spec.kind;
    if (!folder->stack.spec.n_layers) return 0; /* no products */
    if (kind == NLP_KIND_DECODER || kind == NLP_KIND_SEQ2SEQ)
        order[n++] = has_minima(&folder->source) ? NLP_Q4M : NLP_Q4;
    order[n++] = NLP_I8;
    order[n++] = NLP_I16;
    return n;
}

/* ---- A product ---- */

/* Bits of a number of the role's widest source tensor that is stored in blocks; 0: none is. */
static uint32_t block_bits(const assembly *a, const nlp_role *role, const nlp_role_source *s,
                           uint32_t layer) {
    uint32_t most = 0;
    bool words = !strcmp(role->name, "output") && assembly_is_tied(a);
    if (words) s = assembly_source(a, "embedding.word");
    for (size_t i = 0; i < 3 && s->parts[i]; i++) {
        const nlp_source_tensor *t =
            assembly_find(a, s->parts[i], layer, role->per_layer, ".weight");
        uint32_t elements = t ? nlp_source_block_elements(t->dtype) : 1;
        uint32_t bits = elements > 1 ? 8 * nlp_source_block_bytes(t->dtype) / elements : 0;
        most = bits > most ? bits : most;
    }
    return most;
}

/* What an i8 pack has no calibration for, and what is too sensitive for 4 bits, is i16: the output,
 * and tensors that their source keeps in more than 5 bits beside others of 4. */
nlp_dtype assembly_precision(const assembly *a, const nlp_role *role, const nlp_role_source *s,
                             uint32_t layer) {
    nlp_dtype wanted = a->options->precision;
    bool output = !strcmp(role->name, "output");
    if (wanted == NLP_F32 || (!role->per_layer && !output)) return NLP_F32;
    if (wanted == NLP_I8) return quantise_i8_product(role) >= 0 && !*a->prefix ? NLP_I8 : NLP_I16;
    uint32_t bits = block_bits(a, role, s, layer);
    if (wanted == NLP_I16 || bits > 5 || (output && !bits)) return NLP_I16;
    return wanted;
}
