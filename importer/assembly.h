/* assembly.h: what the files that fill a pack share. */
#ifndef NLP_IMPORTER_ASSEMBLY_H
#define NLP_IMPORTER_ASSEMBLY_H

#include "assemble.h"

/* One stack of the folder on its way into the pack. */
typedef struct assembly {
    nlp_model_folder *folder;
    const nlp_assemble_options *options;
    nlp_pack_writer *writer;
    nlp_error *err;
    const nlp_stack_source *source;
    const nlp_stack_config *config;
    const char *prefix; /* of names in the pack: "" or "decoder." */
} assembly;

/* Weights as the kernels think of them: w [n, k] row-major, outputs in rows, and bias [n]. */
typedef struct matrix {
    float *w, *bias;
    size_t n, k;
} matrix;

/* ---- source_roles.c: from tensors of the source ---- */

/* The tensor of a part ("a|b": the first that is there), in a layer; NULL where there is none. */
nlp_source_tensor *assembly_find(const assembly *a, const char *part, uint32_t layer,
                                 bool per_layer, const char *ending);
/* Its numbers, which must be rows x columns of them (columns 0: one dimension). */
nlp_status assembly_read(const assembly *a, nlp_source_tensor *tensor, const char *name,
                         uint64_t rows, uint64_t columns, float *out);
nlp_status matrix_alloc(const assembly *a, matrix *m, size_t n, size_t k);
void matrix_free(const assembly *a, matrix *m);
/* All parts of a role, turned into the order of the pack. */
nlp_status matrix_read(const assembly *a, const nlp_role *role, const nlp_role_source *source,
                       uint32_t layer, matrix *m);
/* Outputs of one part of a role. */
size_t assembly_part_rows(const assembly *a, const nlp_role *role, size_t n_parts, size_t part);
const nlp_role_source *assembly_source(const assembly *a, const char *role); /* or NULL */
bool assembly_is_tied(const assembly *a); /* the output takes the words */

/* ---- assemble.c ---- */

/* Memory of the writer; NULL on a failure, which is sticky there. */
void *assembly_tensor(const assembly *a, const char *name, nlp_dtype dtype, uint32_t layout,
                      nlp_grid grid, uint64_t rows, uint64_t columns);
void assembly_write_f32(const assembly *a, const char *name, const matrix *m);
/* The folder's head, if it has one; labels, prompts, and what the pack says of itself. */
nlp_status assembly_write_head(const assembly *a);
void assembly_write_texts(const assembly *a);

/* ---- precision.c ---- */

/* Number format of a product, where the pack's precision allows it. */
nlp_dtype assembly_precision(const assembly *a, const nlp_role *role, const nlp_role_source *source,
                             uint32_t layer);

/* ---- quantise_i8.c ---- */

/* Number of the product among the calibrated ones, or -1. */
int quantise_i8_product(const nlp_role *role);
/* Product number `product` of a layer as i8 panels, with its factors. */
nlp_status quantise_i8_write(const assembly *a, uint32_t layer, size_t product,
                             const char *pack_name, const matrix *m);

/* ---- computed_roles.c: tensors that no source holds ---- */

/* A family's sinusoids are computed, unless the source has its table: then that is what the model was
 * run with, rounded or not. */
bool assembly_computes_positions(const assembly *a);
/* Frequencies, sinusoids, relative biases and DeBERTa's relative keys, as the spec asks. */
nlp_status computed_roles_write(const assembly *a);
/* deberta_keys.c */
nlp_status deberta_keys_write(const assembly *a);

#endif
