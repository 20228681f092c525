/* weight_files.c: which files of weights a folder has. */
#include "weight_files.h"

#include <stdio.h>
#include <string.h>

#include "base/mapfile.h"
#include "json.h"
#include "safetensors.h"
#include "torch_zip.h"

typedef nlp_status (*add_file)(nlp_source *source, const char *path, nlp_error *err);

/* Two forms; the first that is there counts. */
static const struct form {
    const char *file, *index;
    add_file add;
} forms[] = {{"model.safetensors", "model.safetensors.index.json", nlp_safetensors_add},
             {"pytorch_model.bin", "pytorch_model.bin.index.json", nlp_torch_add}};
enum { N_FORMS = sizeof forms / sizeof *forms };

static nlp_status add_shard(nlp_source *s, const struct form *form, const char *folder,
                            const char *name, nlp_error *err) {
    char path[4096];
    if (strchr(name, '/') || !strcmp(name, "..") || *name == '.')
        return nlp_fail(err, NLP_EDENIED, "%s names a file outside its folder", form->index);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    nlp_status status = form->add(s, path, err);
    if (status != NLP_ENOFILE) return status;
    return nlp_fail(err, NLP_EINVAL, "%s names %s, which is not there", form->index, name);
}

/* Each file of the weight map once, in the order of their names. */
static nlp_status add_shards(nlp_source *s, const struct form *form, const char *folder,
                             const json_t *index, nlp_error *err) {
    const char *tensor, *names[NLP_SOURCE_MAX_FILES];
    size_t n = 0;
    json_t *file;
    json_object_foreach(json_object_get(index, "weight_map"), tensor, file) {
        const char *name = json_string_value(file);
        size_t i = 0;
        if (!name) return nlp_fail(err, NLP_EINVAL, "%s: a file's name is no text", form->index);
        while (i < n && strcmp(names[i], name)) i++;
        if (i < n) continue;
        if (n == NLP_SOURCE_MAX_FILES)
            return nlp_fail(err, NLP_ELIMIT, "more than %d files of weights", NLP_SOURCE_MAX_FILES);
        names[n++] = name;
    }
    for (size_t i = 0; i < n; i++) NLP_TRY(add_shard(s, form, folder, names[i], err));
    return n ? NLP_OK : nlp_fail(err, NLP_EINVAL, "%s has no weight_map", form->index);
}

static nlp_status open_index(nlp_source *s, const struct form *form, const char *folder,
                             nlp_error *err) {
    char path[4096];
    uint8_t *bytes;
    size_t n_bytes;
    json_t *index = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, form->index);
    NLP_TRY(nlp_file_load(path, NLP_JSON_HEADER_BYTES, s->mem, &bytes, &n_bytes, err));
    nlp_status status =
        nlp_json_parse(bytes, n_bytes, NLP_JSON_HEADER_BYTES, form->index, &index, err);
    if (status == NLP_OK) status = add_shards(s, form, folder, index, err);
    json_decref(index);
    nlp_mem_free(s->mem, bytes, n_bytes + 1);
    return status;
}

nlp_status nlp_weight_files_open(nlp_source *s, const char *folder, nlp_error *err) {
    char path[4096];
    for (size_t i = 0; i < N_FORMS; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, forms[i].file);
        nlp_status status = forms[i].add(s, path, err);
        if (status == NLP_ENOFILE) status = open_index(s, &forms[i], folder, err);
        if (status != NLP_ENOFILE) return status;
    }
    return nlp_fail(err, NLP_ENOFILE,
                    "%s has neither model.safetensors nor model.safetensors.index.json, and no "
                    "pytorch_model.bin",
                    folder);
}
