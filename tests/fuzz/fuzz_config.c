/* fuzz_config: any bytes as config.json beside the real weights and tokenizer of a small model:
 * the import makes a pack that opens and embeds, or gives a status. */
#include "fuzz.h"
#include "models.h"
#include "nlp_import.h"
#include "test.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void link_model(void) {
    static const char *const files[] = {"model.safetensors", "tokenizer.json",
                                        "tokenizer_config.json"};
    char data[PATH_MAX], target[PATH_MAX + 64], name[PATH_MAX];
    fuzz_require(realpath(nlp_test_data(), data) != NULL, "the test data are there");
    for (size_t i = 0; i < 3; i++) {
        snprintf(target, sizeof target, "%s/models/bert-seqcls/%s", data, files[i]);
        snprintf(name, sizeof name, "%s/%s", nlp_test_folder(), files[i]);
        fuzz_require(symlink(target, name) == 0, "a file can be linked");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static nlp_engine *engine;
    static nlp_session *session;
    nlp_import_report report;
    nlp_error err;
    nlp_model *model = NULL;
    const nlp_result *result;
    char out[256];
    if (!engine) link_model(), nlp_test_engine(&engine, &session);
    fuzz_file("config.json", bytes, n);
    snprintf(out, sizeof out, "%s/out.nlp", nlp_test_folder());
    nlp_import_options options = {
        .struct_size = sizeof options, .source = nlp_test_folder(), .out = out, .precision = "f32"};
    if (nlp_import(&options, &report, &err) != NLP_OK) return 0;
    fuzz_require(nlp_model_open_file(engine, out, NULL, &model, &err) == NLP_OK,
                 "what was imported opens");
    nlp_test_run(session, nlp_task_find(engine, "embed"), model, "some words", NULL, NULL, &result,
                 &err);
    nlp_model_close(model);
    unlink(out);
    return 0;
}
