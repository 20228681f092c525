/* fuzz_pack: a pack whose digests an attacker made right again. Opening it gives a status, and a
 * model that opens can embed, classify and tokenize a text without a fault. */
#include "fuzz.h"
#include "models.h"
#include "pack/pack.h"

#include <stdlib.h>
#include <string.h>

static nlp_engine *engine;
static nlp_session *session;

static void make_digests_right(uint8_t *bytes, size_t n) {
    nlp_pack_header *h = (nlp_pack_header *)(void *)bytes;
    uint64_t end = h->sections_offset + (uint64_t)h->n_sections * sizeof(nlp_pack_section);
    h->file_bytes = n;
    if (h->sections_offset > n || h->n_sections > NLP_PACK_MAX_SECTIONS || end > n) return;
    nlp_pack_meta_digest(bytes, h->meta_digest);
    nlp_pack_digest(bytes, n, NULL, h->digest, NULL);
}

static void use(nlp_model *model) {
    static const char *const tasks[] = {"embed", "classify", "sentiment", "tokens"};
    const nlp_result *result;
    nlp_error err;
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        nlp_test_run(session, nlp_task_find(engine, tasks[i]), model,
                     "Some words, naïve [MASK] ok.", NULL, NULL, &result, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    nlp_model *model = NULL;
    nlp_error err;
    if (!engine) nlp_test_engine(&engine, &session);
    if (n < NLP_PACK_PAGE_BYTES || n > (4u << 20)) return 0;
    uint8_t *copy = aligned_alloc(64, (n + 63) / 64 * 64);
    memcpy(copy, bytes, n);
    make_digests_right(copy, n);
    if (nlp_model_open_bytes(engine, "fuzzed", copy, n, NULL, &model, &err) == NLP_OK) use(model);
    nlp_model_close(model);
    free(copy);
    return 0;
}
