/* model_folder.c: a folder in the form of Hugging Face transformers. */
#include "model_folder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapfile.h"
#include "chat_template.h"
#include "container.h"
#include "json.h"
#include "tokenizer_files.h"
#include "weight_files.h"

void nlp_model_folder_note(nlp_model_folder *f, const char *format, ...) {
    size_t n = strlen(f->notes);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->notes + n, sizeof f->notes - n, format, arguments);
    va_end(arguments);
}

static nlp_status load(nlp_model_folder *f, const char *name, size_t max_bytes, uint8_t **bytes,
                       size_t *n_bytes, nlp_error *err) {
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", f->path, name) >= sizeof path)
        return nlp_fail(err, NLP_EINVAL, "the folder's path is too long");
    return nlp_file_load(path, max_bytes, f->mem, bytes, n_bytes, err);
}

nlp_status nlp_model_folder_json(nlp_model_folder *f, const char *name, size_t max_bytes,
                                 json_t **json, nlp_error *err) {
    uint8_t *bytes;
    size_t n_bytes;
    *json = NULL;
    if (f->is_file) return NLP_OK;
    nlp_status status = load(f, name, max_bytes, &bytes, &n_bytes, err);
    if (status == NLP_ENOFILE) return NLP_OK;
    NLP_TRY(status);
    status = nlp_json_parse(bytes, n_bytes, max_bytes, name, json, err);
    nlp_mem_free(f->mem, bytes, n_bytes + 1);
    return status;
}

/* ---- Labels ---- */

/* Which labels mean good and bad, so that nlp_sentiment can answer with a model of other names. */
static uint32_t polarity_of(const char *label) {
    static const struct {
        const char *name;
        uint32_t polarity;
    } names[] = {{"positive", NLP_POLARITY_POSITIVE}, {"pos", NLP_POLARITY_POSITIVE},
                 {"negative", NLP_POLARITY_NEGATIVE}, {"neg", NLP_POLARITY_NEGATIVE},
                 {"neutral", NLP_POLARITY_NEUTRAL},   {"neu", NLP_POLARITY_NEUTRAL},
                 {"1 star", NLP_POLARITY_NEGATIVE},   {"2 stars", NLP_POLARITY_NEGATIVE},
                 {"3 stars", NLP_POLARITY_NEUTRAL},   {"4 stars", NLP_POLARITY_POSITIVE},
                 {"5 stars", NLP_POLARITY_POSITIVE}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcasecmp(names[i].name, label)) return names[i].polarity;
    return NLP_POLARITY_NONE;
}

/* id2label by number: an impossible or doubled number is refused, since a label at a wrong place
 * would be believed; one that is not there is LABEL_n, as in the reference. */
static nlp_status read_labels(nlp_model_folder *f, const json_t *config, nlp_error *err) {
    uint32_t n = f->head.n_labels;
    const char *key;
    json_t *label;
    f->labels = NLP_PUSH_ZERO(&f->arena, const char *, n);
    NLP_TRY(nlp_arena_status(&f->arena, err));
    json_object_foreach(json_object_get(config, "id2label"), key, label) {
        char *end;
        unsigned long id = strtoul(key, &end, 10);
        if (*end || id >= n || !json_is_string(label) || f->labels[id])
            return nlp_fail(
                err, NLP_EINVAL,
                "config.json: \"id2label\" has %zu labels, the classifier has %u outputs",
                json_object_size(json_object_get(config, "id2label")), n);
        f->labels[id] =
            nlp_arena_text(&f->arena, json_string_value(label), json_string_length(label));
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!f->labels[i]) f->labels[i] = nlp_arena_format(&f->arena, "LABEL_%u", i);
        if (f->labels[i] && i < NLP_MAX_POLARITIES) f->head.polarity[i] = polarity_of(f->labels[i]);
    }
    return nlp_arena_status(&f->arena, err);
}

/* "BertForSequenceClassification" ends with "ForSequenceClassification". */
static bool ends_with(const char *text, const char *ending) {
    size_t n = strlen(text), n_ending = strlen(ending);
    return n >= n_ending && !strcmp(text + n - n_ending, ending);
}

const char *nlp_architecture_of(const json_t *config) {
    const char *name =
        json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
    return name ? name : "";
}

static nlp_source_tensor *weight_of(const nlp_model_folder *f, const char *name) {
    char full[256];
    if (!name) return NULL;
    snprintf(full, sizeof full, "%s.weight", name);
    return nlp_family_tensor(f->family, &f->source, full);
}

/* The head that the architecture names. A config without one, or one that names the bare model, has
 * the head whose tensors are there. */
static const nlp_head_source *find_head(const nlp_model_folder *f, const char *architecture) {
    const nlp_head_source *s = f->family->heads;
    for (; s && s->architecture; s++)
        if (ends_with(architecture, s->architecture)) return s;
    if (strstr(architecture, "For") || strstr(architecture, "LMHead")) return NULL;
    for (s = f->family->heads; s && s->architecture; s++)
        if (weight_of(f, s->classifier) && s->head != NLP_HEAD_WORDS &&
            (!s->hidden || weight_of(f, s->hidden)))
            return s;
    return NULL;
}

/* What a cross encoder's library puts behind its one score, by the name of a class; "" where it does
 * not say. */
static const char *pair_activation(const json_t *config) {
    const json_t *own = json_object_get(config, "sentence_transformers");
    const char *name = json_string_value(json_object_get(own, "activation_fn"));
    if (!name)
        name = json_string_value(json_object_get(config, "sbert_ce_default_activation_function"));
    return name ? name : "";
}

static nlp_status read_pair_score(nlp_model_folder *f, const json_t *config, nlp_error *err) {
    const char *activation = pair_activation(config);
    if (f->head.n_labels != 1 || !*activation || ends_with(activation, ".Sigmoid")) return NLP_OK;
    if (!ends_with(activation, ".Identity"))
        return nlp_fail(err, NLP_EUNSUPPORTED, "the activation %.80s of its score is not known",
                        activation);
    f->head.score = NLP_SCORE_NONE;
    return NLP_OK;
}

static nlp_status read_score(nlp_model_folder *f, const json_t *config, nlp_error *err) {
    const char *problem_type;
    NLP_TRY(nlp_json_text(config, "config.json", "problem_type", "", &problem_type, err));
    f->head.score = f->head.n_labels == 1 ? NLP_SCORE_SIGMOID : NLP_SCORE_SOFTMAX;
    if (f->head.head == NLP_HEAD_TOKENS) f->head.score = NLP_SCORE_SOFTMAX;
    if (!strcmp(problem_type, "regression")) f->head.score = NLP_SCORE_NONE;
    if (!strcmp(problem_type, "multi_label_classification")) f->head.score = NLP_SCORE_SIGMOID;
    return read_pair_score(f, config, err);
}

static uint32_t head_position(const nlp_head_source *s, const json_t *config) {
    const char *pooling = json_string_value(json_object_get(config, "classifier_pooling"));
    return pooling && !strcmp(pooling, "mean") ? NLP_HEAD_AT_MEAN : s->at;
}

nlp_status nlp_head_read(nlp_model_folder *f, const json_t *config, nlp_error *err) {
    const nlp_head_source *s = find_head(f, nlp_architecture_of(config));
    return s ? nlp_head_take(f, s, config, err) : NLP_OK;
}

/* "nlp_aggregation": how the recipes of models/ say that a head of tokens wants to be read. */
static nlp_status read_aggregation(nlp_model_folder *f, const json_t *config, nlp_error *err) {
    static const char *const names[] = {"", "simple", "first", "average", "max", "none"};
    const char *name;
    NLP_TRY(nlp_json_text(config, "config.json", "nlp_aggregation", "", &name, err));
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) {
            f->head.aggregation = i;
            return NLP_OK;
        }
    return nlp_fail(err, NLP_EINVAL,
                    "config.json: \"nlp_aggregation\" is %.40s; known are simple, first, average, "
                    "max and none",
                    name);
}

nlp_status nlp_head_take(nlp_model_folder *f, const nlp_head_source *s, const json_t *config,
                         nlp_error *err) {
    nlp_source_tensor *classifier = weight_of(f, s->classifier), *hidden = weight_of(f, s->hidden);
    if (!classifier && s->head != NLP_HEAD_WORDS)
        return nlp_fail(err, NLP_EINVAL, "the model has no tensor %s.weight", s->classifier);
    if ((classifier && (classifier->n_dims != 2 || classifier->shape[0] > 1 << 20)) ||
        (hidden && hidden->n_dims != 2))
        return nlp_fail(err, NLP_EINVAL, "%s is no matrix of a head", s->classifier);
    f->head_source = s;
    f->head = (nlp_head_spec){.struct_size = sizeof f->head,
                              .head = s->head,
                              .n_labels = classifier ? (uint32_t)classifier->shape[0]
                                                     : f->stack.spec.vocabulary,
                              .hidden_size = hidden ? (uint32_t)hidden->shape[0] : 0,
                              .hidden_activation = s->hidden_activation,
                              .at = head_position(s, config),
                              .norm = weight_of(f, s->norm) != NULL,
                              .norm_eps = f->stack.spec.norm_eps};
    if (s->hidden && !hidden)
        return nlp_fail(err, NLP_EINVAL, "the model has no tensor %s.weight", s->hidden);
    if (s->hidden_activation == NLP_ACT_OF_CONFIG)
        f->head.hidden_activation = f->stack.spec.activation;
    if (s->head == NLP_HEAD_WORDS || s->head == NLP_HEAD_SPAN) return NLP_OK;
    if (s->head == NLP_HEAD_TOKENS) NLP_TRY(read_aggregation(f, config, err));
    NLP_TRY(read_score(f, config, err));
    return read_labels(f, config, err);
}

/* The tokenizer's own limit where it has one ("none" is written as a huge number), else the
 * positions. */
static void read_max_tokens(nlp_model_folder *f, const json_t *tokenizer_config) {
    double limit = json_number_value(json_object_get(tokenizer_config, "model_max_length"));
    uint32_t positions = f->stack.spec.n_positions - f->stack.spec.position_offset;
    f->stack.spec.max_tokens = limit >= 3 && limit < positions ? (uint32_t)limit : positions;
    f->decoder.spec.max_tokens = f->decoder.spec.n_positions - f->decoder.spec.position_offset;
}

/* ---- All of it ---- */

static nlp_status find_family(nlp_model_folder *f, nlp_error *err) {
    const char *model_type;
    NLP_TRY(nlp_json_text(f->config, "config.json", "model_type", "", &model_type, err));
    f->family = nlp_family_find(model_type);
    if (f->family) return nlp_config_switches(f->family, f->config, model_type, err);
    nlp_fail(err, NLP_EUNSUPPORTED, "config.json: nlp does not know the model_type \"%.64s\"",
             model_type);
    nlp_hint(err, "families that it knows: see docs/models.md");
    return NLP_EUNSUPPORTED;
}

static nlp_status read_config(nlp_model_folder *f, const json_t *config, nlp_error *err) {
    NLP_TRY(nlp_config_read(f->family, &f->family->stack, config, &f->arena, &f->stack, err));
    if (f->family->decoder)
        NLP_TRY(
            nlp_config_read(f->family, f->family->decoder, config, &f->arena, &f->decoder, err));
    NLP_TRY(nlp_json_boolean(config, "config.json", "tie_word_embeddings", f->family->tied,
                             &f->tied, err));
    return nlp_head_read(f, config, err);
}

/* ---- Writing ---- */

/* A causal model has an output; a bare one, or one inside an embedder, has none. */
static bool writes(const nlp_model_folder *f) {
    static const char *const endings[] = {"ForCausalLM", "LMHeadModel", "ForConditionalGeneration",
                                          "MTModel", "OpenNMTModel"};
    const char *name = nlp_architecture_of(f->config);
    uint32_t kind = f->stack.spec.kind;
    if (!*name) return kind == NLP_KIND_DECODER || kind == NLP_KIND_SEQ2SEQ;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(name, endings[i])) return true;
    return false;
}

static nlp_status read_generation(nlp_model_folder *f, nlp_error *err) {
    nlp_stack_config *c = f->family->decoder ? &f->decoder : &f->stack;
    bool seq2seq = f->stack.spec.kind == NLP_KIND_SEQ2SEQ; /* a classifier too starts its decoder */
    if (f->stack.spec.kind == NLP_KIND_ENCODER || (!writes(f) && !seq2seq)) return NLP_OK;
    if (writes(f)) c->spec.n_outputs = c->spec.vocabulary;
    return nlp_generation_read(f, err);
}

static nlp_status read_folder(nlp_model_folder *f, nlp_error *err) {
    NLP_TRY(nlp_model_folder_json(f, "config.json", NLP_JSON_CONFIG_BYTES, &f->config, err));
    if (!f->config) return nlp_fail(err, NLP_ENOFILE, "%s has no config.json", f->path);
    NLP_TRY(find_family(f, err));
    NLP_TRY(nlp_model_folder_json(f, "tokenizer_config.json", NLP_JSON_CONFIG_BYTES,
                                  &f->tokenizer_config, err));
    const nlp_tokenizer_folder tokenizer = {f->path, f->family->tokenizer, f->tokenizer_config,
                                            f->mem};
    NLP_TRY(nlp_tokenizer_folder_read(&tokenizer, &f->tokenizer, err));
    return nlp_weight_files_open(&f->source, f->path, err);
}

static nlp_status interpret(nlp_model_folder *f, const nlp_model_choices *choices, nlp_error *err) {
    const char *pooling = choices->pooling;
    if (!f->family) NLP_TRY(find_family(f, err));
    NLP_TRY(read_config(f, f->config, err));
    NLP_TRY(read_generation(f, err));
    if (f->generation.struct_size) NLP_TRY(nlp_chat_template_read(f, choices->chat_template, err));
    read_max_tokens(f, f->tokenizer_config);
    if (f->pipeline.struct_size && !pooling) { /* the container has said it */
        f->pipeline.dims = f->stack.spec.hidden_size;
        return NLP_OK;
    }
    return nlp_sentence_transformers_read(f, pooling ? pooling : f->pooling, err);
}

void nlp_model_folder_init(nlp_model_folder *f, nlp_mem *mem, const char *path) {
    memset(f, 0, sizeof *f);
    f->mem = mem, f->path = path;
    nlp_arena_init(&f->arena, mem);
    nlp_source_init(&f->source, mem);
    nlp_buf_init(&f->tokenizer, mem);
    nlp_buf_init(&f->decoder_tokenizer, mem);
}

nlp_status nlp_model_folder_open(nlp_model_folder *f, nlp_mem *mem, const char *path,
                                 const nlp_model_choices *choices, nlp_error *err) {
    static const nlp_model_choices none = {NULL, NULL};
    nlp_model_folder_init(f, mem, path);
    const nlp_container *container = nlp_container_of(path);
    f->is_file = container && container->is_file;
    NLP_TRY(container ? container->read(f, err) : read_folder(f, err));
    return interpret(f, choices ? choices : &none, err);
}

void nlp_model_folder_close(nlp_model_folder *f) {
    json_decref(f->config);
    json_decref(f->tokenizer_config);
    nlp_source_close(&f->source);
    nlp_buf_deinit(&f->tokenizer);
    nlp_buf_deinit(&f->decoder_tokenizer);
    nlp_arena_deinit(&f->arena);
}
