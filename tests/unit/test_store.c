/* test_store: one segment per pack, whatever happens to the process that builds it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mapfile.h"
#include "engine/store.h"
#include "models.h"
#include "pack/pack.h"
#include "test.h"

static nlp_mem mem;
static char prefix[32], path[128];
static const char *kill_at;

static void kill_here(const char *step) {
    if (kill_at && !strcmp(step, kill_at)) raise(SIGKILL);
}

static nlp_store_options options(void) {
    return (nlp_store_options){.mem = &mem, .shm_prefix = prefix, .at_step = kill_here};
}

/* A valid pack of six megabytes: over the size below which no segment is made. */
static void make_pack(const char *to, uint32_t seed) {
    nlp_pack_writer *w;
    const uint8_t *bytes;
    size_t n;
    nlp_error err;
    CHECK_STATUS(nlp_pack_writer_open(&mem, NLP_PACK_FULL, NLP_F32, &w, &err), NLP_OK, &err);
    float *x =
        nlp_pack_writer_tensor(w, "x", NLP_F32, NLP_TENSOR_PLAIN, NLP_GRID_SYMMETRIC, 1500, 1000);
    for (uint32_t i = 0; i < 1500000; i++) x[i] = (float)(i ^ seed);
    CHECK_STATUS(nlp_pack_writer_finish(w, &bytes, &n, &err), NLP_OK, &err);
    CHECK_STATUS(nlp_file_write(to, bytes, n, true, &err), NLP_OK, &err);
    nlp_pack_writer_close(w);
}

static void setup(void) {
    if (*path) return;
    nlp_mem_init(&mem, NULL, NULL, 0);
    snprintf(prefix, sizeof prefix, "nlptest%ld-", (long)getpid());
    snprintf(path, sizeof path, "%s/big.nlp", nlp_test_folder());
    make_pack(path, 1);
}

static const char *no_models(void *context, const char *digest) {
    (void)context, (void)digest;
    return "big";
}

typedef struct seen {
    int n;
    char state[16], name[80];
} seen;

static bool see(void *context, const nlp_cache_entry *entry) {
    seen *s = context;
    s->n++;
    snprintf(s->state, sizeof s->state, "%s", entry->state);
    snprintf(s->name, sizeof s->name, "%s", entry->name);
    return true;
}

static seen look(void) {
    seen s = {0};
    nlp_store_options o = options();
    nlp_store_list(&o, no_models, NULL, see, &s, NULL);
    return s;
}

static void drop_all(void) {
    nlp_store_options o = options();
    for (seen s = look(); s.n; s = look())
        CHECK_STATUS(nlp_store_drop(&o, s.name, NULL), NLP_OK, NULL);
}

/* Maps, checks every byte by the digest, unmaps; the backing. */
static nlp_backing map_and_check(void) {
    nlp_mapping m;
    nlp_error err;
    uint8_t digest[32];
    nlp_store_options o = options();
    CHECK_STATUS(nlp_store_map(&o, path, NULL, &m, &err), NLP_OK, &err);
    if (!m.bytes) return 0;
    nlp_pack_digest(m.bytes, m.n_bytes, NULL, digest, NULL);
    CHECK(!memcmp(digest, ((const nlp_pack_header *)(const void *)m.bytes)->digest, 32));
    nlp_backing backing = m.backing;
    nlp_store_unmap(&m);
    return backing;
}

static int in_child(void (*run)(void)) {
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        run();
        _exit(0);
    }
    waitpid(child, &status, 0);
    return status;
}

static void map_in_child(void) {
    nlp_mapping m;
    nlp_store_options o = options();
    nlp_store_map(&o, path, NULL, &m, NULL);
}

static void test_a_segment_is_made_once_and_shared(void) {
    setup();
    CHECK(map_and_check() == NLP_BACKING_SHM);
    seen s = look();
    CHECK(s.n == 1 && !strcmp(s.state, "ready"));
    CHECK(map_and_check() == NLP_BACKING_SHM && look().n == 1);
    drop_all();
}

static void test_a_builder_killed_at_any_step_costs_nothing(void) {
    static const char *const steps[] = {"opened", "locked",     "allocated", "copying",
                                        "copied", "first page", "published"};
    setup();
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        kill_at = steps[i];
        int status = in_child(map_in_child);
        kill_at = NULL;
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        seen left = look();
        CHECK(left.n == 1 && !strcmp(left.state, strcmp(steps[i], "published") ? "dead" : "ready"));
        CHECK(map_and_check() == NLP_BACKING_SHM);
        CHECK(look().n == 1 && !strcmp(look().state, "ready"));
        drop_all();
    }
}

static void test_sixteen_processes_open_at_once(void) {
    pid_t children[16];
    setup();
    fflush(stdout);
    for (int i = 0; i < 16; i++) {
        children[i] = fork();
        if (!children[i]) {
            nlp_mapping m;
            nlp_store_options o = options();
            nlp_status status = nlp_store_map(&o, path, NULL, &m, NULL);
            _exit(status == NLP_OK && m.backing == NLP_BACKING_SHM ? 0 : 1);
        }
    }
    for (int i = 0; i < 16; i++) {
        int status = 1;
        waitpid(children[i], &status, 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    CHECK(look().n == 1);
    drop_all();
}

static void test_a_stale_segment_is_built_anew(void) {
    setup();
    map_and_check();
    char full[128];
    snprintf(full, sizeof full, "/dev/shm/%s", look().name);
    CHECK(chmod(full, 0600) == 0);
    int fd = open(full, O_WRONLY);
    CHECK(fd >= 0 && pwrite(fd, "garbage", 7, 100) == 7);
    close(fd);
    CHECK(chmod(full, nlp_test_shared() || getuid() == 0 ? 0444 : 0400) == 0);
    CHECK(map_and_check() == NLP_BACKING_SHM);
    drop_all();
}

static void test_a_foreign_segment_is_left_alone(void) {
    setup();
    if (geteuid() !=
        0) { /* giving a file away needs root: the rule itself is the same for any owner */
        CHECK(geteuid() != 0);
        return;
    }
    map_and_check();
    char full[128];
    snprintf(full, sizeof full, "/dev/shm/%s", look().name);
    CHECK(chown(full, 12345, 12345) == 0);
    CHECK(map_and_check() == NLP_BACKING_FILE);
    struct stat st;
    CHECK(stat(full, &st) == 0 && st.st_uid == 12345);
    unlink(full);
}

static void test_damage_is_found_before_anything_is_published(void) {
    setup();
    char bad[160];
    snprintf(bad, sizeof bad, "%s/bad.nlp", nlp_test_folder());
    make_pack(bad, 2);
    CHECK(chmod(bad, 0644) == 0);
    int fd = open(bad, O_WRONLY);
    CHECK(pwrite(fd, "x", 1, 5000000) == 1);
    close(fd);
    nlp_mapping m;
    nlp_error err;
    nlp_store_options o = options();
    CHECK_STATUS(nlp_store_map(&o, bad, NULL, &m, &err), NLP_ECORRUPT, &err);
    CHECK(look().n == 0);
    CHECK_STATUS(nlp_store_verify(&o, bad, NULL, &err), NLP_ECORRUPT, &err);
    CHECK_STATUS(nlp_store_verify(&o, path, NULL, &err), NLP_OK, &err);
    CHECK(truncate(bad, 4000000) == 0);
    CHECK_STATUS(nlp_store_map(&o, bad, NULL, &m, &err), NLP_ECORRUPT, &err);
    unlink(bad);
}

static int asked;
static bool stop_soon(void *context) {
    (void)context;
    return ++asked > 5;
}

static void test_a_canceled_build_leaves_nothing(void) {
    setup();
    nlp_mapping m;
    nlp_stop stop = {.should_stop = stop_soon};
    nlp_store_options o = options();
    asked = 0;
    CHECK_STATUS(nlp_store_map(&o, path, &stop, &m, NULL), NLP_ECANCELED, NULL);
    CHECK(look().n == 0);
    CHECK(map_and_check() == NLP_BACKING_SHM);
    drop_all();
}

static void test_a_file_that_others_may_change_is_not_mapped(void) {
    setup();
    char open_file[160];
    nlp_mapping m;
    nlp_error err;
    nlp_store_options o = options();
    o.weight_cache = NLP_CACHE_FILE;
    snprintf(open_file, sizeof open_file, "%s/open.nlp", nlp_test_folder());
    make_pack(open_file, 3);
    CHECK_STATUS(nlp_store_map(&o, open_file, NULL, &m, &err), NLP_OK, &err);
    CHECK(m.backing == NLP_BACKING_FILE);
    nlp_store_unmap(&m);
    CHECK(chmod(open_file, 0666) == 0);
    CHECK_STATUS(nlp_store_map(&o, open_file, NULL, &m, &err), NLP_EDENIED, &err);
    CHECK(strstr(err.hint, "chmod"));
    unlink(open_file);
}

static void test_the_umask_is_not_touched(void) {
    setup();
    mode_t before = umask(077);
    CHECK(map_and_check() == NLP_BACKING_SHM);
    CHECK(umask(before) == 077);
    drop_all();
}

/* A number of /proc/self/smaps, in KB, of the mapping at an address; 0 where it says none. */
static long smaps_number(const void *address, const char *key) {
    char line[512];
    bool is_here = false;
    unsigned long first, end;
    long number = 0;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    while (smaps && fgets(line, sizeof line, smaps)) {
        if (sscanf(line, "%lx-%lx ", &first, &end) == 2) is_here = first == (uintptr_t)address;
        if (is_here && !strncmp(line, key, strlen(key))) number = atol(line + strlen(key));
    }
    if (smaps) fclose(smaps);
    return number;
}

/* Whether the kernel joins pages is its own affair (Linux 6.1 on, if memory is in one piece), but where it does the
 * mapping must be one that can have them. */
static void test_weights_lie_where_huge_pages_can(void) {
    setup();
    nlp_store_options o = options();
    nlp_mapping mapping;
    nlp_error err;
    CHECK_STATUS(nlp_store_map(&o, path, NULL, &mapping, &err), NLP_OK, &err);
    CHECK(mapping.backing == NLP_BACKING_SHM && mapping.n_bytes > 2 * NLP_HUGE_PAGE);
    CHECK((uintptr_t)mapping.bytes % NLP_HUGE_PAGE == 0);
    volatile uint8_t sum = 0;
    for (size_t at = 0; at < mapping.n_bytes; at += 4096) sum = (uint8_t)(sum + mapping.bytes[at]);
    long joined = smaps_number(mapping.bytes, "ShmemPmdMapped:"),
         resident = smaps_number(mapping.bytes, "Rss:");
    printf("of %ld KB in memory, %ld KB in huge pages\n", resident, joined);
    CHECK(resident >= (long)(mapping.n_bytes / 1024) && joined % 2048 == 0);
    nlp_store_unmap(&mapping);
    drop_all();
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"a_segment_is_made_once_and_shared", test_a_segment_is_made_once_and_shared},
        {"a_builder_killed_at_any_step_costs_nothing",
         test_a_builder_killed_at_any_step_costs_nothing},
        {"sixteen_processes_open_at_once", test_sixteen_processes_open_at_once},
        {"a_stale_segment_is_built_anew", test_a_stale_segment_is_built_anew},
        {"a_foreign_segment_is_left_alone", test_a_foreign_segment_is_left_alone},
        {"damage_is_found_before_anything_is_published",
         test_damage_is_found_before_anything_is_published},
        {"a_canceled_build_leaves_nothing", test_a_canceled_build_leaves_nothing},
        {"a_file_that_others_may_change_is_not_mapped",
         test_a_file_that_others_may_change_is_not_mapped},
        {"the_umask_is_not_touched", test_the_umask_is_not_touched},
        {"weights_lie_where_huge_pages_can", test_weights_lie_where_huge_pages_can},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
