/*
 * The prompt template: ids equal to the reference's, and where they are cut.
 */
#include "text/prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static ink_tokenizer *tokenizer;

static int open_tokenizer(void **state) {
    (void)state;
    return (int)ink_tokenizer_open(INK_SOURCE_DIR "/models/qwen-image/tokenizer", &tokenizer, NULL);
}

static int close_tokenizer(void **state) {
    (void)state;
    ink_tokenizer_close(tokenizer);
    return 0;
}

static void check_prompt(const char *text, const json_t *expected) {
    ink_prompt_ids prompt;
    assert_int_equal(ink_prompt_tokens(tokenizer, text, 1024, &prompt, NULL), INK_OK);
    assert_int_equal(prompt.count, json_array_size(expected));
    assert_int_equal(prompt.full_count, prompt.count - INK_TEMPLATE_DROP);
    assert_false(prompt.cut);
    for (size_t i = 0; i < prompt.count; i++) {
        assert_int_equal(prompt.ids[i], json_integer_value(json_array_get(expected, i)));
    }
    int32_t *ids = NULL;
    size_t count;
    assert_int_equal(ink_tokenizer_encode(tokenizer, text, strlen(text), true, &ids, &count, NULL), INK_OK);
    assert_int_equal(count, prompt.count);
    assert_memory_equal(ids, prompt.ids, count * sizeof *ids);
    free(ids);
    free(prompt.ids);
}

static void test_goldens(void **state) {
    (void)state;
    json_t *golden = json_load_file(INK_SOURCE_DIR "/tests/golden/tokenizer.json", JSON_ALLOW_NUL, NULL);
    const json_t *prompts = json_object_get(golden, "prompts");
    assert_true(json_array_size(prompts) >= 10);
    size_t i;
    json_t *row;
    json_array_foreach(prompts, i, row) {
        check_prompt(json_string_value(json_array_get(row, 0)), json_array_get(row, 1));
    }
    json_decref(golden);
}

/* The ids of the template around the prompt, as the reference's source lists them. */
static void test_template(void **state) {
    (void)state;
    static const int32_t expected[] = {
        151644, 8948,   198, 74785,  279, 2168, 553, 44193, 279,   1894,   11,  6083,   11,    1379,
        11,     10434,  11,  12194,  11,  1467, 11,  27979, 11871, 315,    279, 6171,   323,   4004,
        25,     151645, 198, 151644, 872, 198,  64,  2518,  16009, 151645, 198, 151644, 77091, 198};
    ink_prompt_ids prompt;
    assert_int_equal(ink_prompt_tokens(tokenizer, "a red rose", 512, &prompt, NULL), INK_OK);
    assert_int_equal(prompt.count, sizeof expected / sizeof *expected);
    assert_memory_equal(prompt.ids, expected, sizeof expected);
    free(prompt.ids);
}

static void check_cut(size_t words, size_t max_kept, size_t count, bool cut) {
    char *text = malloc(5 * words + 1);
    assert_non_null(text);
    for (size_t i = 0; i < words; i++) {
        memcpy(text + 5 * i, " word", 5);
    }
    text[5 * words] = '\0';
    ink_prompt_ids prompt;
    assert_int_equal(ink_prompt_tokens(tokenizer, text, max_kept, &prompt, NULL), INK_OK);
    assert_int_equal(prompt.count, count);
    assert_int_equal(prompt.full_count, words + 5);
    assert_int_equal(prompt.cut, cut);
    for (size_t i = INK_TEMPLATE_DROP; i < prompt.count && i < words + INK_TEMPLATE_DROP; i++) {
        assert_int_equal(prompt.ids[i], 3409);
    }
    free(prompt.ids);
    free(text);
}

/* The template ends in five tokens, which a cut takes first. */
static void test_cut(void **state) {
    (void)state;
    check_cut(507, 512, 34 + 512, false);
    check_cut(508, 512, 34 + 512, true);
    check_cut(600, 512, 34 + 512, true);
    check_cut(1019, 1024, 34 + 1024, false);
    check_cut(1020, 1024, 34 + 1024, true);
    check_cut(1020, 5000, 34 + 1024, true); /* the reference's tokenizer keeps no more */
    check_cut(20000, 512, 34 + 512, true);  /* 100,000 characters */
}

static void test_nul(void **state) {
    (void)state;
    int32_t *ids = NULL;
    size_t count;
    assert_int_equal(ink_tokenizer_encode(tokenizer, "a\0b", 3, true, &ids, &count, NULL), INK_OK);
    assert_int_equal(count, 34 + 3 + 5);
    assert_int_equal(ids[35], 188); /* the byte 0 */
    free(ids);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_nul),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
