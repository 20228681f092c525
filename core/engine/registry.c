/* registry.c: what has joined the engine. Built-in tasks come the same way as a stranger's. */
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

nlp_status nlp_task_default_model(const nlp_task_spec *task, const char *set, const char **name,
                                  nlp_error *err) {
    *name = set && *set ? set : task->default_model;
    if (*name) return NLP_OK;
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
