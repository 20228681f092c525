/* test.h: a test program is a table {name, function}; each function reports failures by CHECK and
 * goes on. `--list` prints the names, an argument filters by substring. Prints "N passed, N failed";
 * exit 1 on a failure.
 *
 *     static void test_thing_does(void) {
 *         CHECK(1 + 1 == 2);
 *         CHECK_STATUS(f(&err), NLP_EINVAL, &err);
 *     }
 *     int main(int argc, char **argv) {
 *         static const nlp_test tests[] = {{"thing_does", test_thing_does}};
 *         return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
 *     } */
#ifndef NLP_TEST_H
#define NLP_TEST_H

#include "nlp.h"

typedef struct nlp_test {
    const char *name;
    void (*run)(void);
} nlp_test;

int nlp_test_main(int argc, char **argv, const nlp_test *tests, size_t n_tests);
void nlp_test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void nlp_test_status(const char *file, int line, const char *call, nlp_status status,
                     nlp_status expected, const nlp_error *err);
/* Folder of the committed test data (tests/data), and of the whole sets: $NLP_SHARED, else
 * ../shared, else NULL. */
const char *nlp_test_data(void);
const char *nlp_test_shared(void);

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) nlp_test_fail(__FILE__, __LINE__, "not true: %s", #condition);           \
    } while (0)
/* err may be NULL; its message is shown when the status differs */
#define CHECK_STATUS(call, expected, err_)                                                         \
    nlp_test_status(__FILE__, __LINE__, #call, (call), (expected), (err_))
#define CHECK_TEXT(actual, expected)                                                               \
    do {                                                                                           \
        const char *a_ = (actual), *e_ = (expected);                                               \
        if (!a_ || __builtin_strcmp(a_, e_) != 0)                                                  \
            nlp_test_fail(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #actual,            \
                          a_ ? a_ : "(null)", e_);                                                 \
    } while (0)

#endif
