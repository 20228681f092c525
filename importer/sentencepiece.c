/* sentencepiece.c: the fields of sentencepiece_model.proto that matter, read by wire type with every
 * length checked; unknown fields are skipped. */
#include "sentencepiece.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "spm_model.h"

#define FILE_NAME "the SentencePiece model"

/* ---- Wire format ---- */

static uint64_t read_varint(nlp_cursor *c) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        uint8_t byte = nlp_read_u8(c);
        if (shift < 64) value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) return value;
    }
    c->failed = true;
    return 0;
}

typedef struct field {
    uint64_t number, value;
    nlp_cursor inside; /* of a length-delimited field */
} field;

/* false at the end, or where the bytes are no message. */
static bool next_field(nlp_cursor *c, field *f) {
    if (!c->n_left || c->failed) return false;
    uint64_t key = read_varint(c);
    f->number = key >> 3;
    f->inside = nlp_cursor_of("", 0);
    switch (key & 7) {
    case 0:
        f->value = read_varint(c);
        break;
    case 1:
        f->value = nlp_read_u64(c);
        break;
    case 2: {
        uint64_t n = read_varint(c);
        const void *bytes = n <= c->n_left ? nlp_read_bytes(c, (size_t)n) : NULL;
        if (!bytes) {
            c->failed = true;
            return false;
        }
        f->inside = nlp_cursor_of(bytes, (size_t)n);
        break;
    }
    case 5:
        f->value = nlp_read_u32(c);
        break;
    default:
        c->failed = true;
    }
    return !c->failed;
}

static float as_float(uint64_t value) {
    uint32_t bits = (uint32_t)value;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* ---- Messages ---- */

static nlp_status read_piece(spm_model *s, nlp_cursor c) {
    field f = {0};
    if (s->n == s->capacity)
        return nlp_fail(s->c->err, NLP_ELIMIT, FILE_NAME " has over %u pieces", s->capacity);
    piece *p = &s->pieces[s->n];
    *p = (piece){"", 0};
    s->kinds[s->n] = SPM_NORMAL;
    while (next_field(&c, &f)) {
        if (f.number == 1) *p = (piece){(const char *)f.inside.at, f.inside.n_left};
        if (f.number == 2) s->scores[s->n] = as_float(f.value);
        if (f.number == 3) s->kinds[s->n] = (uint8_t)f.value;
    }
    if (!isfinite(s->scores[s->n]) || c.failed)
        return nlp_fail(s->c->err, NLP_ECORRUPT, FILE_NAME ": piece %u is damaged", s->n);
    s->n++;
    return NLP_OK;
}

static void read_trainer(spm_model *s, nlp_cursor c) {
    field f = {0};
    while (next_field(&c, &f)) switch (f.number) {
        case 3:
            s->model = (uint32_t)f.value;
            break;
        case 24:
            s->suffix = f.value != 0;
            break;
        case 35:
            s->byte_fallback = f.value != 0;
            break;
        case 40:
            s->unknown = (uint32_t)f.value;
            break;
        default:
            break;
        }
}

static void read_normalizer(spm_model *s, nlp_cursor c) {
    field f = {0};
    while (next_field(&c, &f)) switch (f.number) {
        case 2:
            s->charsmap = (piece){(const char *)f.inside.at, f.inside.n_left};
            break;
        case 3:
            s->dummy_prefix = f.value != 0;
            break;
        case 4:
            s->remove_extra = f.value != 0;
            break;
        case 5:
            s->escape = f.value != 0;
            break;
        default:
            break;
        }
}

static uint32_t count_pieces(nlp_cursor c) {
    field f = {0};
    uint32_t n = 0;
    while (next_field(&c, &f)) n += f.number == 1 && n < NLP_TOKENIZER_MAX_PIECES;
    return n;
}

static nlp_status read_model(spm_model *s, const uint8_t *bytes, size_t n_bytes) {
    nlp_cursor c = nlp_cursor_of(bytes, n_bytes);
    field f = {0};
    NLP_TRY(spm_start(s, count_pieces(c)));
    while (next_field(&c, &f)) {
        if (f.number == 1) NLP_TRY(read_piece(s, f.inside));
        if (f.number == 2) read_trainer(s, f.inside);
        if (f.number == 3) read_normalizer(s, f.inside);
    }
    if (c.failed || !s->n || s->unknown >= s->n)
        return nlp_fail(s->c->err, NLP_ECORRUPT, FILE_NAME " is damaged or has no pieces");
    if (s->model != SPM_UNIGRAM && s->model != SPM_BPE)
        return nlp_fail(s->c->err, NLP_EUNSUPPORTED,
                        FILE_NAME " is of kind %u; unigram (1) and BPE (2) are known", s->model);
    return NLP_OK;
}

/* ---- Ids ---- */

/* Pieces by their own numbers, moved by `shift` from `first` on. */
static nlp_status own_ids(spm_model *s, uint32_t n_ids, uint32_t first, uint32_t shift) {
    NLP_TRY(compiler_start_pieces(s->c, n_ids));
    for (uint32_t i = first; i < s->n; i++)
        NLP_TRY(compiler_set_piece(s->c, i + shift, s->pieces[i].text, s->pieces[i].n_bytes));
    return NLP_OK;
}

/* Languages of M2M100 in the order of their ids, behind the vocabulary (facts of fairseq's lists). */
static const char *language_list(const char *name) {
    if (!strcmp(name, "wmt21")) return "en ha is ja cs ru zh de";
    if (strcmp(name, "m2m100") != 0) return NULL;
    return "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl "
           "gu ha he hi hr ht hu hy id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml "
           "mn mr ms my ne nl no ns oc or pa pl ps pt ro ru sd si sk sl so sq sr ss su sv sw ta th tl "
           "tn tr uk ur uz vi wo xh yi yo zh zu";
}

/* "en" at `at`, as "__en__". */
static const char *language_token(compiler *c, const char *at, size_t n) {
    return nlp_arena_format(c->arena, "__%.*s__", (int)n, at);
}

static size_t count_words(const char *list) {
    size_t n = *list != 0;
    for (; *list; list++) n += *list == ' ';
    return n;
}

static nlp_status add_languages(compiler *c, const char *list, size_t id) {
    for (const char *at = list; *at; id++) {
        size_t n = strcspn(at, " ");
        const char *text = language_token(c, at, n);
        NLP_TRY(nlp_arena_status(c->arena, c->err));
        NLP_TRY(compiler_set_piece(c, (int64_t)id, text, strlen(text)));
        NLP_TRY(compiler_add_token(c, (uint32_t)id, text, strlen(text), NLP_ADDED_SPECIAL));
        at += n + (at[n] == ' ');
    }
    return NLP_OK;
}

static nlp_status vocabulary_ids(spm_model *s, const nlp_spm_files *files, json_t **vocabulary) {
    compiler *c = s->c;
    const char *text, *list = files->languages ? language_list(files->languages) : "";
    size_t n_bytes;
    json_t *id;
    if (!list)
        return nlp_fail(c->err, NLP_EUNSUPPORTED,
                        "tokenizer_config.json: \"language_codes\" \"%.32s\" is not known",
                        files->languages);
    NLP_TRY(nlp_json_parse(files->vocabulary, files->vocabulary_bytes, NLP_JSON_TOKENIZER_BYTES,
                           "vocab.json", vocabulary, c->err));
    size_t n = json_object_size(*vocabulary);
    NLP_TRY(compiler_start_pieces(c, n + count_words(list)));
    json_object_keylen_foreach(*vocabulary, text, n_bytes, id) NLP_TRY(
        compiler_set_piece(c, json_is_integer(id) ? json_integer_value(id) : -1, text, n_bytes));
    return add_languages(c, list, n);
}

/* Where the ids come from another file: the id of each of the model's pieces. */
static nlp_status map_ids(spm_model *s) {
    piece_index index;
    NLP_TRY(compiler_index(s->c, &index));
    s->c->map = NLP_PUSH(s->c->arena, uint32_t, s->n);
    NLP_TRY(nlp_arena_status(s->c->arena, s->c->err));
    for (uint32_t i = 0; i < s->n; i++)
        s->c->map[i] = compiler_lookup(s->c, &index, s->pieces[i].text, s->pieces[i].n_bytes);
    return NLP_OK;
}

/* Merges work on ids: a piece that the vocabulary does not have gets one behind it. */
static nlp_status add_missing(spm_model *s) {
    compiler *c = s->c;
    uint32_t n_vocabulary = c->header.n_pieces, n_missing = 0;
    NLP_TRY(map_ids(s));
    for (uint32_t i = 0; i < s->n; i++) n_missing += c->map[i] == NLP_NO_ID;
    const piece *vocabulary = c->pieces;
    NLP_TRY(compiler_start_pieces(c, (size_t)n_vocabulary + n_missing));
    memcpy(c->pieces, vocabulary, n_vocabulary * sizeof *vocabulary);
    c->sides = NLP_PUSH(c->arena, uint8_t, c->header.n_pieces);
    NLP_TRY(nlp_arena_status(c->arena, c->err));
    memset(c->sides, NLP_SIDE_VOCABULARY, n_vocabulary);
    for (uint32_t i = 0, id = n_vocabulary; i < s->n; i++) {
        bool missing = c->map[i] == NLP_NO_ID;
        c->sides[missing ? id : c->map[i]] = missing ? NLP_SIDE_CUTTER : NLP_SIDE_BOTH;
        if (missing) NLP_TRY(compiler_set_piece(c, id++, s->pieces[i].text, s->pieces[i].n_bytes));
    }
    c->map = NULL;
    return NLP_OK;
}

/* ---- Recipes ---- */

/* A template of special tokens by their texts; "A" and "B" are the texts. */
static nlp_status fill_template(compiler *c, const char *const *names, nlp_template_item *items,
                                uint32_t *n) {
    for (; *names; names++) {
        nlp_template_item item = {NLP_ITEM_SPECIAL, 0, 0};
        if (!strcmp(*names, "A") || !strcmp(*names, "B"))
            item.kind = **names == 'A' ? NLP_ITEM_FIRST : NLP_ITEM_SECOND;
        else if ((item.id = compiler_find(c, *names)) == NLP_NO_ID)
            return nlp_fail(c->err, NLP_EINVAL, "the vocabulary has no %s", *names);
        NLP_TRY(compiler_add_item(c, items, n, item));
    }
    return NLP_OK;
}

static nlp_status fill_templates(compiler *c, nlp_spm_recipe recipe, const char *language) {
    static const char *const
        plain[] = {"A", NULL},
        *const two[] = {"A", "B", NULL}, *const end[] = {"A", "</s>", NULL},
        *const two_ends[] = {"A", "</s>", "B", "</s>", NULL},
        *const pair_end[] = {"A", "B", "</s>", NULL}, *const roberta[] = {"<s>", "A", "</s>", NULL},
        *const roberta_pair[] = {"<s>", "A", "</s>", "</s>", "B", "</s>", NULL},
        *const start[] = {"<s>", "A", NULL}, *const starts[] = {"<s>", "A", "<s>", "B", NULL};
    const char *const spoken[] = {language ? language : "", "A", "</s>", NULL},
                      *const spoken_pair[] = {language ? language : "", "A", "B", "</s>", NULL};
    const char *const *const single[] = {
        [NLP_SPM_PLAIN] = plain, [NLP_SPM_END] = end,
        [NLP_SPM_MARIAN] = end,  [NLP_SPM_M2M100] = language ? spoken : end,
        [NLP_SPM_T5] = end,      [NLP_SPM_XLMR] = roberta,
        [NLP_SPM_LLAMA] = start};
    const char *const *const pair[] = {
        [NLP_SPM_PLAIN] = two,       [NLP_SPM_END] = pair_end,
        [NLP_SPM_MARIAN] = pair_end, [NLP_SPM_M2M100] = language ? spoken_pair : pair_end,
        [NLP_SPM_T5] = two_ends,     [NLP_SPM_XLMR] = roberta_pair,
        [NLP_SPM_LLAMA] = starts};
    NLP_TRY(fill_template(c, single[recipe], c->single, &c->header.n_single));
    return fill_template(c, pair[recipe], c->pair, &c->header.n_pair);
}

static nlp_status t5_ids(spm_model *s) {
    enum { EXTRA = 100 };
    NLP_TRY(own_ids(s, s->n + EXTRA, 0, 0));
    for (uint32_t i = 0; i < EXTRA; i++) {
        char *text = nlp_arena_format(s->c->arena, "<extra_id_%u>", EXTRA - 1 - i);
        NLP_TRY(nlp_arena_status(s->c->arena, s->c->err));
        NLP_TRY(compiler_set_piece(s->c, s->n + i, text, strlen(text)));
        NLP_TRY(compiler_add_token(s->c, s->n + i, text, strlen(text), NLP_ADDED_SPECIAL));
    }
    return NLP_OK;
}

/* <s> <pad> </s> <unk>, the pieces behind the file's own three, <mask>. */
static nlp_status xlmr_ids(spm_model *s) {
    static const char *const first[] = {"<s>", "<pad>", "</s>", "<unk>"};
    NLP_TRY(own_ids(s, s->n + 2, 3, 1));
    for (uint32_t i = 0; i < 4; i++)
        NLP_TRY(compiler_set_piece(s->c, i, first[i], strlen(first[i])));
    NLP_TRY(compiler_set_piece(s->c, s->n + 1, "<mask>", 6));
    return compiler_add_token(s->c, s->n + 1, "<mask>", 6, NLP_ADDED_SPECIAL | NLP_ADDED_LSTRIP);
}

static nlp_status give_ids(spm_model *s, const nlp_spm_files *files, nlp_spm_recipe recipe,
                           json_t **vocabulary) {
    if (recipe == NLP_SPM_T5) return t5_ids(s);
    if (recipe == NLP_SPM_XLMR) return xlmr_ids(s);
    if (files->vocabulary) return vocabulary_ids(s, files, vocabulary);
    return spm_own_ids(s);
}

static nlp_status compile(spm_model *s, const nlp_spm_files *files, nlp_spm_recipe recipe,
                          json_t **vocabulary, nlp_buf *blob) {
    static const char *const specials[] = {"<s>", "</s>", "<unk>", "<pad>"};
    compiler *c = s->c;
    NLP_TRY(read_model(s, files->model, files->model_bytes));
    NLP_TRY(give_ids(s, files, recipe, vocabulary));
    bool mapped = files->vocabulary || recipe == NLP_SPM_XLMR;
    if (mapped) NLP_TRY(s->model == SPM_UNIGRAM ? map_ids(s) : add_missing(s));
    if (files->vocabulary) c->extension.flags |= NLP_TOKENIZER_BY_TEXT;
    NLP_TRY(spm_fill(s));
    c->header.unknown_id = mapped ? compiler_find(c, "<unk>") : s->unknown;
    bool no_start = recipe == NLP_SPM_MARIAN || recipe == NLP_SPM_T5; /* there "<s>" is text */
    for (size_t i = no_start; recipe > NLP_SPM_END && i < sizeof specials / sizeof *specials; i++)
        NLP_TRY(compiler_add_special(c, specials[i]));
    c->extension.language_code = recipe == NLP_SPM_MARIAN;
    const char *language =
        files->language ? language_token(c, files->language, strlen(files->language)) : NULL;
    NLP_TRY(fill_templates(c, recipe, language));
    return compiler_write(c, blob);
}

nlp_status nlp_sentencepiece_compile(const nlp_spm_files *files, nlp_spm_recipe recipe,
                                     nlp_buf *blob, nlp_error *err) {
    nlp_arena arena;
    json_t *vocabulary = NULL;
    compiler *c = compiler_start(&arena, blob->mem, FILE_NAME, err);
    nlp_status status = c ? compile(&(spm_model){.c = c}, files, recipe, &vocabulary, blob)
                          : nlp_arena_status(&arena, err);
    nlp_arena_deinit(&arena);
    json_decref(vocabulary);
    return status;
}
