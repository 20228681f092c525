/* entities.c: names in a text, by a head that labels every token. The rules of grouping are those of
 * the reference's pipeline (transformers, token_classification.py): "simple" joins neighbours of one
 * label unless the next begins with B-, the others label whole words first. A long text goes
 * through the model in overlapping windows, and each token is read in the window where it stands
 * farthest from an edge: so no entity is lost or found twice. */
#include <string.h>

#include "base/utf8.h"
#include "task/task.h"

static const nlp_column one_text[] = {{"text", NLP_TYPE_TEXT}};
static const nlp_column entity_columns[] = {{"entity", NLP_TYPE_TEXT},
                                            {"label", NLP_TYPE_TEXT},
                                            {"score", NLP_TYPE_REAL},
                                            {"start_pos", NLP_TYPE_INTEGER},
                                            {"end_pos", NLP_TYPE_INTEGER}};
static const nlp_option_spec entity_options[] = {
    {"aggregation", NLP_TYPE_TEXT, "simple|first|average|max|none", 0, 0, NULL,
     "how tokens become entities; none: a row a token; default: as the model was trained, or simple"},
    {"threshold", NLP_TYPE_REAL, NULL, 0, 1, NULL, "entities below this score are left out"},
    NLP_OPTION_WINDOWS,
    NLP_OPTION_ON_ERROR,
    NLP_OPTION_MAX_TOKENS};

/* ---- Labels ---- */

enum {
    CONTINUES = 0,
    BEGINS = 1,
    ENDS = 2
}; /* bits: B- begins, E- and L- end, S- and U- do both */

typedef struct tag {
    nlp_text name;  /* without its prefix: what must be equal to go on */
    nlp_text shown; /* behind the first '-' */
    uint32_t kind;
} tag;

static bool is_outside(nlp_text name) {
    return name.n_bytes == 1 && *name.bytes == 'O';
}

static bool has_prefix(nlp_text label, const char *letters) {
    return label.n_bytes > 2 && label.bytes[1] == '-' && strchr(letters, label.bytes[0]);
}

/* BIOES and BILOU are taken for what they are only where every label is of that form and some begin
 * with B-: a label may be called "S-Bahn". */
static bool has_ends(const nlp_text *labels, uint32_t n) {
    bool begins = false, ends = false;
    for (uint32_t i = 0; i < n; i++) {
        if (is_outside(labels[i])) continue;
        if (!has_prefix(labels[i], "BIESLU")) return false;
        begins = begins || labels[i].bytes[0] == 'B';
        ends = ends || has_prefix(labels[i], "ESLU");
    }
    return begins && ends;
}

static tag tag_of(nlp_text label, bool ends) {
    tag t = {.name = label, .shown = label};
    const char *dash = memchr(label.bytes, '-', label.n_bytes);
    if (dash) {
        size_t n = (size_t)(dash + 1 - label.bytes);
        t.shown = (nlp_text){label.bytes + n, label.n_bytes - n};
    }
    if (!has_prefix(label, ends ? "BIESLU" : "BI")) return t;
    t.name = (nlp_text){label.bytes + 2, label.n_bytes - 2};
    if (strchr("BSU", label.bytes[0])) t.kind |= BEGINS;
    if (strchr("ESLU", label.bytes[0])) t.kind |= ENDS;
    return t;
}

/* ---- Windows ---- */

typedef struct tagged { /* one text */
    nlp_encoding e;
    size_t n_before, n_special; /* special tokens in front of the text, and in all */
    float *scores;              /* [e.n][n_labels] */
} tagged;

typedef struct tagging {
    const nlp_text *texts;
    tagged *tagged; /* [n_texts]; scores NULL: the text failed */
    nlp_windows windows;
    tag *tags; /* [n_labels] */
} tagging;

/* Tokens first .. end - 1 of the body, read in the window of `room` of them that begins at `from`. */
static nlp_status push_part(nlp_task_call *call, tagging *t, size_t text, size_t from, size_t room,
                            size_t first, size_t end, nlp_error *err) {
    const tagged *one = &t->tagged[text];
    const nlp_encoding *e = &one->e;
    size_t n_before = one->n_before, n_behind = one->n_special - n_before,
           n = room + one->n_special;
    int32_t *ids = NLP_PUSH(call->scratch, int32_t, n);
    uint32_t *places = NLP_PUSH(call->scratch, uint32_t, end - first);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    memcpy(ids, e->ids, n_before * sizeof *ids);
    memcpy(ids + n_before, e->ids + n_before + from, room * sizeof *ids);
    memcpy(ids + n_before + room, e->ids + e->n - n_behind, n_behind * sizeof *ids);
    for (size_t i = first; i < end; i++) places[i - first] = (uint32_t)(n_before + i - from);
    nlp_window window = {.text = text,
                         .ids = ids,
                         .n_tokens = (uint32_t)n,
                         .places = places,
                         .n_places = (uint32_t)(end - first),
                         .out =
                             one->scores + (n_before + first) * call->model->head->spec.n_labels};
    return nlp_windows_push(call, &t->windows, window, err);
}

/* Windows overlap by a quarter, the last one ends with the text; two share what both see at the
 * middle. */
static nlp_status push_parts(nlp_task_call *call, tagging *t, size_t text, nlp_error *err) {
    size_t n_special = t->tagged[text].n_special, body = t->tagged[text].e.n - n_special,
           limit = nlp_task_token_limit(call), first = 0;
    if (limit <= n_special)
        return nlp_fail(err, NLP_EINVAL, "max_tokens is %zu, special tokens alone are %zu", limit,
                        n_special);
    size_t room = limit - n_special < body ? limit - n_special : body;
    size_t step = room - room / 4;
    for (size_t from = 0, next; first < body; from = next) {
        next = from + step < body - room ? from + step : body - room;
        size_t end = from == body - room ? body : (next + from + room) / 2;
        NLP_TRY(push_part(call, t, text, from, room, first, end, err));
        first = end;
    }
    return NLP_OK;
}

static nlp_status tokenize(nlp_task_call *call, void *job, size_t i, nlp_output *output,
                           nlp_error *err) {
    tagging *t = job;
    tagged one = {0};
    NLP_TRY(nlp_task_tokens_of(call, &t->texts[i], NULL, nlp_task_whole_limit(call), &one.e, output,
                               err));
    one.scores = nlp_arena_push_zero(call->scratch, one.e.n,
                                     call->model->head->spec.n_labels * sizeof(float));
    NLP_TRY(nlp_arena_status(call->scratch, err));
    while (one.n_before < one.e.n && one.e.sequence[one.n_before] < 0) one.n_before++;
    for (size_t k = 0; k < one.e.n; k++) one.n_special += one.e.sequence[k] < 0;
    t->tagged[i] = one;
    nlp_status status = one.n_special < one.e.n ? push_parts(call, t, i, err) : NLP_OK;
    if (status != NLP_OK) t->tagged[i].scores = NULL;
    return status;
}

static nlp_status read_labels(const nlp_task_call *call, const nlp_window *window,
                              const float *hidden, float *scratch, nlp_error *err) {
    uint32_t n = call->model->head->spec.n_labels;
    NLP_TRY(nlp_task_read_places(call, window, hidden, scratch, err));
    for (uint32_t i = 0; i < window->n_places; i++)
        nlp_head_scores(call->model->head, call->kernels, window->out + (size_t)i * n);
    return NLP_OK;
}

/* ---- Words ---- */

typedef struct entity { /* a token, a word or a group of them; bytes of the text */
    uint32_t label, start, end;
    float score;
    double sum; /* of the n scores of a group */
    uint32_t n;
} entity;

/* By the vocabulary where it marks continued words: a piece longer than its stretch of text has the
 * mark. Else by a blank at either side of the piece's start. */
static bool is_continued(const nlp_task_call *call, const nlp_text *text, const nlp_encoding *e,
                         size_t i, const nlp_tokenizer_info *info) {
    if (e->ids[i] == info->unknown_id) return false;
    nlp_text piece = nlp_tokenizer_piece(call->model->tokenizer, e->ids[i]);
    size_t start = e->start[i];
    if (!strcmp(info->model, "wordpiece"))
        return nlp_utf8_length(piece.bytes, piece.n_bytes) !=
               nlp_utf8_length(text->bytes + start, e->end[i] - start);
    return start > 0 && text->bytes[start - 1] != ' ' &&
           (start >= text->n_bytes || text->bytes[start] != ' ');
}

static uint32_t best_of(const float *scores, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (scores[i] > scores[best]) best = i;
    return best;
}

static nlp_aggregation aggregation_of(const nlp_task_call *call) {
    nlp_aggregation asked = call->options->aggregation,
                    own = (nlp_aggregation)call->model->head->spec.aggregation;
    if (asked != NLP_AGGREGATE_BY_MODEL) return asked;
    return own != NLP_AGGREGATE_BY_MODEL ? own : NLP_AGGREGATE_SIMPLE;
}

/* The label of the word of tokens first .. end - 1. Writes to mean [n_labels]. */
static entity read_word(const nlp_task_call *call, const tagged *t, size_t first, size_t end,
                        float *mean) {
    uint32_t n = call->model->head->spec.n_labels;
    const float *row = t->scores + first * n;
    if (aggregation_of(call) == NLP_AGGREGATE_AVERAGE && end > first + 1) {
        memset(mean, 0, n * sizeof *mean);
        for (size_t i = first; i < end; i++) call->kernels->add(mean, t->scores + i * n, n);
        call->kernels->scale(mean, n, 1.0f / (float)(end - first));
        row = mean;
    }
    if (aggregation_of(call) == NLP_AGGREGATE_MAX)
        for (size_t i = first + 1; i < end; i++) {
            const float *other = t->scores + i * n;
            if (other[best_of(other, n)] > row[best_of(row, n)]) row = other;
        }
    uint32_t label = best_of(row, n);
    return (entity){.label = label,
                    .start = t->e.start[first],
                    .end = t->e.end[end - 1],
                    .score = row[label],
                    .n = 1,
                    .sum = (double)row[label]};
}

/* Words (or, where tokens stand for themselves, tokens) of one text; words [e.n], mean [n_labels]. */
static nlp_status read_words(const nlp_task_call *call, const nlp_text *text, const tagged *t,
                             entity *words, size_t *n, float *mean, nlp_error *err) {
    bool whole_words =
        aggregation_of(call) != NLP_AGGREGATE_SIMPLE && aggregation_of(call) != NLP_AGGREGATE_NONE;
    uint64_t work = (uint64_t)call->model->head->spec.n_labels << 4;
    nlp_tokenizer_info info;
    nlp_tokenizer_get_info(call->model->tokenizer, &info);
    *n = 0;
    for (size_t i = 0, end; i < t->e.n; i = end) {
        end = i + 1;
        if (t->e.sequence[i] < 0) continue;
        while (whole_words && end < t->e.n && t->e.sequence[end] >= 0 &&
               is_continued(call, text, &t->e, end, &info))
            end++;
        words[(*n)++] = read_word(call, t, i, end, mean);
        NLP_TRY(nlp_poll_work(call->poll, work * (end - i), err));
    }
    return NLP_OK;
}

/* ---- Entities ---- */

/* Joins neighbours in place. */
static size_t join_words(const tag *tags, entity *words, size_t n) {
    size_t n_groups = 0;
    uint32_t last = 0; /* label of the last word */
    for (size_t i = 0; i < n; i++) {
        const tag *a = &tags[last], *b = &tags[words[i].label];
        bool joins = n_groups && nlp_text_equal(a->name, b->name) && !(b->kind & BEGINS) &&
                     !(a->kind & ENDS);
        last = words[i].label;
        if (!joins) {
            words[n_groups++] = words[i];
            continue;
        }
        entity *group = &words[n_groups - 1];
        group->end = words[i].end;
        group->sum += (double)words[i].score;
        group->n++;
    }
    for (size_t i = 0; i < n_groups; i++)
        words[i].score = (float)(words[i].sum / (double)words[i].n);
    return n_groups;
}

/* What is outside goes, after it has parted its neighbours. */
static size_t keep_entities(const nlp_task_call *call, const tag *tags, entity *words, size_t n) {
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        const tag *t = &tags[words[i].label];
        if (is_outside(t->shown) || (double)words[i].score < call->options->threshold) continue;
        words[n_kept++] = words[i];
    }
    return n_kept;
}

static nlp_status put_entities(nlp_task_call *call, const tagging *t, const nlp_text *text,
                               const entity *entities, size_t n, nlp_output *output,
                               nlp_error *err) {
    bool single = aggregation_of(call) == NLP_AGGREGATE_NONE;
    nlp_ruler ruler = {.text = *text};
    nlp_value *cells = nlp_task_row(call, output, (uint32_t)n, 5);
    NLP_TRY(nlp_arena_status(call->arena, err));
    for (size_t i = 0; i < n; i++, cells += 5) {
        const entity *e = &entities[i];
        cells[0] = nlp_value_text((nlp_text){text->bytes + e->start, e->end - e->start});
        cells[1] = nlp_value_text(single ? call->model->labels[e->label] : t->tags[e->label].shown);
        cells[2] = nlp_value_real((double)e->score);
        cells[3] = nlp_value_integer(nlp_characters_before(&ruler, e->start) + 1);
        cells[4] = nlp_value_integer(nlp_characters_before(&ruler, e->end));
    }
    return NLP_OK;
}

static nlp_status find_entities(nlp_task_call *call, const tagging *t, size_t i, nlp_output *output,
                                nlp_error *err) {
    const tagged *one = &t->tagged[i];
    uint32_t n_labels = call->model->head->spec.n_labels;
    if (!one->scores) return NLP_OK;
    NLP_TRY(nlp_task_check_finite(call, one->scores, one->e.n * n_labels, err));
    entity *words = NLP_PUSH(call->scratch, entity, one->e.n);
    float *mean = NLP_PUSH(call->scratch, float, n_labels);
    NLP_TRY(nlp_arena_status(call->scratch, err));
    size_t n;
    NLP_TRY(read_words(call, &t->texts[i], one, words, &n, mean, err));
    if (aggregation_of(call) != NLP_AGGREGATE_NONE) n = join_words(t->tags, words, n);
    n = keep_entities(call, t->tags, words, n);
    return put_entities(call, t, &t->texts[i], words, n, output, err);
}

static nlp_status run_entities(nlp_task_call *call, const nlp_request *request, nlp_output *outputs,
                               nlp_error *err) {
    NLP_TRY(nlp_task_check_head(call, NLP_HEAD_TOKENS, "model for entities", err));
    uint32_t n_labels = call->model->head->spec.n_labels;
    tagging t = {.texts = request->texts,
                 .tagged = NLP_PUSH_ZERO(call->scratch, tagged, request->n_inputs),
                 .tags = NLP_PUSH(call->scratch, tag, n_labels)};
    NLP_TRY(nlp_arena_status(call->scratch, err));
    bool ends = has_ends(call->model->labels, n_labels);
    for (uint32_t i = 0; i < n_labels; i++) t.tags[i] = tag_of(call->model->labels[i], ends);
    NLP_TRY(nlp_task_each(call, request->n_inputs, tokenize, &t, outputs, err));
    NLP_TRY(nlp_task_run(call, &t.windows, read_labels, err));
    for (size_t i = 0; i < request->n_inputs; i++)
        NLP_TRY(find_entities(call, &t, i, &outputs[i], err));
    return NLP_OK;
}

static const nlp_task_spec entities_spec = {.struct_size = sizeof entities_spec,
                                            .name = "entities",
                                            .help = "names in a text, with their places",
                                            .operands = one_text,
                                            .n_operands = 1,
                                            .columns = entity_columns,
                                            .n_columns = 5,
                                            .returns_rows = true,
                                            .model_setting = "entities_model",
                                            .default_model = "ner",
                                            .options = entity_options,
                                            .n_options =
                                                sizeof entity_options / sizeof *entity_options};

const nlp_task_vtable nlp_task_entities = {.struct_size = sizeof(nlp_task_vtable),
                                           .spec = &entities_spec,
                                           .run_batch = run_entities,
                                           .models = NLP_MODEL_TAGS};
