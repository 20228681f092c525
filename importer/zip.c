/* zip.c: one member of a zip archive (a wheel), read with every length checked. APPNOTE.TXT 6.3:
 * the directory at the end names the members; stored and deflated ones are read; ZIP64, encryption
 * and several disks are refused. */
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mapfile.h"
#include "nlp_import.h"
#include "zip.h"

enum {
    END_BYTES = 22,
    ENTRY_BYTES = 46,
    LOCAL_BYTES = 30,
    MAX_COMMENT = 65535,
    MAX_DIRECTORY = 64 << 20
};
enum { END_SIGNATURE = 0x06054b50, ENTRY_SIGNATURE = 0x02014b50, LOCAL_SIGNATURE = 0x04034b50 };
enum { METHOD_STORED = 0, METHOD_DEFLATED = 8 };

static nlp_status corrupt(nlp_error *err, const char *what) {
    return nlp_fail(err, NLP_ECORRUPT, "the zip archive is damaged: %s", what);
}

/* ---- Directory ---- */

/* The end record lies in the last bytes, behind it only a comment. */
static nlp_status find_end(nlp_zip *z, uint32_t *directory_at, uint32_t *directory_bytes,
                           uint32_t *n_entries) {
    uint8_t tail[END_BYTES + MAX_COMMENT];
    size_t n = z->n_bytes < sizeof tail ? (size_t)z->n_bytes : sizeof tail;
    if (n < END_BYTES) return corrupt(z->err, "it is too short");
    NLP_TRY(nlp_file_read(z->fd, z->n_bytes - n, tail, n, NULL, z->err));
    for (size_t at = n - END_BYTES + 1; at-- > 0;) {
        nlp_cursor c = nlp_cursor_of(tail + at, END_BYTES);
        if (nlp_read_u32(&c) != END_SIGNATURE) continue;
        uint16_t disk = nlp_read_u16(&c), start_disk = nlp_read_u16(&c), here = nlp_read_u16(&c);
        *n_entries = nlp_read_u16(&c);
        *directory_bytes = nlp_read_u32(&c);
        *directory_at = nlp_read_u32(&c);
        if (disk || start_disk || here != *n_entries || *directory_at == UINT32_MAX)
            return nlp_fail(z->err, NLP_EUNSUPPORTED,
                            "the zip archive has several disks or is of the 64-bit form");
        if (*directory_bytes > MAX_DIRECTORY ||
            (uint64_t)*directory_at + *directory_bytes > z->n_bytes)
            return corrupt(z->err, "its directory lies outside it");
        return NLP_OK;
    }
    return corrupt(z->err, "it has no end record");
}

static bool read_entry(nlp_cursor *c, nlp_zip_member *m) {
    size_t n_extra, n_comment;
    if (nlp_read_u32(c) != ENTRY_SIGNATURE) c->failed = true;
    nlp_read_u32(c); /* versions */
    m->flags = nlp_read_u16(c);
    m->method = nlp_read_u16(c);
    nlp_read_u32(c); /* time and date */
    m->crc = nlp_read_u32(c);
    m->packed_bytes = nlp_read_u32(c);
    m->n_bytes = nlp_read_u32(c);
    m->name_bytes = nlp_read_u16(c), n_extra = nlp_read_u16(c), n_comment = nlp_read_u16(c);
    nlp_read_u32(c); /* disk, internal attributes */
    nlp_read_u32(c); /* external attributes */
    m->local_at = nlp_read_u32(c);
    m->name = nlp_read_bytes(c, m->name_bytes);
    nlp_read_bytes(c, n_extra + n_comment);
    return !c->failed;
}

/* The directory at the end counts, not the local headers: the two may differ. */
nlp_status nlp_zip_walk(nlp_zip *z, nlp_zip_visit visit, void *context) {
    uint32_t at, n_bytes, n_entries;
    NLP_TRY(find_end(z, &at, &n_bytes, &n_entries));
    uint8_t *directory = nlp_mem_alloc(z->mem, (size_t)n_bytes + 1);
    if (!directory) return nlp_mem_fail(z->mem, n_bytes, z->err);
    nlp_status status = nlp_file_read(z->fd, at, directory, n_bytes, NULL, z->err);
    nlp_cursor c = nlp_cursor_of(directory, n_bytes);
    for (uint32_t i = 0; i < n_entries && status == NLP_OK; i++) {
        nlp_zip_member m;
        if (read_entry(&c, &m))
            status = visit(context, &m);
        else
            status = corrupt(z->err, "its directory is cut");
    }
    nlp_mem_free(z->mem, directory, (size_t)n_bytes + 1);
    return status;
}

typedef struct search {
    const char *name;
    nlp_zip_member *member;
    bool found;
    nlp_error *err;
} search;

/* Two members of one name are an attack. */
static nlp_status search_visit(void *context, const nlp_zip_member *m) {
    search *s = context;
    if (m->name_bytes != strlen(s->name) || memcmp(m->name, s->name, m->name_bytes) != 0)
        return NLP_OK;
    if (s->found) return corrupt(s->err, "a member is there twice");
    s->found = true;
    *s->member = *m;
    return NLP_OK;
}

static nlp_status find_member(nlp_zip *z, const char *name, nlp_zip_member *member) {
    search s = {name, member, false, z->err};
    NLP_TRY(nlp_zip_walk(z, search_visit, &s));
    return s.found ? NLP_OK
                   : nlp_fail(z->err, NLP_ENOFILE, "the zip archive has no member %.96s", name);
}

/* ---- Data ---- */

nlp_status nlp_zip_data(nlp_zip *z, const nlp_zip_member *m, uint64_t *at) {
    uint8_t local[LOCAL_BYTES];
    if (m->flags & 1) return nlp_fail(z->err, NLP_EUNSUPPORTED, "a zip member is encrypted");
    if ((uint64_t)m->local_at + LOCAL_BYTES > z->n_bytes)
        return corrupt(z->err, "a member lies outside it");
    NLP_TRY(nlp_file_read(z->fd, m->local_at, local, sizeof local, NULL, z->err));
    nlp_cursor c = nlp_cursor_of(local, sizeof local);
    if (nlp_read_u32(&c) != LOCAL_SIGNATURE)
        return corrupt(z->err, "a member's header is not there");
    nlp_read_bytes(&c, 22);
    size_t n_name = nlp_read_u16(&c), n_extra = nlp_read_u16(&c);
    *at = (uint64_t)m->local_at + LOCAL_BYTES + n_name + n_extra;
    if (*at > z->n_bytes || m->packed_bytes > z->n_bytes - *at)
        return corrupt(z->err, "a member lies outside it");
    return NLP_OK;
}

/* Never more than the size that the directory promised. */
static nlp_status inflate_all(nlp_zip *z, uint8_t *packed, const nlp_zip_member *m, uint8_t *out) {
    enum { STEP = 1 << 18 };
    z_stream s = {.next_in = packed, .avail_in = m->packed_bytes, .next_out = out};
    int rc = inflateInit2(&s, -MAX_WBITS);
    nlp_status status = rc == Z_OK ? NLP_OK : nlp_fail(z->err, NLP_ENOMEM, "zlib can't start");
    while (status == NLP_OK && rc == Z_OK) {
        size_t left = m->n_bytes - s.total_out;
        s.avail_out = left < STEP ? (uInt)left : STEP;
        rc = inflate(&s, Z_NO_FLUSH);
        if (rc == Z_OK && !left) rc = Z_DATA_ERROR; /* more than it says */
        status = nlp_poll_now(&z->poll, z->err);
    }
    if (status == NLP_OK && (rc != Z_STREAM_END || s.total_out != m->n_bytes || s.avail_in))
        status = corrupt(z->err, "a member does not unpack to its size");
    inflateEnd(&s);
    return status;
}

static nlp_status unpack(nlp_zip *z, const nlp_zip_member *m, uint8_t *out) {
    uint64_t at = 0;
    NLP_TRY(nlp_zip_data(z, m, &at));
    if (m->method == METHOD_STORED && m->packed_bytes == m->n_bytes)
        return nlp_file_read(z->fd, at, out, m->n_bytes, &z->poll, z->err);
    if (m->method != METHOD_DEFLATED)
        return nlp_fail(z->err, NLP_EUNSUPPORTED, "the zip member is packed by method %u",
                        m->method);
    uint8_t *packed = nlp_mem_alloc(z->mem, (size_t)m->packed_bytes + 1);
    if (!packed) return nlp_mem_fail(z->mem, m->packed_bytes, z->err);
    nlp_status status = nlp_file_read(z->fd, at, packed, m->packed_bytes, &z->poll, z->err);
    if (status == NLP_OK) status = inflate_all(z, packed, m, out);
    nlp_mem_free(z->mem, packed, (size_t)m->packed_bytes + 1);
    return status;
}

static nlp_status check_digest(const char *what, const uint8_t digest[NLP_SHA256_BYTES],
                               const char *expected, nlp_error *err) {
    char hex[NLP_SHA256_HEX_BYTES];
    nlp_hex(digest, NLP_SHA256_BYTES, hex);
    if (!expected || !strcmp(hex, expected)) return NLP_OK;
    return nlp_fail(err, NLP_ECORRUPT, "%.96s has the SHA-256 %.16s..., expected was %.16s...",
                    what, hex, expected);
}

/* Deflate packs 1032 bytes into one at the most, so a member can't claim memory that its file is too
 * small to fill. */
static nlp_status check_size(nlp_zip *z, const nlp_zip_member *m) {
    const uint64_t most = ((uint64_t)m->packed_bytes + 1) * 1032;
    if (m->packed_bytes <= z->n_bytes && m->n_bytes <= most) return NLP_OK;
    return corrupt(z->err, "a member has a size that is not possible");
}

nlp_status nlp_zip_load(nlp_zip *z, const nlp_zip_member *m, uint8_t **bytes) {
    NLP_TRY(check_size(z, m));
    *bytes = nlp_mem_alloc(z->mem, (size_t)m->n_bytes + 1);
    if (!*bytes) return nlp_mem_fail(z->mem, m->n_bytes, z->err);
    nlp_status status = unpack(z, m, *bytes);
    if (status == NLP_OK && crc32(0, *bytes, m->n_bytes) != m->crc)
        status = corrupt(z->err, "a member has another checksum");
    if (status != NLP_OK) nlp_mem_free(z->mem, *bytes, (size_t)m->n_bytes + 1);
    return status;
}

static nlp_status extract(nlp_zip *z, const char *name, const char *sha256_hex, const char *out) {
    nlp_zip_member m = {0};
    uint8_t digest[NLP_SHA256_BYTES], *bytes;
    NLP_TRY(find_member(z, name, &m));
    NLP_TRY(nlp_zip_load(z, &m, &bytes));
    nlp_sha256_of(bytes, m.n_bytes, digest);
    nlp_status status = check_digest(name, digest, sha256_hex, z->err);
    if (status == NLP_OK) status = nlp_file_write(out, bytes, m.n_bytes, true, z->err);
    nlp_mem_free(z->mem, bytes, (size_t)m.n_bytes + 1);
    return status;
}

nlp_status nlp_zip_extract(const char *zip_path, const char *member, const char *sha256_hex,
                           const char *out, const nlp_stop *stop, nlp_error *err) {
    nlp_mem mem;
    nlp_zip z = {.mem = &mem, .err = err};
    nlp_mem_init(&mem, NULL, NULL, 0);
    nlp_poll_init(&z.poll, stop, 0);
    NLP_TRY(nlp_file_open(zip_path, &z.fd, &z.n_bytes, err));
    nlp_status status = extract(&z, member, sha256_hex, out);
    nlp_file_close(z.fd);
    return status;
}

nlp_status nlp_file_sha256(const char *path, const nlp_stop *stop, char hex[65], nlp_error *err) {
    enum { STEP = 1 << 18 };
    uint8_t digest[NLP_SHA256_BYTES], step[STEP];
    nlp_sha256 sha;
    nlp_poll poll;
    int fd;
    uint64_t n_bytes;
    nlp_poll_init(&poll, stop, 0);
    NLP_TRY(nlp_file_open(path, &fd, &n_bytes, err));
    nlp_sha256_init(&sha);
    nlp_status status = NLP_OK;
    for (uint64_t at = 0; at < n_bytes && status == NLP_OK; at += STEP) {
        size_t n = n_bytes - at < STEP ? (size_t)(n_bytes - at) : STEP;
        status = nlp_file_read(fd, at, step, n, &poll, err);
        if (status == NLP_OK) nlp_sha256_update(&sha, step, n);
    }
    nlp_file_close(fd);
    nlp_sha256_final(&sha, digest);
    nlp_hex(digest, sizeof digest, hex);
    return status;
}

nlp_status nlp_file_check(const char *path, const char *sha256_hex, const nlp_stop *stop,
                          nlp_error *err) {
    char hex[NLP_SHA256_HEX_BYTES];
    NLP_TRY(nlp_file_sha256(path, stop, hex, err));
    if (!sha256_hex || !strcmp(hex, sha256_hex)) return NLP_OK;
    return nlp_fail(err, NLP_ECORRUPT, "%.160s has the SHA-256 %.16s..., expected was %.16s...",
                    path, hex, sha256_hex);
}
