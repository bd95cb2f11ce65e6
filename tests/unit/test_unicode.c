/*
 * Text as Unicode: repairing UTF-8, normalization form C, classes of characters.
 */
#include "text/unicode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BAD "\xEF\xBF\xBD"

static void check_repair(const char *text, size_t bytes, const char *expected, size_t expected_bytes) {
    ink_text out = {0};
    assert_int_equal(ink_utf8_repair(text, bytes, &out, NULL), INK_OK);
    assert_int_equal(out.bytes, expected_bytes);
    if (expected_bytes > 0) assert_memory_equal(out.data, expected, expected_bytes);
    assert_true(ink_utf8_is_valid(out.data, out.bytes));
    assert_int_equal(ink_utf8_is_valid(text, bytes),
                     bytes == expected_bytes && !memcmp(text, expected, bytes));
    free(out.data);
}

#define CHECK_REPAIR(text, expected) check_repair(text, sizeof(text) - 1, expected, sizeof(expected) - 1)

/* Each maximal subpart becomes one U+FFFD: what Python's bytes.decode(errors="replace") gives. */
static void test_repair(void **state) {
    (void)state;
    CHECK_REPAIR("", "");
    CHECK_REPAIR("plain", "plain");
    CHECK_REPAIR("a\0b", "a\0b");
    CHECK_REPAIR("\xC3\xA9\xE7\x8C\xAB\xF0\x9F\x90\xB1", "\xC3\xA9\xE7\x8C\xAB\xF0\x9F\x90\xB1");
    CHECK_REPAIR("\xEF\xBF\xBF\xF4\x8F\xBF\xBF", "\xEF\xBF\xBF\xF4\x8F\xBF\xBF");
    CHECK_REPAIR("\x80", BAD); /* continuation alone */
    CHECK_REPAIR("a\x80\x80z", "a" BAD BAD "z");
    CHECK_REPAIR("\xC0\xAF", BAD BAD); /* overlong */
    CHECK_REPAIR("\xC1\xBF", BAD BAD);
    CHECK_REPAIR("\xE0\x80\xAF", BAD BAD BAD);
    CHECK_REPAIR("\xE0\x9F\xBF", BAD BAD BAD);
    CHECK_REPAIR("\xF0\x80\x80\xAF", BAD BAD BAD BAD);
    CHECK_REPAIR("\xF0\x8F\xBF\xBF", BAD BAD BAD BAD);
    CHECK_REPAIR("\xED\xA0\x80", BAD BAD BAD); /* surrogate */
    CHECK_REPAIR("\xED\xBF\xBF", BAD BAD BAD);
    CHECK_REPAIR("\xF4\x90\x80\x80", BAD BAD BAD BAD); /* above U+10FFFF */
    CHECK_REPAIR("\xF5\x80\x80\x80", BAD BAD BAD BAD);
    CHECK_REPAIR("\xFE\xFF", BAD BAD);
    CHECK_REPAIR("\xC3", BAD); /* cut at the end */
    CHECK_REPAIR("\xE7\x8C", BAD);
    CHECK_REPAIR("\xE7", BAD);
    CHECK_REPAIR("\xF0\x9F\x90", BAD);
    CHECK_REPAIR("\xF0\x9F", BAD);
    CHECK_REPAIR("\xE7\x8C"
                 "a",
                 BAD "a"); /* cut by something else */
    CHECK_REPAIR("\xF0\x9F\x90\xC3\xA9", BAD "\xC3\xA9");
    CHECK_REPAIR("\xF0\x9F\xE7\x8C\xAB", BAD "\xE7\x8C\xAB");
    CHECK_REPAIR("\xC3\xC3\xA9", BAD "\xC3\xA9");
    CHECK_REPAIR("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
                 "A",
                 BAD BAD BAD BAD "A"); /* the standard's table 3-11 */
    CHECK_REPAIR("\xF1\x80\x80\xE1\x80\xC2"
                 "a\x80"
                 "b\x80\xBF"
                 "c",
                 BAD BAD BAD "a" BAD "b" BAD BAD "c");
}

static void check_nfc(const char *text, const char *expected) {
    ink_text out = {0};
    assert_int_equal(ink_nfc(text, strlen(text), &out, NULL), INK_OK);
    assert_true(ink_text_append(&out, "", 1));
    assert_string_equal(out.data, expected);
    free(out.data);
}

static void test_nfc(void **state) {
    (void)state;
    check_nfc("", "");
    check_nfc("plain \xC3\xA9", "plain \xC3\xA9");
    check_nfc("e\xCC\x81", "\xC3\xA9");
    check_nfc("xe\xCC\x81y", "x\xC3\xA9y");
    check_nfc("a\xCC\x82\xCC\xA3", "\xE1\xBA\xAD");      /* marks in the wrong order */
    check_nfc("q\xCC\x87\xCC\xA3", "q\xCC\xA3\xCC\x87"); /* ordered, nothing to compose */
    check_nfc("\xCC\x81"
              "a",
              "\xCC\x81"
              "a");                                                    /* a mark at the front */
    check_nfc("\xE2\x84\xAB\xE2\x84\xA6", "\xC3\x85\xCE\xA9");         /* Angstrom and ohm signs */
    check_nfc("\xE0\xA5\x98", "\xE0\xA4\x95\xE0\xA4\xBC");             /* never composed again */
    check_nfc("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", "\xED\x95\x9C"); /* jamo */
    check_nfc("\xEA\xB0\x80\xE1\x86\xA8", "\xEA\xB0\x81");
    check_nfc("\xE3\x81\x8B\xE3\x82\x99", "\xE3\x81\x8C");
    check_nfc("\xEF\xA4\x80", "\xE8\xB1\x88"); /* compatibility ideograph */
    /* Characters that the reference's NFC does not know yet: nothing is reordered or composed. */
    check_nfc("\xDF\xBD\xCC\xA3", "\xDF\xBD\xCC\xA3");                                 /* U+07FD */
    check_nfc("\xF0\x91\xA4\xB5\xF0\x91\xA4\xB0", "\xF0\x91\xA4\xB5\xF0\x91\xA4\xB0"); /* U+11935 U+11930 */
}

/* 100,000 marks in the wrong order take no more than linear time, and come out in the right one. */
static void test_nfc_many_marks(void **state) {
    (void)state;
    enum { pairs = 50000 };
    ink_text text = {0}, out = {0};
    assert_true(ink_text_append(&text, "q", 1));
    for (int i = 0; i < pairs; i++) {
        assert_true(ink_text_append(&text, "\xCC\x81\xCC\xA3", 4)); /* class 230, then 220 */
    }
    assert_int_equal(ink_nfc(text.data, text.bytes, &out, NULL), INK_OK);
    assert_int_equal(out.bytes, text.bytes);
    for (size_t i = 0; i < 2 * pairs; i++) {
        assert_memory_equal(out.data + 1 + 2 * i, i < pairs ? "\xCC\xA3" : "\xCC\x81", 2);
    }
    free(text.data);
    free(out.data);
}

static void test_walk(void **state) {
    (void)state;
    static const char text[] = "a\xC3\xA9\xE7\x8C\xAB\xF0\x9F\x90\xB1";
    static const uint32_t codes[] = {'a', 0xE9, 0x732B, 0x1F431};
    size_t at = 0;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ink_utf8_next(text, &at), codes[i]);
    }
    assert_int_equal(at, sizeof text - 1);
    for (size_t i = 4; i-- > 0;) {
        assert_int_equal(ink_utf8_previous(text, &at), codes[i]);
    }
    assert_int_equal(at, 0);
}

static void test_sets(void **state) {
    (void)state;
    assert_true(ink_code_in(&ink_letters, 'A') && ink_code_in(&ink_letters, 'z'));
    assert_false(ink_code_in(&ink_letters, '@') || ink_code_in(&ink_letters, '[') ||
                 ink_code_in(&ink_letters, '1'));
    assert_true(ink_code_in(&ink_letters, 0x4E00) && ink_code_in(&ink_letters, 0x323AF));
    assert_false(ink_code_in(&ink_letters, 0x301) || ink_code_in(&ink_letters, 0x10FFFF));
    assert_true(ink_code_in(&ink_numbers, '0') && ink_code_in(&ink_numbers, 0xBD) &&
                ink_code_in(&ink_numbers, 0x2167));
    assert_true(ink_code_in(&ink_spaces, 9) && ink_code_in(&ink_spaces, 0x85) &&
                ink_code_in(&ink_spaces, 0x3000));
    assert_false(ink_code_in(&ink_spaces, 0x1C) || ink_code_in(&ink_spaces, 0x180E) ||
                 ink_code_in(&ink_spaces, 0x200B));
    assert_true(ink_code_in(&ink_words, '_') && ink_code_in(&ink_words, 0x301) &&
                ink_code_in(&ink_words, 0x200D));
    assert_false(ink_code_in(&ink_words, '-') || ink_code_in(&ink_words, 0xBD));
    const ink_code_set *sets[] = {&ink_letters, &ink_numbers, &ink_spaces, &ink_words, &ink_nfc_active};
    for (size_t s = 0; s < 5; s++) {
        uint32_t next = 0;
        for (size_t i = 0; i < sets[s]->count; i++) {
            assert_true(sets[s]->ranges[i].first >= next &&
                        sets[s]->ranges[i].first <= sets[s]->ranges[i].last);
            next = sets[s]->ranges[i].last + 2;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repair), cmocka_unit_test(test_nfc),  cmocka_unit_test(test_nfc_many_marks),
        cmocka_unit_test(test_walk),   cmocka_unit_test(test_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
