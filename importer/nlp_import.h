/* nlp_import.h: foreign model files -> one pack. Linked by the command line only: a database
 * process never parses a foreign file. Deterministic: same source, same version, same precision
 * give the same bytes on every CPU. */
#ifndef NLP_IMPORT_H
#define NLP_IMPORT_H

#include "nlp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nlp_import_options {
    uint32_t struct_size;
    const char *source;    /* a model folder, or a file inside one */
    const char *out;       /* path of the pack */
    const char *name;      /* written into the pack's meta; NULL: from out */
    const char *precision; /* "f32" "i16" "i8" "q4" "q4m"; NULL: the fastest that passes the gate */
    const char *pooling;   /* "mean" "cls" "max" "last"; NULL: what the folder says */
    const char *chat_template; /* "chatml" ..., "none"; NULL: the folder's, by its marks */
    const char *base; /* path of the pack that a folder with an adapter stands on; else NULL */
    /* extra meta pairs "key=text\n...", may be NULL: licence, languages, description, source */
    const char *meta;
    /* an existing pack of other bytes is renamed to NAME@HEX8.nlp first; without: an error */
    bool replace;
    nlp_stop stop;
    void (*progress)(void *context, const char *step, double fraction); /* may be NULL */
    void *progress_context;
} nlp_import_options;

/* A precision against f32 on the built-in texts: of a model that writes, its next tokens; of another
 * (n_tokens 0), or one with a pooling of its own, its vectors (else mean_cosine is 0). */
typedef struct nlp_import_accuracy {
    char precision[8];
    bool passed;
    uint32_t n_texts, n_tokens;
    double mean_cosine, min_cosine;
    /* loss_growth: of the mean of -ln p, 0.001 is 0.1 %; divergence: its expectation over texts that f32
     * would write */
    double reference_perplexity, perplexity, loss_growth, divergence;
} nlp_import_accuracy;

typedef struct nlp_import_report {
    char precision[8], family[32], digest[65];
    uint64_t pack_bytes;
    nlp_import_accuracy
        accuracy[4]; /* in the order of trying; the last is the chosen one's, if any passed */
    uint32_t n_accuracies;
    char notes[1024]; /* lines: dropped tensors, chosen pooling, ... */
} nlp_import_report;

NLP_API nlp_status nlp_import(const nlp_import_options *options, nlp_import_report *report,
                              nlp_error *err);

/* One member of a zip (a wheel), whole, with CRC checked; its SHA-256 must be `sha256_hex` unless
 * that is NULL. Writes to `out` by temporary file and rename. */
NLP_API nlp_status nlp_zip_extract(const char *zip_path, const char *member, const char *sha256_hex,
                                   const char *out, const nlp_stop *stop, nlp_error *err);

/* SHA-256 of a file, lower-case hex. */
NLP_API nlp_status nlp_file_sha256(const char *path, const nlp_stop *stop, char hex[65],
                                   nlp_error *err);
/* A file must have this SHA-256: NLP_ECORRUPT with both otherwise. */
NLP_API nlp_status nlp_file_check(const char *path, const char *sha256_hex, const nlp_stop *stop,
                                  nlp_error *err);

/* Writes a finished pack (of nlp_fit) as nlp_import writes its own: checked, whole or not at all,
 * an existing pack of other bytes kept as NAME@HEX8.nlp with replace, an error without. */
NLP_API nlp_status nlp_pack_save(const char *path, const void *pack, size_t pack_bytes,
                                 bool replace, nlp_error *err);

/* What a pack holds, as facts in groups ("pack", "spec", "tensor", "tokenizer", "label" ...). Texts
 * are borrowed during the callback. */
NLP_API nlp_status nlp_pack_describe(const char *path,
                                     void (*fact)(void *context, const char *group, const char *key,
                                                  const char *value),
                                     void *context, nlp_error *err);

#ifdef __cplusplus
}
#endif
#endif
