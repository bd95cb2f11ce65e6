/*
 * The pattern that cuts a text into words: pieces, what is refused, limits.
 */
#include "text/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The pieces of `text` with "|" behind each. */
static void check_pieces(const char *pattern, const char *text, const char *expected) {
    ink_splitter *splitter = NULL;
    ink_error error = {0};
    if (ink_splitter_create(pattern, &splitter, &error) != INK_OK) fail_msg("%s: %s", pattern, error.message);
    ink_split_work *work = NULL;
    assert_int_equal(ink_split_work_create(splitter, &work, NULL), INK_OK);
    ink_split split;
    ink_split_begin(splitter, work, text, strlen(text), &split);
    ink_text got = {0};
    for (;;) {
        const char *piece;
        size_t bytes;
        assert_int_equal(ink_split_next(&split, &piece, &bytes, NULL), INK_OK);
        if (!piece) break;
        assert_true(bytes > 0);
        assert_true(ink_text_append(&got, piece, bytes) && ink_text_append(&got, "|", 1));
    }
    assert_true(ink_text_append(&got, "", 1));
    assert_string_equal(got.data, expected);
    free(got.data);
    ink_split_work_destroy(work);
    ink_splitter_destroy(splitter);
}

static void test_qwen2(void **state) {
    (void)state;
    check_pieces(INK_QWEN2_PATTERN, "", "");
    check_pieces(INK_QWEN2_PATTERN, "Hello world", "Hello| world|");
    check_pieces(INK_QWEN2_PATTERN, "don't DON'T I'LL", "don|'t| DON|'T| I|'LL|");
    check_pieces(INK_QWEN2_PATTERN, "'\xC5\xBF x", "'\xC5\xBF| x|"); /* the long s folds to s */
    check_pieces(INK_QWEN2_PATTERN, "a  b   ", "a| | b|   |");
    check_pieces(INK_QWEN2_PATTERN, "12 3", "1|2| |3|");
    check_pieces(INK_QWEN2_PATTERN, "a \n\n b", "a| \n\n| b|");
    check_pieces(INK_QWEN2_PATTERN, "x!?\r\ny", "x|!?\r\n|y|");
    check_pieces(INK_QWEN2_PATTERN, "(cat) -dog", "(cat|)| -|dog|");
    check_pieces(INK_QWEN2_PATTERN, "\xE7\x8C\xAB\xE3\x80\x82", "\xE7\x8C\xAB|\xE3\x80\x82|");
    /* U+180E is no white space although PCRE2 counts it; U+0085 is. */
    check_pieces(INK_QWEN2_PATTERN, "!\xE1\xA0\x8E!", "!\xE1\xA0\x8E!|");
    check_pieces(INK_QWEN2_PATTERN, "!\xC2\x85!", "!|\xC2\x85|!|");
    /* U+31350 is a letter since Unicode 15, whatever PCRE2 knows. */
    check_pieces(INK_QWEN2_PATTERN, "a\xF0\xB1\x8D\x90", "a\xF0\xB1\x8D\x90|");
}

static void test_matches(void **state) {
    (void)state;
    check_pieces("b", "abcb", "a|b|c|b|");
    check_pieces("x*", "axxb", "a|xx|b|");
    check_pieces("x*", "\xE7\x8C\xAB\xE7\x8C\xAB", "\xE7\x8C\xAB|\xE7\x8C\xAB|");
    check_pieces("(?=b)", "abab", "a|ba|b|");
    check_pieces("[\\-a-c]+", "a-d", "a-|d|");
    check_pieces("[a-c-]+", "a-d", "a-|d|");
    check_pieces("\\P{L}", "ab12c", "ab|1|2|c|");
    check_pieces("[^\\P{L}]", "12ab3", "12|a|b|3|");
    check_pieces("[\\P{L}]", "\xF4\x8F\xBF\xBF\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF|\xF4\x8F\xBF\xBF|");
    check_pieces("\\p{N}", "12", "1|2|");
    check_pieces("\\p{Lu}|\\{", "aB{", "a|B|{|");
    check_pieces("\\p{N}{1,2}", "12345", "12|34|5|");
    check_pieces("(?<=a)b", "abb", "a|b|b|");
}

static void check_refused(const char *pattern, ink_status expected) {
    ink_splitter *splitter = NULL;
    ink_error error = {0};
    const ink_status status = ink_splitter_create(pattern, &splitter, &error);
    if (status != expected) fail_msg("%s: status %d, not %d", pattern, (int)status, (int)expected);
    assert_int_equal(error.status, expected);
    assert_true(strlen(error.message) > 20);
    assert_null(splitter);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const unsupported[] = {
        "\\w+",        "\\d",        "\\bx",        "\\",      "^a",    "a$",    ".",       "\\p{Han}",
        "\\p{^L}",     "\\pL",       "[[:alpha:]]", "[a&&b]",  "[]a]",  "[^]]",  "[a",      "(?i)a",
        "(?i:\\p{L})", "(?i:[\\s])", "(?<name>a)",  "(*UCP)a", "a{,3}", "a{x}",  "a{1,2}+", "a}",
        "a]",          "[\\p{L}-z]", "[a-\\p{L}]",  "\\Qa\\E", "[\\w]", "(?#a)", "\\x{41}", "\\1",
    };
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++) {
        check_refused(unsupported[i], INK_ERROR_UNSUPPORTED);
    }
    static const char *const broken[] = {"(a", "a)", "*a", "[z-a]", "a{3,1}", "(?<=a*)b", "a**"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        check_refused(broken[i], INK_ERROR_FORMAT);
    }
}

/* A pattern whose time explodes ends in a sentence. */
static void test_limit(void **state) {
    (void)state;
    ink_splitter *splitter = NULL;
    assert_int_equal(ink_splitter_create("(?:a|a|a)+(?=\\p{N})", &splitter, NULL), INK_OK);
    ink_split_work *work = NULL;
    assert_int_equal(ink_split_work_create(splitter, &work, NULL), INK_OK);
    static const char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!";
    ink_split split;
    ink_split_begin(splitter, work, text, strlen(text), &split);
    const char *piece;
    size_t bytes;
    ink_error error = {0};
    assert_int_equal(ink_split_next(&split, &piece, &bytes, &error), INK_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "limit"));
    ink_split_work_destroy(work);
    ink_splitter_destroy(splitter);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
