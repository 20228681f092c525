/* check_cpu: what is asked of the operating system, and what NLP_ISA does. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/cpu.h"
#include "tensor/kernels.h"
#include "test.h"

/* Linux gives tiles to no process that has an alternate signal stack too small for them. First, since
 * what a process has once been given it keeps. */
static void test_a_process_that_gets_no_tiles_takes_the_level_below(void) {
    static char small[8192];
    stack_t with = {.ss_sp = small, .ss_size = sizeof small}, without = {.ss_flags = SS_DISABLE};
    CHECK(!sigaltstack(&with, NULL));
    CHECK(strcmp(nlp_level_names[nlp_cpu_level()], "amx"));
    CHECK(!sigaltstack(&without, NULL));
}

static void test_the_variable_only_lowers_the_level(void) {
    unsetenv("NLP_ISA");
    uint32_t own = nlp_cpu_level();
    for (uint32_t i = 0; i < NLP_N_LEVELS; i++) {
        uint32_t expected = i < own ? i : own;
        setenv("NLP_ISA", nlp_level_names[i], 1);
        CHECK(nlp_cpu_level() == expected);
        CHECK(!strcmp(nlp_kernels_select(UINT32_MAX)->name, nlp_level_names[expected]));
    }
    setenv("NLP_ISA", "nosuch", 1);
    CHECK(nlp_cpu_level() == own);
    unsetenv("NLP_ISA");
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"a_process_that_gets_no_tiles_takes_the_level_below",
         test_a_process_that_gets_no_tiles_takes_the_level_below},
        {"the_variable_only_lowers_the_level", test_the_variable_only_lowers_the_level}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
