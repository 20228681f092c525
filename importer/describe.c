/* describe.c: a pack's contents as facts, for `nlp inspect`. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mapfile.h"
#include "describe.h"
#include "nlp_import.h"

void tell(const teller *t, const char *group, const char *key, const char *format, ...) {
    char value[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    t->fact(t->context, group, key, value);
}

static const char *dtype_name(uint32_t dtype) {
    static const char *const names[] = {"f32", "i8", "i16", "q4", "s8 rows", "q4m"};
    return dtype < sizeof names / sizeof *names ? names[dtype] : "?";
}

static void tell_header(const teller *t, const nlp_pack *pack) {
    char hex[NLP_SHA256_HEX_BYTES];
    const nlp_pack_header *h = pack->header;
    nlp_hex(h->digest, sizeof h->digest, hex);
    tell(t, "pack", "digest", "%s", hex);
    tell(t, "pack", "kind", "%s", h->kind == NLP_PACK_FULL ? "full" : "task");
    if (h->kind == NLP_PACK_TASK) {
        nlp_hex(h->base_digest, sizeof h->base_digest, hex);
        tell(t, "pack", "base digest", "%s", hex);
    }
    tell(t, "pack", "precision", "%s", dtype_name(h->precision));
    tell(t, "pack", "bytes", "%llu", (unsigned long long)h->file_bytes);
    tell(t, "pack", "format", "version %u, layout %u, numerics %u", h->version, h->layout_id,
         h->numerics);
    for (uint32_t i = 0; i < h->n_sections; i++)
        tell(t, "section", pack->sections[i].name, "%llu bytes at %llu",
             (unsigned long long)pack->sections[i].n_bytes,
             (unsigned long long)pack->sections[i].offset);
}

static void tell_pairs(const teller *t, const nlp_pack *pack, const char *section,
                       const char *group) {
    for (uint32_t i = 0; i + 1 < nlp_pack_strings_count(pack, section); i += 2) {
        nlp_span key = nlp_pack_string(pack, section, i),
                 text = nlp_pack_string(pack, section, i + 1);
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)key.n_bytes, (const char *)key.bytes);
        tell(t, group, name, "%.*s", (int)text.n_bytes, (const char *)text.bytes);
    }
}

static void tell_all(const teller *t, const nlp_pack *pack) {
    tell_header(t, pack);
    tell_pairs(t, pack, "meta", "meta");
    describe_model(t, pack);
    describe_tokenizer(t, pack, "tokenizer");
    describe_tokenizer(t, pack, "decoder.tokenizer");
    tell_pairs(t, pack, "prompts", "prompt");
    for (uint32_t i = 0; i < nlp_pack_strings_count(pack, "labels"); i++) {
        nlp_span label = nlp_pack_string(pack, "labels", i);
        char key[16];
        snprintf(key, sizeof key, "%u", i);
        tell(t, "label", key, "%.*s", (int)label.n_bytes, (const char *)label.bytes);
    }
    for (size_t i = 0; i < pack->n_tensors; i++)
        tell(t, "tensor", pack->tensors[i].name, "%s %llu x %llu, %llu bytes",
             dtype_name(pack->tensors[i].dtype), (unsigned long long)pack->tensors[i].rows,
             (unsigned long long)pack->tensors[i].columns,
             (unsigned long long)pack->tensors[i].n_bytes);
}

nlp_status nlp_pack_describe(const char *path,
                             void (*fact)(void *context, const char *group, const char *key,
                                          const char *value),
                             void *context, nlp_error *err) {
    teller t = {.fact = fact, .context = context};
    int fd;
    uint64_t n_bytes;
    nlp_map map = {0};
    nlp_pack pack;
    NLP_TRY(nlp_file_open(path, &fd, &n_bytes, err));
    nlp_status status = nlp_map_file(fd, (size_t)n_bytes, &map, err);
    nlp_file_close(fd);
    if (status == NLP_OK) status = nlp_pack_open(map.bytes, map.n_bytes, &pack, err);
    if (status == NLP_OK) tell_all(&t, &pack);
    nlp_map_close(&map);
    return status;
}
