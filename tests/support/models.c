#include "models.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

const char *nlp_test_pack(const char *name) {
    static char path[256];
    char source[256];
    nlp_error err;
    nlp_import_report report;
    snprintf(path, sizeof path, "%s/%s.nlp", nlp_test_folder(), name);
    if (access(path, R_OK) == 0) return path;
    snprintf(source, sizeof source, "%s/models/%s", nlp_test_data(), name);
    nlp_import_options options = {
        .struct_size = sizeof options, .source = source, .out = path, .precision = "f32"};
    if (nlp_import(&options, &report, &err) == NLP_OK) return path;
    nlp_test_fail(__FILE__, __LINE__, "%s can't be imported: %s", name, err.message);
    return NULL;
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
