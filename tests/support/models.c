#include "models.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mapfile.h"
#include "model/binding.h"
#include "nlp_import.h"
#include "test.h"

static char folder[64];
static pid_t folder_owner;

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st, (void)kind, (void)walk;
    return remove(path);
}

static void remove_folder(void) {
    if (folder_owner == getpid()) nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *nlp_test_folder(void) {
    if (*folder) return folder;
    strcpy(folder, "/tmp/nlp-test-XXXXXX");
    if (!mkdtemp(folder) || chmod(folder, 0755) != 0)
        nlp_test_fail(__FILE__, __LINE__, "no temporary folder");
    folder_owner = getpid();
    atexit(remove_folder);
    return folder;
}

static void place_of(char source[256], const char *kind, const char *name) {
    snprintf(source, 256, "%s/%s/%s", nlp_test_data(), kind, name);
}

static const char *import_once(const char *source, const char *name) {
    static char path[256];
    nlp_error err;
    nlp_import_report report;
    snprintf(path, sizeof path, "%s/%s.nlp", nlp_test_folder(), name);
    if (access(path, R_OK) == 0) return path;
    nlp_import_options options = {
        .struct_size = sizeof options, .source = source, .out = path, .precision = "f32"};
    if (nlp_import(&options, &report, &err) == NLP_OK) return path;
    nlp_test_fail(__FILE__, __LINE__, "%s can't be imported: %s", name, err.message);
    return NULL;
}

const char *nlp_test_pack(const char *name) {
    char source[256];
    place_of(source, "models", name);
    return import_once(source, name);
}

static nlp_mem opened_mem;

static nlp_status open_parts(nlp_opened *o, const char *path, nlp_error *err) {
    NLP_TRY(nlp_file_load(path, (size_t)1 << 30, &opened_mem, &o->bytes, &o->n_bytes, err));
    NLP_TRY(nlp_pack_open(o->bytes, o->n_bytes, &o->pack, err));
    nlp_span blob = nlp_pack_section_find(&o->pack, "tokenizer");
    NLP_TRY(nlp_tokenizer_open(blob.bytes, blob.n_bytes, &opened_mem, &o->tokenizer, err));
    return nlp_section_read(&o->pack, "generation", &o->generation, sizeof o->generation, err);
}

nlp_opened nlp_test_open_path(const char *path) {
    nlp_opened o = {0};
    nlp_error err;
    if (!opened_mem.alloc) nlp_mem_init(&opened_mem, NULL, NULL, 0);
    if (!path || open_parts(&o, path, &err) == NLP_OK) return o;
    nlp_test_fail(__FILE__, __LINE__, "%s can't be opened: %s", path, err.message);
    return o;
}

nlp_opened nlp_test_open(const char *name) {
    char source[256];
    place_of(source, "models", name);
    if (access(source, R_OK) == 0) return nlp_test_open_path(import_once(source, name));
    place_of(source, "gguf", name);
    strncat(source, "/F32.gguf", sizeof source - strlen(source) - 1);
    return nlp_test_open_path(import_once(source, name));
}

void nlp_test_close(nlp_opened *o) {
    nlp_tokenizer_close(o->tokenizer);
    if (o->bytes) nlp_mem_free(&opened_mem, o->bytes, o->n_bytes + 1);
}

void nlp_test_engine(nlp_engine **engine, nlp_session **session) {
    nlp_engine_options options;
    nlp_error err;
    nlp_engine_options_init(&options);
    options.model_path = nlp_test_folder();
    CHECK_STATUS(nlp_engine_open(&options, engine, &err), NLP_OK, &err);
    CHECK_STATUS(nlp_session_open(*engine, session, &err), NLP_OK, &err);
}

nlp_text nlp_test_text(const char *text) {
    return (nlp_text){text, strlen(text)};
}

nlp_status nlp_test_run(nlp_session *session, const nlp_task_spec *task, nlp_model *model,
                        const char *text, const char *options_key, const char *options_text,
                        const nlp_result **result, nlp_error *err) {
    nlp_text input = text ? nlp_test_text(text) : (nlp_text){0};
    nlp_option option = {options_key, {.type = NLP_TYPE_TEXT}};
    if (options_text)
        option.value.n = (uint32_t)strlen(options_text), option.value.as.text = options_text;
    nlp_request request = {.struct_size = sizeof request,
                           .task = task,
                           .model = model,
                           .texts = &input,
                           .n_inputs = 1,
                           .options = &option,
                           .n_options = options_key ? 1 : 0};
    return nlp_session_run(session, &request, result, err);
}
