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

/* Bits of a number, scales included. */
static uint32_t bits_of(nlp_source_dtype dtype) {
    return 8 * nlp_source_block_bytes(dtype) / nlp_source_block_elements(dtype);
}

static bool is_narrow(nlp_source_dtype dtype) {
    return nlp_source_block_elements(dtype) > 1 && bits_of(dtype) <= 5;
}

static bool has_minima(nlp_source_dtype dtype) {
    return dtype == NLP_SOURCE_Q4_1 || dtype == NLP_SOURCE_Q4_K;
}

/* More than half of the source's matrices are of such a type; a table of words may be larger than all
 * of them, and counts once. */
static bool most_are(const nlp_source *source, bool (*of)(nlp_source_dtype)) {
    size_t with = 0, all = 0;
    for (size_t i = 0; i < source->n_tensors; i++) {
        const nlp_source_tensor *t = &source->tensors[i];
        all += t->n_dims == 2;
        with += t->n_dims == 2 && of(t->dtype);
    }
    return with > all / 2;
}

size_t nlp_precision_order(const nlp_model_folder *folder, nlp_dtype order[NLP_MAX_PRECISIONS]) {
    size_t n = 0;
    uint32_t kind = folder->stack.spec.kind;
    if (!folder->stack.spec.n_layers) return 0; /* no products */
    if (kind == NLP_KIND_DECODER || kind == NLP_KIND_SEQ2SEQ)
        order[n++] = most_are(&folder->source, has_minima) ? NLP_Q4M : NLP_Q4;
    order[n++] = NLP_I8;
    order[n++] = NLP_I16;
    return n;
}

/* ---- A product ---- */

/* All parts of the role are stored in 4 bits. */
static bool role_is_narrow(const assembly *a, const nlp_role *role, const nlp_role_source *s,
                           uint32_t layer) {
    if (!strcmp(role->name, "output") && assembly_is_tied(a))
        s = assembly_source(a, "embedding.word");
    for (size_t i = 0; i < 3 && s->parts[i]; i++) {
        const nlp_source_tensor *t =
            assembly_find(a, s->parts[i], layer, role->per_layer, ".weight");
        if (t && !is_narrow(t->dtype)) return false;
    }
    return true;
}

/* What can't be i8: a product without a calibration, and FFN down of a decoder with a gate, whose
 * inputs have outliers that one scale a row does not bear. */
static bool is_i8(const assembly *a, const nlp_role *role) {
    const nlp_arch_spec *spec = &a->config->spec;
    bool outliers =
        spec->kind == NLP_KIND_DECODER && spec->gated && !strcmp(role->name, "ffn.down");
    return quantise_i8_product(role) >= 0 && !*a->prefix && !outliers;
}

/* What is too sensitive for the pack's precision is i16: in 8 bits see above, in 4 the output (unless
 * its source has 4) and what a source of 4 bits keeps in more. */
nlp_dtype assembly_precision(const assembly *a, const nlp_role *role, const nlp_role_source *s,
                             uint32_t layer) {
    nlp_dtype wanted = a->options->precision;
    bool output = !strcmp(role->name, "output");
    if (wanted == NLP_F32 || (!role->per_layer && !output)) return NLP_F32;
    if (wanted == NLP_I8) return is_i8(a, role) ? NLP_I8 : NLP_I16;
    if (wanted == NLP_I16) return NLP_I16;
    bool sensitive = output || most_are(&a->folder->source, is_narrow);
    return sensitive && !role_is_narrow(a, role, s, layer) ? NLP_I16 : wanted;
}
