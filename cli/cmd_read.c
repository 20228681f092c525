/* cmd_read.c: the commands that read something out of texts: entities, answer, fill-mask, rerank,
 * chunk. JSON
 * counts characters from 0 with the end excluded, plain lines from 1 with the end included, as SQL
 * does. */
#include <string.h>

#include "cli.h"

static void print_text(const nlp_value *value) {
    if (value->type == NLP_TYPE_TEXT) cli_print_field(value->as.text, value->n);
}

static json_t *json_start(const nlp_value *value) {
    return value->type == NLP_TYPE_NULL ? json_null() : json_integer(value->as.integer - 1);
}

static json_t *json_end(const nlp_value *value) {
    return value->type == NLP_TYPE_NULL ? json_null() : json_integer(value->as.integer);
}

static json_t *json_text(const nlp_value *value) {
    return value->type == NLP_TYPE_NULL ? json_null() : cli_json_text(value->as.text, value->n);
}

/* Rows of an output as the members of an array. */
static void print_rows(const cli_record *record, const char *key, const nlp_output *output,
                       uint32_t n_columns, json_t *(*member)(const nlp_value *row)) {
    json_t *array = json_array();
    for (uint32_t i = 0; i < output->n_rows; i++)
        json_array_append_new(array, member(output->cells + (size_t)i * n_columns));
    cli_print_json(record, json_pack("{s:o, s:b}", key, array, "truncated", output->truncated));
}

/* ---- entities ---- */

static json_t *json_entity(const nlp_value *row) {
    return json_pack("{s:o, s:o, s:f, s:o, s:o}", "text", json_text(&row[0]), "label",
                     json_text(&row[1]), "score", row[2].as.real, "start", json_start(&row[3]),
                     "end", json_end(&row[4]));
}

static void emit_entities(cli *app, const cli_record *record, const nlp_output *output) {
    if (app->json) {
        print_rows(record, "entities", output, 5, json_entity);
        return;
    }
    for (const nlp_value *row = output->cells; row < output->cells + 5 * output->n_rows; row += 5) {
        print_text(&row[0]);
        putchar('\t');
        print_text(&row[1]);
        printf("\t%.6f\t%lld\t%lld\n", row[2].as.real, (long long)row[3].as.integer,
               (long long)row[4].as.integer);
    }
    putchar('\n');
}

int cmd_entities(cli *app) {
    return cli_run_task(
        app, "entities",
        (cli_job){.columns = "entity\tlabel\tscore\tstart\tend", .emit = emit_entities});
}

/* ---- answer ---- */

/* A line without a text is a question without an answer. */
static void emit_answer(cli *app, const cli_record *record, const nlp_output *output) {
    const nlp_value *row = output->cells;
    if (app->json) {
        cli_print_json(record,
                       json_pack("{s:o, s:f, s:o, s:o, s:f, s:b}", "answer", json_text(&row[0]),
                                 "score", row[1].as.real, "start", json_start(&row[2]), "end",
                                 json_end(&row[3]), "null_score", row[4].as.real, "truncated",
                                 output->truncated));
        return;
    }
    print_text(&row[0]);
    printf("\t%.6f\t", row[1].as.real);
    cli_print_field(record->line, strcspn(record->line, "\t"));
    putchar('\n');
}

int cmd_answer(cli *app) {
    return cli_run_task(app, "answer_span",
                        (cli_job){.keys = {"question", "context"},
                                  .columns = "answer\tscore\tquestion",
                                  .emit = emit_answer});
}

/* ---- fill-mask ---- */

static json_t *json_candidate(const nlp_value *row) {
    return json_pack("{s:o, s:I, s:f, s:o}", "token", json_text(&row[0]), "id",
                     (json_int_t)row[3].as.integer, "score", row[1].as.real, "sequence",
                     json_text(&row[2]));
}

static void emit_candidates(cli *app, const cli_record *record, const nlp_output *output) {
    if (app->json) {
        print_rows(record, "candidates", output, 4, json_candidate);
        return;
    }
    for (const nlp_value *row = output->cells; row < output->cells + 4 * output->n_rows; row += 4) {
        print_text(&row[0]);
        printf("\t%.6f\t", row[1].as.real);
        print_text(&row[2]);
        putchar('\n');
    }
    putchar('\n');
}

int cmd_fill_mask(cli *app) {
    return cli_run_task(app, "fill_mask",
                        (cli_job){.columns = "token\tscore\tsequence", .emit = emit_candidates});
}

/* ---- rerank ---- */

static json_t *json_rank(const nlp_value *row) {
    return json_pack("{s:o, s:f}", "index", json_start(&row[0]), "score", row[1].as.real);
}

static void emit_ranking(cli *app, const cli_record *record, const nlp_output *output) {
    if (app->json) {
        print_rows(record, "ranking", output, 3, json_rank);
        return;
    }
    for (const nlp_value *row = output->cells; row < output->cells + 3 * output->n_rows; row += 3) {
        printf("%lld\t%.6f\t", (long long)row[0].as.integer, row[1].as.real);
        print_text(&row[2]);
        putchar('\n');
    }
    putchar('\n');
}

int cmd_rerank(cli *app) {
    return cli_run_task(app, "rerank",
                        (cli_job){.keys = {"query", "documents"},
                                  .columns = "document\tscore\ttext",
                                  .emit = emit_ranking});
}

/* ---- chunk ---- */

static json_t *json_chunk(const nlp_value *row) {
    return json_pack("{s:o, s:I, s:o, s:o}", "text", json_text(&row[1]), "tokens",
                     (json_int_t)row[2].as.integer, "start", json_start(&row[3]), "end",
                     json_end(&row[4]));
}

static void emit_chunks(cli *app, const cli_record *record, const nlp_output *output) {
    if (app->json) {
        print_rows(record, "chunks", output, 5, json_chunk);
        return;
    }
    for (const nlp_value *row = output->cells; row < output->cells + 5 * output->n_rows; row += 5) {
        printf("%lld\t%lld\t%lld\t%lld\t", (long long)row[0].as.integer,
               (long long)row[2].as.integer, (long long)row[3].as.integer,
               (long long)row[4].as.integer);
        print_text(&row[1]);
        putchar('\n');
    }
    putchar('\n');
}

int cmd_chunk(cli *app) {
    return cli_run_task(
        app, "chunk", (cli_job){.columns = "chunk\ttokens\tstart\tend\ttext", .emit = emit_chunks});
}
