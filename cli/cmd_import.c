/* cmd_import.c: `nlp import`: a model's own files become a pack. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_import.h"
#include "nlp_import.h"

static json_t *accuracy_json(const nlp_import_accuracy *a) {
    json_t *line = json_pack("{s:s, s:b, s:i}", "precision", a->precision, "passed", a->passed,
                             "texts", (int)a->n_texts);
    if (a->n_tokens)
        json_object_update_new(line,
                               json_pack("{s:i, s:f, s:f, s:f, s:f}", "tokens", (int)a->n_tokens,
                                         "reference_perplexity", a->reference_perplexity,
                                         "perplexity", a->perplexity, "loss_growth", a->loss_growth,
                                         "divergence", a->divergence));
    if (a->mean_cosine != 0)
        json_object_update_new(line, json_pack("{s:f, s:f}", "mean_cosine", a->mean_cosine,
                                               "min_cosine", a->min_cosine));
    return line;
}

static void print_accuracy(const nlp_import_accuracy *a) {
    printf("accuracy of %s against f32: ", a->precision);
    if (a->n_tokens)
        printf(
            "perplexity %.3f, f32 %.3f, over %u tokens: the loss grows by %.3f %%, expected %.3f %%: ",
            a->perplexity, a->reference_perplexity, a->n_tokens, 100 * a->loss_growth,
            100 * a->divergence);
    if (a->mean_cosine != 0)
        printf("cosine mean %.5f over plain sentences, min %.5f over %u texts: ", a->mean_cosine,
               a->min_cosine, a->n_texts);
    puts(a->passed ? "passes" : "does not pass");
}

void cli_print_report(const cli *app, const char *path, const nlp_import_report *report) {
    if (app->json) {
        json_t *accuracy = json_array();
        for (uint32_t i = 0; i < report->n_accuracies; i++)
            json_array_append_new(accuracy, accuracy_json(&report->accuracy[i]));
        cli_print_json(NULL, json_pack("{s:s, s:s, s:s, s:s, s:I, s:o}", "pack", path, "family",
                                       report->family, "precision", report->precision, "digest",
                                       report->digest, "bytes", (json_int_t)report->pack_bytes,
                                       "accuracy", accuracy));
        return;
    }
    printf("%s: %s, %s, %.1f MB\n", path, report->family, report->precision,
           (double)report->pack_bytes / 1e6);
    for (uint32_t i = 0; i < report->n_accuracies; i++) print_accuracy(&report->accuracy[i]);
    fputs(report->notes, stdout);
    printf("digest %s\n", report->digest);
}

int cli_import(cli *app, nlp_import_options *options, nlp_import_report *report) {
    nlp_error err;
    cli_progress progress;
    cli_limit_import(options->source);
    cli_progress_start(&progress);
    options->stop = cli_stop;
    options->progress = cli_progress_show;
    options->progress_context = &progress;
    nlp_status status = nlp_import(options, report, &err);
    cli_progress_end(&progress);
    if (status != NLP_OK) return cli_report(&err);
    cli_print_report(app, options->out, report);
    return CLI_DONE;
}

/* The pairs that go into the pack's meta section: "key=text" lines of those that are set. */
void cli_meta_add(char *meta, size_t meta_bytes, const char *key, const char *value) {
    size_t n = strlen(meta);
    if (value && *value) snprintf(meta + n, meta_bytes - n, "%s=%s\n", key, value);
}

/* The path of a pack by its name or path; "" for none. */
static bool find_base(cli *app, const char *name, char path[CLI_PATH_BYTES]) {
    nlp_model_info info = {.struct_size = sizeof info};
    *path = 0;
    if (!name) return true;
    nlp_model *model = cli_open_model(app, name, NULL);
    if (!model) return false;
    nlp_model_get_info(model, &info);
    snprintf(path, CLI_PATH_BYTES, "%s", info.path);
    nlp_model_close(model);
    return true;
}

int cmd_import(cli *app) {
    char out[CLI_PATH_BYTES], base[CLI_PATH_BYTES], meta[4096] = "";
    const char *name = cli_flag_value(app, "out");
    if (app->n_arguments != 1 || !name) {
        fputs("nlp: import takes one folder or file, and --out\n", stderr);
        return CLI_USAGE;
    }
    if (!cli_pack_path(app, name, out, sizeof out) ||
        !find_base(app, cli_flag_value(app, "base"), base))
        return CLI_ENVIRONMENT;
    static const char *const keys[] = {"licence", "languages", "description"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        cli_meta_add(meta, sizeof meta, keys[i], cli_flag_value(app, keys[i]));
    nlp_import_options options = {.struct_size = sizeof options,
                                  .source = app->arguments[0],
                                  .out = out,
                                  .precision = cli_flag_value(app, "precision"),
                                  .pooling = cli_flag_value(app, "pooling"),
                                  .chat_template = cli_flag_value(app, "chat-template"),
                                  .base = *base ? base : NULL,
                                  .meta = meta,
                                  .replace = cli_flag_value(app, "replace") != NULL};
    nlp_import_report report;
    return cli_import(app, &options, &report);
}
