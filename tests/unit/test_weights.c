/*
 * Weights from files, shards and the generator; hostile safetensors files as a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "weights/safetensors.h"
#include "weights/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/inkstone-weights-XXXXXX";

static void path_of(const char *name, char path[512]) {
    snprintf(path, 512, "%s/%s", folder, name);
}

static void write_bytes(const char *name, const void *data, size_t bytes) {
    char path[512];
    path_of(name, path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    fclose(file);
}

/* A safetensors file: header text, then `data_bytes` bytes 0, 1, 2, ... */
static void write_tensors(const char *name, const char *header, size_t data_bytes) {
    const uint64_t length = strlen(header);
    const size_t bytes = 8 + (size_t)length + data_bytes;
    unsigned char *file = malloc(bytes);
    assert_non_null(file);
    memcpy(file, &length, sizeof length);
    memcpy(file + 8, header, (size_t)length);
    for (size_t i = 0; i < data_bytes; i++) {
        file[8 + length + i] = (unsigned char)i;
    }
    write_bytes(name, file, bytes);
    free(file);
}

static void remove_file(const char *name) {
    char path[512];
    path_of(name, path);
    assert_int_equal(remove(path), 0);
}

static void expect_refusal(const char *header, size_t data_bytes, const char *part) {
    write_tensors("hostile.safetensors", header, data_bytes);
    char path[512];
    path_of("hostile.safetensors", path);
    ink_weights *weights;
    ink_error error = {0};
    const ink_status status = ink_weights_open_file(path, &weights, &error);
    if (status == INK_OK) fail_msg("accepted: %s", header);
    assert_null(weights);
    if (!strstr(error.message, part)) fail_msg("'%s' does not say '%s'", error.message, part);
    remove_file("hostile.safetensors");
}

#define TENSOR(name, dtype, shape, offsets)                                                                  \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void hostile_headers_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *part;
    } cases[] = {
        {"", 0, "found the end"},
        {"[]", 0, "expected '{'"},
        {"{}{}", 0, "follows"},
        {"{" TENSOR("a", "F32", "[2]", "[0,8]"), 8, "expected"},
        {"{" TENSOR("a", "F32", "[2]", "[0,8]") "}", 7, "cut or was not downloaded whole"},
        {"{" TENSOR("a", "F32", "[3]", "[0,8]") "}", 8, "needs another size"},
        {"{" TENSOR("a", "F32", "[2]", "[8,0]") "}", 8, "before it begins"},
        {"{" TENSOR("a", "U8", "[4]", "[-1,3]") "}", 8, "negative"},
        {"{" TENSOR("a", "U8", "[4]", "[0.5,3]") "}", 8, "whole number"},
        {"{" TENSOR("a", "U8", "[18446744073709551620]", "[0,4]") "}", 8, "too large"},
        {"{" TENSOR("a", "U8", "[9223372036854775807,2]", "[0,4]") "}", 8, "2^63"},
        {"{" TENSOR("a", "U8", "[4294967296,4294967296,0,4]", "[0,4]") "}", 8, "2^63"},
        {"{" TENSOR("a", "U8", "[4]", "[0,4]") "," TENSOR("b", "U8", "[4]", "[3,7]") "}", 8, "overlaps"},
        {"{" TENSOR("a", "U8", "[4]", "[0,4]") "," TENSOR("a", "U8", "[4]", "[4,8]") "}", 8, "twice"},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "twice"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype"},
        {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "shape"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "data_offsets"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "expected a string"},
        {"{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}", 0, "twice"},
        {"{" TENSOR("a\\u0000b", "U8", "[1]", "[0,1]") "}", 1, "NUL"},
        {"{" TENSOR("a\\u0007", "U8", "[1]", "[0,1]") "}", 1, "control character"},
        {"{" TENSOR("\xff", "U8", "[1]", "[0,1]") "}", 1, "not UTF-8"},
        {"{" TENSOR("\\ud800", "U8", "[1]", "[0,1]") "}", 1, "surrogate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_refusal(cases[i].header, cases[i].data_bytes, cases[i].part);
    }
}

static void deep_json_is_refused(void **state) {
    (void)state;
    enum { depth = 100000 };
    char *header = malloc(depth + 64);
    assert_non_null(header);
    const size_t n = (size_t)sprintf(header, "{\"a\":{\"x\":");
    memset(header + n, '[', depth);
    header[n + depth] = '\0';
    expect_refusal(header, 0, "deep");
    free(header);
}

static void lengths_of_headers_are_checked(void **state) {
    (void)state;
    static const struct {
        uint64_t length;
        const char *part;
    } cases[] = {{100, "cut"}, {100000001, "at most"}, {UINT64_MAX, "at most"}, {UINT64_MAX - 7, "at most"}};
    char path[512];
    path_of("short", path);
    ink_weights *weights;
    ink_error error = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_bytes("short", &cases[i].length, sizeof cases[i].length);
        assert_int_equal(ink_weights_open_file(path, &weights, &error), INK_ERROR_FORMAT);
        if (!strstr(error.message, cases[i].part)) fail_msg("%s", error.message);
    }
    write_bytes("short", "abc", 3);
    assert_int_equal(ink_weights_open_file(path, &weights, &error), INK_ERROR_FORMAT);
    write_bytes("short", "", 0);
    assert_int_equal(ink_weights_open_file(path, &weights, &error), INK_ERROR_FORMAT);
    remove_file("short");
    assert_int_equal(ink_weights_open_file(folder, &weights, &error), INK_ERROR_IO);
    assert_int_equal(ink_weights_open_file("/dev/zero", &weights, &error), INK_ERROR_IO);
}

static void views_are_right_also_when_misaligned(void **state) {
    (void)state;
    /* 3 bytes before the f32 tensor misalign it, whatever the length of the header. */
    const char *header = "{\"__metadata__\":{\"k\":\"v\"}," TENSOR("b", "F32", "[1,2]", "[3,11]") "," TENSOR(
        "a", "U8", "[3]", "[0,3]") "," TENSOR("e", "F32", "[0]", "[11,11]") "}";
    write_tensors("one.safetensors", header, 11);
    char path[512];
    path_of("one.safetensors", path);
    ink_weights *weights;
    assert_int_equal(ink_weights_open_file(path, &weights, NULL), INK_OK);
    assert_string_equal(ink_weights_metadata(weights, "k"), "v");
    assert_null(ink_weights_metadata(weights, "l"));
    assert_string_equal(ink_weights_at(weights, 0)->name, "a");
    assert_string_equal(ink_weights_at(weights, 2)->name, "e");
    assert_null(ink_weights_at(weights, 3));
    const ink_weight *b;
    const ink_shape shape = ink_shape2(1, 2), other = ink_shape2(2, 1);
    assert_int_equal(ink_weights_get(weights, "b", &shape, &b, NULL), INK_OK);
    assert_int_equal((uintptr_t)b->data % 4, 0);
    static const unsigned char bytes[8] = {3, 4, 5, 6, 7, 8, 9, 10};
    assert_memory_equal(b->data, bytes, sizeof bytes);

    ink_error error = {0};
    assert_int_equal(ink_weights_get(weights, "b", &other, &b, &error), INK_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "[1, 2]"));
    assert_non_null(strstr(error.message, "[2, 1]"));
    assert_int_equal(ink_weights_get(weights, "c", &shape, &b, &error), INK_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "\"c\""));
    const ink_shape three = ink_shape1(3);
    assert_int_equal(ink_weights_get(weights, "a", &three, &b, &error), INK_ERROR_UNSUPPORTED);
    ink_weights_close(weights);
    remove_file("one.safetensors");
}

static void prefixes_are_stripped(void **state) {
    (void)state;
    write_tensors("p.safetensors",
                  "{" TENSOR("m.a", "U8", "[1]", "[0,1]") "," TENSOR("b", "U8", "[1]", "[1,2]") "}", 2);
    char path[512];
    path_of("p.safetensors", path);
    ink_weights *weights;
    assert_int_equal(ink_weights_open_file(path, &weights, NULL), INK_OK);
    assert_int_equal(ink_weights_strip_prefix(weights, "m.", NULL), INK_OK);
    assert_non_null(ink_weights_find(weights, "a"));
    assert_null(ink_weights_find(weights, "m.a"));
    assert_non_null(ink_weights_find(weights, "b"));
    ink_weights_close(weights);
    write_tensors("p.safetensors",
                  "{" TENSOR("m.a", "U8", "[1]", "[0,1]") "," TENSOR("a", "U8", "[1]", "[1,2]") "}", 2);
    assert_int_equal(ink_weights_open_file(path, &weights, NULL), INK_OK);
    assert_int_equal(ink_weights_strip_prefix(weights, "m.", NULL), INK_ERROR_FORMAT);
    ink_weights_close(weights);
    remove_file("p.safetensors");
}

/* ---- shards ---- */

static void expect_index_refusal(const char *index, const char *part) {
    write_bytes("w.safetensors.index.json", index, strlen(index));
    ink_weights *weights;
    ink_error error = {0};
    assert_int_not_equal(ink_weights_open(folder, "w", &weights, &error), INK_OK);
    if (!strstr(error.message, part)) fail_msg("'%s' does not say '%s'", error.message, part);
}

static void shards_are_found_by_their_index(void **state) {
    (void)state;
    write_tensors("s1.safetensors", "{" TENSOR("a", "U8", "[1]", "[0,1]") "}", 1);
    write_tensors("s2.safetensors", "{" TENSOR("b", "U8", "[2]", "[0,2]") "}", 2);
    const char *good = "{\"metadata\":{\"total_size\":3},\"weight_map\":{\"b\":\"s2.safetensors\",\"a\":\"s1."
                       "safetensors\"}}";
    write_bytes("w.safetensors.index.json", good, strlen(good));
    ink_weights *weights;
    ink_error error = {0};
    if (ink_weights_open(folder, "w", &weights, &error) != INK_OK) fail_msg("%s", error.message);
    assert_non_null(ink_weights_find(weights, "a"));
    assert_non_null(ink_weights_find(weights, "b"));
    ink_weights_close(weights);

    expect_index_refusal("{\"weight_map\":{\"a\":\"../s1.safetensors\"}}",
                         "not the name of a file beside it");
    expect_index_refusal("{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "not the name of a file beside it");
    expect_index_refusal("{\"weight_map\":{\"a\":7}}", "not the name of a file beside it");
    expect_index_refusal("{\"weight_map\":{\"a\":\"s3.safetensors\"}}", "s3.safetensors");
    expect_index_refusal("{\"weight_map\":{\"a\":\"s2.safetensors\"}}", "is not in s2.safetensors");
    expect_index_refusal("{\"weight_map\":{}}", "names 0 files");
    expect_index_refusal("{}", "weight_map");
    write_tensors("s2.safetensors",
                  "{" TENSOR("a", "U8", "[2]", "[0,2]") "," TENSOR("b", "U8", "[0]", "[2,2]") "}", 2);
    expect_index_refusal("{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s2.safetensors\"}}", "twice");
    remove_file("w.safetensors.index.json");

    /* Without an index two files are ambiguous, and one is taken. */
    assert_int_equal(ink_weights_open(folder, "w", &weights, &error), INK_ERROR_IO);
    assert_non_null(strstr(error.message, "w.safetensors"));
    remove_file("s2.safetensors");
    assert_int_equal(ink_weights_open(folder, "w", &weights, NULL), INK_OK);
    ink_weights_close(weights);
    remove_file("s1.safetensors");
    assert_int_equal(ink_weights_open(folder, "w", &weights, &error), INK_ERROR_IO);
}

/* ---- the generator ---- */

static void synthetic_weights_are_useful_and_repeatable(void **state) {
    (void)state;
    ink_weights *weights, *again;
    assert_int_equal(ink_weights_create_synthetic(&weights, NULL), INK_OK);
    assert_int_equal(ink_weights_create_synthetic(&again, NULL), INK_OK);
    const ink_shape matrix = ink_shape2(64, 400), vector = ink_shape1(400);
    const ink_weight *a, *b, *c, *gain, *bias;
    assert_int_equal(ink_weights_get(weights, "blocks.0.q.weight", &matrix, &a, NULL), INK_OK);
    assert_int_equal(ink_weights_get(weights, "blocks.7.q.weight", &matrix, &b, NULL), INK_OK);
    assert_int_equal(ink_weights_get(again, "blocks.3.q.weight", &matrix, &c, NULL), INK_OK);
    assert_string_equal(b->name, "blocks.7.q.weight");
    assert_ptr_equal(a->data, b->data);
    assert_memory_equal(a->data, c->data, 64 * 400 * 2);
    assert_int_equal(ink_weights_get(weights, "blocks.0.k.weight", &matrix, &c, NULL), INK_OK);
    assert_memory_not_equal(a->data, c->data, 64 * 400 * 2);
    assert_int_equal(ink_weights_get(weights, "norm.weight", &vector, &gain, NULL), INK_OK);
    assert_int_equal(ink_weights_get(weights, "q.bias", &vector, &bias, NULL), INK_OK);
    double sum = 0, squares = 0, gains = 0;
    for (int64_t i = 0; i < 64 * 400; i++) {
        const double x = (double)ink_element_f32(a->data, a->dtype, i);
        sum += x;
        squares += x * x;
    }
    for (int64_t i = 0; i < 400; i++) {
        gains += (double)ink_element_f32(gain->data, gain->dtype, i);
        assert_true(fabsf(ink_element_f32(bias->data, bias->dtype, i)) <= 0.0201f);
    }
    assert_true(fabs(sum / (64 * 400)) < 0.002);
    assert_true(fabs(squares / 64 - 1) < 0.05); /* variance 1 / 400 */
    assert_true(fabs(gains / 400 - 1) < 0.02);
    ink_weights_release(weights);
    assert_int_equal(ink_weights_get(weights, "blocks.1.q.weight", &matrix, &b, NULL), INK_OK);
    assert_int_equal(ink_weights_get(again, "blocks.1.q.weight", &matrix, &c, NULL), INK_OK);
    assert_memory_equal(b->data, c->data, 64 * 400 * 2);
    ink_weights_close(weights);
    ink_weights_close(again);

    assert_int_equal(ink_weights_create_census(&weights, NULL), INK_OK);
    assert_int_equal(ink_weights_get(weights, "anything", &matrix, &a, NULL), INK_OK);
    assert_null(a->data);
    ink_weights_close(weights);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(deep_json_is_refused),
        cmocka_unit_test(lengths_of_headers_are_checked),
        cmocka_unit_test(views_are_right_also_when_misaligned),
        cmocka_unit_test(prefixes_are_stripped),
        cmocka_unit_test(shards_are_found_by_their_index),
        cmocka_unit_test(synthetic_weights_are_useful_and_repeatable),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
