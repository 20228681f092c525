/* The short ways of core/text: each must give what the long way gives, on random texts. Tokenizers are
 * made here, of random pieces; where the whole sets are at hand, those of published families too. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "hf_tokenizer.h"
#include "models.h"
#include "random.h"
#include "test.h"
#include "text/tokenizer_parts.h"

static nlp_mem mem;

enum { N_TEXTS = 400, MOST_TEXT = 2048 };

/* ---- Random tokenizers ---- */

static const char bert_head[] =
    "{\"version\":\"1.0\",\"added_tokens\":[],\"truncation\":null,\"padding\":null,"
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"
    "\"strip_accents\":null,\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
    "\"post_processor\":null,\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"max_input_chars_per_word\":20,"
    "\"continuing_subword_prefix\":\"##\"}}";
static const char bpe_head[] =
    "{\"version\":\"1.0\",\"added_tokens\":[],\"truncation\":null,\"padding\":null,"
    "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["
    "{\"type\":\"Digits\",\"individual_digits\":true},{\"type\":\"ByteLevel\","
    "\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true}]},"
    "\"post_processor\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,"
    "\"use_regex\":true},\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,"
    "\"trim_offsets\":true,\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"dropout\":null,"
    "\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
    "\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false}}";
static const char unigram_head[] =
    "{\"version\":\"1.0\",\"added_tokens\":[],\"truncation\":null,\"padding\":null,"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Strip\",\"strip_left\":true,"
    "\"strip_right\":true},{\"type\":\"Replace\",\"pattern\":{\"String\":\"`\"},\"content\":\"'\"},"
    "{\"type\":\"NFKD\"},{\"type\":\"StripAccents\"},{\"type\":\"Lowercase\"},{\"type\":\"Replace\","
    "\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\" \"}]},\"pre_tokenizer\":{\"type\":"
    "\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"always\",\"split\":true},"
    "\"post_processor\":null,\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\","
    "\"prepend_scheme\":\"always\",\"split\":true},\"model\":{\"type\":\"Unigram\",\"unk_id\":0,"
    "\"byte_fallback\":false}}";

static size_t random_letters(nlp_random *random, char *out, size_t most) {
    size_t n = 1 + random_u32(random) % most;
    for (size_t i = 0; i < n; i++) out[i] = "etaoins"[random_u32(random) % 7];
    out[n] = 0;
    return n;
}

static void add_piece(json_t *vocabulary, const char *piece) {
    if (!json_object_get(vocabulary, piece))
        json_object_set_new(vocabulary, piece,
                            json_integer((json_int_t)json_object_size(vocabulary)));
}

static void add_wordpieces(json_t *model, nlp_random *random) {
    json_t *vocabulary = json_object();
    add_piece(vocabulary, "[UNK]");
    for (int i = 0; i < 300; i++) {
        char piece[16] = "##";
        random_letters(random, piece + 2, i < 60 ? 1 : 4);
        add_piece(vocabulary, piece + 2);
        random_letters(random, piece + 2, i < 60 ? 1 : 4);
        add_piece(vocabulary, piece);
    }
    add_piece(vocabulary, ",");
    json_object_set_new(model, "vocab", vocabulary);
}

/* Letters of bytes, then what random pairs of pieces make. */
static void add_merges(json_t *model, nlp_random *random) {
    json_t *vocabulary = json_object(), *merges = json_array();
    char pieces[400][64] = {{0}};
    size_t n = 0;
    for (int byte = 0; byte < 256; byte++) {
        char letter[8] = {0};
        nlp_utf8_encode(nlp_byte_letter((uint8_t)byte), letter);
        add_piece(vocabulary, letter);
        if (byte == ' ' || (byte < 128 && strchr("etaoins", byte))) strcpy(pieces[n++], letter);
    }
    while (n < 200) {
        const char *left = pieces[random_u32(random) % n], *right = pieces[random_u32(random) % n];
        char joined[64];
        if (strlen(left) + strlen(right) > 12 || strstr(right, "\xC4\xA0")) continue;
        snprintf(joined, sizeof joined, "%s%s", left, right);
        if (json_object_get(vocabulary, joined)) continue;
        add_piece(vocabulary, joined);
        json_array_append_new(merges, json_pack("[s, s]", left, right));
        strcpy(pieces[n++], joined);
    }
    json_object_set_new(model, "vocab", vocabulary);
    json_object_set_new(model, "merges", merges);
}

static void add_scores(json_t *model, nlp_random *random) {
    json_t *pieces = json_array(), *seen = json_object();
    json_array_append_new(pieces, json_pack("[s, f]", "<unk>", 0.0));
    json_array_append_new(pieces, json_pack("[s, f]", "\xE2\x96\x81", -3.0));
    for (int i = 0; i < 400; i++) {
        char piece[16] = "\xE2\x96\x81";
        size_t at = i & 1 ? 0 : 3;
        random_letters(random, piece + at, i < 100 ? 1 : 5);
        if (json_object_get(seen, piece)) continue;
        add_piece(seen, piece);
        json_array_append_new(pieces,
                              json_pack("[s, f]", piece, -4.0 - random_float(random, 3.0f)));
    }
    json_decref(seen);
    json_object_set_new(model, "vocab", pieces);
}

typedef void (*fill_fn)(json_t *model, nlp_random *random);

typedef struct made { /* a tokenizer and what it stands on */
    nlp_buf blob;
    nlp_tokenizer *tokenizer;
} made;

static void open_blob(made *m, nlp_status compiled, const nlp_error *err) {
    nlp_error own;
    CHECK_STATUS(compiled, NLP_OK, err);
    CHECK_STATUS(nlp_tokenizer_open(m->blob.bytes, m->blob.n_bytes, &mem, &m->tokenizer, &own),
                 NLP_OK, &own);
}

static made make(const char *head, fill_fn fill, uint64_t seed) {
    nlp_random random = {seed};
    nlp_error err;
    made m = {0};
    json_t *json = json_loads(head, 0, NULL);
    fill(json_object_get(json, "model"), &random);
    nlp_buf_init(&m.blob, &mem);
    open_blob(&m, nlp_hf_tokenizer_build(json, "tokenizer.json", &m.blob, &err), &err);
    json_decref(json);
    return m;
}

static void discard(made *m) {
    nlp_tokenizer_close(m->tokenizer);
    nlp_buf_deinit(&m->blob);
}

/* ---- Random texts ---- */

/* Words of few letters, so that they come again, between blanks, marks and what is no ASCII. */
static nlp_text random_text(nlp_random *random, bool only_ascii, char *out) {
    static const char *const others[] = {",",
                                         "'s",
                                         "  ",
                                         "``",
                                         "7",
                                         "42",
                                         "\t",
                                         "\r\n",
                                         "!!",
                                         "\x01",
                                         "\xC3\x89",
                                         "\xCC\x81",
                                         "\xEF\xBC\xA1",
                                         "\xE4\xBD\xA0",
                                         "\xE2\x96\x81",
                                         "\xF0\x9F\x91\x8D"};
    size_t n = 0, n_others = only_ascii ? 10 : sizeof others / sizeof *others;
    for (uint32_t words = random_u32(random) % 40; words; words--) {
        char word[40];
        size_t length = random_letters(random, word, random_u32(random) % 8 ? 4 : 30);
        if (random_u32(random) % 6 == 0) word[0] = (char)(word[0] - 32);
        memcpy(out + n, word, length), n += length;
        const char *other = others[random_u32(random) % n_others];
        if (random_u32(random) % 3 == 0) memcpy(out + n, other, strlen(other)), n += strlen(other);
        if (random_u32(random) % 4) out[n++] = ' ';
    }
    return (nlp_text){out, n};
}

static nlp_encoding encode(const nlp_tokenizer *t, nlp_text text, nlp_word_cache *cache,
                           nlp_arena *arena) {
    nlp_encoding e = {0};
    nlp_error err;
    const nlp_encode_options options = {.no_special_tokens = true, .cache = cache};
    CHECK_STATUS(nlp_tokenizer_encode(t, &text, NULL, &options, arena, NULL, &e, &err), NLP_OK,
                 &err);
    return e;
}

/* ---- The word cache ---- */

static bool same_tokens(const nlp_encoding *a, const nlp_encoding *b) {
    bool same = a->n == b->n && a->n_unknown == b->n_unknown;
    for (size_t i = 0; same && i < a->n; i++)
        same = a->ids[i] == b->ids[i] && a->start[i] == b->start[i] && a->end[i] == b->end[i];
    return same;
}

static void check_cache(const nlp_tokenizer *t, const char *name) {
    nlp_random random = {5};
    nlp_arena kept, arena;
    nlp_word_cache cache = {0};
    size_t n_wrong = 0;
    nlp_arena_init(&kept, &mem);
    nlp_arena_init(&arena, &mem);
    for (int i = 0; t && i < N_TEXTS; i++) {
        char bytes[MOST_TEXT];
        nlp_text text = random_text(&random, false, bytes);
        nlp_encoding with = encode(t, text, &cache, &kept), without = encode(t, text, NULL, &arena);
        n_wrong += !same_tokens(&with, &without);
        nlp_arena_reset(&arena);
    }
    CHECK(cache.words != NULL);
    if (n_wrong) nlp_test_fail(__FILE__, __LINE__, "%s: %zu texts differ", name, n_wrong);
    nlp_arena_deinit(&kept);
    nlp_arena_deinit(&arena);
}

static void test_kept_words_give_the_same_tokens(void) {
    static const struct {
        const char *name, *head;
        fill_fn fill;
    } kinds[] = {{"WordPiece", bert_head, add_wordpieces},
                 {"BPE", bpe_head, add_merges},
                 {"Unigram", unigram_head, add_scores}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (uint64_t seed = 1; seed < 4; seed++) {
            made m = make(kinds[i].head, kinds[i].fill, seed);
            check_cache(m.tokenizer, kinds[i].name);
            discard(&m);
        }
}

static void test_kept_words_of_published_families(void) {
    static const char *const names[] = {"bert-uncased", "bert-cased",  "gpt2",       "llama3",
                                        "qwen2",        "xlm-roberta", "albert-spm", "deberta-v3",
                                        "flan-t5",      "nllb",        "gemma2",     "llama-spm"};
    for (size_t i = 0; nlp_test_shared() && i < sizeof names / sizeof *names; i++) {
        char path[512];
        nlp_error err;
        made m = {0};
        snprintf(path, sizeof path, "%s/fixtures/models/%s/tokenizer.json", nlp_test_shared(),
                 names[i]);
        json_t *json = json_load_file(path, JSON_ALLOW_NUL, NULL);
        nlp_buf_init(&m.blob, &mem);
        open_blob(&m, nlp_hf_tokenizer_build(json, "tokenizer.json", &m.blob, &err), &err);
        check_cache(m.tokenizer, names[i]);
        discard(&m);
        json_decref(json);
    }
}

/* Far more words than places: what is found is what was kept for that very word. */
static void test_a_place_never_gives_another_words_tokens(void) {
    nlp_random random = {9};
    nlp_arena arena;
    nlp_word_cache cache = {0};
    const nlp_tokenizer *nobody = NULL;
    size_t n_found = 0;
    nlp_arena_init(&arena, &mem);
    CHECK(word_cache_prepare(&cache, nobody, 1 << 20, &arena, NULL) == NLP_OK && cache.words);
    for (uint32_t i = 0; cache.words && i < 60000; i++) {
        char word[32];
        cached_word *place;
        size_t n = random_letters(&random, word, CACHED_BYTES);
        uint32_t sum = (uint32_t)nlp_piece_hash(NLP_PIECE_HASH_START, word, n);
        if (word_cache_find(&cache, word, n, &place)) {
            n_found++;
            CHECK(place->n_tokens == 1 && place->ids[0] == sum && place->end[0] == n);
            continue;
        }
        cached_word_add(place, sum, 0, n);
        cached_word_finish(place, word, n, 0);
    }
    CHECK(n_found > 1000);
    nlp_arena_deinit(&arena);
}

static void test_a_word_of_too_many_tokens_is_not_kept(void) {
    nlp_arena arena;
    nlp_word_cache cache = {0};
    cached_word *place;
    nlp_arena_init(&arena, &mem);
    CHECK(word_cache_prepare(&cache, NULL, 1 << 20, &arena, NULL) == NLP_OK);
    CHECK(!word_cache_find(&cache, "sevensev", 8, &place));
    for (uint32_t i = 0; i <= CACHED_TOKENS; i++) cached_word_add(place, i, i, i + 1);
    cached_word_finish(place, "sevensev", 8, 0);
    CHECK(!word_cache_find(&cache, "sevensev", 8, &place));
    nlp_arena_deinit(&arena);
}

/* ---- Short ways for ASCII ---- */

/* A control character is dropped, but where one may stand the word is read character by character. */
static void test_whole_words_of_bert_are_what_its_characters_give(void) {
    nlp_random random = {11};
    nlp_arena arena;
    made m = make(bert_head, add_wordpieces, 4);
    nlp_arena_init(&arena, &mem);
    for (int i = 0; m.tokenizer && i < N_TEXTS; i++) {
        char bytes[MOST_TEXT], slow[2 * MOST_TEXT];
        size_t n = 0;
        nlp_text text = random_text(&random, true, bytes);
        for (size_t k = 0; k < text.n_bytes; k++) slow[n++] = bytes[k], slow[n++] = '\x02';
        nlp_encoding a = encode(m.tokenizer, text, NULL, &arena),
                     b = encode(m.tokenizer, (nlp_text){slow, n}, NULL, &arena);
        CHECK(a.n == b.n && a.n_unknown == b.n_unknown);
        for (size_t k = 0; k < a.n && k < b.n; k++)
            CHECK(a.ids[k] == b.ids[k] && 2 * a.start[k] == b.start[k] &&
                  2 * a.end[k] - 1 == b.end[k]);
        nlp_arena_reset(&arena);
    }
    nlp_arena_deinit(&arena);
    discard(&m);
}

/* A letter that is no ASCII behind a text sends all of it through the normalisers. */
static void check_normalisers(const nlp_tokenizer *t) {
    static const char tail[] = " \xC3\x89";
    nlp_random random = {13};
    nlp_arena arena;
    nlp_arena_init(&arena, &mem);
    for (int i = 0; t && i < N_TEXTS; i++) {
        char bytes[MOST_TEXT];
        nlp_text text = random_text(&random, true, bytes);
        if (text.n_bytes && strchr(" \t\r\n\x01", bytes[text.n_bytes - 1]))
            bytes[text.n_bytes - 1] = 'e';
        memcpy(bytes + text.n_bytes, tail, sizeof tail);
        nlp_encoding a = encode(t, text, NULL, &arena),
                     b = encode(t, (nlp_text){bytes, text.n_bytes + sizeof tail - 1}, NULL, &arena);
        CHECK(a.n <= b.n);
        for (size_t k = 0; k < a.n && k < b.n; k++)
            CHECK(a.ids[k] == b.ids[k] && a.start[k] == b.start[k] && a.end[k] == b.end[k]);
        nlp_arena_reset(&arena);
    }
    nlp_arena_deinit(&arena);
}

static void test_what_no_rule_changes_is_what_the_rules_give(void) {
    for (uint64_t seed = 1; seed < 4; seed++) {
        made m = make(unigram_head, add_scores, seed);
        check_normalisers(m.tokenizer);
        discard(&m);
    }
}

static void test_short_stretches_compare_as_memcmp(void) {
    nlp_random random = {17};
    for (size_t n = 0; n <= 40; n++)
        for (size_t i = 0; i <= n; i++) {
            char a[40], b[40];
            for (size_t k = 0; k < n; k++) a[k] = b[k] = (char)random_u32(&random);
            if (i < n) b[i] = (char)(b[i] ^ 4);
            CHECK(same_bytes(a, b, n) == !memcmp(a, b, n));
        }
}

static void test_ascii_is_told_from_the_rest(void) {
    char text[40];
    memset(text, 'a', sizeof text);
    for (size_t n = 0; n <= sizeof text; n++) {
        size_t bad_at = 99;
        CHECK(nlp_utf8_is_ascii(text, n) && nlp_utf8_valid(text, n, NULL));
        for (size_t i = 0; i < n; i++) {
            text[i] = '\x80';
            CHECK(!nlp_utf8_is_ascii(text, n));
            CHECK(!nlp_utf8_valid(text, n, &bad_at) && bad_at == i);
            text[i] = 'a';
        }
    }
}

static size_t count_of(const nlp_encoding *e, int sequence) {
    size_t n = 0;
    for (size_t i = 0; i < e->n; i++) n += e->sequence[i] == sequence;
    return n;
}

static void test_truncation_keeps_the_other_text(void) {
    made m = make(bpe_head, add_merges, 3);
    nlp_arena arena;
    nlp_encoding whole, cut;
    nlp_error err;
    nlp_text first = nlp_test_text("one set of tests"),
             second = nlp_test_text("notes and stones in a nest");
    nlp_arena_init(&arena, &mem);
    CHECK_STATUS(
        nlp_tokenizer_encode(m.tokenizer, &first, &second, NULL, &arena, NULL, &whole, &err),
        NLP_OK, &err);
    for (int kept = 0; kept < 2; kept++) {
        size_t n_kept = count_of(&whole, kept), n_other = count_of(&whole, !kept);
        nlp_encode_options o = {.truncation = kept ? NLP_TRUNCATE_FIRST : NLP_TRUNCATE_SECOND};
        for (size_t n = 0; n < n_other; n++) {
            o.max_tokens = (uint32_t)(whole.n - n_other + n);
            CHECK_STATUS(
                nlp_tokenizer_encode(m.tokenizer, &first, &second, &o, &arena, NULL, &cut, &err),
                NLP_OK, &err);
            CHECK(cut.truncated && cut.n == o.max_tokens && count_of(&cut, kept) == n_kept);
        }
        o.max_tokens = (uint32_t)(whole.n - n_other - 1);
        CHECK_STATUS(
            nlp_tokenizer_encode(m.tokenizer, &first, &second, &o, &arena, NULL, &cut, &err),
            NLP_ELIMIT, &err);
        CHECK(strstr(err.message, kept ? "second text" : "first text"));
    }
    nlp_arena_deinit(&arena);
    discard(&m);
}

/* A tokenizer that says that it has a table which its model does not have. */
static void check_forged(const char *head, fill_fn fill, bool sides) {
    made m = make(head, fill, 5);
    nlp_tokenizer *forged;
    nlp_error err;
    nlp_tokenizer_extension *x =
        (nlp_tokenizer_extension *)(m.blob.bytes + sizeof(nlp_tokenizer_header));
    uint32_t *at = sides ? &x->sides_at : &x->kinds_at;
    *at = x->n_trie ? x->trie_at : x->merges_at;
    CHECK_STATUS(nlp_tokenizer_open(m.blob.bytes, m.blob.n_bytes, &mem, &forged, &err),
                 NLP_ECORRUPT, &err);
    *at = 0;
    CHECK_STATUS(nlp_tokenizer_open(m.blob.bytes, m.blob.n_bytes, &mem, &forged, &err), NLP_OK,
                 &err);
    nlp_tokenizer_close(forged);
    discard(&m);
}

static void test_forged_tables_are_refused(void) {
    check_forged(bpe_head, add_merges, true);
    check_forged(bpe_head, add_merges, false);
    check_forged(unigram_head, add_scores, true);
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"kept_words_give_the_same_tokens", test_kept_words_give_the_same_tokens},
        {"kept_words_of_published_families", test_kept_words_of_published_families},
        {"a_place_never_gives_another_words_tokens", test_a_place_never_gives_another_words_tokens},
        {"a_word_of_too_many_tokens_is_not_kept", test_a_word_of_too_many_tokens_is_not_kept},
        {"whole_words_of_bert_are_what_its_characters_give",
         test_whole_words_of_bert_are_what_its_characters_give},
        {"what_no_rule_changes_is_what_the_rules_give",
         test_what_no_rule_changes_is_what_the_rules_give},
        {"short_stretches_compare_as_memcmp", test_short_stretches_compare_as_memcmp},
        {"truncation_keeps_the_other_text", test_truncation_keeps_the_other_text},
        {"forged_tables_are_refused", test_forged_tables_are_refused},
        {"ascii_is_told_from_the_rest", test_ascii_is_told_from_the_rest},
    };
    nlp_mem_init(&mem, NULL, NULL, 0);
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
