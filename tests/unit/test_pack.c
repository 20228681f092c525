/* test_pack: a pack is checked like a stranger's file: whatever is changed in it gives a clear
 * status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapfile.h"
#include "models.h"
#include "pack/pack.h"
#include "tensor/quant.h"
#include "test.h"

typedef struct bytes {
    uint8_t *at;
    size_t n;
} bytes;

/* A real pack in memory, aligned; freed by the caller. */
static bytes load_pack(void) {
    FILE *file = fopen(nlp_test_pack("sharp-bert"), "rb");
    bytes b = {aligned_alloc(64, 1 << 20), 0};
    b.n = file ? fread(b.at, 1, 1 << 20, file) : 0;
    if (file) fclose(file);
    return b;
}

/* What an attacker can do too: make the digests right again. */
static void sign(bytes b) {
    nlp_pack_header *h = (nlp_pack_header *)(void *)b.at;
    nlp_pack_meta_digest(b.at, h->meta_digest);
    nlp_pack_digest(b.at, b.n, NULL, h->digest, NULL);
}

static void test_a_pack_opens_and_has_its_digest(void) {
    bytes b = load_pack();
    nlp_pack pack;
    nlp_error err;
    uint8_t digest[32];
    CHECK_STATUS(nlp_pack_open(b.at, b.n, &pack, &err), NLP_OK, &err);
    CHECK_STATUS(nlp_pack_digest(b.at, b.n, NULL, digest, &err), NLP_OK, &err);
    CHECK(!memcmp(digest, pack.header->digest, 32));
    CHECK(nlp_pack_tensor_find(&pack, "layer.0.attention.qkv") &&
          !nlp_pack_tensor_find(&pack, "layer.9.attention.qkv"));
    CHECK(nlp_pack_pair(&pack, "meta", "family").n_bytes == 4);
    free(b.at);
}

static void test_a_pack_cut_anywhere_is_refused(void) {
    bytes b = load_pack();
    nlp_pack pack;
    for (size_t n = 0; n < b.n; n += n < 12288 ? 1 : 997)
        if (nlp_pack_open(b.at, n, &pack, NULL) == NLP_OK)
            nlp_test_fail(__FILE__, __LINE__, "opens with %zu bytes", n);
    free(b.at);
}

static void test_every_flipped_byte_of_header_and_table_is_seen(void) {
    bytes b = load_pack();
    nlp_pack pack;
    const nlp_pack_header *h = (const nlp_pack_header *)(const void *)b.at;
    size_t end = 4096 + h->n_sections * sizeof(nlp_pack_section),
           digest_at = offsetof(nlp_pack_header, digest);
    for (size_t i = 0; i < end; i++) {
        if (i >= digest_at && i < digest_at + 32)
            continue; /* compared by whoever hashes the data */
        b.at[i] ^= 0x41;
        if (nlp_pack_open(b.at, b.n, &pack, NULL) == NLP_OK)
            nlp_test_fail(__FILE__, __LINE__, "byte %zu", i);
        b.at[i] ^= 0x41;
    }
    free(b.at);
}

static void test_a_flipped_data_byte_changes_the_digest(void) {
    bytes b = load_pack();
    uint8_t digest[32];
    b.at[b.n - 70] ^= 1;
    nlp_pack_digest(b.at, b.n, NULL, digest, NULL);
    CHECK(memcmp(digest, ((nlp_pack_header *)(void *)b.at)->digest, 32));
    free(b.at);
}

static void test_other_versions_say_import_again(void) {
    static const size_t fields[] = {offsetof(nlp_pack_header, version),
                                    offsetof(nlp_pack_header, layout_id),
                                    offsetof(nlp_pack_header, numerics)};
    for (size_t i = 0; i < 3; i++) {
        bytes b = load_pack();
        nlp_pack pack;
        nlp_error err;
        b.at[fields[i]] = 77;
        sign(b);
        CHECK_STATUS(nlp_pack_open(b.at, b.n, &pack, &err), NLP_EUNSUPPORTED, &err);
        CHECK(strstr(err.message, "77") && strstr(err.hint, "import"));
        free(b.at);
    }
}

/* Tables that were changed and signed again. */
static void test_signed_attacks_on_the_tables_are_refused(void) {
    for (int attack = 0; attack < 9; attack++) {
        bytes b = load_pack();
        nlp_pack pack;
        CHECK_STATUS(nlp_pack_open(b.at, b.n, &pack, NULL), NLP_OK, NULL);
        nlp_pack_section *s = (nlp_pack_section *)(void *)(b.at + 4096);
        nlp_pack_tensor *t = (nlp_pack_tensor *)(uintptr_t)pack.tensors;
        switch (attack) {
        case 0:
            s[0].offset = UINT64_MAX - 63;
            break;
        case 1:
            s[0].n_bytes = UINT64_MAX;
            break;
        case 2:
            s[1].offset = s[0].offset;
            break;
        case 3:
            memcpy(s[1].name, s[0].name, sizeof s[0].name);
            break;
        case 4:
            t[0].offset = UINT64_MAX - 63;
            break;
        case 5:
            t[0].rows = (uint64_t)1 << 40;
            break;
        case 6:
            t[0].dtype = 99;
            break;
        case 7:
            t[0].columns = 0;
            break;
        default:
            memset(t[0].name, 'x', sizeof t[0].name);
            break;
        }
        sign(b);
        if (nlp_pack_open(b.at, b.n, &pack, NULL) == NLP_OK)
            nlp_test_fail(__FILE__, __LINE__, "attack %d opens", attack);
        free(b.at);
    }
}

static void test_the_writer_is_deterministic_and_reports_failure(void) {
    nlp_mem mem;
    const uint8_t *first, *second;
    size_t n_first, n_second;
    nlp_pack_writer *w[2];
    nlp_pack pack;
    nlp_mem_init(&mem, NULL, NULL, 0);
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(nlp_pack_writer_open(&mem, NLP_PACK_FULL, NLP_F32, &w[i], NULL), NLP_OK, NULL);
        nlp_pack_writer_pair(w[i], "meta", "key", "text");
        float *x =
            nlp_pack_writer_tensor(w[i], "b", NLP_F32, NLP_TENSOR_PLAIN, NLP_GRID_SYMMETRIC, 1, 3);
        x[0] = 1;
        nlp_pack_writer_tensor(w[i], "a", NLP_F32, NLP_TENSOR_PLAIN, NLP_GRID_SYMMETRIC, 2, 2);
    }
    CHECK_STATUS(nlp_pack_writer_finish(w[0], &first, &n_first, NULL), NLP_OK, NULL);
    CHECK_STATUS(nlp_pack_writer_finish(w[1], &second, &n_second, NULL), NLP_OK, NULL);
    CHECK(n_first == n_second && !memcmp(first, second, n_first));
    CHECK_STATUS(nlp_pack_open(first, n_first, &pack, NULL), NLP_OK, NULL);
    CHECK(pack.n_tensors == 2 && !strcmp(pack.tensors[0].name, "a"));
    CHECK(!nlp_pack_writer_tensor(w[0], "c", NLP_I8, NLP_TENSOR_PLAIN, NLP_GRID_SYMMETRIC, 1, 1));
    CHECK_STATUS(nlp_pack_writer_finish(w[0], &first, &n_first, NULL), NLP_EUNSUPPORTED, NULL);
    nlp_pack_writer_close(w[0]), nlp_pack_writer_close(w[1]);
    CHECK(mem.used_bytes == 0);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"a_pack_opens_and_has_its_digest", test_a_pack_opens_and_has_its_digest},
        {"a_pack_cut_anywhere_is_refused", test_a_pack_cut_anywhere_is_refused},
        {"every_flipped_byte_of_header_and_table_is_seen",
         test_every_flipped_byte_of_header_and_table_is_seen},
        {"a_flipped_data_byte_changes_the_digest", test_a_flipped_data_byte_changes_the_digest},
        {"other_versions_say_import_again", test_other_versions_say_import_again},
        {"signed_attacks_on_the_tables_are_refused", test_signed_attacks_on_the_tables_are_refused},
        {"the_writer_is_deterministic_and_reports_failure",
         test_the_writer_is_deterministic_and_reports_failure},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
