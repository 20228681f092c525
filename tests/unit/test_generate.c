/* test_generate: texts that models write: alone and together, limits and ends, streams, memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "test.h"

static const char *const prompts[] = {"Once upon a time",
                                      "The cat sat on the mat and looked at the",
                                      "x",
                                      "The train leaves at seven in the morning.",
                                      "He said: it is not my fault",
                                      "Once upon a time there was",
                                      ""};
enum { N_PROMPTS = sizeof prompts / sizeof *prompts };

static const nlp_value *written(const bench *b, size_t i) {
    return b->result->outputs[i].cells;
}

static nlp_option number(const char *key, double value) {
    return (nlp_option){key, {.type = NLP_TYPE_REAL, .as.real = value}};
}

/* Texts of one call, copied; the caller frees them. */
static void copy_texts(const bench *b, char **out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const nlp_value *text = written(b, i);
        out[i] = calloc(1, text->n + 1);
        memcpy(out[i], text->as.text, text->n);
    }
}

static void many(nlp_text *texts, size_t n) {
    for (size_t i = 0; i < n; i++) texts[i] = nlp_test_text(prompts[i % N_PROMPTS]);
}

/* Each text of a call is what it is alone, whichever others share its steps. */
static void check_independence(const char *model, const nlp_option *options, size_t n_options) {
    bench b = bench_open(model);
    nlp_text texts[N_PROMPTS];
    char *together[N_PROMPTS];
    many(texts, N_PROMPTS);
    CHECK_STATUS(bench_run_texts(&b, "generate", texts, N_PROMPTS, options, n_options), NLP_OK,
                 &b.err);
    copy_texts(&b, together, N_PROMPTS);
    for (size_t i = 0; i < N_PROMPTS; i++) {
        CHECK_STATUS(bench_run(&b, "generate", prompts[i], NULL, options, n_options), NLP_OK,
                     &b.err);
        CHECK(bench_is_text(written(&b, 0), together[i]));
        free(together[i]);
    }
    bench_close(&b);
}

static void test_a_text_does_not_depend_on_others(void) {
    nlp_option greedy[] = {bench_whole("max_tokens", 20)};
    nlp_option drawn[] = {bench_whole("max_tokens", 20), number("temperature", 0.9),
                          bench_whole("seed", 7), number("top_p", 0.9),
                          number("repetition_penalty", 1.2)};
    nlp_option searched[] = {bench_whole("max_tokens", 12), bench_whole("num_beams", 4),
                             bench_whole("no_repeat_ngram_size", 2)};
    static const char *const models[] = {"sharp-llama", "sharp-gpt2", "gemma2-caps",
                                         "sharp-flan-t5", "sharp-bart"};
    for (size_t i = 0; i < 5; i++) {
        check_independence(models[i], greedy, 1);
        check_independence(models[i], drawn, 5);
        check_independence(models[i], searched, 3);
    }
}

/* 100 texts go through 16 slots, and through fewer where memory is short. */
static void test_slots_are_used_again(void) {
    enum { MANY = 100 };
    static nlp_text texts[MANY];
    static char *first[MANY];
    nlp_option options[] = {bench_whole("max_tokens", 9), bench_whole("num_beams", 1)};
    bench b = bench_open("sharp-llama");
    char distinct[MANY][32];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(distinct[i], sizeof distinct[i], "number %zu of them", i);
        texts[i] = nlp_test_text(distinct[i]);
    }
    CHECK_STATUS(bench_run_texts(&b, "generate", texts, MANY, options, 2), NLP_OK, &b.err);
    copy_texts(&b, first, MANY);
    size_t most = nlp_session_scratch_bytes(b.session);
    bench_close(&b);
    b = bench_open("sharp-llama");
    nlp_engine_set_limits(b.engine, 1, most / 2);
    CHECK_STATUS(bench_run_texts(&b, "generate", texts, MANY, options, 2), NLP_OK, &b.err);
    CHECK(nlp_session_scratch_bytes(b.session) <= most / 2);
    for (size_t i = 0; i < MANY; i++) {
        CHECK(bench_is_text(written(&b, i), first[i]));
        free(first[i]);
    }
    bench_close(&b);
}

/* What a large text took is given back: a lower limit holds for the next one. */
static void test_a_limit_may_be_lowered(void) {
    bench b = bench_open("sharp-llama");
    nlp_option beams[] = {bench_whole("max_tokens", 50), bench_whole("num_beams", 16)};
    nlp_option greedy[] = {bench_whole("max_tokens", 5), bench_whole("num_beams", 1)};
    for (int i = 0; i < 3; i++) {
        nlp_engine_set_limits(b.engine, 1, (size_t)1 << 30);
        CHECK_STATUS(bench_run(&b, "generate", prompts[0], NULL, beams, 2), NLP_OK, &b.err);
        size_t most = nlp_session_scratch_bytes(b.session);
        nlp_engine_set_limits(b.engine, 1, most / 2);
        CHECK(bench_run(&b, "generate", prompts[0], NULL, beams, 2) == NLP_ENOMEM);
        CHECK_STATUS(bench_run(&b, "generate", prompts[0], NULL, greedy, 2), NLP_OK, &b.err);
    }
    bench_close(&b);
}

static void test_memory_that_is_too_small_is_an_error_with_both_numbers(void) {
    bench b = bench_open("sharp-llama");
    nlp_option options[] = {bench_whole("max_tokens", 20)};
    nlp_engine_set_limits(b.engine, 1, 150000);
    CHECK_STATUS(bench_run(&b, "generate", prompts[0], NULL, options, 1), NLP_ENOMEM, &b.err);
    CHECK(strstr(b.err.message, "bytes") && strstr(b.err.hint, "max_tokens"));
    nlp_engine_set_limits(b.engine, 1, (size_t)1 << 30);
    CHECK_STATUS(bench_run(&b, "generate", prompts[0], NULL, options, 1), NLP_OK, &b.err);
    bench_close(&b);
}

/* ---- Where texts end ---- */

static void test_limits_of_tokens(void) {
    bench b = bench_open("sharp-llama");
    for (int64_t n = 1; n < 12; n += 5) {
        nlp_option options[] = {bench_whole("max_tokens", n)};
        CHECK_STATUS(bench_run(&b, "generate", prompts[1], NULL, options, 1), NLP_OK, &b.err);
        CHECK(written(&b, 0)[1].n == (uint32_t)n && bench_is_text(&written(&b, 0)[2], "length"));
    }
    bench_close(&b);
}

/* A stop string is found wherever it begins inside tokens, and is not part of the text. */
static void test_stop_strings_end_a_text_before_them(void) {
    bench b = bench_open("sharp-llama");
    nlp_option options[] = {bench_whole("max_tokens", 24), bench_text("stop", "?")};
    CHECK_STATUS(bench_run(&b, "generate", prompts[1], NULL, options, 1), NLP_OK, &b.err);
    char *whole[1];
    copy_texts(&b, whole, 1);
    size_t n = strlen(whole[0]);
    CHECK(n > 12);
    for (size_t at = 1; at + 4 < n; at += 3) {
        char stop[5] = {0}, expected[512] = {0};
        memcpy(stop, whole[0] + at, 4);
        memcpy(expected, whole[0], (size_t)(strstr(whole[0], stop) - whole[0]));
        options[1] = bench_text("stop", stop);
        CHECK_STATUS(bench_run(&b, "generate", prompts[1], NULL, options, 2), NLP_OK, &b.err);
        CHECK(bench_is_text(written(&b, 0), expected));
        CHECK(bench_is_text(&written(&b, 0)[2], "stop"));
    }
    free(whole[0]);
    bench_close(&b);
}

/* Also where the stop text ends with the last token that the text may have. */
static void test_a_stop_string_in_the_last_token_is_a_stop(void) {
    bench b = bench_open("sharp-llama");
    nlp_option options[] = {bench_whole("max_tokens", 6), bench_text("stop", "?")};
    char *whole[1];
    CHECK_STATUS(bench_run(&b, "generate", prompts[1], NULL, options, 1), NLP_OK, &b.err);
    copy_texts(&b, whole, 1);
    CHECK(strlen(whole[0]) > 1);
    options[1] = bench_text("stop", whole[0]);
    CHECK_STATUS(bench_run(&b, "generate", prompts[1], NULL, options, 2), NLP_OK, &b.err);
    CHECK(bench_is_text(written(&b, 0), "") && bench_is_text(&written(&b, 0)[2], "stop"));
    free(whole[0]);
    bench_close(&b);
}

static void test_long_prompts(void) {
    bench b = bench_open("sharp-llama");
    nlp_option options[] = {bench_whole("max_tokens", 8), bench_text("on_overflow", "error")};
    char *text = bench_long_text(2000);
    CHECK_STATUS(bench_run(&b, "generate", text, NULL, options, 1), NLP_OK, &b.err);
    CHECK(b.result->outputs->truncated && written(&b, 0)[1].n == 8);
    CHECK_STATUS(bench_run(&b, "generate", text, NULL, options, 2), NLP_ELIMIT, &b.err);
    CHECK(strstr(b.err.message, "positions"));
    options[0] = bench_whole("max_tokens", 1 << 20); /* the prompt has half of the positions */
    CHECK_STATUS(bench_run(&b, "generate", prompts[0], NULL, options, 1), NLP_OK, &b.err);
    CHECK(!b.result->outputs->truncated);
    free(text);
    bench_close(&b);
}

/* ---- Chance ---- */

static void test_a_seed_repeats_a_text_and_another_changes_it(void) {
    bench b = bench_open("sharp-llama");
    nlp_option options[] = {bench_whole("max_tokens", 20), number("temperature", 1),
                            bench_whole("seed", 1)};
    char *texts[3];
    for (int i = 0; i < 3; i++) {
        options[2] = bench_whole("seed", 1 + i / 2);
        CHECK_STATUS(bench_run(&b, "generate", prompts[0], NULL, options, 3), NLP_OK, &b.err);
        copy_texts(&b, &texts[i], 1);
    }
    CHECK_TEXT(texts[0], texts[1]);
    CHECK(strcmp(texts[1], texts[2]) != 0);
    for (int i = 0; i < 3; i++) free(texts[i]);
    bench_close(&b);
}

static void test_wrong_options_name_themselves(void) {
    static const struct {
        const char *key;
        double value;
    } wrong[] = {{"max_tokens", 0},     {"max_tokens", -3},
                 {"temperature", -0.5}, {"temperature", (double)__builtin_nan("")},
                 {"top_p", 0},          {"top_p", 1.5},
                 {"min_p", 2},          {"num_beams", 0},
                 {"num_beams", 1000},   {"repetition_penalty", 0},
                 {"top_k", 1.5}};
    bench b = bench_open("sharp-llama");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        nlp_option option = number(wrong[i].key, wrong[i].value);
        CHECK_STATUS(bench_run(&b, "generate", "x", NULL, &option, 1), NLP_EINVAL, &b.err);
        CHECK(strstr(b.err.message, wrong[i].key));
    }
    nlp_option hot[] = {number("temperature", 1), bench_whole("num_beams", 2),
                        bench_whole("seed", 1)};
    CHECK_STATUS(bench_run(&b, "generate", "x", NULL, hot, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.hint, "\"seed\": 1"));
    CHECK_STATUS(bench_run(&b, "generate", "x", NULL, hot, 3), NLP_EINVAL, &b.err);
    nlp_option empty = bench_text("stop", "");
    CHECK_STATUS(bench_run(&b, "generate", "x", NULL, &empty, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "stop"));
    bench_close(&b);
    b = bench_open("bert-uncased");
    CHECK_STATUS(bench_run(&b, "generate", "x", NULL, NULL, 0), NLP_EUNSUPPORTED, &b.err);
    CHECK(strstr(b.err.message, "bert-uncased"));
    bench_close(&b);
}

/* ---- Streams ---- */

static nlp_status open_stream(bench *b, const char *text, const nlp_option *options,
                              size_t n_options, nlp_stream **stream) {
    nlp_text one = nlp_test_text(text);
    nlp_request request = {.struct_size = sizeof request,
                           .task = nlp_task_find(b->engine, "generate"),
                           .model = b->model,
                           .texts = &one,
                           .n_inputs = 1,
                           .options = options,
                           .n_options = n_options};
    return nlp_stream_open(b->engine, &request, stream, &b->err);
}

/* All pieces are the text of a run; each is whole characters, and there is one a token. */
static void check_stream(const char *model, const char *prompt, const nlp_option *options,
                         size_t n_options) {
    bench b = bench_open(model);
    nlp_stream *stream;
    nlp_piece piece = {0};
    char text[2048] = "";
    uint32_t n_pieces = 0;
    CHECK_STATUS(open_stream(&b, prompt, options, n_options, &stream), NLP_OK, &b.err);
    while (!piece.done && nlp_stream_next(stream, NULL, &piece, &b.err) == NLP_OK &&
           n_pieces < 200) {
        strncat(text, piece.text.bytes ? piece.text.bytes : "", piece.text.n_bytes);
        CHECK(piece.step == ++n_pieces);
        CHECK(!piece.text.n_bytes || ((unsigned char)*piece.text.bytes & 0xC0) != 0x80);
    }
    CHECK(piece.done);
    CHECK_STATUS(nlp_stream_next(stream, NULL, &piece, &b.err), NLP_EINVAL, &b.err);
    CHECK_STATUS(bench_run(&b, "generate", prompt, NULL, options, n_options), NLP_OK, &b.err);
    if (!bench_is_text(written(&b, 0), text))
        nlp_test_fail(__FILE__, __LINE__, "%s, \"%s\": pieces are \"%s\", the text is \"%.*s\"",
                      model, prompt, text, (int)written(&b, 0)->n, written(&b, 0)->as.text);
    CHECK(written(&b, 0)[1].n == n_pieces);
    nlp_stream_close(stream);
    bench_close(&b);
}

static void test_pieces_of_a_stream_are_the_text(void) {
    static const char *const models[] = {"sharp-llama",   "sharp-gpt2", "gemma2-caps",
                                         "sharp-flan-t5", "sharp-bart", "phi4-partial"};
    nlp_option options[] = {bench_whole("max_tokens", 30), number("temperature", 1.5),
                            bench_whole("seed", 3), bench_text("stop", "e ")};
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < N_PROMPTS; k += 2) {
            if (i == 3 || i == 4) /* those may have a search as their own manner */
                options[3] = bench_whole("num_beams", 1);
            else
                options[3] = bench_text("stop", "e ");
            check_stream(models[i], prompts[k], options, 4);
            check_stream(models[i], prompts[k], options, 3);
        }
}

static void test_streams_that_can_not_be(void) {
    bench b = bench_open("sharp-llama");
    nlp_stream *stream;
    nlp_option beams = bench_whole("num_beams", 2), unknown = bench_whole("wings", 2);
    CHECK_STATUS(open_stream(&b, "x", &beams, 1, &stream), NLP_EINVAL, &b.err);
    CHECK(!stream);
    CHECK_STATUS(open_stream(&b, "x", &unknown, 1, &stream), NLP_EINVAL, &b.err);
    nlp_text one = nlp_test_text("x");
    nlp_request request = {.struct_size = sizeof request,
                           .task = nlp_task_find(b.engine, "tokens"),
                           .model = b.model,
                           .texts = &one,
                           .n_inputs = 1};
    CHECK_STATUS(nlp_stream_open(b.engine, &request, &stream, &b.err), NLP_EUNSUPPORTED, &b.err);
    nlp_stream_close(NULL);
    bench_close(&b);
}

/* Other calls may come between the tokens of a stream, and one may be closed at any token. */
static void test_streams_live_beside_other_calls(void) {
    bench b = bench_open("sharp-llama");
    nlp_stream *a, *c;
    nlp_piece piece;
    nlp_option options[] = {bench_whole("max_tokens", 10)};
    char first[256] = "", second[256] = "";
    CHECK_STATUS(open_stream(&b, prompts[0], options, 1, &a), NLP_OK, &b.err);
    CHECK_STATUS(open_stream(&b, prompts[0], options, 1, &c), NLP_OK, &b.err);
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(nlp_stream_next(a, NULL, &piece, &b.err), NLP_OK, &b.err);
        strncat(first, piece.text.n_bytes ? piece.text.bytes : "", piece.text.n_bytes);
        CHECK_STATUS(bench_run(&b, "generate", prompts[1], NULL, options, 1), NLP_OK, &b.err);
        CHECK_STATUS(nlp_stream_next(c, NULL, &piece, &b.err), NLP_OK, &b.err);
        strncat(second, piece.text.n_bytes ? piece.text.bytes : "", piece.text.n_bytes);
        if (i != 4) continue;
        nlp_stream_close(a);
        CHECK(open_stream(&b, prompts[0], options, 1, &a) == NLP_OK);
    }
    CHECK(piece.done && strncmp(second, first, 3) == 0);
    nlp_stream_close(a);
    nlp_stream_close(c);
    bench_close(&b);
}

/* ---- Stopping and failing ---- */

typedef struct countdown {
    int left;
} countdown;

static bool stop_after(void *context) {
    return ((countdown *)context)->left-- <= 0;
}

static void test_a_text_can_be_stopped_at_any_time(void) {
    bench b = bench_open("sharp-llama");
    nlp_option options[] = {bench_whole("max_tokens", 100)};
    char *text = bench_long_text(40);
    nlp_text one = nlp_test_text(text);
    for (int left = 0; left < 4; left++) {
        countdown c = {left};
        nlp_request request = {.struct_size = sizeof request,
                               .task = nlp_task_find(b.engine, "generate"),
                               .model = b.model,
                               .texts = &one,
                               .n_inputs = 1,
                               .options = options,
                               .n_options = 1,
                               .stop = {stop_after, &c}};
        CHECK_STATUS(nlp_session_run(b.session, &request, &b.result, &b.err), NLP_ECANCELED,
                     &b.err);
        CHECK_STATUS(bench_run(&b, "generate", "x", NULL, options, 1), NLP_OK, &b.err);
    }
    free(text);
    bench_close(&b);
}

static void test_every_allocation_may_fail(void) {
    nlp_option options[] = {bench_whole("max_tokens", 4), bench_text("stop", "zzz")};
    nlp_text texts[] = {nlp_test_text("Once upon")};
    bench_fail_each_allocation("sharp-llama", "generate", texts, options, 2);
    bench_fail_each_allocation("sharp-bart", "generate", texts, options, 1);
}

/* ---- Translation ---- */

static void test_translation_goes_by_sentences(void) {
    bench b = bench_open("m2m100-slow");
    nlp_option options[] = {bench_whole("max_tokens", 6), bench_whole("num_beams", 1)};
    CHECK_STATUS(
        bench_run(&b, "translate", "The cat sat.\n\n  Once upon a time.", "fr", options, 2), NLP_OK,
        &b.err);
    const nlp_value *text = written(&b, 0);
    char *copy = calloc(1, text->n + 1);
    memcpy(copy, text->as.text, text->n);
    char *gap = strstr(copy, "\n\n  ");
    CHECK(gap);
    CHECK_STATUS(bench_run(&b, "translate", "Once upon a time.", "fr", options, 2), NLP_OK, &b.err);
    CHECK(gap && bench_is_text(written(&b, 0), gap + 4));
    CHECK_STATUS(bench_run(&b, "translate", "", "fr", options, 2), NLP_OK, &b.err);
    CHECK(bench_is_text(written(&b, 0), ""));
    free(copy);
    bench_close(&b);
}

static void test_a_language_that_is_not_there_lists_those_that_are(void) {
    bench b = bench_open("m2m100-slow");
    CHECK_STATUS(bench_run(&b, "translate", "x", "xx", NULL, 0), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "\"xx\"") && strstr(b.err.message, "__af__"));
    nlp_option source = bench_text("source", "yy");
    CHECK_STATUS(bench_run(&b, "translate", "x", "fr", &source, 1), NLP_EINVAL, &b.err);
    CHECK(strstr(b.err.message, "\"yy\""));
    bench_close(&b);
    b = bench_open("sharp-llama");
    CHECK_STATUS(bench_run(&b, "translate", "x", "fr", NULL, 0), NLP_EUNSUPPORTED, &b.err);
    bench_close(&b);
}

static void test_a_seed_counts_in_translations_and_forms_are_refused(void) {
    bench b = bench_open("m2m100-slow");
    nlp_option options[] = {bench_whole("max_tokens", 12), number("temperature", 2),
                            bench_whole("seed", 1)};
    char *texts[3];
    for (int i = 0; i < 3; i++) {
        options[2] = bench_whole("seed", 1 + i / 2);
        CHECK_STATUS(bench_run(&b, "translate", prompts[1], "fr", options, 3), NLP_OK, &b.err);
        copy_texts(&b, &texts[i], 1);
    }
    CHECK_TEXT(texts[0], texts[1]);
    CHECK(strcmp(texts[1], texts[2]) != 0);
    for (int i = 0; i < 3; i++) free(texts[i]);
    nlp_option form = bench_text("choices", "a");
    CHECK_STATUS(bench_run(&b, "translate", "x", "fr", &form, 1), NLP_EINVAL, &b.err);
    CHECK_STATUS(bench_run(&b, "summarize", "x", NULL, &form, 1), NLP_EINVAL, &b.err);
    bench_close(&b);
}

static void test_long_sentences_are_cut_at_blanks(void) {
    bench b = bench_open("m2m100-slow");
    nlp_option options[] = {bench_whole("max_tokens", 3), bench_whole("num_beams", 1)};
    char *text = bench_long_text(400);
    for (char *c = text; *c; c++)
        if (strchr(".!?\n", *c)) *c = ' ';
    CHECK_STATUS(bench_run(&b, "translate", text, "fr", options, 2), NLP_OK, &b.err);
    CHECK(written(&b, 0)->n > 0 && !b.result->outputs->truncated);
    free(text);
    bench_close(&b);
}

/* ---- Summaries ---- */

static void test_summaries_of_any_length(void) {
    static const char *const models[] = {"sharp-flan-t5", "sharp-bart"};
    nlp_option options[] = {bench_whole("max_tokens", 8), bench_whole("num_beams", 1)};
    char *text = bench_long_text(1500), *endless = calloc(1, 9000);
    memset(endless, 'a', 8000);
    for (size_t i = 0; i < 2; i++) {
        bench b = bench_open(models[i]);
        CHECK_STATUS(bench_run(&b, "summarize", text, NULL, options, 2), NLP_OK, &b.err);
        CHECK(written(&b, 0)->type == NLP_TYPE_TEXT && b.result->outputs->n_tokens > 1000);
        CHECK_STATUS(bench_run(&b, "summarize", endless, NULL, options, 2), NLP_OK, &b.err);
        CHECK_STATUS(bench_run(&b, "summarize", "Short. Text.", NULL, options, 2), NLP_OK, &b.err);
        CHECK_STATUS(bench_run(&b, "summarize", " ", NULL, options, 2), NLP_OK, &b.err);
        CHECK(bench_is_text(written(&b, 0), ""));
        bench_close(&b);
    }
    bench b = bench_open("sharp-llama"); /* has no format of chats */
    CHECK_STATUS(bench_run(&b, "summarize", "x", NULL, NULL, 0), NLP_EUNSUPPORTED, &b.err);
    bench_close(&b);
    free(text);
    free(endless);
}

static void test_the_default_translator_follows_the_languages(void) {
    bench b = bench_open("bert-uncased");
    const nlp_task_spec *task = nlp_task_find(b.engine, "translate");
    char name[NLP_MODEL_NAME_BYTES];
    nlp_text operands[] = {nlp_test_text("hello"), nlp_test_text("pt")};
    nlp_option from = bench_text("source", "de");
    CHECK(nlp_task_default_model(task, "", operands, NULL, 0, name, &b.err) == NLP_OK);
    CHECK_TEXT(name, "en-pt");
    CHECK(nlp_task_default_model(task, NULL, operands, &from, 1, name, &b.err) == NLP_OK);
    CHECK_TEXT(name, "de-pt");
    CHECK(nlp_task_default_model(task, "mine", operands, &from, 1, name, &b.err) == NLP_OK);
    CHECK_TEXT(name, "mine");
    bench_close(&b);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"a_text_does_not_depend_on_others", test_a_text_does_not_depend_on_others},
        {"slots_are_used_again", test_slots_are_used_again},
        {"a_limit_may_be_lowered", test_a_limit_may_be_lowered},
        {"memory_that_is_too_small_is_an_error_with_both_numbers",
         test_memory_that_is_too_small_is_an_error_with_both_numbers},
        {"limits_of_tokens", test_limits_of_tokens},
        {"stop_strings_end_a_text_before_them", test_stop_strings_end_a_text_before_them},
        {"a_stop_string_in_the_last_token_is_a_stop",
         test_a_stop_string_in_the_last_token_is_a_stop},
        {"long_prompts", test_long_prompts},
        {"a_seed_repeats_a_text_and_another_changes_it",
         test_a_seed_repeats_a_text_and_another_changes_it},
        {"wrong_options_name_themselves", test_wrong_options_name_themselves},
        {"pieces_of_a_stream_are_the_text", test_pieces_of_a_stream_are_the_text},
        {"streams_that_can_not_be", test_streams_that_can_not_be},
        {"streams_live_beside_other_calls", test_streams_live_beside_other_calls},
        {"a_text_can_be_stopped_at_any_time", test_a_text_can_be_stopped_at_any_time},
        {"every_allocation_may_fail", test_every_allocation_may_fail},
        {"translation_goes_by_sentences", test_translation_goes_by_sentences},
        {"a_language_that_is_not_there_lists_those_that_are",
         test_a_language_that_is_not_there_lists_those_that_are},
        {"a_seed_counts_in_translations_and_forms_are_refused",
         test_a_seed_counts_in_translations_and_forms_are_refused},
        {"long_sentences_are_cut_at_blanks", test_long_sentences_are_cut_at_blanks},
        {"summaries_of_any_length", test_summaries_of_any_length},
        {"the_default_translator_follows_the_languages",
         test_the_default_translator_follows_the_languages}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
