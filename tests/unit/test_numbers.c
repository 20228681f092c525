/* test_numbers: functions of double and numbers by chance, the same on every machine. */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "base/real.h"
#include "test.h"

static void near(double got, double want, double limit) {
    double off = fabs(got - want) / (fabs(want) > 1e-300 ? fabs(want) : 1);
    if (!(off <= limit)) nlp_test_fail(__FILE__, __LINE__, "%.17g, expected %.17g", got, want);
}

static void test_logarithm_exponential_power(void) {
    for (double x = 1e-300; x < 1e300; x *= 3.7) near(nlp_log(x), log(x), 2e-15);
    for (double x = -690; x < 690; x += 0.37) near(nlp_exp(x), exp(x), 2e-15);
    for (double x = 0.5; x < 1000; x *= 1.3) near(nlp_power(x, 0.8), pow(x, 0.8), 5e-15);
    CHECK(nlp_log(1) == 0 && nlp_exp(0) == 1 && nlp_power(7, 0) == 1);
    CHECK(isinf(nlp_log(0)) && nlp_log(0) < 0 && isnan(nlp_log(-1)) && isnan(nlp_log(NAN)));
    CHECK(nlp_exp(-800) == 0 && isinf(nlp_exp(800)));
}

/* Known answers of the authors of Philox (Random123, kat_vectors). */
static void test_philox_gives_the_known_answers(void) {
    uint32_t out[4];
    nlp_random_block(0, 0, out);
    CHECK(out[0] == 0x6627e8d5 && out[1] == 0xe169c58d && out[2] == 0xbc57ac4c &&
          out[3] == 0x9b00dbd8);
}

static void test_numbers_by_chance_are_spread(void) {
    double sum = 0;
    int buckets[10] = {0};
    for (uint64_t i = 0; i < 100000; i++) {
        double u = nlp_random_real(42, i);
        CHECK(u >= 0 && u < 1);
        sum += u;
        buckets[(int)(u * 10)]++;
    }
    CHECK(fabs(sum / 100000 - 0.5) < 0.005);
    for (int i = 0; i < 10; i++) CHECK(buckets[i] > 9600 && buckets[i] < 10400);
    CHECK(nlp_random_real(42, 7) == nlp_random_real(42, 7));
    CHECK(nlp_random_real(42, 7) != nlp_random_real(43, 7));
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"logarithm_exponential_power", test_logarithm_exponential_power},
        {"philox_gives_the_known_answers", test_philox_gives_the_known_answers},
        {"numbers_by_chance_are_spread", test_numbers_by_chance_are_spread}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
