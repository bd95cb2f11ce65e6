/*
 * Token ids: equal to the reference's, in any script, from both notations, in several threads.
 */
#include "text/tokenizer.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#define QWEN INK_SOURCE_DIR "/models/qwen-image/tokenizer"

static ink_tokenizer *qwen;
static json_t *golden;

static int set_up(void **state) {
    (void)state;
    golden = json_load_file(INK_SOURCE_DIR "/tests/golden/tokenizer.json", JSON_ALLOW_NUL, NULL);
    return !golden || ink_tokenizer_open(QWEN, &qwen, NULL) != INK_OK;
}

static int tear_down(void **state) {
    (void)state;
    json_decref(golden);
    ink_tokenizer_close(qwen);
    return 0;
}

/* Whether the ids of every golden text are right; `bad` gets the first text that is not. */
static bool goldens_agree(const ink_tokenizer *tokenizer, const char **bad) {
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(golden, "texts"), i, row) {
        const json_t *text = json_array_get(row, 0), *expected = json_array_get(row, 1);
        *bad = json_string_value(text);
        int32_t *ids = NULL;
        size_t count;
        if (ink_tokenizer_encode(tokenizer, *bad, json_string_length(text), false, &ids, &count, NULL))
            return false;
        bool equal = count == json_array_size(expected);
        for (size_t k = 0; equal && k < count; k++) {
            equal = ids[k] == json_integer_value(json_array_get(expected, k));
        }
        free(ids);
        if (!equal) return false;
    }
    return true;
}

static void test_goldens(void **state) {
    (void)state;
    assert_true(json_array_size(json_object_get(golden, "texts")) > 200);
    const char *bad = NULL;
    if (!goldens_agree(qwen, &bad)) fail_msg("ids differ for \"%s\"", bad);
    assert_int_equal(ink_tokenizer_vocab_size(qwen), 151665);
}

/* Checks that two tokenizers agree on all golden texts. */
static void check_equal(const ink_tokenizer *a, const ink_tokenizer *b) {
    assert_int_equal(ink_tokenizer_vocab_size(a), ink_tokenizer_vocab_size(b));
    size_t i, tokens = 0;
    json_t *row;
    json_array_foreach(json_object_get(golden, "texts"), i, row) {
        const json_t *text = json_array_get(row, 0);
        int32_t *ids[2];
        size_t count[2];
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(ink_tokenizer_encode(k ? b : a, json_string_value(text),
                                                  json_string_length(text), false, &ids[k], &count[k], NULL),
                             INK_OK);
        }
        assert_int_equal(count[0], count[1]);
        if (count[0] > 0) assert_memory_equal(ids[0], ids[1], count[0] * sizeof **ids);
        tokens += count[0];
        free(ids[0]);
        free(ids[1]);
    }
    assert_true(tokens > 1000);
}

static bool copy_file(const char *from, const char *name, const char *to) {
    char path[512], target[512];
    snprintf(path, sizeof path, "%s/%s", from, name);
    snprintf(target, sizeof target, "%s/%s", to, name);
    FILE *in = fopen(path, "rb"), *out = fopen(target, "wb");
    char buffer[4096];
    size_t n;
    bool good = in && out;
    while (good && (n = fread(buffer, 1, sizeof buffer, in)) > 0) {
        good = fwrite(buffer, 1, n, out) == n;
    }
    if (in) fclose(in);
    if (out) fclose(out);
    return good;
}

/* tokenizer.json and vocab.json + merges.txt + added_tokens.json of one vocabulary give the same. */
static void test_notations(void **state) {
    (void)state;
    static const char *const names[] = {"vocab.json", "merges.txt", "added_tokens.json"};
    static const char from[] = INK_SOURCE_DIR "/tests/golden/tiny-random/tokenizer";
    char folder[] = "/tmp/inkstone-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    bool copied = true;
    for (size_t i = 0; i < 3; i++) {
        copied = copied && copy_file(from, names[i], folder);
    }
    ink_tokenizer *json = NULL, *files = NULL;
    ink_error error = {0};
    const ink_status status = ink_tokenizer_open(folder, &files, &error);
    for (size_t i = 0; i < 3; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)remove(path);
    }
    (void)rmdir(folder);
    assert_true(copied);
    if (status != INK_OK) fail_msg("%s", error.message);
    assert_int_equal(ink_tokenizer_open(INK_SOURCE_DIR "/tests/golden/tiny-random", &json, NULL), INK_OK);
    check_equal(json, files);
    ink_tokenizer_close(json);
    ink_tokenizer_close(files);
}

/* Invalid bytes count as U+FFFD. */
static void test_invalid_utf8(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"caf\xC3", "caf\xEF\xBF\xBD"},
        {"\xFF cat \xE7\x8C", "\xEF\xBF\xBD cat \xEF\xBF\xBD"},
        {"a\xED\xA0\x80z", "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz"},
    };
    for (size_t i = 0; i < 3; i++) {
        int32_t *ids[2];
        size_t count[2];
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(
                ink_tokenizer_encode(qwen, pairs[i][k], strlen(pairs[i][k]), false, &ids[k], &count[k], NULL),
                INK_OK);
        }
        assert_int_equal(count[0], count[1]);
        assert_memory_equal(ids[0], ids[1], count[0] * sizeof **ids);
        free(ids[0]);
        free(ids[1]);
    }
}

/* Texts of 100,000 characters that are hard for a pattern or for merging. */
static void test_long(void **state) {
    (void)state;
    static const struct {
        const char *unit;
        size_t units, ids;
    } texts[] = {
        {"a", 100000, 12500},
        {" ", 100000, 782},
        {"\n", 100000, 3125},
        {"\xE7\x8C\xAB", 100000, 100000},
        {"1", 100000, 100000},
        {"don't ", 20000, 40001},
        {"\t \r", 33333, 66666},
        {"<|im_end|>", 10000, 10000},
        {"\xCC\x81\xCC\xA3", 50000, 150000},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const size_t length = strlen(texts[i].unit), bytes = length * texts[i].units;
        char *text = malloc(bytes);
        assert_non_null(text);
        for (size_t k = 0; k < texts[i].units; k++) {
            memcpy(text + k * length, texts[i].unit, length);
        }
        int32_t *ids = NULL;
        size_t count;
        assert_int_equal(ink_tokenizer_encode(qwen, text, bytes, false, &ids, &count, NULL), INK_OK);
        assert_int_equal(count, texts[i].ids); /* as tokenizers counts them */
        free(ids);
        free(text);
    }
}

static void *encode_goldens(void *failed) {
    const char *bad;
    for (int i = 0; i < 3; i++) {
        if (!goldens_agree(qwen, &bad)) *(bool *)failed = true;
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    enum { count = 4 };
    pthread_t threads[count];
    bool failed[count] = {false};
    for (int i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, encode_goldens, &failed[i]), 0);
    }
    for (int i = 0; i < count; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(failed[i]);
    }
}

static void test_arguments(void **state) {
    (void)state;
    ink_error error = {0};
    int32_t *ids = &(int32_t){7};
    size_t count = 7;
    assert_int_equal(ink_tokenizer_encode(NULL, "a", 1, false, &ids, &count, &error), INK_ERROR_ARGUMENT);
    assert_null(ids);
    assert_int_equal(count, 0);
    assert_int_equal(ink_tokenizer_encode(qwen, NULL, 1, false, &ids, &count, &error), INK_ERROR_ARGUMENT);
    assert_int_equal(ink_tokenizer_encode(qwen, "a", 1, false, NULL, &count, &error), INK_ERROR_ARGUMENT);
    assert_int_equal(ink_tokenizer_encode(qwen, "a", (size_t)1 << 40, false, &ids, &count, &error),
                     INK_ERROR_ARGUMENT);
    assert_int_equal(ink_tokenizer_encode(qwen, NULL, 0, false, &ids, &count, &error), INK_OK);
    assert_non_null(ids);
    assert_int_equal(count, 0);
    free(ids);
    ink_tokenizer *tokenizer = qwen;
    assert_int_equal(ink_tokenizer_open(NULL, &tokenizer, &error), INK_ERROR_ARGUMENT);
    assert_null(tokenizer);
    assert_int_equal(ink_tokenizer_open(QWEN, NULL, &error), INK_ERROR_ARGUMENT);
    assert_int_equal(ink_tokenizer_open(INK_SOURCE_DIR "/tests", &tokenizer, &error), INK_ERROR_IO);
    assert_non_null(strstr(error.message, "vocab.json"));
    ink_tokenizer_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens), cmocka_unit_test(test_notations), cmocka_unit_test(test_invalid_utf8),
        cmocka_unit_test(test_long),    cmocka_unit_test(test_threads),   cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
