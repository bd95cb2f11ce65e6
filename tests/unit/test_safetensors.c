/*
 * The format itself: what is accepted, and hostile files as a table. Everything is parsed from memory that
 * ends where the file ends, so that a sanitizer sees a read behind it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tensor_file.h"
#include "weights/json_scan.h"
#include "weights/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Parses a file made of `header`; its memory must stay as long as the tensors. */
static ink_status parse(const char *header, size_t data_bytes, unsigned char **file, ink_safetensors *tensors,
                        ink_error *error) {
    size_t bytes;
    *file = tensor_file(header, data_bytes, &bytes);
    return ink_safetensors_parse(*file, bytes, "FILE", tensors, error);
}

static void expect_refusal(const char *header, size_t data_bytes, const char *part) {
    unsigned char *file;
    ink_safetensors tensors;
    ink_error error = {0};
    const ink_status status = parse(header, data_bytes, &file, &tensors, &error);
    if (status != INK_ERROR_FORMAT) fail_msg("status %d for %.200s", (int)status, header);
    assert_null(tensors.entries);
    assert_int_equal(tensors.count, 0);
    if (!strstr(error.message, part)) fail_msg("'%s' does not say '%s'", error.message, part);
    if (!strstr(error.message, "FILE")) fail_msg("'%s' does not name the file", error.message);
    free(file);
}

static void hostile_headers_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *part;
    } cases[] = {
        /* the JSON around the tensors */
        {"", 0, "found the end"},
        {"[]", 0, "expected '{'"},
        {"{}{}", 0, "follows"},
        {"{,}", 0, "expected"},
        {"{" TENSOR("a", "U8", "[1]", "[0,1]") ",}", 1, "a value after ','"},
        {"{" TENSOR("a", "F32", "[2]", "[0,8]"), 8, "expected"},
        {"{\"a\":7}", 0, "expected '{'"},
        {"{\"a\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "expected a string"},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "twice"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "twice"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "has no \"dtype\""},
        {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "has no \"shape\""},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "has no \"data_offsets\""},
        /* offsets */
        {"{" TENSOR("a", "F32", "[2]", "[0,8]") "}", 7, "cut or was not downloaded whole"},
        {"{" TENSOR("a", "F32", "[2]", "[8,0]") "}", 8, "before it begins"},
        {"{" TENSOR("a", "U8", "[0]", "[9,9]") "}", 8, "ends at offset 9"},
        {"{" TENSOR("a", "U8", "[4]", "[0,9223372036854775807]") "}", 8, "9223372036854775807"},
        {"{" TENSOR("a", "U8", "[4]", "[0,9223372036854775808]") "}", 8, "too large"},
        {"{" TENSOR("a", "U8", "[4]", "[18446744073709551615,3]") "}", 8, "too large"},
        {"{" TENSOR("a", "U8", "[4]", "[-1,3]") "}", 8, "negative"},
        {"{" TENSOR("a", "U8", "[4]", "[0.5,3]") "}", 8, "whole number"},
        {"{" TENSOR("a", "U8", "[4]", "[0,4e0]") "}", 8, "whole number"},
        {"{" TENSOR("a", "U8", "[4]", "[00,4]") "}", 8, "begins with 0"},
        {"{" TENSOR("a", "U8", "[4]", "[0]") "}", 8, "expected ','"},
        {"{" TENSOR("a", "U8", "[4]", "[0,4,8]") "}", 8, "expected ']'"},
        {"{" TENSOR("a", "U8", "[4]", "\"0\"") "}", 8, "expected '['"},
        /* sizes */
        {"{" TENSOR("a", "F32", "[3]", "[0,8]") "}", 8, "needs another size"},
        {"{" TENSOR("a", "F32", "[2]", "[0,7]") "}", 8, "needs another size"},
        {"{" TENSOR("a", "F32", "[2]", "[0,9]") "}", 16, "needs another size"},
        {"{" TENSOR("a", "F32", "[0]", "[0,4]") "}", 8, "needs another size"},
        {"{" TENSOR("a", "F32", "[4611686018427387904]", "[0,0]") "}", 0, "needs another size"},
        {"{" TENSOR("a", "U8", "[-4]", "[0,4]") "}", 8, "negative"},
        {"{" TENSOR("a", "U8", "[18446744073709551620]", "[0,4]") "}", 8, "too large"},
        {"{" TENSOR("a", "U8", "[9223372036854775807,2]", "[0,4]") "}", 8, "2^63"},
        {"{" TENSOR("a", "U8", "[4294967296,4294967296]", "[0,0]") "}", 8, "2^63"},
        {"{" TENSOR("a", "U8", "[4294967296,4294967296,0,4]", "[0,4]") "}", 8, "2^63"},
        {"{" TENSOR("a", "U8", "4", "[0,4]") "}", 8, "expected '['"},
        /* overlaps and names */
        {"{" TENSOR("a", "U8", "[4]", "[0,4]") "," TENSOR("b", "U8", "[4]", "[3,7]") "}", 8, "overlaps"},
        {"{" TENSOR("b", "U8", "[4]", "[3,7]") "," TENSOR("a", "U8", "[4]", "[0,4]") "}", 8, "overlaps"},
        {"{" TENSOR("a", "U8", "[8]", "[0,8]") "," TENSOR("b", "U8", "[1]", "[3,4]") "}", 8, "overlaps"},
        {"{" TENSOR("a", "U8", "[8]", "[0,8]") "," TENSOR("b", "U8", "[8]", "[0,8]") "}", 8, "overlaps"},
        {"{" TENSOR("a", "X9", "[8]", "[0,8]") "," TENSOR("b", "U8", "[1]", "[7,8]") "}", 8, "overlaps"},
        {"{" TENSOR("a", "U8", "[8]", "[0,8]") "," TENSOR("e", "U8", "[0]",
                                                          "[4,4]") "," TENSOR("b", "U8", "[1]", "[7,8]") "}",
         8, "overlaps"},
        {"{" TENSOR("a", "U8", "[4]", "[0,4]") "," TENSOR("a", "U8", "[4]", "[4,8]") "}", 8, "twice"},
        {"{" TENSOR("a", "U8", "[4]", "[0,4]") "," TENSOR("\\u0061", "U8", "[4]", "[4,8]") "}", 8, "twice"},
        {"{" TENSOR("a\\u0000b", "U8", "[1]", "[0,1]") "}", 1, "NUL"},
        {"{" TENSOR("a\\u0007", "U8", "[1]", "[0,1]") "}", 1, "control character"},
        {"{" TENSOR("a\n", "U8", "[1]", "[0,1]") "}", 1, "control character"},
        {"{" TENSOR("\xff", "U8", "[1]", "[0,1]") "}", 1, "not UTF-8"},
        {"{" TENSOR("\xc0\xaf", "U8", "[1]", "[0,1]") "}", 1, "not UTF-8"},
        {"{" TENSOR("\\ud800", "U8", "[1]", "[0,1]") "}", 1, "surrogate"},
        {"{" TENSOR("\\ud800\\u0041", "U8", "[1]", "[0,1]") "}", 1, "surrogate"},
        {"{" TENSOR("\\x41", "U8", "[1]", "[0,1]") "}", 1, "escape"},
        {"{" TENSOR("\\u00g1", "U8", "[1]", "[0,1]") "}", 1, "hexadecimal"},
        /* metadata */
        {"{\"__metadata__\":[]}", 0, "expected '{'"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "expected a string"},
        {"{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}", 0, "twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice"},
        {"{\"__metadata__\":{\"a\":\"\n\"}}", 0, "control character"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_refusal(cases[i].header, cases[i].data_bytes, cases[i].part);
    }
}

static void unusual_headers_are_accepted(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes, tensors;
    } cases[] = {
        {"{}", 0, 0},
        {" {\n} \t\r\n  ", 5, 0}, /* padding, and data of nobody */
        {"{\"__metadata__\":null}", 0, 0},
        {"{" TENSOR("scalar", "F32", "[]", "[0,4]") "}", 4, 1},
        {"{" TENSOR("holes", "U8", "[2]", "[3,5]") "," TENSOR("before", "U8", "[1]", "[1,2]") "}", 9, 2},
        {"{" TENSOR("a", "U8", "[4]", "[0,4]") "," TENSOR("empty", "F32", "[3,0]", "[2,2]") "}", 4, 2},
        {"{" TENSOR("empty", "F32", "[0]", "[4,4]") "}", 4, 1},
        {"{" TENSOR("", "U8", "[1]", "[0,1]") "}", 1, 1},
        {"{" TENSOR("wide", "U8", "[1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, 1},
        {"{\"a\":{\"more\":[1,-2.5e3,{\"x\":[null,true,\"\\n\"]}],\"shape\":[1],\"dtype\":\"U8\","
         "\"data_offsets\":[0,1]}}",
         1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char *file;
        ink_safetensors tensors;
        ink_error error = {0};
        if (parse(cases[i].header, cases[i].data_bytes, &file, &tensors, &error) != INK_OK)
            fail_msg("%s", error.message);
        assert_int_equal(tensors.count, cases[i].tensors);
        ink_safetensors_free(&tensors);
        free(file);
    }
}

static void views_point_to_the_right_bytes(void **state) {
    (void)state;
    static const char header[] = "{" TENSOR("b", "U8", "[2]", "[5,7]") "," TENSOR("a\\u00e9\\ud83d\\ude00/",
                                                                                  "U8", "[1,3]", "[0,3]") "}";
    unsigned char *file;
    ink_safetensors tensors;
    assert_int_equal(parse(header, 7, &file, &tensors, NULL), INK_OK);
    assert_int_equal(tensors.count, 2);
    const ink_tensor_entry *a = &tensors.entries[0], *b = &tensors.entries[1];
    assert_string_equal(a->weight.name, "a\xc3\xa9\xf0\x9f\x98\x80/");
    assert_string_equal(b->weight.name, "b");
    assert_int_equal(a->weight.shape.rank, 2);
    assert_int_equal(a->weight.shape.dim[1], 3);
    assert_memory_equal(a->weight.data, ((unsigned char[]){0, 1, 2}), 3);
    assert_memory_equal(b->weight.data, ((unsigned char[]){5, 6}), 2);
    assert_int_equal(b->n_bytes, 2);
    assert_ptr_equal(ink_safetensors_find(&tensors, "b"), b);
    assert_null(ink_safetensors_find(&tensors, "bb"));
    ink_safetensors_free(&tensors);
    free(file);
}

static void every_storage_type_has_its_size(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ink_dtype dtype;
        int bytes;
    } types[] = {
        {"F64", INK_F64, 8},   {"F32", INK_F32, 4},         {"F16", INK_F16, 2},
        {"BF16", INK_BF16, 2}, {"F8_E4M3", INK_F8_E4M3, 1}, {"F8_E5M2", INK_F8_E5M2, 1},
        {"I64", INK_I64, 8},   {"I32", INK_I32, 4},         {"I16", INK_I16, 2},
        {"I8", INK_I8, 1},     {"U64", INK_U64, 8},         {"U32", INK_U32, 4},
        {"U16", INK_U16, 2},   {"U8", INK_U8, 1},           {"BOOL", INK_BOOL, 1},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char header[256];
        for (int wrong = 0; wrong < 2; wrong++) {
            snprintf(header, sizeof header,
                     "{\"a\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%d]}}", types[i].name,
                     3 * types[i].bytes + wrong);
            if (wrong) {
                expect_refusal(header, 64, "needs another size");
                continue;
            }
            unsigned char *file;
            ink_safetensors tensors;
            assert_int_equal(parse(header, 64, &file, &tensors, NULL), INK_OK);
            assert_int_equal(tensors.entries[0].weight.dtype, types[i].dtype);
            assert_null(tensors.entries[0].unsupported);
            ink_safetensors_free(&tensors);
            free(file);
        }
    }
}

/* Opens a file with one tensor of that many dimensions. */
static const ink_tensor_entry *parse_ones(int rank, unsigned char **file, ink_safetensors *tensors) {
    char header[256] = "{\"ones\":{\"dtype\":\"U8\",\"data_offsets\":[0,1],\"shape\":[1";
    for (int i = 1; i < rank; i++) {
        memcpy(header + strlen(header), ",1", 3);
    }
    memcpy(header + strlen(header), "]}}", 4);
    assert_int_equal(parse(header, 1, file, tensors, NULL), INK_OK);
    return &tensors->entries[0];
}

/* A file may hold what this version cannot read, as long as nobody asks for it. */
static void unknown_kinds_are_marked(void **state) {
    (void)state;
    unsigned char *file;
    ink_safetensors tensors;
    const ink_tensor_entry *most = parse_ones(INK_MAX_RANK, &file, &tensors);
    assert_null(most->unsupported);
    assert_int_equal(most->weight.shape.rank, INK_MAX_RANK);
    ink_safetensors_free(&tensors);
    free(file);

    const ink_tensor_entry *over = parse_ones(INK_MAX_RANK + 1, &file, &tensors);
    assert_non_null(over->unsupported);
    assert_non_null(strstr(over->unsupported, "dimensions"));
    assert_null(over->weight.data);
    ink_safetensors_free(&tensors);
    free(file);

    assert_int_equal(
        parse("{" TENSOR("packed", "F4", "[4]", "[1,3]") "," TENSOR("u", "U8", "[1]", "[3,4]") "}", 4, &file,
              &tensors, NULL),
        INK_OK);
    const ink_tensor_entry *packed = ink_safetensors_find(&tensors, "packed");
    assert_non_null(strstr(packed->unsupported, "F4"));
    assert_int_equal(ink_shape_count(&packed->weight.shape), 2); /* its bytes */
    assert_null(packed->weight.data);
    assert_null(ink_safetensors_find(&tensors, "u")->unsupported);
    ink_safetensors_free(&tensors);
    free(file);
}

static void metadata_is_in_order_of_key(void **state) {
    (void)state;
    unsigned char *file;
    ink_safetensors tensors;
    assert_int_equal(parse("{\"__metadata__\":{\"z\":\"1\",\"format\":\"p\\tt\"}}", 0, &file, &tensors, NULL),
                     INK_OK);
    assert_int_equal(tensors.metadata_count, 2);
    assert_string_equal(tensors.metadata[0].key, "format");
    assert_string_equal(tensors.metadata[0].value, "p\tt");
    assert_string_equal(tensors.metadata[1].key, "z");
    ink_safetensors_free(&tensors);
    free(file);
}

/* A header with a value of that many nested brackets. */
static char *nested(size_t depth, bool closed) {
    static const char begin[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":";
    char *header = malloc(sizeof begin + 2 * depth + 2);
    assert_non_null(header);
    memcpy(header, begin, sizeof begin - 1);
    char *end = header + sizeof begin - 1;
    memset(end, '[', depth);
    end += depth;
    if (closed) {
        memset(end, ']', depth);
        memset(end + depth, '}', 2);
        end += depth + 2;
    }
    *end = '\0';
    return header;
}

static void depth_is_limited(void **state) {
    (void)state;
    char *deep = nested(1000000, false), *over = nested(INK_SCAN_MAX_DEPTH + 1, true);
    char *most = nested(INK_SCAN_MAX_DEPTH, true);
    expect_refusal(deep, 1, "deep");
    expect_refusal(over, 1, "deep");
    unsigned char *file;
    ink_safetensors tensors;
    assert_int_equal(parse(most, 1, &file, &tensors, NULL), INK_OK);
    ink_safetensors_free(&tensors);
    free(file);
    free(deep);
    free(over);
    free(most);
}

static void lengths_of_headers_are_checked(void **state) {
    (void)state;
    static const struct {
        uint64_t length;
        const char *part;
    } cases[] = {{100, "cut"},
                 {INK_SAFETENSORS_MAX_HEADER, "cut"},
                 {INK_SAFETENSORS_MAX_HEADER + 1, "at most"},
                 {UINT64_MAX, "at most"},
                 {UINT64_MAX - 7, "at most"}};
    ink_safetensors tensors;
    ink_error error = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char file[8];
        for (int k = 0; k < 8; k++) {
            file[k] = (unsigned char)(cases[i].length >> 8 * k);
        }
        assert_int_equal(ink_safetensors_parse(file, sizeof file, "FILE", &tensors, &error),
                         INK_ERROR_FORMAT);
        if (!strstr(error.message, cases[i].part)) fail_msg("%s", error.message);
    }
    static const unsigned char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\n";
    assert_int_equal(ink_safetensors_parse(pointer, sizeof pointer - 1, "FILE", &tensors, &error),
                     INK_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "git lfs pull"));
}

static const char whole[] = "{\"__metadata__\":{\"k\":\"v\\u00e9\"}," TENSOR(
    "a.b", "F32", "[2,1]", "[0,8]") "," TENSOR("c", "BF16", "[1]", "[10,12]") "}";

/* No piece of a file is taken for the whole. */
static void cut_files_are_refused(void **state) {
    (void)state;
    size_t bytes;
    unsigned char *file = tensor_file(whole, 12, &bytes);
    for (size_t n = 0; n < bytes; n++) {
        unsigned char *part = malloc(n ? n : 1);
        assert_non_null(part);
        memcpy(part, file, n);
        ink_safetensors tensors;
        ink_error error = {0};
        assert_int_equal(ink_safetensors_parse(part, n, "FILE", &tensors, &error), INK_ERROR_FORMAT);
        assert_true(error.message[0] != '\0');
        free(part);
    }
    free(file);
}

/* A NUL is no white space, although it looks like the end of a text. */
static void nothing_follows_the_header(void **state) {
    (void)state;
    size_t bytes;
    unsigned char *file = tensor_file(whole, 13, &bytes);
    ink_safetensors tensors;
    ink_error error = {0};
    assert_int_equal(ink_safetensors_parse(file, bytes, "FILE", &tensors, NULL), INK_OK);
    ink_safetensors_free(&tensors);
    file[0]++; /* the first byte of the data, 0, now belongs to the header */
    assert_int_equal(ink_safetensors_parse(file, bytes, "FILE", &tensors, &error), INK_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "follows"));
    free(file);
}

/* Every value of every byte: refused with a sentence, or all tensors lie in the file. */
static void no_changed_byte_leads_out_of_the_file(void **state) {
    (void)state;
    size_t bytes, accepted = 0;
    unsigned char *file = tensor_file(whole, 12, &bytes);
    for (size_t at = 0; at < bytes - 12; at++) {
        const unsigned char right = file[at];
        for (int value = 0; value < 256; value++) {
            file[at] = (unsigned char)value;
            ink_safetensors tensors;
            ink_error error = {0};
            if (ink_safetensors_parse(file, bytes, "FILE", &tensors, &error) != INK_OK) {
                assert_true(error.message[0] != '\0');
                continue;
            }
            accepted++;
            for (size_t i = 0; i < tensors.count; i++) {
                const ink_tensor_entry *entry = &tensors.entries[i];
                assert_true(entry->bytes >= file && entry->bytes + entry->n_bytes <= file + bytes);
            }
            ink_safetensors_free(&tensors);
        }
        file[at] = right;
    }
    assert_true(accepted > bytes - 12); /* names may change */
    free(file);
}

/* 200000 tensors in the worst order: with a search through all for each, this would take minutes. */
static void many_tensors_take_little_time(void **state) {
    (void)state;
    enum { count = 200000, line = 96, seconds = 30 };
    char *header = malloc((size_t)count * line), *end = header;
    assert_non_null(header);
    for (int i = count - 1; i >= 0; i--) {
        end += snprintf(end, line, "%s\"t%06d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                        i == count - 1 ? "{" : ",", i, i, i + 1);
    }
    memcpy(end, "}", 2);
    unsigned char *file;
    ink_safetensors tensors;
    const clock_t begin = clock();
    assert_int_equal(parse(header, count, &file, &tensors, NULL), INK_OK);
    assert_int_equal(tensors.count, count);
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%06d", i);
        const ink_tensor_entry *entry = ink_safetensors_find(&tensors, name);
        assert_non_null(entry);
        assert_int_equal(entry->bytes[0], i & 255);
    }
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC <= seconds);
    ink_safetensors_free(&tensors);
    free(file);
    free(header);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(unusual_headers_are_accepted),
        cmocka_unit_test(views_point_to_the_right_bytes),
        cmocka_unit_test(every_storage_type_has_its_size),
        cmocka_unit_test(unknown_kinds_are_marked),
        cmocka_unit_test(metadata_is_in_order_of_key),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(lengths_of_headers_are_checked),
        cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(nothing_follows_the_header),
        cmocka_unit_test(no_changed_byte_leads_out_of_the_file),
        cmocka_unit_test(many_tensors_take_little_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
