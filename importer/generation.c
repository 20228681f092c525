/* generation.c: how a model's files want it to write: generation_config.json, else config.json; and what
 * T5's files say of its tasks. */
#include <string.h>

#include "json.h"
#include "model_folder.h"

enum { MOST_LEAST_TOKENS = 4096 };

/* The first of generation_config.json and config.json that has the key. */
static const json_t *generation_key(const nlp_model_folder *f, const json_t *own, const char *key) {
    const json_t *value = json_object_get(own, key);
    if (!value || json_is_null(value)) value = json_object_get(f->config, key);
    return value && !json_is_null(value) ? value : NULL;
}

/* id + 1, or 0 where the key names none. */
static uint32_t optional_id(const nlp_model_folder *f, const json_t *own, const char *key) {
    const json_t *value = generation_key(f, own, key);
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    return id >= 0 && id < INT32_MAX ? (uint32_t)id + 1 : 0;
}

static nlp_status read_ends(nlp_model_folder *f, const json_t *own, nlp_error *err) {
    nlp_generation_spec *g = &f->generation;
    const json_t *value = generation_key(f, own, "eos_token_id");
    size_t n = json_is_array(value) ? json_array_size(value) : value != NULL;
    if (n > sizeof g->ends / sizeof *g->ends)
        return nlp_fail(err, NLP_EUNSUPPORTED, "\"eos_token_id\" has %zu ids, 8 are possible", n);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(value) ? json_array_get(value, i) : value;
        json_int_t number = json_is_integer(id) ? json_integer_value(id) : -1;
        if (number < 0 || number > INT32_MAX)
            return nlp_fail(err, NLP_EINVAL, "\"eos_token_id\" has something that is no id");
        g->ends[g->n_ends++] = (uint32_t)number;
    }
    return NLP_OK;
}

/* Ids in bad_words_ids that stand alone; longer sequences are for the sampler. */
static void read_suppressed(nlp_model_folder *f, const json_t *own) {
    nlp_generation_spec *g = &f->generation;
    const json_t *lists = generation_key(f, own, "bad_words_ids");
    for (size_t i = 0; i < json_array_size(lists) && g->n_suppressed < 7; i++) {
        const json_t *list = json_array_get(lists, i);
        if (json_array_size(list) == 1)
            g->suppressed[g->n_suppressed++] =
                (uint32_t)json_integer_value(json_array_get(list, 0));
    }
}

/* min_length counts what the decoder is given: of a seq2seq its one start token, of a decoder the whole
 * prompt, for which there is no number to keep. */
static uint32_t least_tokens(const nlp_model_folder *f, const json_t *own) {
    json_int_t n = json_integer_value(generation_key(f, own, "min_new_tokens"));
    if (n <= 0 && f->family->decoder)
        n = json_integer_value(generation_key(f, own, "min_length")) - 1;
    return n > 0 && n < MOST_LEAST_TOKENS ? (uint32_t)n : 0;
}

static uint32_t early_stopping(const json_t *value) {
    const char *text = json_string_value(value);
    if (text && !strcmp(text, "never")) return 2;
    return json_is_true(value);
}

static nlp_status fill_generation(nlp_model_folder *f, const json_t *own, nlp_error *err) {
    nlp_generation_spec *g = &f->generation;
    bool seq2seq = f->family->decoder != NULL;
    g->struct_size = sizeof *g;
    NLP_TRY(read_ends(f, own, err));
    read_suppressed(f, own);
    g->start = seq2seq ? optional_id(f, own, "decoder_start_token_id") : 0;
    g->forced_first = seq2seq ? optional_id(f, own, "forced_bos_token_id") : 0;
    g->forced_last = seq2seq ? optional_id(f, own, "forced_eos_token_id") : 0;
    g->n_beams = (uint32_t)json_integer_value(generation_key(f, own, "num_beams"));
    g->length_penalty = (float)json_number_value(generation_key(f, own, "length_penalty"));
    g->no_repeat_ngram =
        (uint32_t)json_integer_value(generation_key(f, own, "no_repeat_ngram_size"));
    g->min_tokens = least_tokens(f, own);
    g->early_stopping = early_stopping(generation_key(f, own, "early_stopping"));
    if (seq2seq && !g->start && !f->decoder.spec.recurrence) /* whose first input is no word */
        return nlp_fail(err, NLP_EINVAL, "config.json has no \"decoder_start_token_id\"");
    return NLP_OK;
}

/* ---- Tasks of one model: "task_specific_params" ---- */

/* What all tasks of a model agree on is the model's. */
static json_int_t agreed(const json_t *tasks, const char *key) {
    const char *name;
    json_t *task;
    json_int_t all = -1;
    json_object_foreach((json_t *)(uintptr_t)tasks, name, task) {
        const json_t *value = json_object_get(task, key);
        json_int_t number =
            json_is_boolean(value) ? json_is_true(value) : json_integer_value(value);
        if (!json_is_object(task) || (all >= 0 && number != all)) return 0;
        all = number;
    }
    return all > 0 ? all : 0;
}

/* The text that goes before another one for a task: "summarization", "translation_en_to_de". */
static nlp_status read_prefix(nlp_model_folder *f, const char *name, const json_t *task,
                              nlp_error *err) {
    const json_t *prefix = json_object_get(task, "prefix");
    if (!json_is_string(prefix)) return NLP_OK;
    if (f->n_prompts + 2 > sizeof f->prompts / sizeof *f->prompts)
        return nlp_fail(err, NLP_EINVAL, "config.json: task_specific_params has too many tasks");
    f->prompts[f->n_prompts++] = nlp_arena_text(&f->arena, name, strlen(name));
    f->prompts[f->n_prompts++] =
        nlp_arena_text(&f->arena, json_string_value(prefix), json_string_length(prefix));
    return nlp_arena_status(&f->arena, err);
}

static nlp_status read_tasks(nlp_model_folder *f, nlp_error *err) {
    nlp_generation_spec *g = &f->generation;
    json_t *tasks = json_object_get(f->config, "task_specific_params"), *task;
    const char *name;
    json_object_foreach(tasks, name, task) NLP_TRY(read_prefix(f, name, task, err));
    if (!g->n_beams) g->n_beams = (uint32_t)agreed(tasks, "num_beams");
    if (!g->early_stopping) g->early_stopping = agreed(tasks, "early_stopping") != 0;
    return NLP_OK;
}

nlp_status nlp_generation_read(nlp_model_folder *f, nlp_error *err) {
    json_t *own;
    NLP_TRY(nlp_model_folder_json(f, "generation_config.json", NLP_JSON_CONFIG_BYTES, &own, err));
    nlp_status status = fill_generation(f, own, err);
    json_decref(own);
    return status == NLP_OK && f->family->decoder ? read_tasks(f, err) : status;
}
