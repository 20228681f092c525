/* pack_format.h: the one file format of the runtime. All integers little-endian, all offsets from
 * the file's start.
 *
 *   header        256 bytes at 0, in the first page of 4096 bytes, the rest of which is zero
 *   sections      table of nlp_pack_section (64 bytes each) at sections_offset (= 4096)
 *   data          each section 64-byte aligned, gaps are zero, nothing behind the last
 *
 * digest       SHA-256 of the whole file, with the two digest fields taken as zeros: the pack's
 *              identity
 * meta_digest  SHA-256 of the header, digest fields as zeros, and the section table: checked at
 *              every open
 *
 * Sections (name, content):
 *   "spec"       nlp_arch_spec (model/spec.h)                       full packs
 *   "tensors"    nlp_pack_tensor table, sorted by name
 *   "weights"    what the tensor table points into
 *   "tokenizer"  compiled tokenizer (text/tokenizer_format.h)        full packs
 *   "decoder.tokenizer"  of a seq2seq whose languages have vocabularies of their own
 *   "pipeline"   nlp_pooling_spec (model/spec.h)                     embedders
 *   "head"       nlp_head_spec (model/spec.h)                        classifiers and task packs
 *   "labels"     strings, one per class
 *   "prompts"    strings in pairs: name, prompt
 *   "meta"       strings in pairs: key, text: "name" "family" "tasks" "languages" "licence"
 *                "description" "source" "importer" "accuracy" "training" ...; shown by `nlp
 *                inspect`, never needed to compute
 *
 * A string list is: u32 count, then count x {u32 offset, u32 bytes} (offsets from the section's
 * start), then the bytes.
 *
 * kind 1, full: stands alone. kind 2, task: a head on the base named by base_digest. */
#ifndef NLP_PACK_FORMAT_H
#define NLP_PACK_FORMAT_H

#include <stdint.h>

#define NLP_PACK_MAGIC        "\x89NLPpk\r\n" /* 8 bytes */
#define NLP_PACK_VERSION      1u
#define NLP_PACK_BYTE_ORDER   0x01020304u
#define NLP_LAYOUT_ID         1u /* panels of quant.h */
#define NLP_NUMERICS          1u /* number of the numeric contract: other bits, other number */
#define NLP_PACK_PAGE_BYTES   4096u
#define NLP_PACK_ALIGNMENT    64u
#define NLP_PACK_MAX_SECTIONS 64u
#define NLP_PACK_MAX_TENSORS  65536u

enum { NLP_PACK_FULL = 1, NLP_PACK_TASK = 2 };

typedef struct nlp_pack_header {
    uint8_t magic[8];
    uint32_t version, byte_order, layout_id, numerics;
    uint64_t file_bytes;
    uint32_t kind, precision; /* precision: nlp_dtype of most products */
    uint64_t sections_offset;
    uint32_t n_sections, reserved0;
    uint8_t base_digest[32]; /* zero for a full pack */
    uint8_t reserved[104];   /* zero */
    uint8_t meta_digest[32];
    uint8_t digest[32];
} nlp_pack_header;

typedef struct nlp_pack_section {
    char name[24]; /* terminated, zero-filled */
    uint64_t offset, n_bytes;
    uint8_t reserved[24];
} nlp_pack_section;

typedef struct nlp_pack_tensor {
    char name[64];   /* terminated: "layer.0.attention.qkv" */
    uint32_t dtype;  /* nlp_dtype */
    uint32_t layout; /* NLP_TENSOR_* */
    uint32_t grid;   /* nlp_grid, for panels of i8 */
    uint32_t reserved0;
    uint64_t rows, columns;   /* panels: n, k. plain and s8 rows: rows, width */
    uint64_t offset, n_bytes; /* inside the "weights" section; offset 64-byte aligned */
    uint8_t reserved[16];
} nlp_pack_tensor;

enum {
    NLP_TENSOR_PLAIN = 0,  /* rows x columns f32, row-major */
    NLP_TENSOR_PANELS = 1, /* quant.h */
    NLP_TENSOR_S8_ROWS = 2 /* rows f32 scales, padded to 64 bytes, then rows x columns s8 */
};

_Static_assert(sizeof(nlp_pack_header) == 256, "header");
_Static_assert(sizeof(nlp_pack_section) == 64, "section");
_Static_assert(sizeof(nlp_pack_tensor) == 128, "tensor");

#endif
