#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "nlp_import.h"
#include "test.h"

nlp_status bench_try_open(bench *b, const char *name, nlp_failing *allocations) {
    nlp_engine_options options;
    *b = (bench){0};
    nlp_test_pack(name);
    nlp_engine_options_init(&options);
    options.model_path = nlp_test_folder();
    if (allocations) options.alloc = nlp_failing_alloc, options.alloc_context = allocations;
    nlp_status status = nlp_engine_open(&options, &b->engine, &b->err);
    if (status == NLP_OK) status = nlp_session_open(b->engine, &b->session, &b->err);
    if (status == NLP_OK) status = nlp_model_open(b->engine, name, NULL, &b->model, &b->err);
    return status;
}

bench bench_open(const char *name) {
    bench b;
    CHECK_STATUS(bench_try_open(&b, name, NULL), NLP_OK, &b.err);
    return b;
}

void bench_close(bench *b) {
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

static void copy_file(const char *from, const char *to, const char *name) {
    char path[512];
    size_t n;
    snprintf(path, sizeof path, "%s/%s", from, name);
    char *bytes = read_file(path, &n);
    write_file(to, name, bytes, n);
    free(bytes);
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
    for (size_t i = 0; i < 3; i++) copy_file(from, folder, files[i]);
    snprintf(path, sizeof path, "%s/%s.nlp", nlp_test_folder(), name);
    nlp_import_options options = {
        .struct_size = sizeof options, .source = folder, .out = path, .precision = "f32"};
    CHECK_STATUS(nlp_import(&options, &report, &err), NLP_OK, &err);
}

bench bench_open_as(const char *name, const char *source, const char *const *labels,
                    size_t n_labels) {
    import_as(name, source, labels, n_labels);
    return bench_open(name);
}

bench bench_open_nli(void) {
    static const char *const labels[] = {"CONTRADICTION", "NEUTRAL", "ENTAILMENT"};
    return bench_open_as("nli", "bert-seqcls", labels, 3);
}

/* Its positions need no weights, so it may have more of them: prompts are then read in several passes. */
bench bench_open_mean(void) {
    static const char *const files[] = {
        "config.json",          "config_sentence_transformers.json", "model.safetensors",
        "modules.json",         "sentence_bert_config.json",         "tokenizer.json",
        "tokenizer_config.json"};
    static const char pooling[] = "{\"embedding_dimension\": 48, \"pooling_mode\": \"mean\"}";
    char from[256], folder[256], path[512];
    nlp_error err;
    nlp_import_report report;
    snprintf(from, sizeof from, "%s/models/st-bert-cls-prompts", nlp_test_data());
    snprintf(folder, sizeof folder, "%s/mean-files", nlp_test_folder());
    if (mkdir(folder, 0755) != 0) return bench_open("mean"); /* made by another test */
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) copy_file(from, folder, files[i]);
    snprintf(path, sizeof path, "%s/1_Pooling", folder);
    CHECK(mkdir(path, 0755) == 0);
    write_file(path, "config.json", pooling, sizeof pooling - 1);
    snprintf(path, sizeof path, "%s/mean.nlp", nlp_test_folder());
    nlp_import_options options = {
        .struct_size = sizeof options, .source = folder, .out = path, .precision = "f32"};
    CHECK_STATUS(nlp_import(&options, &report, &err), NLP_OK, &err);
    return bench_open("mean");
}
bench bench_open_talker(void) {
    static const char *const files[] = {"generation_config.json", "model.safetensors",
                                        "tokenizer.json", "tokenizer_config.json"};
    char from[256], folder[256], path[512];
    nlp_error err;
    nlp_import_report report;
    size_t n;
    snprintf(from, sizeof from, "%s/models/qwen3-reranker", nlp_test_data());
    snprintf(folder, sizeof folder, "%s/talker-files", nlp_test_folder());
    if (mkdir(folder, 0755) != 0) return bench_open("talker"); /* made by another test */
    for (size_t i = 0; i < 4; i++) copy_file(from, folder, files[i]);
    snprintf(path, sizeof path, "%s/config.json", from);
    char *config = read_file(path, &n), *positions = strstr(config, "embeddings\": 192");
    CHECK(positions);
    if (positions) memcpy(positions + strlen("embeddings\": "), "640", 3);
    write_file(folder, "config.json", config, n);
    free(config);
    snprintf(path, sizeof path, "%s/talker.nlp", nlp_test_folder());
    nlp_import_options options = {.struct_size = sizeof options,
                                  .source = folder,
                                  .out = path,
                                  .precision = "f32",
                                  .chat_template = "llama2"};
    CHECK_STATUS(nlp_import(&options, &report, &err), NLP_OK, &err);
    return bench_open("talker");
}

/* ---- Running ---- */

nlp_option bench_text(const char *key, const char *text) {
    return (nlp_option){key, {.type = NLP_TYPE_TEXT, .n = (uint32_t)strlen(text), .as.text = text}};
}

nlp_option bench_whole(const char *key, int64_t number) {
    return (nlp_option){key, {.type = NLP_TYPE_INTEGER, .as.integer = number}};
}

nlp_option bench_flag(const char *key) {
    return (nlp_option){key, {.type = NLP_TYPE_BOOLEAN, .as.boolean = true}};
}

nlp_status bench_run_texts(bench *b, const char *task, const nlp_text *texts, size_t n_inputs,
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

nlp_status bench_run(bench *b, const char *task, const char *first, const char *second,
                     const nlp_option *options, size_t n_options) {
    nlp_text texts[2] = {nlp_test_text(first), second ? nlp_test_text(second) : (nlp_text){0}};
    return bench_run_texts(b, task, texts, 1, options, n_options);
}

/* second: a list of texts with '|' between them. */
nlp_status bench_run_list(bench *b, const char *task, const char *first, const char *list,
                          const nlp_option *options, size_t n_options) {
    static char joined[1 << 18]; /* results point into it */
    size_t n = strlen(list) ? strlen(list) + 1 : 0;
    CHECK(n <= sizeof joined);
    for (size_t i = 0; i < n; i++) joined[i] = (char)(list[i] == '|' ? 0 : list[i]);
    nlp_text texts[2] = {nlp_test_text(first), {joined, n}};
    return bench_run_texts(b, task, texts, 1, options, n_options);
}

const nlp_value *bench_cell(const bench *b, uint32_t row, uint32_t n_columns, uint32_t column) {
    return &b->result->outputs->cells[row * n_columns + column];
}

bool bench_is_text(const nlp_value *value, const char *text) {
    return value->type == NLP_TYPE_TEXT && value->n == strlen(text) &&
           !memcmp(value->as.text, text, value->n);
}

/* Words of many kinds, so that windows cut some of them. */
char *bench_long_text(size_t n_words) {
    static const char *const words[] = {
        "Zürich", "antidisestablishmentarianism", "of", "IBM", "北京", "a", "O'Neill"};
    char *text = calloc(n_words, 40);
    size_t n = 0;
    for (size_t i = 0; i < n_words; i++)
        n += (size_t)sprintf(text + n, "%s%zu ", words[(i * 5 + i / 7) % 7], i % 10);
    return text;
}

void bench_fail_each_allocation(const char *model, const char *task, const nlp_text *texts,
                                const nlp_option *options, size_t n_options) {
    bool done = false;
    for (int n = 0; n < 400 && !done; n++) {
        nlp_failing f = {1 << 20};
        bench b;
        CHECK_STATUS(bench_try_open(&b, model, &f), NLP_OK, &b.err);
        f.left = n;
        nlp_status status = bench_run_texts(&b, task, texts, 1, options, n_options);
        done = status == NLP_OK;
        if (!done) CHECK_STATUS(status, NLP_ENOMEM, &b.err);
        bench_close(&b);
    }
    CHECK(done);
}
