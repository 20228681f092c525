/* gemm.c: from a product over any number of rows to kernel calls of few rows and a run of
 * panels. Rows of a block stay in cache while the panels stream; tile heights are evened out (16
 * rows: 6 + 5 + 5), so no weak tail is left. None of these choices touches a bit. */
#include "tensor/gemm.h"

#include "tensor/quant.h"

static const nlp_epilogue store_only = {.act = NLP_ACT_NONE};

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t nlp_row_bytes(nlp_dtype dtype, size_t k) {
    size_t k64 = (k + NLP_K_MULTIPLE - 1) / NLP_K_MULTIPLE * NLP_K_MULTIPLE;
    switch (dtype) {
    case NLP_I8:
        return k64;
    case NLP_I16:
        return 2 * k64;
    case NLP_Q4:
    case NLP_Q4M:
        return k64 + k64 / NLP_Q4_GROUP * sizeof(nlp_q4_group);
    case NLP_F32:
    case NLP_S8_ROWS:
        break;
    }
    return 0;
}

size_t nlp_row_bytes_most(size_t k) {
    return nlp_row_bytes(NLP_I16, k);
}

void nlp_rows_quantise(const nlp_kernels *kernels, const nlp_weight *w, size_t m, const float *x,
                       const float *row_max, uint8_t *q, float *q_scales) {
    nlp_quantise_args args = {.rows = x,
                              .n_rows = m,
                              .width = w->k,
                              .row_max = row_max,
                              .grid = w->grid,
                              .q = q,
                              .q_scales = q_scales};
    if (w->dtype == NLP_I8)
        kernels->quantise(&args);
    else if (w->dtype == NLP_I16)
        kernels->quantise_i16(&args);
    else
        kernels->quantise_q4(&args);
}

typedef void (*product_fn)(const nlp_product *product);

static product_fn product_of(const nlp_kernels *kernels, nlp_dtype dtype) {
    switch (dtype) {
    case NLP_I8:
        return kernels->product_i8;
    case NLP_I16:
        return kernels->product_i16;
    case NLP_Q4:
        return kernels->product_q4;
    case NLP_Q4M:
        return kernels->product_q4m;
    case NLP_F32:
    case NLP_S8_ROWS:
        break;
    }
    return kernels->product_f32;
}

static bool is_zero(const float *w, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (w[i] != 0) return false;
    return true;
}

void nlp_k_spans(const nlp_weight *w, nlp_k_span *spans) {
    size_t stride = nlp_panel_bytes(NLP_F32, w->k) / sizeof(float);
    const float *panel = w->panels;
    for (size_t i = 0; i * NLP_PANEL < w->n; i++, panel += stride) {
        size_t first = 0, end = w->k;
        while (end > first && is_zero(panel + (end - 1) * NLP_PANEL, NLP_PANEL)) end--;
        while (first < end && is_zero(panel + first * NLP_PANEL, NLP_PANEL)) first++;
        spans[i] = (nlp_k_span){(uint32_t)first, (uint32_t)end};
    }
}

/* What several panels have between them. */
static nlp_k_span join_spans(const nlp_k_span *spans, size_t n) {
    nlp_k_span all = {UINT32_MAX, 0};
    for (size_t i = 0; i < n; i++) {
        if (spans[i].first == spans[i].end) continue;
        if (spans[i].first < all.first) all.first = spans[i].first;
        if (spans[i].end > all.end) all.end = spans[i].end;
    }
    return all;
}

/* The addend of the rows and panels of p, if there is one. The panels in question are a matrix of their
 * own; the adapters of query, key and value are one, with zeros where a part has none. */
static void make_addend(const nlp_kernels *kernels, const nlp_addend *addend, nlp_product *p) {
    const nlp_weight *up = addend->up;
    nlp_k_span span = join_spans(addend->spans + p->first_panel, p->n_panels);
    p->addend = span.end ? addend->tile : NULL;
    if (!span.end) return;
    nlp_product low = {.k = up->k,
                       .first_k = span.first,
                       .end_k = span.end,
                       .n = min_size(p->n_panels * NLP_PANEL, p->n - p->first_panel * NLP_PANEL),
                       .panels = (const uint8_t *)up->panels +
                                 p->first_panel * nlp_panel_bytes(up->dtype, up->k),
                       .n_panels = p->n_panels,
                       .fetch_step = 64,
                       .epilogue = &store_only};
    for (size_t done = 0; done < p->n_rows; done += low.n_rows) {
        low.n_rows = min_size(p->n_rows - done, NLP_TILE_ROWS);
        low.rows = addend->rows + (p->first_row + done) * up->k;
        low.out = addend->tile + done * low.n;
        kernels->product_f32(&low);
    }
    p->addend_stride = low.n;
}

/* One block of rows against one group of panels. */
static void run_group(const nlp_kernels *kernels, nlp_product *p, const nlp_weight *w, size_t first,
                      size_t n_rows, const nlp_rows *rows, float *out) {
    size_t row_bytes = nlp_row_bytes(w->dtype, w->k);
    product_fn product = product_of(kernels, w->dtype);
    size_t most = w->dtype == NLP_I8 ? kernels->i8_rows : NLP_TILE_ROWS;
    size_t n_tiles = (n_rows + most - 1) / most;
    p->fetch_step = 64 / n_tiles;
    for (size_t done = p->tile = 0; p->tile < n_tiles; p->tile++) {
        p->n_rows = (n_rows - done + n_tiles - p->tile - 1) / (n_tiles - p->tile);
        p->first_row = first + done;
        p->out = out + p->first_row * w->n;
        if (row_bytes) {
            p->rows = rows->q + p->first_row * row_bytes;
            p->row_scales = rows->q_scales + p->first_row;
        } else {
            p->rows = rows->f32 + p->first_row * w->k;
        }
        if (p->epilogue->addend) make_addend(kernels, p->epilogue->addend, p);
        product(p);
        done += p->n_rows;
    }
}

/* Rows are cut into blocks of a few for the kernel and into blocks that stay in cache
 * around it; neither changes the order of a sum. */
nlp_status nlp_gemm(const nlp_kernels *kernels, const nlp_weight *w, size_t m, const nlp_rows *rows,
                    const nlp_epilogue *epilogue, float *out, nlp_poll *poll, nlp_error *err) {
    nlp_product p = {.k = w->k,
                     .end_k = w->k,
                     .n = w->n,
                     .panels = w->panels,
                     .grid = w->grid,
                     .epilogue = epilogue ? epilogue : &store_only};
    size_t n_panels = (w->n + NLP_PANEL - 1) / NLP_PANEL;
    size_t most = w->dtype == NLP_I8 ? kernels->i8_panels : NLP_GROUP_PANELS;
    if (p.epilogue->addend) most = min_size(most, NLP_ADDEND_PANELS);
    for (size_t first = 0; first < m; first += NLP_BLOCK_ROWS) {
        size_t n_rows = min_size(m - first, NLP_BLOCK_ROWS);
        for (size_t panel = 0; panel < n_panels; panel += most) {
            p.first_panel = panel;
            p.n_panels = min_size(n_panels - panel, most);
            run_group(kernels, &p, w, first, n_rows, rows, out);
            NLP_TRY(nlp_poll_work(poll, (uint64_t)n_rows * w->k * p.n_panels * NLP_PANEL, err));
        }
    }
    return NLP_OK;
}
