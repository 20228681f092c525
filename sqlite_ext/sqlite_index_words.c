/* sqlite_index_words.c: the words of a query as FTS5's syntax. Function words of English say nothing about what is
 * asked, and in a small index they are rare enough to count: they are left out where the index stems English, if
 * other words remain. The list is that of PostgreSQL's configuration "english" and of NLTK. */
#include <stdlib.h>
#include <string.h>

#include "sqlite_index.h"

enum { LONGEST = 10 };

static const char function_words[][LONGEST + 1] = {
    "a",      "about",  "above", "after", "again",   "against",   "all",       "am",
    "an",     "and",    "any",   "are",   "as",      "at",        "be",        "because",
    "been",   "before", "being", "below", "between", "both",      "but",       "by",
    "can",    "did",    "do",    "does",  "doing",   "don",       "down",      "during",
    "each",   "few",    "for",   "from",  "further", "had",       "has",       "have",
    "having", "he",     "her",   "here",  "hers",    "herself",   "him",       "himself",
    "his",    "how",    "i",     "if",    "in",      "into",      "is",        "it",
    "its",    "itself", "just",  "me",    "more",    "most",      "my",        "myself",
    "no",     "nor",    "not",   "now",   "of",      "off",       "on",        "once",
    "only",   "or",     "other", "our",   "ours",    "ourselves", "out",       "over",
    "own",    "s",      "same",  "she",   "should",  "so",        "some",      "such",
    "t",      "than",   "that",  "the",   "their",   "theirs",    "them",      "themselves",
    "then",   "there",  "these", "they",  "this",    "those",     "through",   "to",
    "too",    "under",  "until", "up",    "very",    "was",       "we",        "were",
    "what",   "when",   "where", "which", "while",   "who",       "whom",      "why",
    "will",   "with",   "you",   "your",  "yours",   "yourself",  "yourselves"};

static int by_text(const void *a, const void *b) {
    return strcmp(a, b);
}

static bool is_function_word(nlp_text query, const nlp_query_word *word) {
    char text[LONGEST + 1] = "";
    size_t n = word->end - word->start;
    if (n > LONGEST) return false;
    for (size_t i = 0; i < n; i++) {
        char c = query.bytes[word->start + i];
        text[i] = c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
    }
    return bsearch(text, function_words, sizeof function_words / sizeof *function_words,
                   sizeof *function_words, by_text);
}

size_t index_query_words(const nlp_index *ix, nlp_text query, nlp_query_word *words, size_t most,
                         size_t *n_idle) {
    size_t all = nlp_query_words(query, words, most), n = 0;
    *n_idle = 0;
    if (ix->spec.tokenize) return all;
    for (size_t i = 0; i < all; i++) n += !is_function_word(query, &words[i]);
    if (!n) return all;
    n = 0;
    for (size_t i = 0; i < all; i++)
        if (!is_function_word(query, &words[i])) words[n++] = words[i];
    *n_idle = all - n;
    return n;
}

/* Each in quotes, so that nothing of it is syntax, and OR between them. */
char *index_match_any(nlp_text query, const nlp_query_word *words, size_t n) {
    sqlite3_str *out = sqlite3_str_new(NULL);
    for (size_t i = 0; i < n; i++) {
        sqlite3_str_appendall(out, i ? " OR \"" : "\"");
        for (size_t at = words[i].start; at < words[i].end; at++)
            sqlite3_str_append(out, query.bytes[at] == '"' ? "\"\"" : query.bytes + at,
                               query.bytes[at] == '"' ? 2 : 1);
        sqlite3_str_appendall(out, "\"");
    }
    return sqlite3_str_finish(out);
}
