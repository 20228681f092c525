/* test_tasks: what the reference's files don't show of the tasks over heads: texts longer than the
 * model, other label schemes, nothing to find, bad input. Models are those of tests/data/models,
 * some under other labels; tests/../scripts/parity compares their answers with the reference. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "models.h"
#include "nlp_import.h"
#include "test.h"

typedef struct bench {
    nlp_engine *engine;
    nlp_session *session;
    nlp_model *model;
    nlp_error err;
    const nlp_result *result;
} bench;

static bench open_bench(const char *name) {
    bench b = {0};
    nlp_test_engine(&b.engine, &b.session);
    CHECK_STATUS(nlp_model_open(b.engine, name, NULL, &b.model, &b.err), NLP_OK, &b.err);
    return b;
}

static void close_bench(bench *b) {
    nlp_model_close(b->model);
    nlp_session_close(b->session);
    nlp_engine_close(b->engine);
}

/* ---- Models under other labels ---- */

static char *read_file(const char *path, size_t *n) {
    FILE *file = fopen(path, "rb");
    char *bytes = calloc(1, 1 << 20);
    *n = file && bytes ? fread(bytes, 1, (1 << 20) - 1, file) : 0;
    if (file) fclose(file);
    return bytes;
}

static void write_file(const char *folder, const char *name, const char *bytes, size_t n) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, n, file) == n);
    if (file) fclose(file);
}

/* config.json of a model with its id2label replaced; label2id goes. */
static void write_config(const char *source, const char *folder, const char *const *labels,
                         size_t n_labels) {
    char path[512], out[8192] = "{\n  \"id2label\": {";
    size_t n, used = strlen(out);
    snprintf(path, sizeof path, "%s/config.json", source);
    char *config = read_file(path, &n);
    for (size_t i = 0; i < n_labels; i++)
        used += (size_t)snprintf(out + used, sizeof out - used, "%s\"%zu\": \"%s\"", i ? ", " : "",
                                 i, labels[i]);
    used += (size_t)snprintf(out + used, sizeof out - used, "},\n");
    for (const char *line = strtok(config + 2, "\n"); line; line = strtok(NULL, "\n")) {
        bool in_map = strstr(line, "id2label") || strstr(line, "label2id");
        while (in_map && !strchr(line, '}')) line = strtok(NULL, "\n");
        if (!in_map) used += (size_t)snprintf(out + used, sizeof out - used, "%s\n", line);
    }
    free(config);
    write_file(folder, "config.json", out, used);
}

/* The model `source` of tests/data under other labels, as `name`. */
static void import_as(const char *name, const char *source, const char *const *labels,
                      size_t n_labels) {
    static const char *const files[] = {"model.safetensors", "tokenizer.json",
                                        "tokenizer_config.json"};
    char from[256], folder[256], path[512];
    nlp_error err;
    nlp_import_report report;
    snprintf(from, sizeof from, "%s/models/%s", nlp_test_data(), source);
    snprintf(folder, sizeof folder, "%s/%s-files", nlp_test_folder(), name);
    if (mkdir(folder, 0755) != 0) return; /* made by another test */
    write_config(from, folder, labels, n_labels);
    for (size_t i = 0; i < 3; i++) {
        size_t n;
        snprintf(path, sizeof path, "%s/%s", from, files[i]);
        char *bytes = read_file(path, &n);
        write_file(folder, files[i], bytes, n);
        free(bytes);
    }
    snprintf(path, sizeof path, "%s/%s.nlp", nlp_test_folder(), name);
    nlp_import_options options = {
        .struct_size = sizeof options, .source = folder, .out = path, .precision = "f32"};
    CHECK_STATUS(nlp_import(&options, &report, &err), NLP_OK, &err);
}

static bench open_as(const char *name, const char *source, const char *const *labels,
                     size_t n_labels) {
    import_as(name, source, labels, n_labels);
    return open_bench(name);
}

static bench open_pack(const char *name) {
    nlp_test_pack(name);
    return open_bench(name);
}

static bench open_nli(void) {
    static const char *const labels[] = {"CONTRADICTION", "NEUTRAL", "ENTAILMENT"};
    return open_as("nli", "bert-seqcls", labels, 3);
}

/* ---- Running ---- */

static nlp_option text_option(const char *key, const char *text) {
    return (nlp_option){key, {.type = NLP_TYPE_TEXT, .n = (uint32_t)strlen(text), .as.text = text}};
}

static nlp_option whole_option(const char *key, int64_t number) {
    return (nlp_option){key, {.type = NLP_TYPE_INTEGER, .as.integer = number}};
}

static nlp_option flag_option(const char *key) {
    return (nlp_option){key, {.type = NLP_TYPE_BOOLEAN, .as.boolean = true}};
}

static nlp_status run_texts(bench *b, const char *task, const nlp_text *texts, size_t n_inputs,
                            const nlp_option *options, size_t n_options) {
    nlp_request request = {.struct_size = sizeof request,
                           .task = nlp_task_find(b->engine, task),
                           .model = b->model,
                           .texts = texts,
                           .n_inputs = n_inputs,
                           .options = options,
                           .n_options = n_options};
    return nlp_session_run(b->session, &request, &b->result, &b->err);
}

static nlp_status run(bench *b, const char *task, const char *first, const char *second,
                      const nlp_option *options, size_t n_options) {
    nlp_text texts[2] = {nlp_test_text(first), second ? nlp_test_text(second) : (nlp_text){0}};
    return run_texts(b, task, texts, 1, options, n_options);
}

/* second: a list of texts with '|' between them. */
static nlp_status run_list(bench *b, const char *task, const char *first, const char *list,
                           const nlp_option *options, size_t n_options) {
    char joined[1024];
    size_t n = strlen(list) ? strlen(list) + 1 : 0;
    for (size_t i = 0; i < n; i++) joined[i] = (char)(list[i] == '|' ? 0 : list[i]);
    nlp_text texts[2] = {nlp_test_text(first), {joined, n}};
    return run_texts(b, task, texts, 1, options, n_options);
}

static const nlp_value *cell(const bench *b, uint32_t row, uint32_t n_columns, uint32_t column) {
    return &b->result->outputs->cells[row * n_columns + column];
}

static bool is_text(const nlp_value *value, const char *text) {
    return value->type == NLP_TYPE_TEXT && value->n == strlen(text) &&
           !memcmp(value->as.text, text, value->n);
}

/* Words of many kinds, so that windows cut some of them. */
static char *long_text(size_t n_words) {
    static const char *const words[] = {
        "Zürich", "antidisestablishmentarianism", "of", "IBM", "北京", "a", "O'Neill"};
    char *text = calloc(n_words, 40);
    size_t n = 0;
    for (size_t i = 0; i < n_words; i++)
        n += (size_t)sprintf(text + n, "%s%zu ", words[(i * 5 + i / 7) % 7], i % 10);
    return text;
}

/* ---- Entities ---- */

/* No label is outside: with aggregation none every token is a row. */
static bench open_all_inside(void) {
    static const char *const labels[] = {"X", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"};
    return open_as("inside", "bert-tokcls", labels, 7);
}

typedef struct places {
    int64_t *starts, *ends;
    double *scores;
    size_t n;
} places;

static places places_of(const bench *b, uint32_t n_columns, uint32_t start, uint32_t score) {
    size_t n = b->result->outputs->n_rows;
    places p = {malloc(8 * n + 8), malloc(8 * n + 8), malloc(8 * n + 8), 0};
    for (uint32_t i = 0; i < n; i++) {
        if (cell(b, i, n_columns, start)->type == NLP_TYPE_NULL) continue; /* a special token */
        p.starts[p.n] = cell(b, i, n_columns, start)->as.integer;
        p.ends[p.n] = cell(b, i, n_columns, start + 1)->as.integer;
        p.scores[p.n++] = score == UINT32_MAX ? 0 : cell(b, i, n_columns, score)->as.real;
    }
    return p;
}

static void free_places(places *p) {
    free(p->starts);
    free(p->ends);
    free(p->scores);
}

static bool same_places(const places *a, const places *b) {
    return a->n == b->n && !memcmp(a->starts, b->starts, 8 * a->n) &&
           !memcmp(a->ends, b->ends, 8 * a->n);
}

/* Tokens of a text without the special ones. */
static size_t count_tokens(bench *b, const char *text) {
    CHECK_STATUS(run(b, "token_count", text, NULL, NULL, 0), NLP_OK, &b->err);
    return (size_t)b->result->outputs->cells->as.integer - 2;
}

static void test_windows_lose_and_double_no_token(void) {
    bench b = open_all_inside();
    char *text = long_text(300);
    size_t n_tokens = count_tokens(&b, text);
    for (int64_t limit = 3; limit <= 64; limit = limit < 12 ? limit + 1 : limit * 2 + 1) {
        nlp_option options[] = {text_option("aggregation", "none"),
                                whole_option("max_tokens", limit)};
        CHECK_STATUS(run(&b, "entities", text, NULL, options, 2), NLP_OK, &b.err);
        CHECK(!b.result->outputs->truncated);
        places found = places_of(&b, 5, 3, 2);
        CHECK(found.n == n_tokens);
        for (size_t i = 1; i < found.n; i++)
            if (found.starts[i] != found.ends[i - 1] + 1 &&
                found.starts[i] != found.ends[i - 1] + 2)
                nlp_test_fail(__FILE__, __LINE__, "limit %d: token %zu is not behind the last",
                              (int)limit, i);
        free_places(&found);
    }
    free(text);
    close_bench(&b);
}

/* A token's row is that of the window where it has most context: the first window is the text cut
 * at the limit. */
static void test_the_first_window_is_the_truncated_text(void) {
    bench b = open_all_inside();
    char *text = long_text(100);
    nlp_option options[] = {text_option("aggregation", "none"),
                            text_option("on_overflow", "truncate"), whole_option("max_tokens", 34)};
    CHECK_STATUS(run(&b, "entities", text, NULL, options, 3), NLP_OK, &b.err);
    CHECK(b.result->outputs->truncated && b.result->outputs->n_rows == 32);
    places cut = places_of(&b, 5, 3, 2);
    options[1] = text_option("on_overflow", "chunk");
    CHECK_STATUS(run(&b, "entities", text, NULL, options, 3), NLP_OK, &b.err);
    places all = places_of(&b, 5, 3, 2);
    CHECK(all.n > cut.n && !memcmp(all.scores, cut.scores, 28 * sizeof *cut.scores));
    CHECK(all.scores[31] != cut.scores[31]); /* seen better by the second */
    options[1] = text_option("on_overflow", "error");
    CHECK_STATUS(run(&b, "entities", text, NULL, options, 3), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, " 34"));
    free_places(&cut);
    free_places(&all);
    free(text);
    close_bench(&b);
}

static void test_entities_do_not_depend_on_batch_or_threads(void) {
    enum { N = 12 };
    bench b = open_pack("bert-tokcls");
    nlp_text texts[N];
    char *storage[N];
    for (size_t i = 0; i < N; i++) texts[i] = nlp_test_text(storage[i] = long_text(10 + 17 * i));
    places alone[N];
    for (size_t i = 0; i < N; i++) {
        CHECK_STATUS(run_texts(&b, "entities", &texts[i], 1, NULL, 0), NLP_OK, &b.err);
        alone[i] = places_of(&b, 5, 3, 2);
    }
    for (uint32_t threads = 1; threads <= 4; threads += 3) {
        nlp_engine_set_limits(b.engine, threads, 0);
        CHECK_STATUS(run_texts(&b, "entities", texts, N, NULL, 0), NLP_OK, &b.err);
        for (size_t i = 0; i < N; i++) {
            nlp_result one = {.n_inputs = 1, .outputs = &b.result->outputs[i]};
            bench view = b;
            view.result = &one;
            places p = places_of(&view, 5, 3, 2);
            CHECK(same_places(&p, &alone[i]) &&
                  !memcmp(p.scores, alone[i].scores, p.n * sizeof *p.scores));
            free_places(&p);
        }
    }
    for (size_t i = 0; i < N; i++) free(storage[i]), free_places(&alone[i]);
    close_bench(&b);
}

/* Every token of the text gets the last label from this model. */
static uint32_t entities_of(const char *name, const char *last, const char *other,
                            const char *shown) {
    const char *labels[] = {"O", "B-PER", other, "B-ORG", other, "B-LOC", last};
    bench b = open_as(name, "bert-tokcls", labels, 7);
    CHECK_STATUS(run(&b, "entities", "IBM and Apple", NULL, NULL, 0), NLP_OK, &b.err);
    uint32_t n = b.result->outputs->n_rows;
    CHECK(n && is_text(cell(&b, 0, 5, 1), shown));
    close_bench(&b);
    return n;
}

static void test_label_schemes(void) {
    bench b = open_all_inside();
    nlp_option none = text_option("aggregation", "none");
    CHECK_STATUS(run(&b, "entities", "IBM and Apple", NULL, &none, 1), NLP_OK, &b.err);
    uint32_t n = b.result->outputs->n_rows;
    for (uint32_t i = 0; i < n; i++) CHECK(is_text(cell(&b, i, 5, 1), "I-LOC"));
    close_bench(&b);
    CHECK(n > 3);
    CHECK(entities_of("bio-i", "I-LOC", "I-PER", "LOC") == 1);
    CHECK(entities_of("bio-b", "B-LOC", "I-PER", "LOC") == n);
    CHECK(entities_of("io", "LOC", "PER", "LOC") == 1);
    CHECK(entities_of("bioes-i", "I-LOC", "S-PER", "LOC") == 1);
    CHECK(entities_of("bioes-s", "S-LOC", "S-PER", "LOC") == n);
    CHECK(entities_of("bioes-e", "E-LOC", "S-PER", "LOC") == n);
    CHECK(entities_of("bilou-u", "U-LOC", "L-PER", "LOC") == n);
    CHECK(entities_of("bilou-l", "L-LOC", "U-PER", "LOC") == n);
    CHECK(entities_of("no-scheme", "S-Bahn", "Tram", "Bahn") == 1);
}

static void test_entities_of_nothing(void) {
    bench b = open_pack("bert-tokcls");
    nlp_option strict = {"threshold", {.type = NLP_TYPE_REAL, .as.real = 1}};
    CHECK_STATUS(run(&b, "entities", "", NULL, NULL, 0), NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 0 && b.result->outputs->n_tokens == 2);
    CHECK_STATUS(run(&b, "entities", "IBM", NULL, &strict, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 0);
    nlp_option tight = whole_option("max_tokens", 2);
    CHECK_STATUS(run(&b, "entities", "IBM", NULL, &tight, 1), NLP_EINVAL, &b.err);
    nlp_option wrong = text_option("aggregation", "some");
    CHECK_STATUS(run(&b, "entities", "IBM", NULL, &wrong, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "aggregation") && strstr(b.err.message, "average"));
    close_bench(&b);
}

/* ---- Answers ---- */

enum { ANSWER, SCORE, START, END, NULL_SCORE, SPAN_COLUMNS };

static void test_a_long_context_is_read_to_its_end(void) {
    bench b = open_pack("bert-qa");
    nlp_option truncate = text_option("on_overflow", "truncate");
    bool beyond = false;
    for (size_t i = 0; i < 12; i++) {
        char *text = long_text(60 + i);
        const char *context = text + strlen(text) / 40 * i;
        while (((unsigned char)*context & 0xC0) == 0x80) context++;
        CHECK_STATUS(run(&b, "answer_span", "Who wrote it?", context, &truncate, 1), NLP_OK,
                     &b.err);
        CHECK(b.result->outputs->truncated);
        double score = cell(&b, 0, SPAN_COLUMNS, SCORE)->as.real,
               null_score = cell(&b, 0, SPAN_COLUMNS, NULL_SCORE)->as.real;
        int64_t end = cell(&b, 0, SPAN_COLUMNS, END)->as.integer;
        CHECK_STATUS(run(&b, "answer_span", "Who wrote it?", context, NULL, 0), NLP_OK, &b.err);
        CHECK(!b.result->outputs->truncated);
        CHECK(cell(&b, 0, SPAN_COLUMNS, SCORE)->as.real >= score);
        CHECK(cell(&b, 0, SPAN_COLUMNS, NULL_SCORE)->as.real <= null_score);
        const nlp_value *answer = cell(&b, 0, SPAN_COLUMNS, ANSWER);
        if (answer->type == NLP_TYPE_TEXT)
            CHECK(answer->as.text >= context &&
                  answer->as.text + answer->n <= context + strlen(context));
        beyond = beyond || cell(&b, 0, SPAN_COLUMNS, END)->as.integer > end + 100;
        free(text);
    }
    CHECK(beyond);
    close_bench(&b);
}

static void test_answers_are_no_longer_than_asked(void) {
    bench b = open_pack("bert-qa");
    const char *context = "The play was written by William Shakespeare in 1595.";
    double last = 0;
    for (int64_t most = 1; most <= 15; most += 7) {
        nlp_option option = whole_option("max_answer_tokens", most);
        CHECK_STATUS(run(&b, "answer_span", "Who wrote the play?", context, &option, 1), NLP_OK,
                     &b.err);
        CHECK(cell(&b, 0, SPAN_COLUMNS, SCORE)->as.real >= last);
        last = cell(&b, 0, SPAN_COLUMNS, SCORE)->as.real;
        if (most == 1) CHECK(cell(&b, 0, SPAN_COLUMNS, ANSWER)->n <= 12);
    }
    nlp_option none = whole_option("max_answer_tokens", 0);
    CHECK_STATUS(run(&b, "answer", "Who?", context, &none, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "max_answer_tokens"));
    close_bench(&b);
}

static void test_no_answer_is_null(void) {
    bench b = open_pack("bert-qa");
    CHECK_STATUS(run(&b, "answer_span", "When?", "", NULL, 0), NLP_OK, &b.err);
    CHECK(cell(&b, 0, SPAN_COLUMNS, ANSWER)->type == NLP_TYPE_NULL &&
          cell(&b, 0, SPAN_COLUMNS, NULL_SCORE)->as.real == 1);
    nlp_option strict = {"threshold", {.type = NLP_TYPE_REAL, .as.real = 0.9}};
    CHECK_STATUS(run(&b, "answer", "When?", "No date is given.", &strict, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->type == NLP_TYPE_NULL);
    CHECK_STATUS(run(&b, "answer", "", "No date is given.", NULL, 0), NLP_OK, &b.err);
    char *question = long_text(60);
    CHECK_STATUS(run(&b, "answer", question, "No date.", NULL, 0), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "question") && strstr(b.err.message, "64"));
    nlp_option null_on_error = text_option("on_error", "null");
    CHECK_STATUS(run(&b, "answer_span", question, "No date.", &null_on_error, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs->status == NLP_ELIMIT && b.result->outputs->n_rows == 0);
    free(question);
    close_bench(&b);
}

/* ---- Masks ---- */

enum { TOKEN, MASK_SCORE, SEQUENCE, ID, MASK_COLUMNS };

static void test_masks(void) {
    bench b = open_pack("bert-mlm");
    nlp_option k = whole_option("k", 1000);
    CHECK_STATUS(run(&b, "fill_mask", "Paris is the [MASK] of France.", NULL, &k, 1), NLP_OK,
                 &b.err);
    CHECK(b.result->outputs->n_rows == 1000);
    double sum = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        double score = cell(&b, i, MASK_COLUMNS, MASK_SCORE)->as.real;
        sum += score;
        CHECK(!i || score <= cell(&b, i - 1, MASK_COLUMNS, MASK_SCORE)->as.real);
    }
    CHECK(sum > 0.9 && sum < 1.00001);
    k = whole_option("k", 2);
    CHECK_STATUS(run(&b, "fill_mask", "The [MASK] of [MASK].", NULL, &k, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 4);
    for (uint32_t i = 0; i < 4; i++) {
        const nlp_value *s = cell(&b, i, MASK_COLUMNS, SEQUENCE);
        const char *open = s->n > 6 ? memmem(s->as.text, s->n, "[MASK]", 6) : NULL;
        CHECK(open && !memmem(s->as.text, s->n, "[CLS]", 5));
    }
    close_bench(&b);
}

static void test_a_text_without_a_mask_is_refused(void) {
    bench b = open_pack("bert-mlm");
    CHECK_STATUS(run(&b, "fill_mask", "no mask here", NULL, NULL, 0), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "[MASK]"));
    CHECK_STATUS(run(&b, "fill_mask", "", NULL, NULL, 0), NLP_EINVAL, &b.err);
    char *text = long_text(100), *masked = malloc(strlen(text) + 8);
    sprintf(masked, "%s[MASK]", text);
    CHECK_STATUS(run(&b, "fill_mask", masked, NULL, NULL, 0), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "64"));
    nlp_option chunk = text_option("on_overflow", "chunk");
    CHECK_STATUS(run(&b, "fill_mask", "[MASK]", NULL, &chunk, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "on_overflow") && strstr(b.err.message, "truncate|error"));
    free(text);
    free(masked);
    close_bench(&b);
}

/* ---- Labels of one's own ---- */

/* Logits of the model for a pair, in the order of its labels. */
static void pair_logits(bench *b, const char *text, const char *pair, double logits[3]) {
    nlp_option options[] = {text_option("pair", pair), flag_option("raw")};
    CHECK_STATUS(run(b, "classify_scores", text, NULL, options, 2), NLP_OK, &b->err);
    for (uint32_t i = 0; i < 3; i++) logits[i] = cell(b, i, 2, 1)->as.real;
}

static double score_of(const bench *b, const char *label) {
    for (uint32_t i = 0; i < b->result->outputs->n_rows; i++)
        if (is_text(cell(b, i, 2, 0), label)) return cell(b, i, 2, 1)->as.real;
    return NAN;
}

static void test_zero_shot_is_a_softmax_of_entailments(void) {
    bench b = open_nli();
    const char *text = "The match ended two to one.";
    double sports[3], food[3];
    pair_logits(&b, text, "This example is sports.", sports);
    pair_logits(&b, text, "This example is food.", food);
    CHECK_STATUS(run_list(&b, "zero_shot_scores", text, "sports|food", NULL, 0), NLP_OK, &b.err);
    double expected = 1 / (1 + exp(food[2] - sports[2]));
    CHECK(fabs(score_of(&b, "sports") - expected) < 1e-5);
    CHECK(fabs(score_of(&b, "food") - (1 - expected)) < 1e-5);
    nlp_option multi = flag_option("multi_label");
    CHECK_STATUS(run_list(&b, "zero_shot_scores", text, "sports|food", &multi, 1), NLP_OK, &b.err);
    CHECK(fabs(score_of(&b, "sports") - 1 / (1 + exp(sports[0] - sports[2]))) < 1e-5);
    CHECK(fabs(score_of(&b, "food") - 1 / (1 + exp(food[0] - food[2]))) < 1e-5);
    CHECK_STATUS(run_list(&b, "zero_shot_scores", text, "sports", NULL, 0), NLP_OK, &b.err);
    CHECK(fabs(score_of(&b, "sports") - 1 / (1 + exp(sports[0] - sports[2]))) < 1e-5);
    CHECK_STATUS(run_list(&b, "zero_shot", text, "sports|food", NULL, 0), NLP_OK, &b.err);
    CHECK(is_text(b.result->outputs->cells, expected > 0.5 ? "sports" : "food"));
    close_bench(&b);
}

static void test_zero_shot_refuses(void) {
    bench b = open_nli();
    nlp_option none = text_option("hypothesis", "no place for a label"),
               two = text_option("hypothesis", "{} and {}"), pair = text_option("pair", "x");
    CHECK_STATUS(run_list(&b, "zero_shot", "x", "a|b", &none, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "hypothesis"));
    CHECK_STATUS(run_list(&b, "zero_shot", "x", "a|b", &two, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "2 times"));
    CHECK_STATUS(run_list(&b, "zero_shot", "x", "a|b", &pair, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "pair") && strstr(b.err.hint, "multi_label"));
    CHECK_STATUS(run_list(&b, "zero_shot", "x", "", NULL, 0), NLP_EINVAL, &b.err);
    nlp_text open[2] = {nlp_test_text("x"), nlp_test_text("no end")};
    CHECK_STATUS(run_texts(&b, "zero_shot", open, 1, NULL, 0), NLP_EINVAL, &b.err);
    close_bench(&b);
    bench plain = open_pack("bert-seqcls");
    CHECK_STATUS(run_list(&plain, "zero_shot", "x", "a|b", NULL, 0), NLP_EUNSUPPORTED, &plain.err);
    CHECK(strstr(plain.err.message, "entailment"));
    close_bench(&plain);
}

/* What is too long is cut from the text: the hypothesis says what is asked. */
static void test_zero_shot_cuts_the_text_only(void) {
    bench b = open_nli();
    char *text = long_text(100);
    CHECK_STATUS(run_list(&b, "zero_shot_scores", text, "a|b", NULL, 0), NLP_OK, &b.err);
    CHECK(b.result->outputs->truncated && b.result->outputs->n_tokens == 128);
    nlp_option error = text_option("on_overflow", "error");
    CHECK_STATUS(run_list(&b, "zero_shot", text, "a", &error, 1), NLP_ELIMIT, &b.err);
    text[900] = 0; /* a label that leaves no room */
    while (((unsigned char)text[strlen(text) - 1] & 0x80)) text[strlen(text) - 1] = 0;
    CHECK_STATUS(run_list(&b, "zero_shot", "x", text, NULL, 0), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "second text"));
    free(text);
    close_bench(&b);
}

/* ---- Rerankers ---- */

static const nlp_option *yes_no(void) {
    static nlp_option options[4];
    options[0] = text_option("yes", "y");
    options[1] = text_option("no", "n");
    options[2] = text_option("prompt", "<|im_start|>Judge {query} by {document}<|im_end|>: ");
    return options;
}

static void test_a_ranking_has_the_scores_of_its_pairs(void) {
    bench b = open_pack("qwen3-reranker");
    static const char *const documents[] = {"an animal", "a tax form", "", "a tax form"};
    double scores[4];
    for (int i = 0; i < 4; i++) {
        CHECK_STATUS(run(&b, "rerank_score", "a dog", documents[i], yes_no(), 3), NLP_OK, &b.err);
        scores[i] = b.result->outputs->cells->as.real;
        CHECK(scores[i] > 0 && scores[i] < 1);
    }
    CHECK_STATUS(run_list(&b, "rerank", "a dog", "an animal|a tax form||a tax form", yes_no(), 3),
                 NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 4);
    int64_t first_tax = 0;
    for (uint32_t i = 0; i < 4; i++) {
        int64_t ord = cell(&b, i, 3, 0)->as.integer;
        CHECK(cell(&b, i, 3, 1)->as.real == scores[ord - 1]);
        CHECK(is_text(cell(&b, i, 3, 2), documents[ord - 1]));
        CHECK(!i || cell(&b, i, 3, 1)->as.real <= cell(&b, i - 1, 3, 1)->as.real);
        if (ord % 2 == 0 && !first_tax) first_tax = ord;
    }
    CHECK(first_tax == 2); /* equal ones in their order */
    CHECK_STATUS(run_list(&b, "rerank", "a dog", "", yes_no(), 3), NLP_OK, &b.err);
    CHECK(b.result->outputs->n_rows == 0);
    close_bench(&b);
}

static void test_a_prompt_keeps_what_stands_behind_the_document(void) {
    bench b = open_pack("qwen3-reranker");
    char *text = long_text(120);
    CHECK_STATUS(run(&b, "rerank_score", "a dog", text, yes_no(), 3), NLP_OK, &b.err);
    CHECK(b.result->outputs->truncated && b.result->outputs->n_tokens == 192);
    double cut = b.result->outputs->cells->as.real;
    CHECK_STATUS(run(&b, "rerank_score", "a cat", text, yes_no(), 3), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->as.real != cut); /* the query is still there */
    nlp_option options[4];
    memcpy(options, yes_no(), 3 * sizeof *options);
    options[3] = text_option("on_overflow", "error");
    CHECK_STATUS(run(&b, "rerank_score", "a dog", text, options, 4), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "192"));
    CHECK_STATUS(run(&b, "rerank_score", text, "an animal", yes_no(), 3), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "query"));
    free(text);
    close_bench(&b);
}

/* Cut at its end, a document is the one that just fits. */
static void test_a_cut_document_is_its_beginning(void) {
    bench b = open_pack("qwen3-reranker");
    char text[1024] = "";
    double fits = NAN;
    for (int i = 0; i < 400; i++) {
        strcat(text, "xq");
        CHECK_STATUS(run(&b, "rerank_score", "a dog", text, yes_no(), 3), NLP_OK, &b.err);
        if (!b.result->outputs->truncated && b.result->outputs->n_tokens == 192)
            fits = b.result->outputs->cells->as.real;
        else if (b.result->outputs->truncated && !isnan(fits))
            CHECK(b.result->outputs->cells->as.real == fits);
    }
    CHECK(!isnan(fits));
    close_bench(&b);
}

static void test_rerankers_refuse(void) {
    bench b = open_pack("qwen3-reranker");
    nlp_option options[3];
    memcpy(options, yes_no(), sizeof options);
    CHECK_STATUS(run(&b, "rerank_score", "a", "b", NULL, 0), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "\"yes\"") && strstr(b.err.message, "one token"));
    options[2] = text_option("prompt", "{query} alone");
    CHECK_STATUS(run(&b, "rerank_score", "a", "b", options, 3), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "prompt") && strstr(b.err.message, "{document}"));
    close_bench(&b);
    bench other = open_pack("bert-seqcls");
    CHECK_STATUS(run(&other, "rerank_score", "a", "b", NULL, 0), NLP_EUNSUPPORTED, &other.err);
    CHECK(strstr(other.err.message, "no reranker"));
    close_bench(&other);
}

/* What a document says in braces is text. */
static void test_blanks_in_texts_stay(void) {
    bench b = open_pack("qwen3-reranker");
    CHECK_STATUS(run(&b, "rerank_score", "{document}", "x", yes_no(), 3), NLP_OK, &b.err);
    double braces = b.result->outputs->cells->as.real;
    CHECK_STATUS(run(&b, "rerank_score", "x", "x", yes_no(), 3), NLP_OK, &b.err);
    CHECK(b.result->outputs->cells->as.real != braces);
    close_bench(&b);
}

/* ---- All of them ---- */

static void test_models_of_another_kind_are_refused(void) {
    static const char *const tasks[] = {"entities", "answer", "answer_span", "fill_mask"};
    bench b = open_pack("bert-seqcls");
    for (size_t i = 0; i < 4; i++) {
        CHECK_STATUS(run(&b, tasks[i], "a [MASK]", "b", NULL, 0), NLP_EUNSUPPORTED, &b.err);
        CHECK(strstr(b.err.message, "bert-seqcls"));
    }
    const nlp_task_spec *task = nlp_task_find(b.engine, "answer");
    const char *name;
    CHECK_STATUS(nlp_task_default_model(task, "", &name, &b.err), NLP_ENOMODEL, &b.err);
    CHECK(strstr(b.err.hint, "answer_model"));
    CHECK_STATUS(nlp_task_default_model(task, "mine", &name, &b.err), NLP_OK, &b.err);
    CHECK_TEXT(name, "mine");
    close_bench(&b);
}

static bool stop_at_once(void *context) {
    return ++*(int *)context > 0;
}

/* Also with threads, whose polls only look at the first one's. */
static void test_calls_can_be_stopped_and_the_session_goes_on(void) {
    static const struct {
        const char *pack, *task;
    } cases[] = {{"bert-tokcls", "entities"}, {"bert-qa", "answer"}, {"bert-mlm", "fill_mask"}};
    char *text = long_text(4000), *masks = calloc(1, 2000);
    for (int i = 0; i < 50; i++) strcat(masks, "[MASK] ");
    for (size_t i = 0; i < 3; i++) {
        bench b = open_pack(cases[i].pack);
        nlp_engine_set_limits(b.engine, 2, 0);
        nlp_text texts[400];
        for (size_t k = 0; k < 400; k++)
            texts[k] = nlp_test_text(i == 2 ? masks + k % 7 * 7 : text);
        int n_asked = 0;
        nlp_request request = {.struct_size = sizeof request,
                               .task = nlp_task_find(b.engine, cases[i].task),
                               .model = b.model,
                               .texts = texts,
                               .n_inputs = i == 2 ? 7 : 1,
                               .stop = {stop_at_once, &n_asked}};
        CHECK_STATUS(nlp_session_run(b.session, &request, &b.result, &b.err), NLP_ECANCELED,
                     &b.err);
        CHECK(n_asked > 0 && n_asked < 20);
        CHECK_STATUS(run(&b, cases[i].task, "a [MASK]", "b", NULL, 0), NLP_OK, &b.err);
        close_bench(&b);
    }
    free(text);
    free(masks);
}

typedef struct failing {
    int left;
} failing;

static void *failing_alloc(void *context, void *old, size_t old_bytes, size_t new_bytes) {
    failing *f = context;
    (void)old_bytes;
    if (!new_bytes) {
        free(old);
        return NULL;
    }
    return f->left-- > 0 ? realloc(old, new_bytes) : NULL;
}

/* Each allocation of a run fails once: a clean status, and under ASan no leak. */
static void sweep(const char *model, const char *task, const nlp_text *texts,
                  const nlp_option *options, size_t n_options) {
    bool done = false;
    for (int n = 0; n < 400 && !done; n++) {
        failing f = {1 << 20};
        nlp_engine_options o;
        bench b = {0};
        nlp_engine_options_init(&o);
        o.model_path = nlp_test_folder();
        o.alloc = failing_alloc;
        o.alloc_context = &f;
        CHECK_STATUS(nlp_engine_open(&o, &b.engine, &b.err), NLP_OK, &b.err);
        CHECK_STATUS(nlp_session_open(b.engine, &b.session, &b.err), NLP_OK, &b.err);
        CHECK_STATUS(nlp_model_open(b.engine, model, NULL, &b.model, &b.err), NLP_OK, &b.err);
        f.left = n;
        nlp_status status = run_texts(&b, task, texts, 1, options, n_options);
        done = status == NLP_OK;
        if (!done) CHECK_STATUS(status, NLP_ENOMEM, &b.err);
        close_bench(&b);
    }
    CHECK(done);
}

static void test_every_allocation_may_fail(void) {
    static const char *const packs[] = {"bert-tokcls", "bert-qa", "bert-mlm", "qwen3-reranker"};
    for (size_t i = 0; i < 4; i++) nlp_test_pack(packs[i]);
    bench nli = open_nli();
    close_bench(&nli);
    char *text = long_text(80);
    nlp_text one[] = {nlp_test_text(text)}, asked[] = {nlp_test_text("Who?"), nlp_test_text(text)},
             masked[] = {nlp_test_text("the [MASK].")},
             labelled[] = {nlp_test_text("a match"), {"a\0b", 4}};
    sweep("bert-tokcls", "entities", one, NULL, 0);
    sweep("bert-qa", "answer_span", asked, NULL, 0);
    sweep("bert-mlm", "fill_mask", masked, NULL, 0);
    sweep("nli", "zero_shot_scores", labelled, NULL, 0);
    sweep("qwen3-reranker", "rerank", labelled, yes_no(), 3);
    free(text);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"windows_lose_and_double_no_token", test_windows_lose_and_double_no_token},
        {"the_first_window_is_the_truncated_text", test_the_first_window_is_the_truncated_text},
        {"entities_do_not_depend_on_batch_or_threads",
         test_entities_do_not_depend_on_batch_or_threads},
        {"label_schemes", test_label_schemes},
        {"entities_of_nothing", test_entities_of_nothing},
        {"a_long_context_is_read_to_its_end", test_a_long_context_is_read_to_its_end},
        {"answers_are_no_longer_than_asked", test_answers_are_no_longer_than_asked},
        {"no_answer_is_null", test_no_answer_is_null},
        {"masks", test_masks},
        {"a_text_without_a_mask_is_refused", test_a_text_without_a_mask_is_refused},
        {"zero_shot_is_a_softmax_of_entailments", test_zero_shot_is_a_softmax_of_entailments},
        {"zero_shot_refuses", test_zero_shot_refuses},
        {"zero_shot_cuts_the_text_only", test_zero_shot_cuts_the_text_only},
        {"a_ranking_has_the_scores_of_its_pairs", test_a_ranking_has_the_scores_of_its_pairs},
        {"a_prompt_keeps_what_stands_behind_the_document",
         test_a_prompt_keeps_what_stands_behind_the_document},
        {"a_cut_document_is_its_beginning", test_a_cut_document_is_its_beginning},
        {"rerankers_refuse", test_rerankers_refuse},
        {"blanks_in_texts_stay", test_blanks_in_texts_stay},
        {"models_of_another_kind_are_refused", test_models_of_another_kind_are_refused},
        {"calls_can_be_stopped_and_the_session_goes_on",
         test_calls_can_be_stopped_and_the_session_goes_on},
        {"every_allocation_may_fail", test_every_allocation_may_fail},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
