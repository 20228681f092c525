/* check_openblas: the backend openblas against our own f32 product. */
#include <math.h>

#include "random.h"
#include "tensor/gemm.h"
#include "tensor/quant.h"
#include "test.h"

enum { M = 13, K = 100, N = 70 };

static void test_openblas_agrees(void) {
    nlp_random r = {4};
    size_t bytes = 0;
    nlp_error err = {0};
    float *x = random_floats(&r, M * K, 3), *w = random_floats(&r, N * K, 0.1f),
          *bias = random_floats(&r, N, 1), *residual = random_floats(&r, M * N, 1);
    static float own[M * N], blas[M * N];
    CHECK_STATUS(nlp_panels_bytes(NLP_F32, K, N, &bytes, &err), NLP_OK, &err);
    void *panels = aligned_alloc(64, bytes);
    nlp_pack_f32(w, bias, K, N, panels);
    nlp_weight weight = {.dtype = NLP_F32, .k = K, .n = N, .panels = panels};
    nlp_rows rows = {.f32 = x};
    nlp_epilogue e = {.act = NLP_ACT_GELU_ERF, .residual = residual};
    const nlp_kernels *k = nlp_kernels_select(UINT32_MAX);
    CHECK_STATUS(nlp_gemm(k, &weight, M, &rows, &e, own, NULL, &err), NLP_OK, &err);
    CHECK_STATUS(nlp_gemm_openblas(k, &weight, M, &rows, &e, blas, NULL, &err), NLP_OK, &err);
    for (size_t i = 0; i < M * N; i++) CHECK(fabsf(own[i] - blas[i]) < 2e-5f);
    free(x), free(w), free(bias), free(residual), free(panels);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {{"openblas_agrees", test_openblas_agrees}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
