/* chat_texts.c: texts that a template puts into chats of its own accord, found beside marks: a literal in
 * quotes, or text outside of statements. What is no plain literal there is not taken. */
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "chat_template.h"

enum { MOST_SYSTEM = 4096, MOST_TEXT = 256, MOST_BACK = 4096 };

typedef struct literal {
    char bytes[MOST_SYSTEM + 1];
    size_t n;
} literal;

static const char *find(nlp_text text, size_t from, const char *mark) {
    return memmem(text.bytes + from, text.n_bytes - from, mark, strlen(mark));
}

static bool has_before(nlp_text text, const char *mark, size_t end) {
    return memmem(text.bytes, end, mark, strlen(mark)) != NULL;
}

static bool begins(nlp_text text, size_t at, const char *mark) {
    size_t n = strlen(mark);
    return text.n_bytes - at >= n && !memcmp(text.bytes + at, mark, n);
}

/* ---- Literals ---- */

/* The character behind a backslash; 0 for what is not taken. */
static char escaped(char c) {
    return c == 'n' ? '\n' : c == 't' ? '\t' : c == '\\' || c == '\'' || c == '"' ? c : 0;
}

/* One character of a literal, `quote` 0: of text that stands in no quotes. Its bytes, or 0. */
static size_t read_character(nlp_text text, size_t at, char quote, char *out) {
    *out = text.bytes[at];
    if (!*out || (quote && *out == quote) || (!quote && *out == '{')) return 0;
    if (!quote || *out != '\\') return 1;
    *out = at + 1 < text.n_bytes ? escaped(text.bytes[at + 1]) : 0;
    return *out ? 2 : 0;
}

/* From `at` up to the mark `stop`, which ends it inside the literal, or is its quote. */
static bool read_literal(nlp_text text, size_t at, char quote, const char *stop, literal *out) {
    out->n = 0;
    while (at < text.n_bytes && out->n < MOST_SYSTEM) {
        if (begins(text, at, stop)) {
            out->bytes[out->n] = 0;
            return out->n && nlp_utf8_valid(out->bytes, out->n, NULL);
        }
        size_t n = read_character(text, at, quote, &out->bytes[out->n]);
        if (!n) return false;
        out->n++, at += n;
    }
    return false;
}

/* ---- The system text of chats that have none ---- */

/* The statement "{% ... %}" that ends before `at`; false where none is near. */
static bool statement_before(nlp_text text, size_t at, size_t *first, size_t *end) {
    for (size_t i = at; i >= 2 && at - i < MOST_BACK; i--) {
        if (memcmp(text.bytes + i - 2, "{%", 2)) continue;
        const char *close = memmem(text.bytes + i, at - i, "%}", 2);
        *first = i, *end = close ? (size_t)(close - text.bytes) : 0;
        return close != NULL;
    }
    return false;
}

static bool says(nlp_text text, size_t first, size_t end, const char *with, const char *or_with) {
    nlp_text part = {text.bytes + first, end - first};
    return has_before(part, with, part.n_bytes) || has_before(part, or_with, part.n_bytes);
}

static size_t skip(nlp_text text, size_t at, const char *characters) {
    while (at < text.n_bytes && text.bytes[at] && strchr(characters, text.bytes[at])) at++;
    return at;
}

/* Whether a mark at `at` is the first that a branch writes which is taken where a chat begins with no
 * system message: "if ... != 'system'", or the "else" of "if ... == 'system'". */
static bool is_in_default_branch(nlp_text text, size_t at) {
    size_t first, end, before, before_end;
    if (!statement_before(text, at, &first, &end)) return false;
    if (skip(text, end + 2, " \t\r\n{-\"'") < at) return false;
    size_t word = skip(text, first, " \t\r\n-+");
    if (begins(text, word, "if")) return says(text, word, end, "!= 'system'", "!= \"system\"");
    return begins(text, word, "else") && statement_before(text, first - 2, &before, &before_end) &&
           says(text, before, before_end, "== 'system'", "== \"system\"");
}

/* "<|im_start|>system", a new line, the text, "<|im_end|>": all of them in one literal. */
static bool read_system(nlp_text text, size_t at, size_t behind, literal *out) {
    char quote = at ? text.bytes[at - 1] : 0;
    if (quote != '\'' && quote != '"') quote = 0;
    size_t start = behind + (begins(text, behind, "\n")             ? 1
                             : quote && begins(text, behind, "\\n") ? 2
                                                                    : 0);
    return start > behind && is_in_default_branch(text, at) &&
           read_literal(text, start, quote, "<|im_end|>", out);
}

static bool find_system(nlp_text text, literal *out) {
    static const char mark[] = "<|im_start|>system";
    for (const char *found = find(text, 0, mark); found;) {
        size_t at = (size_t)(found - text.bytes), behind = at + sizeof mark - 1;
        if (read_system(text, at, behind, out)) return true;
        found = find(text, behind, mark);
    }
    return false;
}

/* ---- The end of a prompt that has the model answer at once ---- */

/* "enable_thinking is false %}{{ '<think>\n\n</think>\n\n'": Qwen3's. */
static bool find_no_thinking(nlp_text text, literal *out) {
    static const char mark[] = "enable_thinking is false";
    const char *found = find(text, 0, mark);
    if (!found) return false;
    size_t at = skip(text, (size_t)(found - text.bytes) + sizeof mark - 1, " \t\r\n%-+}{");
    if (at >= text.n_bytes || (text.bytes[at] != '\'' && text.bytes[at] != '"')) return false;
    const char quote[] = {text.bytes[at], 0};
    return begins(text, at + 1, "<think>") && read_literal(text, at + 1, *quote, quote, out) &&
           out->n <= MOST_TEXT;
}

/* ---- The token before a text ---- */

/* A text, or an object that has it. */
static const char *begin_token(const json_t *config) {
    const json_t *token = json_object_get(config, "bos_token");
    return json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
}

nlp_status nlp_chat_texts_read(nlp_model_folder *f, nlp_text text, nlp_error *err) {
    literal *found = NLP_PUSH(&f->arena, literal, 1);
    const char *begin = begin_token(f->tokenizer_config);
    NLP_TRY(nlp_arena_status(&f->arena, err));
    if (begin && *begin && strlen(begin) <= MOST_TEXT && find(text, 0, "bos_token"))
        f->chat_begin = nlp_arena_text(&f->arena, begin, strlen(begin));
    if (!strcmp(f->chat_template, "chatml") && find_system(text, found))
        f->chat_system = nlp_arena_text(&f->arena, found->bytes, found->n);
    if (find_no_thinking(text, found))
        f->chat_no_thinking = nlp_arena_text(&f->arena, found->bytes, found->n);
    return nlp_arena_status(&f->arena, err);
}
