/* test_base: memory, buffers, hashing, UTF-8, files, workers. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/mapfile.h"
#include "base/utf8.h"
#include "base/uuid.h"
#include "base/workers.h"
#include "failing.h"
#include "models.h"
#include "test.h"

static void test_sha256_gives_the_standard_vectors(void) {
    static const struct {
        const char *text, *hex;
    } cases[] = {{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                 {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
                 {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};
    uint8_t digest[32];
    char hex[65];
    for (size_t i = 0; i < 3; i++) {
        nlp_sha256_of(cases[i].text, strlen(cases[i].text), digest);
        nlp_hex(digest, 32, hex);
        CHECK_TEXT(hex, cases[i].hex);
    }
    nlp_sha256 sha;
    nlp_sha256_init(&sha);
    for (int i = 0; i < 1000000; i++) nlp_sha256_update(&sha, "a", 1);
    nlp_sha256_final(&sha, digest);
    nlp_hex(digest, 32, hex);
    CHECK_TEXT(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_every_code_point_survives_utf8(void) {
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char bytes[4];
        uint32_t back;
        size_t n = nlp_utf8_encode(c, bytes);
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        CHECK(nlp_utf8_decode(bytes, n, &back) == n && back == (surrogate ? NLP_REPLACEMENT : c));
    }
}

static void test_all_sequences_of_three_bytes_are_decoded_or_refused(void) {
    for (uint32_t x = 0; x < 1 << 24; x++) {
        char bytes[3] = {(char)(x >> 16), (char)(x >> 8), (char)x};
        uint32_t c;
        size_t n = nlp_utf8_decode(bytes, 3, &c), bad = 9;
        if (n < 1 || n > 3 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) {
            nlp_test_fail(__FILE__, __LINE__, "%06x: length %zu, code point %x", x, n, c);
            return;
        }
        if (!nlp_utf8_valid(bytes, 3, &bad) && bad > 2)
            nlp_test_fail(__FILE__, __LINE__, "%06x: bad at %zu", x, bad);
    }
}

static void test_overlong_and_cut_sequences_are_refused(void) {
    static const char *const bad[] = {"\xC0\x80",
                                      "\xE0\x80\x80",
                                      "\xF0\x80\x80\x80",
                                      "\xED\xA0\x80",
                                      "\xF4\x90\x80\x80",
                                      "\xC3",
                                      "\xE2\x82",
                                      "\x80",
                                      "\xFF",
                                      "ok\xC3("};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!nlp_utf8_valid(bad[i], strlen(bad[i]), NULL));
    CHECK(nlp_utf8_valid("Z\xC3\xBCrich \xF0\x9F\x91\x8D", 12, NULL));
    CHECK(nlp_utf8_length("Z\xC3\xBCrich \xF0\x9F\x91\x8D", 12) == 8);
}

static void test_unicode_properties_are_those_the_tokenizers_need(void) {
    uint32_t out[18];
    CHECK(nlp_unicode_lower(0x130, out) == 2 && out[0] == 'i' && out[1] == 0x307);
    CHECK(nlp_unicode_decompose(0xE9, false, out) == 2 && out[0] == 'e' && out[1] == 0x301);
    CHECK(nlp_unicode_class_of(0x301) == NLP_UC_MARK_NONSPACING &&
          nlp_unicode_class_of(0x3002) == NLP_UC_PUNCTUATION);
    CHECK(nlp_unicode_white_space(0x3000) && !nlp_unicode_white_space(0x200B));
}

/* ---- Memory ---- */

static void test_a_budget_is_kept_and_named(void) {
    nlp_mem mem;
    nlp_error err;
    nlp_mem_init(&mem, NULL, NULL, 1000);
    void *a = nlp_mem_alloc(&mem, 600);
    CHECK(a && (uintptr_t)a % 64 == 0);
    CHECK(!nlp_mem_alloc(&mem, 600));
    CHECK_STATUS(nlp_mem_fail(&mem, 600, &err), NLP_ENOMEM, &err);
    CHECK(strstr(err.message, "1200") && strstr(err.message, "1000"));
    nlp_mem_free(&mem, a, 600);
    CHECK(mem.used_bytes == 0 && mem.peak_bytes == 600);
}

static void test_every_allocation_of_an_arena_may_fail(void) {
    for (int n = 0; n < 6; n++) {
        nlp_failing f = {n};
        nlp_mem mem;
        nlp_arena arena;
        nlp_mem_init(&mem, nlp_failing_alloc, &f, 0);
        nlp_arena_init(&arena, &mem);
        for (int i = 0; i < 8; i++) nlp_arena_push(&arena, 20000, 1);
        if (nlp_arena_status(&arena, NULL) != NLP_OK)
            CHECK(!nlp_arena_push(&arena, 1, 1)); /* sticky */
        nlp_arena_deinit(&arena);
        CHECK(mem.used_bytes == 0);
    }
}

static void test_a_reset_arena_keeps_its_largest_block_up_to_a_bound(void) {
    nlp_mem mem;
    nlp_arena arena;
    nlp_mem_init(&mem, NULL, NULL, 0);
    nlp_arena_init(&arena, &mem);
    void *first = nlp_arena_push(&arena, 1 << 20, 1);
    nlp_arena_reset(&arena);
    CHECK(mem.used_bytes > 1 << 20 && nlp_arena_push(&arena, 1 << 20, 1) == first);
    CHECK(nlp_arena_push(&arena, NLP_ARENA_KEPT + 1, 1) && mem.used_bytes > NLP_ARENA_KEPT);
    nlp_arena_reset(&arena);
    CHECK(mem.used_bytes > 1 << 20 && mem.used_bytes < 2 << 20);
    mem.budget_bytes = 8 << 20;
    nlp_arena_reset(&arena);
    CHECK(mem.used_bytes == 0);
    nlp_arena_deinit(&arena);
}

static void test_sizes_that_wrap_fail(void) {
    nlp_mem mem;
    nlp_arena arena;
    nlp_mem_init(&mem, NULL, NULL, 0);
    nlp_arena_init(&arena, &mem);
    CHECK(!nlp_arena_push(&arena, SIZE_MAX / 2, 4));
    CHECK_STATUS(nlp_arena_status(&arena, NULL), NLP_ENOMEM, NULL);
    nlp_arena_deinit(&arena);
}

static void test_a_cursor_never_leaves_its_bytes(void) {
    const uint8_t bytes[] = {1, 0, 0, 0, 2};
    nlp_cursor c = nlp_cursor_of(bytes, sizeof bytes);
    CHECK(nlp_read_u32(&c) == 1 && !c.failed);
    CHECK(nlp_read_u32(&c) == 0 && c.failed);
    CHECK(!nlp_read_bytes(&c, 1));
}

/* ---- Files ---- */

static void test_files_are_written_whole_and_not_replaced_unasked(void) {
    char path[256];
    uint8_t *bytes;
    size_t n;
    struct stat st;
    nlp_mem mem;
    nlp_error err;
    nlp_mem_init(&mem, NULL, NULL, 0);
    snprintf(path, sizeof path, "%s/file", nlp_test_folder());
    CHECK_STATUS(nlp_file_write(path, "one", 3, false, &err), NLP_OK, &err);
    CHECK_STATUS(nlp_file_write(path, "two", 3, false, &err), NLP_EINVAL, &err);
    CHECK_STATUS(nlp_file_write(path, "two!", 4, true, &err), NLP_OK, &err);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0444);
    CHECK_STATUS(nlp_file_load(path, 100, &mem, &bytes, &n, &err), NLP_OK, &err);
    CHECK(n == 4 && !memcmp(bytes, "two!", 5));
    nlp_mem_free(&mem, bytes, n + 1);
    CHECK_STATUS(nlp_file_load(path, 3, &mem, &bytes, &n, &err), NLP_ELIMIT, &err);
}

static void test_what_is_no_regular_file_is_refused(void) {
    char link_path[256], fifo[256];
    int fd;
    uint64_t n;
    snprintf(link_path, sizeof link_path, "%s/link", nlp_test_folder());
    snprintf(fifo, sizeof fifo, "%s/fifo", nlp_test_folder());
    CHECK(symlink("/etc/hostname", link_path) == 0 && mkfifo(fifo, 0600) == 0);
    CHECK_STATUS(nlp_file_open(link_path, &fd, &n, NULL), NLP_EDENIED, NULL);
    CHECK_STATUS(nlp_file_open(fifo, &fd, &n, NULL), NLP_EINVAL, NULL);
    CHECK_STATUS(nlp_file_open("/dev/zero", &fd, &n, NULL), NLP_EINVAL, NULL);
    CHECK_STATUS(nlp_file_open("/nowhere/at/all", &fd, &n, NULL), NLP_ENOFILE, NULL);
}

static void test_a_uuid_follows_from_its_name(void) {
    char a[NLP_UUID_TEXT_BYTES], b[NLP_UUID_TEXT_BYTES];
    nlp_uuid_v5("x", a), nlp_uuid_v5("x", b);
    CHECK_TEXT(a, b);
    CHECK(a[14] == '5');
}

/* ---- Workers ---- */

static atomic_int parts_done;

static nlp_status count_part(void *context, uint32_t part, uint32_t thread) {
    (void)thread;
    atomic_fetch_add(&parts_done, 1);
    return context && part == *(uint32_t *)context ? NLP_ELIMIT : NLP_OK;
}

static void test_workers_do_every_part_once(void) {
    nlp_mem mem;
    nlp_workers *w;
    nlp_mem_init(&mem, NULL, NULL, 0);
    CHECK_STATUS(nlp_workers_open(&mem, 4, &w, NULL), NLP_OK, NULL);
    for (uint32_t threads = 1; threads <= 4; threads++)
        for (uint32_t n = 0; n < 40; n += 7) {
            atomic_store(&parts_done, 0);
            CHECK_STATUS(nlp_workers_run(w, threads, n, count_part, NULL, NULL, NULL), NLP_OK,
                         NULL);
            CHECK(atomic_load(&parts_done) == (int)n);
        }
    uint32_t bad = 5;
    CHECK_STATUS(nlp_workers_run(w, 4, 40, count_part, &bad, NULL, NULL), NLP_ELIMIT, NULL);
    nlp_workers_close(w);
    CHECK(mem.used_bytes == 0);
}

static bool yes(void *context) {
    (void)context;
    return true;
}

static void test_workers_stop_when_told(void) {
    nlp_mem mem;
    nlp_workers *w;
    nlp_poll poll;
    nlp_stop stop = {.should_stop = yes};
    nlp_mem_init(&mem, NULL, NULL, 0);
    CHECK_STATUS(nlp_workers_open(&mem, 2, &w, NULL), NLP_OK, NULL);
    nlp_poll_init(&poll, &stop, 1);
    CHECK_STATUS(nlp_workers_run(w, 2, 1000000, count_part, NULL, &poll, NULL), NLP_ECANCELED,
                 NULL);
    nlp_workers_close(w);
}

static void test_workers_survive_a_fork(void) {
    nlp_mem mem;
    nlp_workers *w;
    int status = 1;
    nlp_mem_init(&mem, NULL, NULL, 0);
    CHECK_STATUS(nlp_workers_open(&mem, 2, &w, NULL), NLP_OK, NULL);
    CHECK_STATUS(nlp_workers_run(w, 2, 8, count_part, NULL, NULL, NULL), NLP_OK, NULL);
    pid_t child = fork();
    if (!child) _exit(nlp_workers_run(w, 2, 8, count_part, NULL, NULL, NULL) == NLP_OK ? 0 : 1);
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    nlp_workers_close(w);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"sha256_gives_the_standard_vectors", test_sha256_gives_the_standard_vectors},
        {"every_code_point_survives_utf8", test_every_code_point_survives_utf8},
        {"all_sequences_of_three_bytes_are_decoded_or_refused",
         test_all_sequences_of_three_bytes_are_decoded_or_refused},
        {"overlong_and_cut_sequences_are_refused", test_overlong_and_cut_sequences_are_refused},
        {"unicode_properties_are_those_the_tokenizers_need",
         test_unicode_properties_are_those_the_tokenizers_need},
        {"a_budget_is_kept_and_named", test_a_budget_is_kept_and_named},
        {"every_allocation_of_an_arena_may_fail", test_every_allocation_of_an_arena_may_fail},
        {"a_reset_arena_keeps_its_largest_block_up_to_a_bound",
         test_a_reset_arena_keeps_its_largest_block_up_to_a_bound},
        {"sizes_that_wrap_fail", test_sizes_that_wrap_fail},
        {"a_cursor_never_leaves_its_bytes", test_a_cursor_never_leaves_its_bytes},
        {"files_are_written_whole_and_not_replaced_unasked",
         test_files_are_written_whole_and_not_replaced_unasked},
        {"what_is_no_regular_file_is_refused", test_what_is_no_regular_file_is_refused},
        {"a_uuid_follows_from_its_name", test_a_uuid_follows_from_its_name},
        {"workers_do_every_part_once", test_workers_do_every_part_once},
        {"workers_stop_when_told", test_workers_stop_when_told},
        {"workers_survive_a_fork", test_workers_survive_a_fork},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
