/* cli_limits.c: the process that reads a foreign model file limits itself first: memory and processor time by the size of
 * the input, no core file, no new privileges. A hostile file that finds a fault in a parser, or makes it work for ever, has
 * then little to win. Only the command line does this: a database process never parses a foreign file. */
#include <dirent.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "cli_import.h"

/* An import holds the source's map, the f32 pack and its working copy, the packed one, and the widest tensor twice; half
 * floats grow to twice their size on the way, four bits to eight times. The fixed part is code, stacks and libraries. */
enum { MEMORY_TIMES = 24, SECONDS_PER_MIB = 4, FIXED_SECONDS = 600 };
#define FIXED_MEMORY ((rlim_t)2 << 30)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SHADOW_MEMORY true
#elif defined(__has_feature)
#define HAS_SHADOW_MEMORY (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define HAS_SHADOW_MEMORY false
#endif

/* Bytes of a file, or of the files of a folder; folders in it hold small things. */
static uint64_t input_bytes(const char *path) {
    struct stat st;
    uint64_t total = 0;
    if (stat(path, &st) != 0) return 0;
    if (!S_ISDIR(st.st_mode)) return (uint64_t)st.st_size;
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char full[CLI_PATH_BYTES];
        if ((size_t)snprintf(full, sizeof full, "%s/%s", path, entry->d_name) >= sizeof full)
            continue;
        if (stat(full, &st) == 0 && S_ISREG(st.st_mode)) total += (uint64_t)st.st_size;
    }
    if (folder) closedir(folder);
    return total;
}

/* Lowers a limit, never raises it; a host that set a lower one keeps it. (With GNU extensions glibc has an enum here, which
 * clang will not make from an int.) */
static void lower(__rlimit_resource_t what, rlim_t value) {
    struct rlimit limit;
    if (getrlimit(what, &limit) != 0 || limit.rlim_cur <= value) return;
    limit.rlim_cur = value;
    if (what == RLIMIT_CORE) limit.rlim_max = value;
    setrlimit(what, &limit);
}

void cli_limit_import(const char *source) {
    uint64_t n_bytes = input_bytes(source);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    lower(RLIMIT_CORE, 0);
    lower(RLIMIT_CPU, FIXED_SECONDS + (rlim_t)(n_bytes >> 20) * SECONDS_PER_MIB);
    if (!HAS_SHADOW_MEMORY) lower(RLIMIT_AS, FIXED_MEMORY + (rlim_t)n_bytes * MEMORY_TIMES);
}
