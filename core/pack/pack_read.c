/* pack_read.c: any bytes give a status, never a fault. Everything that later code follows without
 * looking again (offsets, sizes, names, string lists) is checked here once. */
#include <string.h>

#include "base/mem.h"
#include "pack/pack.h"
#include "tensor/quant.h"

static bool all_zero(const uint8_t *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++)
        if (bytes[i]) return false;
    return true;
}

static bool terminated(const char *text, size_t capacity) {
    return memchr(text, 0, capacity) != NULL;
}

static nlp_status corrupt(nlp_error *err, const char *what) {
    nlp_fail(err, NLP_ECORRUPT, "the pack is damaged: %s", what);
    nlp_hint(err, "import or pull it again");
    return NLP_ECORRUPT;
}

static nlp_status other_version(nlp_error *err, const char *what, uint32_t has, uint32_t wants) {
    nlp_fail(err, NLP_EUNSUPPORTED, "the pack has %s %u, this library reads %u", what, has, wants);
    nlp_hint(err, "import the model again with this version of nlp");
    return NLP_EUNSUPPORTED;
}

/* ---- Header ---- */

/* What a newer nlp wrote is told apart from damage: the first is no fault of the file, and the
 * hint differs. */
nlp_status nlp_pack_check_header(const void *page, size_t n_bytes, nlp_error *err) {
    nlp_pack_header h;
    if (n_bytes < sizeof h) return corrupt(err, "it is shorter than its header");
    memcpy(&h, page, sizeof h);
    if (memcmp(h.magic, NLP_PACK_MAGIC, sizeof h.magic)) {
        nlp_fail(err, NLP_ECORRUPT, "this is no pack: its first bytes are others");
        nlp_hint(err, "a pack is made by `nlp import` or `nlp pull`");
        return NLP_ECORRUPT;
    }
    if (h.byte_order != NLP_PACK_BYTE_ORDER)
        return corrupt(err, "its byte order is another machine's");
    if (h.version != NLP_PACK_VERSION)
        return other_version(err, "format version", h.version, NLP_PACK_VERSION);
    if (h.layout_id != NLP_LAYOUT_ID)
        return other_version(err, "tensor layout", h.layout_id, NLP_LAYOUT_ID);
    if (h.numerics != NLP_NUMERICS)
        return other_version(err, "numeric contract", h.numerics, NLP_NUMERICS);
    if (h.kind != NLP_PACK_FULL && h.kind != NLP_PACK_TASK)
        return corrupt(err, "its kind is unknown");
    if ((h.kind == NLP_PACK_TASK) == all_zero(h.base_digest, sizeof h.base_digest))
        return corrupt(err, "its kind and its base contradict each other");
    if (h.sections_offset != NLP_PACK_PAGE_BYTES || !h.n_sections ||
        h.n_sections > NLP_PACK_MAX_SECTIONS)
        return corrupt(err, "its section table is out of place");
    if (h.reserved0 || !all_zero(h.reserved, sizeof h.reserved))
        return corrupt(err, "reserved bytes are in use");
    return NLP_OK;
}

/* ---- Digests ---- */

/* A copy of the header without the two digests. */
static nlp_pack_header without_digests(const void *bytes) {
    nlp_pack_header h;
    memcpy(&h, bytes, sizeof h);
    memset(h.meta_digest, 0, sizeof h.meta_digest);
    memset(h.digest, 0, sizeof h.digest);
    return h;
}

void nlp_pack_meta_digest(const void *bytes, uint8_t digest[NLP_SHA256_BYTES]) {
    nlp_sha256 sha;
    nlp_pack_header h = without_digests(bytes);
    nlp_sha256_init(&sha);
    nlp_sha256_update(&sha, &h, sizeof h);
    nlp_sha256_update(&sha, (const uint8_t *)bytes + h.sections_offset,
                      h.n_sections * sizeof(nlp_pack_section));
    nlp_sha256_final(&sha, digest);
}

/* In steps, polling: a pack can be gigabytes. */
nlp_status nlp_pack_digest(const void *bytes, size_t n_bytes, nlp_poll *poll,
                           uint8_t digest[NLP_SHA256_BYTES], nlp_error *err) {
    enum { STEP = 256 * 1024 };
    nlp_sha256 sha;
    if (n_bytes < sizeof(nlp_pack_header)) return corrupt(err, "it is shorter than its header");
    nlp_pack_header h = without_digests(bytes);
    nlp_sha256_init(&sha);
    nlp_sha256_update(&sha, &h, sizeof h);
    for (size_t at = sizeof h; at < n_bytes; at += STEP) {
        nlp_sha256_update(&sha, (const uint8_t *)bytes + at,
                          n_bytes - at < STEP ? n_bytes - at : STEP);
        NLP_TRY(nlp_poll_now(poll, err));
    }
    nlp_sha256_final(&sha, digest);
    return NLP_OK;
}

/* ---- Sections ---- */

/* In ascending order and without overlap, so that no byte is read as two things. */
static nlp_status check_sections(nlp_pack *pack, nlp_error *err) {
    const nlp_pack_header *h = pack->header;
    uint64_t end = h->sections_offset + h->n_sections * sizeof(nlp_pack_section);
    if (end > pack->n_bytes) return corrupt(err, "its section table lies past its end");
    for (uint32_t i = 0; i < h->n_sections; i++) {
        const nlp_pack_section *s = &pack->sections[i];
        if (!terminated(s->name, sizeof s->name) || !*s->name)
            return corrupt(err, "a section has no name");
        for (uint32_t j = 0; j < i; j++)
            if (!strcmp(s->name, pack->sections[j].name))
                return corrupt(err, "a section is there twice");
        if (s->offset % NLP_PACK_ALIGNMENT || s->offset < end || s->offset > pack->n_bytes ||
            s->n_bytes > pack->n_bytes - s->offset)
            return corrupt(err, "a section lies out of place");
        end = s->offset + s->n_bytes;
    }
    return end == pack->n_bytes ? NLP_OK : corrupt(err, "there are bytes behind its last section");
}

nlp_span nlp_pack_section_find(const nlp_pack *pack, const char *name) {
    for (uint32_t i = 0; i < pack->header->n_sections; i++)
        if (!strcmp(pack->sections[i].name, name))
            return (nlp_span){pack->bytes + pack->sections[i].offset,
                              (size_t)pack->sections[i].n_bytes};
    return (nlp_span){0};
}

/* ---- Tensors ---- */

/* The one place that knows how many bytes a type, layout and shape need; reader and writer both
 * ask it. */
nlp_status nlp_tensor_bytes(nlp_dtype dtype, uint32_t layout, uint64_t rows, uint64_t columns,
                            size_t *n_bytes, nlp_error *err) {
    size_t scales;
    const uint64_t limit = (uint64_t)1 << 31;
    bool possible = rows && columns && rows <= limit && columns <= limit;
    if (possible && layout == NLP_TENSOR_PANELS && dtype != NLP_S8_ROWS && dtype <= NLP_Q4M)
        return nlp_panels_bytes(dtype, (size_t)columns, (size_t)rows, n_bytes, err);
    if (possible && layout == NLP_TENSOR_PLAIN && dtype == NLP_F32) {
        if (!nlp_mul_overflows((size_t)rows, (size_t)columns, n_bytes) &&
            !nlp_mul_overflows(*n_bytes, 4, n_bytes))
            return NLP_OK;
    } else if (possible && layout == NLP_TENSOR_S8_ROWS && dtype == NLP_S8_ROWS) {
        scales =
            ((size_t)rows * 4 + NLP_PACK_ALIGNMENT - 1) / NLP_PACK_ALIGNMENT * NLP_PACK_ALIGNMENT;
        if (!nlp_mul_overflows((size_t)rows, (size_t)columns, n_bytes) &&
            !nlp_add_overflows(*n_bytes, scales, n_bytes))
            return NLP_OK;
    }
    return nlp_fail(err, NLP_EUNSUPPORTED,
                    "a tensor of type %d, layout %u and %llu x %llu is not possible", (int)dtype,
                    layout, (unsigned long long)rows, (unsigned long long)columns);
}

/* Sorted names make the search binary and a second tensor of one name impossible. */
static nlp_status check_tensor(const nlp_pack *pack, size_t index, size_t weights_bytes,
                               nlp_error *err) {
    const nlp_pack_tensor *t = &pack->tensors[index];
    size_t n_bytes;
    if (!terminated(t->name, sizeof t->name) || !*t->name)
        return corrupt(err, "a tensor has no name");
    if (index && strcmp(pack->tensors[index - 1].name, t->name) >= 0)
        return corrupt(err, "its tensors are not in order");
    if (t->grid > NLP_GRID_GELU || t->reserved0 || !all_zero(t->reserved, sizeof t->reserved) ||
        t->dtype > NLP_Q4M)
        return corrupt(err, "a tensor is of an unknown kind");
    NLP_TRY(nlp_tensor_bytes((nlp_dtype)t->dtype, t->layout, t->rows, t->columns, &n_bytes, err));
    if (n_bytes != t->n_bytes || t->offset % NLP_PACK_ALIGNMENT || t->offset > weights_bytes ||
        t->n_bytes > weights_bytes - t->offset)
        return corrupt(err, "a tensor lies out of place");
    return NLP_OK;
}

static nlp_status check_tensors(nlp_pack *pack, nlp_error *err) {
    nlp_span table = nlp_pack_section_find(pack, "tensors"),
             weights = nlp_pack_section_find(pack, "weights");
    if (table.n_bytes % sizeof(nlp_pack_tensor) ||
        table.n_bytes / sizeof(nlp_pack_tensor) > NLP_PACK_MAX_TENSORS)
        return corrupt(err, "its tensor table has a wrong size");
    pack->tensors = (const nlp_pack_tensor *)(const void *)table.bytes;
    pack->n_tensors = table.n_bytes / sizeof(nlp_pack_tensor);
    pack->weights = weights.bytes;
    for (size_t i = 0; i < pack->n_tensors; i++)
        NLP_TRY(check_tensor(pack, i, weights.n_bytes, err));
    return NLP_OK;
}

const nlp_pack_tensor *nlp_pack_tensor_find(const nlp_pack *pack, const char *name) {
    size_t low = 0, high = pack->n_tensors;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, pack->tensors[middle].name);
        if (order == 0) return &pack->tensors[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* ---- String lists ---- */

static const char *const string_sections[] = {"labels", "prompts", "meta"};

static uint32_t u32_at(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* After this a string can be taken by index without looking. */
static nlp_status check_strings(const nlp_pack *pack, const char *section, nlp_error *err) {
    nlp_span s = nlp_pack_section_find(pack, section);
    if (!s.n_bytes) return NLP_OK;
    if (s.n_bytes < 4 || u32_at(s.bytes) > (s.n_bytes - 4) / 8)
        return corrupt(err, "a list of strings is cut");
    uint32_t count = u32_at(s.bytes);
    for (uint32_t i = 0; i < count; i++) {
        size_t offset = u32_at(s.bytes + 4 + 8 * (size_t)i),
               n_bytes = u32_at(s.bytes + 8 + 8 * (size_t)i);
        if (offset > s.n_bytes || n_bytes > s.n_bytes - offset)
            return corrupt(err, "a string lies out of place");
    }
    return NLP_OK;
}

uint32_t nlp_pack_strings_count(const nlp_pack *pack, const char *section) {
    nlp_span s = nlp_pack_section_find(pack, section);
    return s.n_bytes ? u32_at(s.bytes) : 0;
}

nlp_span nlp_pack_string(const nlp_pack *pack, const char *section, uint32_t index) {
    nlp_span s = nlp_pack_section_find(pack, section);
    const uint8_t *entry = s.bytes + 4 + 8 * (size_t)index;
    return (nlp_span){s.bytes + u32_at(entry), u32_at(entry + 4)};
}

nlp_span nlp_pack_pair(const nlp_pack *pack, const char *section, const char *key) {
    uint32_t count = nlp_pack_strings_count(pack, section);
    for (uint32_t i = 0; i + 1 < count; i += 2) {
        nlp_span name = nlp_pack_string(pack, section, i);
        if (name.n_bytes == strlen(key) && !memcmp(name.bytes, key, name.n_bytes))
            return nlp_pack_string(pack, section, i + 1);
    }
    return (nlp_span){0};
}

/* ---- All of it ---- */

/* Structure only. That the bytes are those of the digest is the store's to check, once per
 * machine. */
nlp_status nlp_pack_open(const void *bytes, size_t n_bytes, nlp_pack *pack, nlp_error *err) {
    uint8_t digest[NLP_SHA256_BYTES];
    *pack = (nlp_pack){.bytes = bytes, .n_bytes = n_bytes, .header = bytes};
    NLP_TRY(nlp_pack_check_header(bytes, n_bytes, err));
    if (pack->header->file_bytes != n_bytes)
        return nlp_fail(err, NLP_ECORRUPT,
                        "the pack is damaged: it has %zu bytes, its header says %llu", n_bytes,
                        (unsigned long long)pack->header->file_bytes);
    if (n_bytes < NLP_PACK_PAGE_BYTES || !all_zero(pack->bytes + sizeof(nlp_pack_header),
                                                   NLP_PACK_PAGE_BYTES - sizeof(nlp_pack_header)))
        return corrupt(err, "its first page is not zero behind the header");
    pack->sections =
        (const nlp_pack_section *)(const void *)(pack->bytes + pack->header->sections_offset);
    NLP_TRY(check_sections(pack, err));
    nlp_pack_meta_digest(bytes, digest);
    if (memcmp(digest, pack->header->meta_digest, sizeof digest))
        return corrupt(err, "its header and section table have another digest than they say");
    NLP_TRY(check_tensors(pack, err));
    for (size_t i = 0; i < sizeof string_sections / sizeof *string_sections; i++)
        NLP_TRY(check_strings(pack, string_sections[i], err));
    return NLP_OK;
}
