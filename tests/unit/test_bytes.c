/*
 * Amounts of memory: what people write, what they write wrongly, and how they are shown.
 */
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const int64_t kib = INT64_C(1) << 10, mib = INT64_C(1) << 20, gib = INT64_C(1) << 30,
                     tib = INT64_C(1) << 40;

static void expect(const char *text, int64_t want) {
    int64_t bytes = -1;
    const ink_bytes_fault fault = ink_bytes_parse(text, &bytes);
    if (fault != INK_BYTES_OK) fail_msg("'%s' was refused: %d", text, (int)fault);
    if (bytes != want) fail_msg("'%s' is %lld, not %lld", text, (long long)bytes, (long long)want);
}

static void test_amounts(void **state) {
    (void)state;
    expect("8G", 8 * gib);
    expect("512M", 512 * mib);
    expect("1.5G", 3 * gib / 2);
    expect("0.5k", 512);
    expect(".25T", tib / 4);
    expect("8.G", 8 * gib);
    expect("0G", 0);
    expect("007M", 7 * mib);
    expect("1.1K", 1126); /* 1126.4 */
    expect("1.00000000000000000000000000000000000000001G", gib);
    expect("1.99999999999999999999999999999999999999999K", 2 * kib - 1);
    expect("8388607T", INT64_C(8388607) * tib); /* the largest below 2^63 */
}

static void test_units(void **state) {
    (void)state;
    static const char *const spellings[] = {"", "B", "b", "iB", "ib"};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        for (int lower = 0; lower < 2; lower++) {
            static const char letters[2][4] = {{'K', 'M', 'G', 'T'}, {'k', 'm', 'g', 't'}};
            for (int u = 0; u < 4; u++) {
                char text[8];
                assert_true(snprintf(text, sizeof text, "3%c%s", letters[lower][u], spellings[i]) < 8);
                expect(text, INT64_C(3) << 10 * (u + 1));
            }
        }
    }
}

static void test_faults(void **state) {
    (void)state;
    static const struct {
        const char *text;
        ink_bytes_fault fault;
    } cases[] = {
        {"8", INK_BYTES_NO_UNIT},          {"1.5", INK_BYTES_NO_UNIT},
        {"0", INK_BYTES_NO_UNIT},          {"99999999999999999999", INK_BYTES_NO_UNIT},
        {"", INK_BYTES_NO_NUMBER},         {"G", INK_BYTES_NO_NUMBER},
        {".", INK_BYTES_NO_NUMBER},        {".G", INK_BYTES_NO_NUMBER},
        {"8Q", INK_BYTES_NO_NUMBER},       {"8GG", INK_BYTES_NO_NUMBER},
        {"8Gi", INK_BYTES_NO_NUMBER},      {"8GiBs", INK_BYTES_NO_NUMBER},
        {"8BG", INK_BYTES_NO_NUMBER},      {"8B", INK_BYTES_NO_NUMBER},
        {"8 G", INK_BYTES_NO_NUMBER},      {" 8G", INK_BYTES_NO_NUMBER},
        {"8G ", INK_BYTES_NO_NUMBER},      {"-8G", INK_BYTES_NO_NUMBER},
        {"+8G", INK_BYTES_NO_NUMBER},      {"1,5G", INK_BYTES_NO_NUMBER},
        {"1.5.5G", INK_BYTES_NO_NUMBER},   {"0x8G", INK_BYTES_NO_NUMBER},
        {"1e3G", INK_BYTES_NO_NUMBER},     {"infG", INK_BYTES_NO_NUMBER},
        {"nan", INK_BYTES_NO_NUMBER},      {"all", INK_BYTES_NO_NUMBER},
        {"8388608T", INK_BYTES_TOO_LARGE}, {"99999999999999999999K", INK_BYTES_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t bytes = 42;
        const ink_bytes_fault fault = ink_bytes_parse(cases[i].text, &bytes);
        if (fault != cases[i].fault) fail_msg("'%s': %d", cases[i].text, (int)fault);
        assert_true(bytes == 42);
    }
}

static void test_texts(void **state) {
    (void)state;
    static const struct {
        int64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1023, "1023"},
        {1024, "1K"},
        {1536, "1.5K"},
        {1048575, "1023.9K"},
        {1048576, "1M"},
        {INT64_C(8) << 30, "8G"},
        {INT64_C(3) << 29, "1.5G"},
        {INT64_C(1) << 50, "1024T"},
        {INT64_MAX, "8388607.9T"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[ink_bytes_text_size];
        assert_string_equal(ink_bytes_text(cases[i].bytes, text), cases[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
