/* cmd_models.c: `nlp models`, `nlp inspect`, `nlp cache`: what is there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "nlp_import.h"

/* ---- models ---- */

static json_t *json_of_info(const nlp_model_info *info) {
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:s, s:i, s:s, s:s}",
                     "name", info->name, "digest", info->digest, "base_digest", info->base_digest,
                     "family", info->family, "tasks", info->tasks, "precision", info->precision,
                     "languages", info->languages, "licence", info->licence, "dims",
                     (int)info->dims, "max_tokens", (int)info->max_tokens, "bytes",
                     (json_int_t)info->file_bytes, "backing", info->backing, "processes",
                     (int)info->processes, "path", info->path, "problem", info->problem);
}

static bool print_model(void *context, const nlp_model_info *info) {
    const cli *app = context;
    if (app->json)
        cli_print_json(NULL, json_of_info(info));
    else
        printf("%s\t%.8s\t%s\t%s\t%s\t%s\t%u\t%u\t%.2f\t%s\t%s\n", info->name, info->digest,
               info->family, info->tasks, info->languages, info->precision, info->dims,
               info->max_tokens, (double)info->file_bytes / 1e6, info->backing,
               *info->problem ? info->problem : info->path);
    return !cli_stop.should_stop(NULL);
}

/* ---- models prune: old packs, kept as NAME@HEX.nlp by --replace, that no task pack stands on ---- */

typedef struct pruning {
    cli *app;
    json_t *bases; /* digest -> true, of the task packs in the model path */
    bool dry_run;
    int status;
} pruning;

static bool note_base(void *context, const nlp_model_info *info) {
    pruning *p = context;
    if (*info->base_digest) json_object_set_new(p->bases, info->base_digest, json_true());
    return !cli_stop.should_stop(NULL);
}

static bool prune_old(void *context, const nlp_model_info *info) {
    pruning *p = context;
    if (!strchr(info->name, '@') || json_object_get(p->bases, info->digest)) return true;
    if (!p->dry_run && unlink(info->path) != 0) {
        fprintf(stderr, "nlp: %s can't be removed: %s\n", info->path, strerror(errno));
        p->status = CLI_ENVIRONMENT;
        return true;
    }
    return print_model(p->app, info);
}

static int prune_models(cli *app) {
    nlp_error err;
    pruning p = {app, json_object(), cli_flag_value(app, "dry-run") != NULL, CLI_DONE};
    nlp_status status = nlp_model_list(app->engine, note_base, &p, &err);
    if (status == NLP_OK) status = nlp_model_list(app->engine, prune_old, &p, &err);
    json_decref(p.bases);
    return status == NLP_OK ? p.status : cli_report(&err);
}

int cmd_models(cli *app) {
    nlp_error err;
    bool prune = app->n_arguments == 1 && !strcmp(app->arguments[0], "prune");
    if (app->n_arguments && !prune) {
        fputs("nlp: models takes nothing, or prune\n", stderr);
        return CLI_USAGE;
    }
    if (prune) return prune_models(app);
    cli_print_header(
        app,
        "name\tdigest\tfamily\ttasks\tlanguages\tprecision\tdims\tmax_tokens\tMB\tbacking\tpath");
    return nlp_model_list(app->engine, print_model, app, &err) == NLP_OK ? CLI_DONE
                                                                         : cli_report(&err);
}

/* ---- inspect ---- */

static void print_fact(void *context, const char *group, const char *key, const char *value) {
    const cli *app = context;
    if (app->json)
        cli_print_json(NULL,
                       json_pack("{s:s, s:s, s:s}", "group", group, "key", key, "value", value));
    else {
        printf("%-10s %-34s ", group, key);
        cli_print_field(value, strlen(value));
        putchar('\n');
    }
}

int cmd_inspect(cli *app) {
    nlp_error err;
    if (app->n_arguments != 1) {
        fputs("nlp: inspect takes one name or file\n", stderr);
        return CLI_USAGE;
    }
    nlp_model *model = cli_open_model(app, app->arguments[0], NULL);
    if (!model) return CLI_ENVIRONMENT;
    nlp_model_info info = {.struct_size = sizeof info};
    nlp_model_get_info(model, &info);
    nlp_status status = nlp_pack_describe(info.path, print_fact, app, &err);
    nlp_model_close(model);
    return status == NLP_OK ? CLI_DONE : cli_report(&err);
}

/* ---- cache ---- */

static bool print_entry(void *context, const nlp_cache_entry *entry) {
    const cli *app = context;
    if (app->json)
        cli_print_json(NULL, json_pack("{s:s, s:s, s:s, s:s, s:I, s:i, s:I}", "name", entry->name,
                                       "models", entry->models, "state", entry->state, "digest",
                                       entry->digest, "bytes", (json_int_t)entry->bytes,
                                       "processes", (int)entry->processes, "age_seconds",
                                       (json_int_t)entry->age_seconds));
    else
        printf("%s\t%s\t%s\t%.1f\t%u\t%lld\n", entry->name, entry->models, entry->state,
               (double)entry->bytes / 1e6, entry->processes, (long long)entry->age_seconds);
    return !cli_stop.should_stop(NULL);
}

int cmd_cache(cli *app) {
    const char *what = app->n_arguments ? app->arguments[0] : "list";
    const char *name = app->n_arguments > 1 ? app->arguments[1] : NULL;
    nlp_error err;
    nlp_status status;
    if (!strcmp(what, "list") || !strcmp(what, "prune"))
        cli_print_header(app, "segment\tmodels\tstate\tMB\tprocesses\tage");
    if (!strcmp(what, "list"))
        status = nlp_cache_list(app->engine, print_entry, app, &err);
    else if (!strcmp(what, "prune"))
        status = nlp_cache_prune(app->engine, cli_flag_value(app, "all"),
                                 cli_flag_value(app, "dry-run"), print_entry, app, &err);
    else if (!strcmp(what, "verify"))
        status = nlp_cache_verify(app->engine, name, &cli_stop, &err);
    else if (!strcmp(what, "warm") && name)
        status = nlp_cache_warm(app->engine, name, &cli_stop, &err);
    else if (!strcmp(what, "drop") && name)
        status = nlp_cache_drop(app->engine, name, &err);
    else {
        fputs("nlp: cache takes list, prune, verify [NAME], warm NAME or drop NAME\n", stderr);
        return CLI_USAGE;
    }
    if (status != NLP_OK) return cli_report(&err);
    if (!strcmp(what, "verify")) puts("every byte is as its digest says");
    return CLI_DONE;
}
