/* split_patterns.c: split patterns of published tokenizers by their text, and the names that GGUF
 * files have for them. A pattern that is not here is refused: there is no pattern engine. */
#include <string.h>

#include "tokenizer_compiler.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define CAPITALS     "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define SMALL        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define BEFORE       "[^\\r\\n\\p{L}\\p{N}]?"
#define LINES        "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct {
    const char *text;
    uint32_t pattern;
} patterns[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
     NLP_PATTERN_GPT2},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
     NLP_PATTERN_GPT2},
    {CONTRACTIONS "|" BEFORE "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" LINES,
     NLP_PATTERN_LLAMA3},
    {CONTRACTIONS "|" BEFORE "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" LINES,
     NLP_PATTERN_QWEN2},
    {BEFORE CAPITALS "*" SMALL "+" CONTRACTIONS "?|" BEFORE CAPITALS "+" SMALL "*" CONTRACTIONS
                     "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" LINES,
     NLP_PATTERN_O200K},
    {BEFORE CAPITALS "*" SMALL "+|" BEFORE CAPITALS "+" SMALL
                     "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" LINES,
     NLP_PATTERN_TEKKEN},
    {"[\r\n]", NLP_PATTERN_NEWLINES},
    {"\\s?\\p{L}+", NLP_PATTERN_LETTERS},
    {"\\s?\\p{P}+", NLP_PATTERN_PUNCTUATION},
    {"\\s+$", NLP_PATTERN_LAST_SPACE},
    {"[\xE4\xB8\x80-\xE9\xBE\xA5\xE0\xA0\x80-\xE4\xB8\x80\xEA\xB0\x80-\xED\x9F\xBF]+",
     NLP_PATTERN_CJK},
    {"\\p{N}+", NLP_PATTERN_NUMBERS},
    {"\\p{N}", NLP_PATTERN_NUMBER},
    {"\\p{N}{1,3}", NLP_PATTERN_THREE_NUMBERS},
    {"[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+",
     NLP_PATTERN_KANA},
    {"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]"
     "+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
     NLP_PATTERN_DEEPSEEK3},
    {"[0-9][0-9][0-9]", NLP_PATTERN_THREE_DIGITS},
};

uint32_t split_pattern_find(const char *text) {
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (!strcmp(patterns[i].text, text)) return patterns[i].pattern;
    return 0;
}

/* ---- Names in GGUF files ---- */

typedef struct pre_name {
    const char *names;  /* with blanks between and around */
    uint32_t stages[8]; /* patterns, ended by 0; DIGITS: digits one by one */
    uint32_t flags;
} pre_name;

enum { DIGITS = 1000, PUNCTUATION = 1001 };

static const pre_name pre_names[] = {
    {" gpt-2 phi-2 jina-es jina-de jina-v2-es jina-v2-de modern-bert mpt olmo roberta-bpe jina-v1-en "
     "jina-v2-code ",
     {NLP_PATTERN_GPT2},
     0},
    {" llama3 llama-v3 llama-bpe falcon3 pixtral ", {NLP_PATTERN_LLAMA3}, NLP_BPE_WHOLE_FIRST},
    {" dbrx smaug-bpe ", {NLP_PATTERN_LLAMA3}, 0},
    {" qwen2 deepseek-r1-qwen stablelm2 megrez ", {NLP_PATTERN_QWEN2}, 0},
    {" gpt-4o llama4 ", {NLP_PATTERN_O200K}, 0},
    {" tekken ", {NLP_PATTERN_TEKKEN}, NLP_BPE_WHOLE_FIRST},
    {" deepseek-llm ",
     {NLP_PATTERN_NEWLINES, NLP_PATTERN_CASED, NLP_PATTERN_ASCII_MARKS, NLP_PATTERN_LAST_SPACE,
      NLP_PATTERN_CJK, NLP_PATTERN_NUMBERS},
     0},
    {" deepseek-coder ",
     {NLP_PATTERN_NEWLINES, NLP_PATTERN_LETTERS, NLP_PATTERN_PUNCTUATION, NLP_PATTERN_CJK,
      NLP_PATTERN_NUMBER},
     0},
    {" deepseek-v3 ", {NLP_PATTERN_THREE_NUMBERS, NLP_PATTERN_KANA, NLP_PATTERN_DEEPSEEK3}, 0},
    {" starcoder refact command-r smollm codeshell exaone ", {DIGITS, NLP_PATTERN_GPT2}, 0},
    {" falcon ", {PUNCTUATION, NLP_PATTERN_GPT2, DIGITS, NLP_PATTERN_THREE_DIGITS}, 0},
};

bool split_pattern_pre(const char *name, text_rule rules[NLP_MOST_RULES], uint32_t *n_rules,
                       uint32_t *flags) {
    char key[64];
    size_t n = strlen(name);
    if (!n || n > sizeof key - 3 || strchr(name, ' ')) return false;
    key[0] = ' ';
    memcpy(key + 1, name, n);
    memcpy(key + 1 + n, " ", 2);
    for (size_t i = 0; i < sizeof pre_names / sizeof *pre_names; i++) {
        if (!strstr(pre_names[i].names, key)) continue;
        for (const uint32_t *stage = pre_names[i].stages; *stage; stage++)
            rules[(*n_rules)++] =
                *stage == DIGITS        ? (text_rule){.kind = NLP_SPLIT_DIGITS, .flags = 1}
                : *stage == PUNCTUATION ? (text_rule){.kind = NLP_SPLIT_PUNCTUATION}
                                        : (text_rule){.kind = NLP_SPLIT_PATTERN, .flags = *stage};
        *flags |= pre_names[i].flags;
        return true;
    }
    return false;
}
