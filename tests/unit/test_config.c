/*
 * JSON configuration files: limits, types, ranges, and that the first error is the one that is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/inkstone-config-XXXXXX";

static void write_config(const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/c.json", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static ink_config open_config(const char *text) {
    write_config(text);
    ink_config config;
    ink_error error = {0};
    if (ink_config_open(folder, "c.json", &config, &error) != INK_OK) fail_msg("%s", error.message);
    return config;
}

static void expect_close_failure(ink_config *config, const char *part) {
    ink_error error = {0};
    assert_int_not_equal(ink_config_close(config, &error), INK_OK);
    if (!strstr(error.message, part)) fail_msg("'%s' does not say '%s'", error.message, part);
    if (!strstr(error.message, "c.json")) fail_msg("'%s' does not name the file", error.message);
}

static void reads_values_and_fallbacks(void **state) {
    (void)state;
    ink_config c =
        open_config("{\"i\": 7, \"whole\": 3.0, \"d\": 2.5, \"b\": true, \"t\": \"text\", \"n\": null,"
                    " \"list\": [1, 2, 3], \"flags\": [true, false], \"o\": {\"i\": 8}}");
    assert_int_equal(ink_config_int(&c, "i", 0, 10, 1), 7);
    assert_int_equal(ink_config_int(&c, "whole", 0, 10, 1), 3);
    assert_int_equal(ink_config_int(&c, "n", 0, 10, 4), 4);
    assert_int_equal(ink_config_int(&c, "absent", 0, 10, 5), 5);
    assert_true(ink_config_double(&c, "d", 0, 10, 1) == 2.5);
    assert_true(ink_config_double(&c, "i", 0, 10, 1) == 7);
    assert_true(ink_config_bool(&c, "b", false));
    assert_string_equal(ink_config_text(&c, "t", "other"), "text");
    assert_string_equal(ink_config_text(&c, "absent", "other"), "other");
    assert_true(ink_config_has(&c, "i"));
    assert_false(ink_config_has(&c, "n"));
    int64_t list[3];
    bool flags[2];
    assert_int_equal(ink_config_ints(&c, "list", 0, 10, list, 3), 3);
    assert_true(list[0] == 1 && list[2] == 3);
    assert_int_equal(ink_config_bools(&c, "flags", flags, 2), 2);
    assert_true(flags[0] && !flags[1]);
    assert_int_equal(ink_config_ints(&c, "absent", 0, 10, list, 3), 0);
    assert_true(ink_config_enter(&c, "o"));
    assert_int_equal(ink_config_int(&c, "i", 0, 10, 1), 8);
    ink_config_leave(&c);
    assert_false(ink_config_enter(&c, "absent"));
    assert_int_equal(ink_config_int(&c, "i", 0, 10, 1), 7);
    assert_int_equal(ink_config_close(&c, NULL), INK_OK);
}

static void wrong_values_are_named(void **state) {
    (void)state;
    ink_config c = open_config("{\"k\": \"seven\"}");
    assert_int_equal(ink_config_int(&c, "k", 0, 10, 3), 3);
    expect_close_failure(&c, "\"k\"");
    c = open_config("{\"k\": 11}");
    assert_int_equal(ink_config_int(&c, "k", 0, 10, 3), 3);
    expect_close_failure(&c, "11");
    c = open_config("{\"k\": 1.5}");
    ink_config_int(&c, "k", 0, 10, 3);
    expect_close_failure(&c, "\"k\"");
    c = open_config("{\"k\": 1}");
    ink_config_require_int(&c, "missing", 1, 10);
    expect_close_failure(&c, "missing");
    c = open_config("{\"k\": [1, 2, 3]}");
    int64_t list[2];
    assert_int_equal(ink_config_ints(&c, "k", 0, 10, list, 2), 0);
    expect_close_failure(&c, "\"k\"");
    c = open_config("{\"k\": [1, \"x\"]}");
    ink_config_ints(&c, "k", 0, 10, list, 2);
    expect_close_failure(&c, "k[1]");
    c = open_config("{\"k\": 5}");
    assert_false(ink_config_enter(&c, "k"));
    expect_close_failure(&c, "\"k\"");
}

static void the_first_error_is_kept(void **state) {
    (void)state;
    ink_config c = open_config("{\"first\": \"x\", \"second\": \"y\"}");
    ink_config_int(&c, "first", 0, 10, 0);
    ink_config_int(&c, "second", 0, 10, 0);
    ink_config_fail(&c, INK_ERROR_UNSUPPORTED, "third");
    expect_close_failure(&c, "first");
}

static void expect_no_json(const char *text, size_t bytes, const char *part) {
    json_t *json;
    ink_error error = {0};
    assert_int_equal(ink_json_parse(text, bytes, "input", &json, &error), INK_ERROR_FORMAT);
    assert_null(json);
    if (!strstr(error.message, part)) fail_msg("'%s' does not say '%s'", error.message, part);
}

static void hostile_json_is_refused(void **state) {
    (void)state;
    expect_no_json("", 0, "input");
    expect_no_json("{\"a\":1,\"a\":2}", 13, "duplicate");
    expect_no_json("{\"a\":\"\xff\"}", 9, "0xff");
    expect_no_json("{\"a\":1} x", 9, "input");
    expect_no_json("{\"a\":1e400}", 11, "overflow");
    enum { depth = 200000 };
    char *deep = malloc(depth);
    assert_non_null(deep);
    memset(deep, '[', depth);
    expect_no_json(deep, depth, "deep");
    memset(deep, ',', depth);
    expect_no_json(deep, depth, "input");
    free(deep);
    const size_t huge = (size_t)INK_JSON_MAX_VALUES * 2 + 4;
    char *many = malloc(huge);
    assert_non_null(many);
    many[0] = '[';
    for (size_t i = 1; i < huge; i++) {
        many[i] = i % 2 ? '1' : ',';
    }
    expect_no_json(many, huge, "values");
    free(many);
}

static void files_are_limited(void **state) {
    (void)state;
    ink_config config;
    ink_error error = {0};
    assert_int_equal(ink_config_open(folder, "absent.json", &config, &error), INK_ERROR_IO);
    assert_non_null(strstr(error.message, "absent.json"));
    write_config("[1]");
    assert_int_equal(ink_config_open(folder, "c.json", &config, &error), INK_ERROR_FORMAT);
    char path[256];
    snprintf(path, sizeof path, "%s/c.json", folder);
    assert_int_equal(truncate(path, (off_t)INK_JSON_MAX_BYTES + 1), 0);
    assert_int_equal(ink_config_open(folder, "c.json", &config, &error), INK_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "at most"));
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s/c.json", folder);
    (void)remove(path);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_values_and_fallbacks), cmocka_unit_test(wrong_values_are_named),
        cmocka_unit_test(the_first_error_is_kept),    cmocka_unit_test(hostile_json_is_refused),
        cmocka_unit_test(files_are_limited),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
