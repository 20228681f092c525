/* check_distance: the integer kernels of a search: exact at every level of this CPU, for odd widths and unaligned
 * buffers, and nothing written outside. */
#include <string.h>

#include "guarded.h"
#include "random.h"
#include "tensor/kernels.h"
#include "test.h"

enum { MOST_WORDS = 33, N_SIGNATURES = 37 };

static uint32_t bits_that_differ(const uint8_t *a, const uint8_t *b, size_t n_bytes) {
    uint32_t n = 0;
    for (size_t i = 0; i < 8 * n_bytes; i++)
        n += ((a[i / 8] >> i % 8) & 1u) != ((b[i / 8] >> i % 8) & 1u);
    return n;
}

static void compare_hamming(const uint8_t *bytes, size_t n_words) {
    const nlp_kernels *k;
    const uint8_t *query = bytes + 1, *signatures = bytes + 3 + 8 * n_words; /* unaligned */
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
        guarded out = guarded_bytes(N_SIGNATURES * sizeof(uint32_t));
        uint32_t *distances = out.at;
        k->hamming(query, signatures, N_SIGNATURES, n_words, distances);
        for (size_t i = 0; i < N_SIGNATURES; i++) {
            uint32_t exact = bits_that_differ(query, signatures + 8 * n_words * i, 8 * n_words);
            if (distances[i] != exact)
                nlp_test_fail(__FILE__, __LINE__, "%s, %zu words: distance %zu is %u, not %u",
                              k->name, n_words, i, distances[i], exact);
        }
        guarded_end(&out, "hamming");
    }
}

static void test_distances_are_exact_at_every_level(void) {
    static uint8_t bytes[3 + 8 * MOST_WORDS * (N_SIGNATURES + 1)];
    nlp_random random = {11};
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)random_u32(&random);
    for (size_t n_words = 1; n_words <= MOST_WORDS; n_words++) compare_hamming(bytes, n_words);
}

static void compare_dot(const int16_t *query, const int8_t *row, size_t n) {
    const nlp_kernels *k;
    int64_t dot = 0, norm = 0;
    for (size_t i = 0; i < n; i++) dot += query[i] * row[i], norm += row[i] * row[i];
    for (size_t level = 0; (k = nlp_kernels_at(level)); level++) {
        int64_t found_norm, found = k->dot_i16_i8(query, row, n, &found_norm);
        if (found != dot || found_norm != norm)
            nlp_test_fail(__FILE__, __LINE__, "%s, n %zu: %lld and %lld, not %lld and %lld",
                          k->name, n, (long long)found, (long long)found_norm, (long long)dot,
                          (long long)norm);
    }
}

static void test_dots_are_exact_at_every_level(void) {
    static const size_t widths[] = {1, 2, 15, 16, 17, 31, 33, 63, 65, 384, 1000, 4096, 4097, 9000};
    static int16_t query[9001];
    static int8_t row[9001];
    nlp_random random = {12};
    for (size_t i = 0; i < 9001; i++) {
        query[i] = (int16_t)((int32_t)(random_u32(&random) % 8191) - 4095);
        row[i] = (int8_t)((int32_t)(random_u32(&random) % 255) - 127);
    }
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t shift = 0; shift < 2; shift++)
            compare_dot(query + shift, row + shift, widths[w] - shift);
}

static void test_the_largest_sums_do_not_overflow(void) {
    static int16_t query[9000];
    static int8_t row[9000];
    for (size_t i = 0; i < 9000; i++) query[i] = 4095, row[i] = -127;
    compare_dot(query, row, 9000);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"distances_are_exact_at_every_level", test_distances_are_exact_at_every_level},
        {"dots_are_exact_at_every_level", test_dots_are_exact_at_every_level},
        {"the_largest_sums_do_not_overflow", test_the_largest_sums_do_not_overflow}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
