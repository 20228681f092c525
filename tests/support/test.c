/* test.c: the frame of every test program. */
#include "test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static unsigned long failures;

void nlp_test_fail(const char *file, int line, const char *format, ...) {
    va_list arguments;
    failures++;
    printf("%s:%d: ", file, line);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

void nlp_test_status(const char *file, int line, const char *call, nlp_status status,
                     nlp_status expected, const nlp_error *err) {
    if (status == expected) return;
    nlp_test_fail(file, line, "%s: %s instead of %s (%s)", call, nlp_status_name(status),
                  nlp_status_name(expected), err ? err->message : "");
}

static bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

const char *nlp_test_data(void) {
    return is_folder("tests/data") ? "tests/data" : NLP_TEST_DATA;
}

const char *nlp_test_shared(void) {
    const char *named = getenv("NLP_SHARED");
    if (named && *named) return is_folder(named) ? named : NULL;
    return is_folder("../shared") ? "../shared" : NULL;
}

int nlp_test_main(int argc, char **argv, const nlp_test *tests, size_t n_tests) {
    size_t n_passed = 0, n_failed = 0;
    const char *filter = argc > 1 ? argv[1] : "";
    bool list = !strcmp(filter, "--list");
    for (size_t i = 0; i < n_tests; i++) {
        if (list) puts(tests[i].name);
        if (list || !strstr(tests[i].name, filter)) continue;
        unsigned long before = failures;
        tests[i].run();
        bool good = failures == before;
        printf("%s %s\n", good ? "ok" : "FAILED", tests[i].name);
        fflush(stdout);
        *(good ? &n_passed : &n_failed) += 1;
    }
    if (list) return 0;
    printf("%zu passed, %zu failed\n", n_passed, n_failed);
    return n_failed || !n_passed;
}
