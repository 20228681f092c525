/* test_sentences: where sentences end, and that nothing of a text is lost. */
#include <string.h>

#include "test.h"
#include "text/sentences.h"

/* Sentences with '|' between them. */
static void check(const char *text, const char *expected) {
    char got[1024] = "";
    nlp_mem mem;
    nlp_arena arena;
    nlp_sentence *found;
    size_t n;
    nlp_mem_init(&mem, NULL, NULL, 0);
    nlp_arena_init(&arena, &mem);
    nlp_text t = {text, strlen(text)};
    CHECK(nlp_sentences_find(t, &arena, NULL, &found, &n, NULL) == NLP_OK);
    for (size_t i = 0; i < n; i++) {
        if (i) strcat(got, "|");
        strncat(got, text + found[i].start, found[i].end - found[i].start);
    }
    CHECK_TEXT(got, expected);
    nlp_arena_deinit(&arena);
}

static void test_marks_end_sentences(void) {
    check("One. Two! Three? Four", "One.|Two!|Three?|Four");
    check("  One.  Two.  ", "One.|Two.");
    check("He said \"Stop!\" Then he left.", "He said \"Stop!\"|Then he left.");
    check("Really?! Yes... Well.", "Really?!|Yes...|Well.");
    check("wait... and see. Ok", "wait... and see.|Ok");
    check("", "");
    check(" \n ", "");
    check("...", "...");
}

static void test_lines_end_sentences(void) {
    check("a\nb\r\n\nc", "a|b|c");
}

static void test_full_stops_that_end_nothing(void) {
    check("Mr. Smith met Dr. Jones.", "Mr. Smith met Dr. Jones.");
    check("J. R. R. Tolkien wrote it. We read it.", "J. R. R. Tolkien wrote it.|We read it.");
    check("It costs 3.50 dollars.", "It costs 3.50 dollars.");
    check("See example.com for more. Bye.", "See example.com for more.|Bye.");
    check("3. Sugar. 4. Salt.", "3. Sugar.|4. Salt.");
    check("We came at 5 p.m. and left.", "We came at 5 p.m. and left.");
    check("No. 5 is (e.g. here) alive. Good.", "No. 5 is (e.g. here) alive.|Good.");
}

static void test_other_scripts(void) {
    check("你好。再见！", "你好。|再见！");
    check("Привет. Как дела?", "Привет.|Как дела?");
    check("«Да!» Он ушёл.", "«Да!»|Он ушёл.");
    check("voilà à là. Et là", "voilà à là.|Et là");
    check("à", "à");
}

int main(int argc, char **argv) {
    static const nlp_test tests[] = {
        {"marks_end_sentences", test_marks_end_sentences},
        {"lines_end_sentences", test_lines_end_sentences},
        {"full_stops_that_end_nothing", test_full_stops_that_end_nothing},
        {"other_scripts", test_other_scripts}};
    return nlp_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
