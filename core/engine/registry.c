/* registry.c: what has joined the engine. Built-in tasks come the same way as a stranger's. */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

/* Checked like a stranger's table: an incomplete one, or one whose name is taken, does not join. */
nlp_status nlp_registry_add(const nlp_host_api *host, uint32_t kind, const void *vtable,
                            nlp_error *err) {
    nlp_engine *engine = host->context;
    const nlp_task_vtable *task = vtable;
    if (kind != NLP_KIND_OF_TASK)
        return nlp_fail(err, NLP_EUNSUPPORTED, "this engine takes tasks (kind %d), not kind %u",
                        NLP_KIND_OF_TASK, kind);
    if (task->struct_size < offsetof(nlp_task_vtable, stream_open) || !task->spec ||
        task->spec->struct_size < sizeof *task->spec || !task->run_batch)
        return nlp_fail(err, NLP_EINVAL, "a task's table is too small or incomplete");
    if (nlp_task_find(engine, task->spec->name))
        return nlp_fail(err, NLP_EINVAL, "there is a task \"%.48s\" already", task->spec->name);
    if (engine->n_tasks == NLP_MAX_TASKS)
        return nlp_fail(err, NLP_ELIMIT, "more than %d tasks are not possible", NLP_MAX_TASKS);
    engine->tasks[engine->n_tasks++] = task;
    return NLP_OK;
}

size_t nlp_task_count(const nlp_engine *engine) {
    return engine->n_tasks;
}

const nlp_task_spec *nlp_task_at(const nlp_engine *engine, size_t index) {
    return index < engine->n_tasks ? engine->tasks[index]->spec : NULL;
}

const nlp_task_spec *nlp_task_find(const nlp_engine *engine, const char *name) {
    for (size_t i = 0; i < engine->n_tasks; i++)
        if (!strcmp(engine->tasks[i]->spec->name, name)) return engine->tasks[i]->spec;
    return NULL;
}

/* "en-*" with the languages of a call. */
static void fill_pattern(const char *pattern, const nlp_text *operands, const nlp_option *options,
                         size_t n_options, char name[NLP_MODEL_NAME_BYTES]) {
    nlp_text target = operands && operands[1].bytes ? operands[1] : (nlp_text){"", 0};
    nlp_text source = {pattern, strcspn(pattern, "-")};
    for (size_t i = 0; i < n_options; i++) {
        const nlp_value *value = &options[i].value;
        bool is_text = value->type == NLP_TYPE_TEXT && !strcmp(options[i].key, "source");
        if (is_text && (value->n != 4 || memcmp(value->as.text, "auto", 4) != 0))
            source = (nlp_text){value->as.text, value->n};
    }
    int n_source = source.n_bytes < 32 ? (int)source.n_bytes : 32;
    int n_target = target.n_bytes < 32 ? (int)target.n_bytes : 32;
    snprintf(name, NLP_MODEL_NAME_BYTES, "%.*s-%.*s", n_source, source.bytes, n_target,
             target.bytes);
}

nlp_status nlp_task_default_model(const nlp_task_spec *task, const char *set,
                                  const nlp_text *operands, const nlp_option *options,
                                  size_t n_options, char name[NLP_MODEL_NAME_BYTES],
                                  nlp_error *err) {
    const char *own = task->starter ? task->starter(operands, options, n_options) : NULL;
    if (!own) own = task->default_model;
    const char *found = set && *set ? set : own;
    if (found == own && found && strchr(found, '*')) {
        fill_pattern(found, operands, options, n_options, name);
        return NLP_OK;
    }
    snprintf(name, NLP_MODEL_NAME_BYTES, "%s", found ? found : "");
    if (found) return NLP_OK;
    nlp_fail(err, NLP_ENOMODEL, "nlp_%s has no starter model, and none is named", task->name);
    nlp_hint(err,
             "nlp import FOLDER --out NAME makes a pack of a model's files; name it, or set %s",
             task->model_setting);
    return NLP_ENOMODEL;
}

const nlp_task_vtable *nlp_registry_find(const nlp_engine *engine, const nlp_task_spec *spec) {
    for (size_t i = 0; i < engine->n_tasks; i++)
        if (engine->tasks[i]->spec == spec) return engine->tasks[i];
    return NULL;
}
