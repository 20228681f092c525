/* test_search: what both databases rank by: encodings, the best of many, fusion, scores of words, snippets. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nlp_search.h"
#include "random.h"
#include "test.h"

static const uint32_t widths[] = {1, 3, 8, 63, 64, 65, 384, 1000, 4097};
enum { N_WIDTHS = sizeof widths / sizeof *widths, MOST = 4097 };

/* ---- Encodings ---- */

static void test_a_signature_is_the_signs_and_zeros_behind_them(void) {
    const float x[10] = {1, -1, 0, -0.0f, 1e-40f, -3, 5, 5, -1, 2};
    uint8_t signature[16];
    memset(signature, 0xff, sizeof signature);
    CHECK(nlp_signature_bytes(1) == 8 && nlp_signature_bytes(64) == 8);
    CHECK(nlp_signature_bytes(65) == 16 && nlp_signature_bytes(384) == 48);
    nlp_signature_encode(x, 10, signature);
    CHECK(signature[0] == 0xd1 && signature[1] == 0x02 && !signature[2] && !signature[7]);
    CHECK(signature[8] == 0xff);
}

static void test_q8_is_near_and_rounds_half_to_even(void) {
    const float x[5] = {127, 0.5f, 1.5f, -2.5f, -127};
    uint8_t q8[9];
    float back[5];
    CHECK(nlp_q8_bytes(384) == 388);
    CHECK_STATUS(nlp_q8_encode(x, 5, q8, NULL), NLP_OK, NULL);
    nlp_q8_decode(q8, 5, back);
    CHECK(back[0] == 127 && back[1] == 0 && back[2] == 2 && back[3] == -2 && back[4] == -127);
    nlp_random random = {3};
    for (size_t w = 0; w < N_WIDTHS; w++) {
        float *y = random_floats(&random, widths[w], 0.1f), *z = malloc(widths[w] * sizeof *z);
        uint8_t *bytes = malloc(nlp_q8_bytes(widths[w]));
        CHECK_STATUS(nlp_q8_encode(y, widths[w], bytes, NULL), NLP_OK, NULL);
        nlp_q8_decode(bytes, widths[w], z);
        for (uint32_t i = 0; i < widths[w]; i++) CHECK(fabsf(y[i] - z[i]) <= 0.1f / 253);
        free(y), free(z), free(bytes);
    }
}

static void test_vectors_that_are_none_are_refused(void) {
    float x[2] = {1, NAN};
    uint8_t q8[16];
    uint64_t query[16];
    nlp_error err;
    CHECK_STATUS(nlp_q8_encode(x, 2, q8, &err), NLP_EINVAL, &err);
    x[1] = -INFINITY;
    CHECK_STATUS(nlp_q8_encode(x, 2, q8, &err), NLP_EINVAL, &err);
    CHECK_STATUS(nlp_query_prepare(x, 2, (nlp_query *)(void *)query, &err), NLP_EINVAL, &err);
    CHECK_STATUS(nlp_q8_encode(x, 0, q8, &err), NLP_EINVAL, &err);
    CHECK_STATUS(nlp_q8_encode(x, NLP_SEARCH_MAX_DIMS + 1, q8, &err), NLP_EINVAL, &err);
    CHECK(strstr(err.message, "65537") && strstr(err.message, "65536"));
}

/* ---- Cosine ---- */

static nlp_query *query_of(const float *x, uint32_t dims) {
    nlp_query *query = malloc(nlp_query_bytes(dims));
    CHECK_STATUS(nlp_query_prepare(x, dims, query, NULL), NLP_OK, NULL);
    return query;
}

static void test_cosine_is_near_that_of_doubles(void) {
    nlp_random random = {5};
    for (size_t w = 0; w < N_WIDTHS; w++) {
        uint32_t n = widths[w];
        float *x = random_floats(&random, n, 3), *y = random_floats(&random, n, 0.01f);
        uint8_t *q8 = malloc(nlp_q8_bytes(n) + 1) /* unaligned */;
        double xy = 0, xx = 0, yy = 0;
        nlp_query *query = query_of(x, n);
        CHECK_STATUS(nlp_q8_encode(y, n, q8 + 1, NULL), NLP_OK, NULL);
        for (uint32_t i = 0; i < n; i++) {
            xy += (double)x[i] * (double)y[i];
            xx += (double)x[i] * (double)x[i], yy += (double)y[i] * (double)y[i];
        }
        CHECK(fabs(nlp_query_cosine(query, q8 + 1) - xy / sqrt(xx * yy)) < 0.01);
        free(x), free(y), free(q8), free(query);
    }
}

static void test_cosine_of_a_vector_with_itself_is_1_and_of_zeros_0(void) {
    float x[3] = {0.5f, -1, 0.25f}, zero[3] = {0};
    uint8_t q8[7], q8_zero[7], smallest[7] = {0, 0, 0, 0, 0x80, 0x80, 0x80};
    nlp_query *query = query_of(x, 3), *none = query_of(zero, 3);
    CHECK_STATUS(nlp_q8_encode(x, 3, q8, NULL), NLP_OK, NULL);
    CHECK_STATUS(nlp_q8_encode(zero, 3, q8_zero, NULL), NLP_OK, NULL);
    CHECK(fabs(nlp_query_cosine(query, q8) - 1) < 1e-4);
    CHECK(nlp_query_cosine(query, q8_zero) == 0 && nlp_query_cosine(none, q8) == 0);
    CHECK(fabs(nlp_query_cosine(query, smallest)) <= 1); /* bytes of a stranger */
    free(query), free(none);
}

/* ---- The best of many ---- */

static int by_rank(const void *a, const void *b) {
    const nlp_hit *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static void test_the_best_are_those_of_a_sort(void) {
    nlp_random random = {7};
    for (size_t n = 0; n < 200; n += 7)
        for (size_t capacity = 0; capacity < 60; capacity += 5) {
            nlp_hit all[200], best[60];
            nlp_top top = {.hits = best, .capacity = capacity};
            for (size_t i = 0; i < n; i++) {
                all[i] = (nlp_hit){(int64_t)(random_u32(&random) % 1000), random_u32(&random) % 9};
                nlp_top_push(&top, all[i].id, all[i].score);
            }
            qsort(all, n, sizeof *all, by_rank);
            nlp_top_sort(&top);
            CHECK(top.n == (n < capacity ? n : capacity));
            for (size_t i = 0; i < top.n; i++)
                CHECK(best[i].id == all[i].id && best[i].score == all[i].score);
        }
}

/* ---- The scan ---- */

typedef struct scene {
    uint8_t *signatures, *ids, *allowed;
    nlp_query *query;
    uint8_t query_signature[16];
    size_t n;
} scene;

enum { SCENE_DIMS = 70 };

static scene scene_of(size_t n) {
    nlp_random random = {n + 1};
    scene s = {malloc(16 * n + 1), malloc(8 * n + 1), calloc(n / 8 + 1, 1), NULL, {0}, n};
    float *x = random_floats(&random, SCENE_DIMS, 1);
    s.query = query_of(x, SCENE_DIMS);
    nlp_signature_encode(x, SCENE_DIMS, s.query_signature);
    free(x);
    for (size_t i = 0; i < n; i++) {
        x = random_floats(&random, SCENE_DIMS, 1);
        nlp_signature_encode(x, SCENE_DIMS, s.signatures + 1 + 16 * i);
        free(x);
        uint64_t id = 1000 - i;
        for (size_t byte = 0; byte < 8; byte++) s.ids[1 + 8 * i + byte] = (uint8_t)(id >> 8 * byte);
        if (random_u32(&random) % 3) s.allowed[i / 8] |= (uint8_t)(1u << i % 8);
    }
    return s;
}

static void scene_end(scene *s) {
    free(s->signatures), free(s->ids), free(s->allowed), free(s->query);
}

static double slow_score(const scene *s, size_t i) {
    double n = 0;
    for (size_t bit = 0; bit < 128; bit++)
        n += ((s->query_signature[bit / 8] ^ s->signatures[1 + 16 * i + bit / 8]) >> bit % 8) & 1;
    return -n;
}

static void compare_scan(const scene *s, bool with_ids, bool with_allowed) {
    nlp_hit found[40], expected[40];
    nlp_top top = {.hits = found, .capacity = 40}, slow = {.hits = expected, .capacity = 40};
    nlp_signature_block block = {.signatures = s->signatures + 1,
                                 .n = s->n,
                                 .ids = with_ids ? s->ids + 1 : NULL,
                                 .allowed = with_allowed ? s->allowed : NULL,
                                 .first_id = 5};
    nlp_query_scan(s->query, &block, &top);
    for (size_t i = 0; i < s->n; i++)
        if (!with_allowed || s->allowed[i / 8] >> i % 8 & 1)
            nlp_top_push(&slow, with_ids ? 1000 - (int64_t)i : 5 + (int64_t)i, slow_score(s, i));
    nlp_top_sort(&top), nlp_top_sort(&slow);
    CHECK(top.n == slow.n && !memcmp(found, expected, top.n * sizeof *found));
}

static void test_a_scan_finds_the_nearest_that_are_allowed(void) {
    static const size_t sizes[] = {0, 1, 39, 255, 256, 257, 700};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        scene s = scene_of(sizes[i]);
        compare_scan(&s, false, false), compare_scan(&s, true, false);
        compare_scan(&s, false, true), compare_scan(&s, true, true);
        scene_end(&s);
    }
}

static void test_few_vectors_are_all_compared(void) {
    CHECK(nlp_search_candidates(10, 32, 0) == 0 && nlp_search_candidates(10, 32, 10000) == 10000);
    CHECK(nlp_search_candidates(10, 32, 10001) == 320);
    CHECK(nlp_search_candidates(1, 32, 1000000) == 256);
    CHECK(nlp_search_candidates(10, 0, 1000000) == 2560);
    CHECK(nlp_search_candidates(100, 0, 1000000) == 3200);
    CHECK(nlp_search_candidates(UINT64_MAX, 32, 20000) == 20000);
    CHECK(nlp_search_candidates(1000, 32, 20000) == 20000);
}

/* ---- Ranking ---- */

static void test_bm25_is_its_formula(void) {
    nlp_bm25 c = {.n_documents = 1000, .average_length = 120, .k1 = 0.9, .b = 0.4};
    double idf = log(1 + (1000 - 7 + 0.5) / (7 + 0.5));
    double expected = idf * 3 * 1.9 / (3 + 0.9 * (0.6 + 0.4 * 80 / 120));
    CHECK(fabs(nlp_bm25_score(&c, 7, 3, 80) - expected) < 1e-12);
    CHECK(nlp_bm25_score(&c, 7, 0, 80) == 0);
    CHECK(nlp_bm25_score(&c, 1000, 3, 80) > 0); /* a word of all texts still counts a little */
    CHECK(nlp_bm25_score(&c, 7, 3, 80) > nlp_bm25_score(&c, 70, 3, 80));
    CHECK(nlp_bm25_score(&c, 7, 3, 80) > nlp_bm25_score(&c, 7, 3, 800));
    c.average_length = 0;
    CHECK(isfinite(nlp_bm25_score(&c, 1, 1, 1)));
}

static void check_words(const char *query, const char *expected) {
    static const char *const marks[] = {[NLP_WORD_LETTERS] = "",
                                        [NLP_WORD_NUMBER] = "#",
                                        [NLP_WORD_NAME] = "!",
                                        [NLP_WORD_MIXED] = "~"};
    nlp_query_word words[16];
    nlp_text text = {query, strlen(query)};
    char found[200] = "";
    size_t n = nlp_query_words(text, words, 16), at = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(found + at, sizeof found - at, "%s%.*s%s", i ? "|" : "",
                               (int)(words[i].end - words[i].start), query + words[i].start,
                               marks[words[i].kind]);
    CHECK_TEXT(found, expected);
}

static void test_a_query_falls_into_words_numbers_and_names(void) {
    check_words("", "");
    check_words(" ... \"'*()- ", "");
    check_words("How do I reset my key?", "How|do|I|reset|my|key");
    check_words("the the \xc3\xa9t\xc3\xa9, the", "the|\xc3\xa9t\xc3\xa9");
    check_words("error ORA-01555 (E4512) x-15", "error|ORA-01555!|E4512!|x-15!");
    check_words("boundary-layer i.e. and/or 7 don't (e.g.)",
                "boundary-layer~|i.e~|and/or~|7~|don't~|e.g~");
    check_words("3.5 12 403 1,250.75 1958", "3.5#|12#|403#|1,250.75!|1958!");
    check_words("pg_class getName std::vector 1.2.840 2.3.1 foo.bar.com",
                "pg_class!|getName!|std::vector!|1.2.840!|2.3.1!|foo.bar.com!");
    check_words("--dry-run dry-run /etc @ada #4 C:\\temp\\a.ini",
                "dry-run!|etc!|ada!|4~|C:\\temp\\a.ini!");
    check_words("state=E17;[F.28],KX-1,KX-2 E17?", "state|E17!|F.28!|KX-1!|KX-2!");
    check_words("bad \xff\xfe utf-8", "bad|utf-8!");
    nlp_query_word words[2];
    CHECK(nlp_query_words((nlp_text){"a b c", 5}, words, 2) == 2);
}

static void check_names(const char *document, const char *expected) {
    nlp_text text = {document, strlen(document)};
    char found[200] = "", name[NLP_NAME_BYTES];
    size_t length = 0;
    for (size_t at = 0, n; (n = nlp_next_name(text, &at, name));)
        length += (size_t)snprintf(found + length, sizeof found - length, "%.*s|", (int)n, name);
    CHECK_TEXT(found, expected);
}

static void test_names_of_a_document_are_in_lower_case(void) {
    check_names("", "");
    check_names("No names here.", "");
    check_names("Error ERR-4031: see KX-200/S, \xc3\x84-17 and pg_Class().",
                "err-4031|kx-200/s|\xc3\xa4-17|pg_class|");
    char longer[NLP_NAME_BYTES + 16];
    memset(longer, '7', sizeof longer);
    memcpy(longer + sizeof longer - 5, " E17", 5);
    check_names(longer, "e17|");
}

/* From the nearest, 1, to the last, 0, by meaning; twice the share of the words, squared. */
static void test_fusion_adds_what_the_halves_say(void) {
    const nlp_hit d[] = {{7, 0.9}, {3, 0.8}, {5, 0.5}}, t[] = {{3, 8}, {9, 6}, {7, 4}, {2, 2}};
    nlp_half dense = {d, 3, 1, {0, 0}}, text = {t, 4, 0.5, {8, 1}};
    nlp_fused fused[7];
    size_t n = nlp_fuse(&dense, &text, NULL, 0, fused);
    CHECK(n == 5);
    CHECK(fused[0].id == 3 && fused[0].dense_rank == 2 && fused[0].text_rank == 1);
    CHECK(fabs(fused[0].score - (0.75 + 0.5 * 2)) < 1e-12);
    CHECK(fused[1].id == 7 && fabs(fused[1].score - (1 + 0.5 * 2 * 0.25)) < 1e-12);
    CHECK(fused[2].id == 9 && !fused[2].dense_rank);
    CHECK(fused[3].id == 2 && fused[4].id == 5 && fused[4].score == 0 && !fused[4].text_rank);
    dense.n = text.n = 0;
    CHECK(nlp_fuse(&dense, &text, NULL, 0, fused) == 0);
}

static void test_what_words_say_depends_on_the_best_row_and_on_idle_words(void) {
    const nlp_hit average = {1, 9}, of_long_rows = {2, 3};
    CHECK(nlp_said_by(10, NULL, 0, 0).full == 10 && nlp_said_by(10, NULL, 0, 0).part == 1);
    CHECK(nlp_said_by(10, &average, 5, 0).full == 10);
    CHECK(fabs(nlp_said_by(10, &of_long_rows, 5, 0).full - 6) < 1e-12);
    CHECK(fabs(nlp_said_by(10, NULL, 0, 5).part - 10 / 15.0) < 1e-12); /* five words like "how" */
    CHECK(nlp_said_by(0, NULL, 0, 5).full == 0 && nlp_said_by(0, NULL, 0, 5).part == 0);
}

static void test_a_half_alone_keeps_its_order(void) {
    nlp_hit hits[150];
    nlp_fused fused[150];
    for (int i = 0; i < 150; i++) hits[i] = (nlp_hit){1000 - i, 1 - i / 200.0};
    nlp_half all = {hits, 150, 1, {0, 0}}, none = {NULL, 0, 1, {0, 0}};
    CHECK(nlp_fuse(&all, &none, NULL, 0, fused) == 150);
    for (int i = 0; i < 150; i++) CHECK(fused[i].id == 1000 - i && fused[i].dense_rank);
    all.said = (nlp_said){0.2, 1}; /* nearly all have more than that */
    CHECK(nlp_fuse(&none, &all, NULL, 0, fused) == 150);
    for (int i = 0; i < 150; i++) CHECK(fused[i].id == 1000 - i && fused[i].text_rank);
}

static void test_equal_scores_are_in_the_order_of_ranks_then_ids(void) {
    const nlp_hit d[] = {{8, 0.5}, {-4, 0.5}}, named[] = {{6, 1}, {4, 1}};
    nlp_half dense = {d, 2, 1, {0, 0}}, text = {NULL, 0, 1, {0, 0}};
    nlp_fused fused[4];
    CHECK(nlp_fuse(&dense, &text, named, 2, fused) == 4);
    CHECK(fused[0].id == 4 && fused[1].id == 6 && fused[2].id == 8 && fused[3].id == -4);
}

/* 60 rows have one common word of the query, one has all, one means it. */
static void test_rows_with_few_of_the_words_do_not_pass_those_that_mean_it(void) {
    nlp_hit d[62], t[61];
    nlp_fused fused[123];
    for (int i = 0; i < 60; i++)
        d[i + 2] = (nlp_hit){i, 0.3 - i / 1000.0}, t[i + 1] = (nlp_hit){i, 3};
    d[0] = (nlp_hit){500, 0.6}, d[1] = (nlp_hit){1000, 0.5}, t[0] = (nlp_hit){1000, 12};
    nlp_half dense = {d, 62, 1, {0, 0}}, text = {t, 61, 1, {12, 1}};
    nlp_fuse(&dense, &text, NULL, 0, fused);
    CHECK(fused[0].id == 1000 && fused[1].id == 500);
}

static void test_rows_with_a_name_stand_before_all(void) {
    const nlp_hit d[] = {{1, 0.9}, {2, 0.8}, {3, 0.1}}, t[] = {{1, 9}},
                  named[] = {{40, NLP_NAMED_WITHIN},
                             {30, NLP_NAMED_WHOLE},
                             {3, NLP_NAMED_RARE},
                             {40, NLP_NAMED_RARE}};
    nlp_half dense = {d, 3, 1, {0, 0}}, text = {t, 1, 1, {9, 1}};
    nlp_fused fused[8];
    size_t n = nlp_fuse(&dense, &text, named, 4, fused);
    CHECK(n == 5 && fused[0].id == 30 && fused[1].id == 40 && !fused[0].text_rank);
    CHECK(fused[2].id == 1 && fused[3].id == 3); /* a rare word counts more than meaning alone */
}

/* ---- Snippets ---- */

static void check_snippet(const char *text, const char *query, size_t most, const char *expected) {
    nlp_snippet s;
    nlp_text whole = {text, strlen(text)};
    nlp_snippet_find(whole, 0, whole.n_bytes, (nlp_text){query, strlen(query)}, most, &s);
    char found[400];
    snprintf(found, sizeof found, "%.*s", (int)(s.end - s.start), text + s.start);
    CHECK_TEXT(found, expected);
    size_t characters = 0;
    for (size_t i = s.start; i < s.end; i++) characters += ((uint8_t)text[i] & 0xC0) != 0x80;
    CHECK(s.end_pos - s.start_pos + 1 == (int64_t)characters && characters <= most);
}

static void test_a_snippet_has_most_words_of_the_query(void) {
    const char *text =
        "Keys are metal. Some long words stand here between. Resetting a lost key is "
        "done by mail. Nothing else follows here.";
    check_snippet(text, "reset my key", 40, "Resetting a lost key is done by mail.");
    check_snippet(text, "zzz", 20, "Keys are metal. Some");
    check_snippet(text, "", 20, "Keys are metal. Some");
    check_snippet(text, "KEYS", 10, "Keys are");
    check_snippet("", "key", 10, "");
    check_snippet("   ", "key", 10, "");
    check_snippet("abcdefghijklmnopqrstuvwxyz", "x", 10, "abcdefghij");
}

static void test_a_snippet_counts_characters_of_any_script(void) {
    check_snippet("\xc3\x89t\xc3\xa9 \xc3\xa0 Z\xc3\xbcrich, na\xc3\xafve", "z\xc3\x9cRICH", 12,
                  "\xc3\xa0 Z\xc3\xbcrich,");
    check_snippet("\xe6\x9d\xb1\xe4\xba\xac\xe9\x83\xbd", "\xe4\xba\xac", 1, "\xe4\xba\xac");
    check_snippet("a\xff\xfe b", "b", 10, "a\xff\xfe b");
}

static void test_a_snippet_stays_in_its_part_of_the_text(void) {
    const char *text = "key one. key two. key three.";
    nlp_snippet s;
    nlp_snippet_find((nlp_text){text, strlen(text)}, 9, 17, (nlp_text){"key one", 7}, 100, &s);
    CHECK(s.start == 9 && s.end == 17 && s.start_pos == 10 && s.end_pos == 17 && s.n_words == 1);
    nlp_snippet_find((nlp_text){text, strlen(text)}, 90, 99, (nlp_text){"key", 3}, 100, &s);
    CHECK(s.start == s.end && s.n_words == 0);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"a_signature_is_the_signs_and_zeros_behind_them",
         test_a_signature_is_the_signs_and_zeros_behind_them},
        {"q8_is_near_and_rounds_half_to_even", test_q8_is_near_and_rounds_half_to_even},
        {"vectors_that_are_none_are_refused", test_vectors_that_are_none_are_refused},
        {"cosine_is_near_that_of_doubles", test_cosine_is_near_that_of_doubles},
        {"cosine_of_a_vector_with_itself_is_1_and_of_zeros_0",
         test_cosine_of_a_vector_with_itself_is_1_and_of_zeros_0},
        {"the_best_are_those_of_a_sort", test_the_best_are_those_of_a_sort},
        {"a_scan_finds_the_nearest_that_are_allowed",
         test_a_scan_finds_the_nearest_that_are_allowed},
        {"few_vectors_are_all_compared", test_few_vectors_are_all_compared},
        {"bm25_is_its_formula", test_bm25_is_its_formula},
        {"a_query_falls_into_words_numbers_and_names",
         test_a_query_falls_into_words_numbers_and_names},
        {"names_of_a_document_are_in_lower_case", test_names_of_a_document_are_in_lower_case},
        {"fusion_adds_what_the_halves_say", test_fusion_adds_what_the_halves_say},
        {"what_words_say_depends_on_the_best_row_and_on_idle_words",
         test_what_words_say_depends_on_the_best_row_and_on_idle_words},
        {"a_half_alone_keeps_its_order", test_a_half_alone_keeps_its_order},
        {"equal_scores_are_in_the_order_of_ranks_then_ids",
         test_equal_scores_are_in_the_order_of_ranks_then_ids},
        {"rows_with_few_of_the_words_do_not_pass_those_that_mean_it",
         test_rows_with_few_of_the_words_do_not_pass_those_that_mean_it},
        {"rows_with_a_name_stand_before_all", test_rows_with_a_name_stand_before_all},
        {"a_snippet_has_most_words_of_the_query", test_a_snippet_has_most_words_of_the_query},
        {"a_snippet_counts_characters_of_any_script",
         test_a_snippet_counts_characters_of_any_script},
        {"a_snippet_stays_in_its_part_of_the_text", test_a_snippet_stays_in_its_part_of_the_text}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
