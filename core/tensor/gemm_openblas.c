/* gemm_openblas.c: backend `openblas`: f32 products by the library's sgemm, and the oracle of the
 * product tests. Outside the rule of equal bits: never a default. The library is loaded on first
 * use, the serial flavour where there is one, and held to one thread. The only home of cblas.h. */
#include <cblas.h>
#include <dlfcn.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "tensor/gemm.h"
#include "tensor/quant.h"

typedef void (*sgemm_fn)(CBLAS_LAYOUT, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, blasint, blasint, blasint,
                         float, const float *, blasint, const float *, blasint, float, float *,
                         blasint);

static nlp_mutex load_lock = NLP_MUTEX_INIT;
static sgemm_fn loaded_sgemm; /* under load_lock; set once, never unloaded */

/* By dlopen, and only when it is asked for: OpenBLAS starts threads when it is loaded. */
static sgemm_fn load_locked(void) {
    static const char *const names[] = {
        "openblas-serial/libopenblas.so.0",
        "/usr/lib/x86_64-linux-gnu/openblas-serial/libopenblas.so.0",
        "/usr/lib/aarch64-linux-gnu/openblas-serial/libopenblas.so.0", "libopenblas.so.0"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !loaded_sgemm; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!library) continue;
        void *sgemm = dlsym(library, "cblas_sgemm"),
             *set_threads = dlsym(library, "openblas_set_num_threads");
        if (set_threads) {
            void (*set)(int);
            memcpy(&set, &set_threads, sizeof set);
            set(1);
        }
        if (sgemm) memcpy(&loaded_sgemm, &sgemm, sizeof loaded_sgemm);
    }
    return loaded_sgemm;
}

static sgemm_fn find_sgemm(void) {
    nlp_mutex_lock(&load_lock);
    sgemm_fn sgemm = load_locked();
    nlp_mutex_unlock(&load_lock);
    return sgemm;
}

nlp_status nlp_openblas_load(nlp_error *err) {
    if (find_sgemm()) return NLP_OK;
    nlp_fail(err, NLP_EUNSUPPORTED,
             "the backend openblas needs libopenblas.so.0, which can't be loaded");
    nlp_hint(err, "apt install libopenblas0-serial, or leave the backend empty");
    return NLP_EUNSUPPORTED;
}

/* The epilogue that our kernels run on a tile, here over the finished rows. */
static void finish_rows(const nlp_kernels *kernels, const nlp_weight *w, size_t m,
                        const nlp_epilogue *e, float *out) {
    kernels->activate(out, m * w->n, e->act);
    if (e->residual) kernels->add(out, e->residual, m * w->n);
    if (e->next_factors) kernels->scale_columns(out, m, w->n, e->next_factors);
    for (size_t i = 0; e->row_max && i < m; i++)
        e->row_max[NLP_LANES * i] = kernels->max_abs(out + i * w->n, w->n);
}

nlp_status nlp_gemm_openblas(const nlp_kernels *kernels, const nlp_weight *w, size_t m,
                             const nlp_rows *rows, const nlp_epilogue *epilogue, float *out,
                             nlp_poll *poll, nlp_error *err) {
    NLP_TRY(nlp_openblas_load(err));
    if (w->dtype != NLP_F32)
        return nlp_fail(err, NLP_EUNSUPPORTED, "the backend openblas takes f32 packs only");
    if (epilogue && epilogue->addend)
        return nlp_fail(err, NLP_EUNSUPPORTED, "the backend openblas takes no adapters");
    sgemm_fn sgemm = find_sgemm();
    size_t bytes = nlp_panel_bytes(NLP_F32, w->k);
    for (size_t column = 0; column < w->n; column += NLP_PANEL) {
        size_t live = w->n - column < NLP_PANEL ? w->n - column : NLP_PANEL;
        const float *panel =
            (const float *)(const void *)((const uint8_t *)w->panels + column / NLP_PANEL * bytes);
        for (size_t i = 0; i < m; i++)
            memcpy(out + i * w->n + column, panel + w->k * NLP_PANEL, live * sizeof *out);
        sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)m, (blasint)live, (blasint)w->k,
              1, rows->f32, (blasint)w->k, panel, NLP_PANEL, 1, out + column, (blasint)w->n);
        NLP_TRY(nlp_poll_work(poll, (uint64_t)m * w->k * live, err));
    }
    if (epilogue) finish_rows(kernels, w, m, epilogue, out);
    return NLP_OK;
}
