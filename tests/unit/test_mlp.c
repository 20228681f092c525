/* test_mlp: heads with a hidden layer: what they learn, the same bits at every level, and rows that teach
 * nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/random.h"
#include "nn/mlp.h"
#include "nn/regression.h"
#include "test.h"

enum { ROWS = 200, DIMS = 5 };

/* Four clouds; a class is two that lie across from each other, which no line parts. */
typedef struct clouds {
    nlp_mem mem;
    nlp_arena arena;
    float vectors[ROWS * DIMS];
    uint32_t classes[ROWS], predicted[ROWS];
    size_t rows[ROWS];
    nlp_examples e;
    nlp_mlp m;
    nlp_error err;
} clouds;

static clouds *open_clouds(void) {
    clouds *c = calloc(1, sizeof *c);
    nlp_mem_init(&c->mem, NULL, NULL, SIZE_MAX);
    nlp_arena_init(&c->arena, &c->mem);
    for (size_t i = 0; i < ROWS; i++) {
        uint32_t x = i % 2, y = i / 2 % 2;
        for (size_t k = 0; k < DIMS; k++)
            c->vectors[i * DIMS + k] = (float)(0.2 * nlp_random_real(7, i * DIMS + k));
        c->vectors[i * DIMS] += (float)x, c->vectors[i * DIMS + 1] += (float)y + 3;
        c->classes[i] = x ^ y;
        c->rows[i] = i;
    }
    c->e = (nlp_examples){.vectors = c->vectors,
                          .n_rows = ROWS,
                          .dims = DIMS,
                          .classes = c->classes,
                          .n_classes = 2,
                          .train = c->rows,
                          .n_train = ROWS};
    c->m = (nlp_mlp){.e = &c->e,
                     .kernels = nlp_kernels_select(UINT32_MAX),
                     .n_hidden = 16,
                     .center = true,
                     .epochs = 300,
                     .scratch = &c->arena};
    CHECK_STATUS(nlp_examples_weigh(&c->e, false, &c->arena, &c->err), NLP_OK, &c->err);
    return c;
}

static void close_clouds(clouds *c) {
    nlp_arena_deinit(&c->arena);
    free(c);
}

static size_t count_right(const clouds *c) {
    size_t right = 0;
    for (size_t i = 0; i < ROWS; i++) right += c->predicted[i] == c->classes[i];
    return right;
}

static void train(clouds *c) {
    CHECK_STATUS(nlp_mlp_train(&c->m, NULL, &c->err), NLP_OK, &c->err);
    CHECK_STATUS(nlp_mlp_predict(&c->m, c->rows, ROWS, c->predicted, NULL, &c->err), NLP_OK,
                 &c->err);
}

static void test_what_no_line_parts_is_learnt(void) {
    clouds *c = open_clouds();
    nlp_regression r = {.e = &c->e, .center = true, .epochs = 300, .scratch = &c->arena};
    CHECK_STATUS(nlp_regression_train(&r, NULL, &c->err), NLP_OK, &c->err);
    CHECK_STATUS(nlp_regression_predict(&r, c->rows, ROWS, c->predicted, NULL, &c->err), NLP_OK,
                 &c->err);
    CHECK(count_right(c) <= ROWS * 3 / 4);
    train(c);
    CHECK(count_right(c) == ROWS && c->m.n_epochs == 300);
    c->m.center = false, c->m.epochs = 1000;
    train(c);
    CHECK(count_right(c) > ROWS * 3 / 4);
    close_clouds(c);
}

/* Widths that fill no panel, and a batch that is the last of several. */
static void test_every_level_gives_the_same_weights(void) {
    clouds *c = open_clouds();
    size_t n_hidden = 19 * (DIMS + 1), n_out = 2 * 20;
    const float *hidden = NULL, *out = NULL;
    c->m.n_hidden = 19, c->m.epochs = 5, c->m.l2 = 1e-4;
    for (size_t level = 0; (c->m.kernels = nlp_kernels_at(level)); level++) {
        train(c);
        if (!level) hidden = c->m.hidden, out = c->m.out;
        CHECK(!memcmp(c->m.hidden, hidden, n_hidden * sizeof *hidden));
        CHECK(!memcmp(c->m.out, out, n_out * sizeof *out));
    }
    close_clouds(c);
}

/* Classes by chance are learnt by heart, which the loss of the others shows. */
static void test_patience_keeps_the_best_weights(void) {
    clouds *c = open_clouds();
    for (size_t i = 0; i < ROWS; i++) c->classes[i] = nlp_random_real(9, i) < 0.5;
    c->e.n_train = ROWS / 2;
    c->e.held_out = c->rows + ROWS / 2, c->e.n_held_out = ROWS / 2;
    c->m.patience = 3, c->m.epochs = 400;
    train(c);
    CHECK(c->m.n_epochs >= 1 && c->m.n_epochs < 200);
    size_t impatient = count_right(c);
    c->m.patience = 0;
    train(c);
    CHECK(count_right(c) > impatient && c->m.n_epochs == 400);
    close_clouds(c);
}

static void test_l2_keeps_weights_small(void) {
    clouds *c = open_clouds();
    double squares[2] = {0, 0};
    for (size_t i = 0; i < 2; i++) {
        c->m.l2 = i ? 0.1 : 0;
        train(c);
        for (size_t k = 0; k < (size_t)c->m.n_hidden + 1; k++)
            squares[i] += (double)(c->m.out[k] * c->m.out[k]);
    }
    CHECK(squares[1] < squares[0]);
    close_clouds(c);
}

/* There is no direction to learn along, and nothing to divide by. */
static void test_equal_rows_are_no_fault(void) {
    clouds *c = open_clouds();
    for (size_t i = 0; i < ROWS * DIMS; i++) c->vectors[i] = 0.5F;
    c->m.epochs = 3;
    train(c);
    CHECK(c->predicted[0] < 2 && c->m.hidden[0] - c->m.hidden[0] == 0);
    c->e.n_train = 1, c->m.n_hidden = 1;
    train(c);
    CHECK(c->predicted[0] == c->classes[0]);
    close_clouds(c);
}

static bool stop_later(void *context) {
    return ++*(int *)context > 3;
}

static void test_the_host_stops_it(void) {
    clouds *c = open_clouds();
    int n_polls = 0;
    nlp_poll poll;
    nlp_poll_init(&poll, &(nlp_stop){stop_later, &n_polls}, 1000);
    c->m.epochs = 1000000;
    CHECK_STATUS(nlp_mlp_train(&c->m, &poll, &c->err), NLP_ECANCELED, &c->err);
    CHECK(n_polls == 4);
    close_clouds(c);
}

static void test_memory_has_a_limit(void) {
    clouds *c = open_clouds();
    c->mem.budget_bytes = 1 << 16;
    c->m.n_hidden = 4096;
    CHECK_STATUS(nlp_mlp_train(&c->m, NULL, &c->err), NLP_ENOMEM, &c->err);
    close_clouds(c);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"what_no_line_parts_is_learnt", test_what_no_line_parts_is_learnt},
        {"every_level_gives_the_same_weights", test_every_level_gives_the_same_weights},
        {"patience_keeps_the_best_weights", test_patience_keeps_the_best_weights},
        {"l2_keeps_weights_small", test_l2_keeps_weights_small},
        {"equal_rows_are_no_fault", test_equal_rows_are_no_fault},
        {"the_host_stops_it", test_the_host_stops_it},
        {"memory_has_a_limit", test_memory_has_a_limit},
    };
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
