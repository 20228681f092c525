/* gpt2_files.c: vocab.json and merges.txt of GPT-2 and RoBERTa, rewritten as the tokenizer.json that the
 * reference makes of them (transformers: convert_slow_tokenizer), so that both take one way. */
#include <string.h>

#include "hf_tokenizer.h"
#include "json.h"

/* One merge a line, behind a line "#version: ...". */
static json_t *merge_list(const char *text, size_t n_bytes) {
    json_t *list = json_array();
    for (size_t at = 0; list && at < n_bytes;) {
        const char *end = memchr(text + at, '\n', n_bytes - at);
        size_t n = end ? (size_t)(end - text) - at : n_bytes - at, next = at + n + 1;
        bool version = n > 8 && !memcmp(text + at, "#version", 8);
        if (n && text[at + n - 1] == '\r') n--;
        if (n && !version && json_array_append_new(list, json_stringn(text + at, n)) != 0) {
            json_decref(list);
            return NULL; /* no text in UTF-8, or no memory */
        }
        at = next;
    }
    return list;
}

/* A special token that the vocabulary has; one that takes the blank before it. */
static void add_special(json_t *added, const json_t *vocabulary, const char *text, bool lstrip) {
    const json_t *id = json_object_get(vocabulary, text);
    if (json_is_integer(id))
        json_array_append_new(added,
                              json_pack("{s:s, s:I, s:b, s:b}", "content", text, "id",
                                        json_integer_value(id), "special", 1, "lstrip", lstrip));
}

static json_t *added_tokens(const json_t *vocabulary, bool roberta, bool bare) {
    static const char *const of_roberta[] = {"<s>", "<pad>", "</s>", "<unk>"};
    json_t *added = json_array();
    if (bare) return added;
    if (!roberta) add_special(added, vocabulary, "<|endoftext|>", false);
    for (size_t i = 0; roberta && i < sizeof of_roberta / sizeof *of_roberta; i++)
        add_special(added, vocabulary, of_roberta[i], false);
    if (roberta) add_special(added, vocabulary, "<mask>", true);
    return added;
}

static json_t *post_processor(const json_t *vocabulary, bool roberta) {
    if (!roberta) return json_pack("{s:s, s:b}", "type", "ByteLevel", "trim_offsets", 1);
    return json_pack("{s:s, s:b, s:b, s:[s, O?], s:[s, O?]}", "type", "RobertaProcessing",
                     "trim_offsets", 1, "add_prefix_space", 0, "cls", "<s>",
                     json_object_get(vocabulary, "<s>"), "sep", "</s>",
                     json_object_get(vocabulary, "</s>"));
}

nlp_status nlp_gpt2_files_compile(const nlp_gpt2_files *files, nlp_buf *blob, nlp_error *err) {
    json_t *vocabulary, *merges = merge_list(files->merges, files->merges_bytes);
    if (!merges) return nlp_fail(err, NLP_EINVAL, "merges.txt is no text in UTF-8");
    nlp_status status = nlp_json_parse(files->vocabulary, files->vocabulary_bytes,
                                       NLP_JSON_TOKENIZER_BYTES, "vocab.json", &vocabulary, err);
    if (status != NLP_OK) {
        json_decref(merges);
        return status;
    }
    bool roberta = files->roberta;
    json_t *json = json_pack("{s:o, s:o, s:{s:s, s:b}, s:{s:s}, s:{s:s, s:o, s:o}}", "added_tokens",
                             added_tokens(vocabulary, roberta, files->bare), "post_processor",
                             post_processor(vocabulary, roberta), "pre_tokenizer", "type",
                             "ByteLevel", "add_prefix_space", 0, "decoder", "type", "ByteLevel",
                             "model", "type", "BPE", "vocab", vocabulary, "merges", merges);
    if (!json) return nlp_fail(err, NLP_ENOMEM, "out of memory for the tokenizer's files");
    status = nlp_hf_tokenizer_build(json, "vocab.json", blob, err);
    json_decref(json);
    return status;
}
