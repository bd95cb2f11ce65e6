/*
 * Matrices of small integers with a scale and a bias per group: the definition, element by element.
 */
#define _XOPEN_SOURCE 700 /* mkdtemp */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph/ops.h"
#include "tensor_file.h"
#include "weights/quantized.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/inkstone-quantized-XXXXXX";

enum { outputs = 2, group = 32, groups = 2, inputs = group * groups };

/* A file with x.weight, x.scales and x.biases from byte `begin` on: the data are bytes 0, 1, 2, ... */
static ink_weights *open_matrix(int bits, const char *scales, int begin) {
    const int words = inputs * bits / 32, scale_bytes = strcmp(scales, "F32") == 0 ? 4 : 2;
    const int a = begin + outputs * words * 4, b = a + outputs * groups * scale_bytes;
    const int end = b + outputs * groups * scale_bytes;
    char header[512];
    snprintf(header, sizeof header,
             "{\"x.weight\":{\"dtype\":\"U32\",\"shape\":[%d,%d],\"data_offsets\":[%d,%d]},"
             "\"x.scales\":{\"dtype\":\"%s\",\"shape\":[%d,%d],\"data_offsets\":[%d,%d]},"
             "\"x.biases\":{\"dtype\":\"%s\",\"shape\":[%d,%d],\"data_offsets\":[%d,%d]}}",
             outputs, words, begin, a, scales, outputs, groups, a, b, scales, outputs, groups, b, end);
    tensor_file_write(folder, "w.safetensors", header, (size_t)end);
    ink_weights *weights;
    assert_int_equal(ink_weights_open(folder, "w", &weights, NULL), INK_OK);
    return weights;
}

/* The scale or bias of a group, from the bytes of the file. */
static float table_value(const char *type, int64_t first_byte, int64_t i) {
    const ink_dtype dtype = strcmp(type, "F32") == 0   ? INK_F32
                            : strcmp(type, "F16") == 0 ? INK_F16
                                                       : INK_BF16;
    const int64_t unit = (int64_t)ink_dtype_bytes(dtype);
    unsigned char bytes[4];
    for (int64_t k = 0; k < unit; k++) {
        bytes[k] = (unsigned char)(first_byte + i * unit + k);
    }
    return ink_element_f32(bytes, dtype, 0);
}

static void expect_rows(int bits, const char *type, int begin) {
    ink_weights *weights = open_matrix(bits, type, begin);
    const ink_shape shape = ink_shape2(outputs, inputs);
    ink_quantized q;
    bool found = false;
    ink_error error = {0};
    if (ink_quantized_find(weights, "x.weight", &shape, &q, &found, &error) != INK_OK)
        fail_msg("%s", error.message);
    assert_true(found);
    assert_int_equal(q.bits, bits);
    assert_int_equal(q.group, group);
    const int64_t number_bytes = outputs * inputs * bits / 8;
    const int64_t table_bytes = outputs * groups * (int64_t)ink_dtype_bytes(q.scales->dtype);
    assert_int_equal(ink_quantized_bytes(&q), number_bytes + 2 * table_bytes);
    for (int64_t o = 0; o < outputs; o++) {
        float row[inputs];
        ink_quantized_row(&q, o, inputs, row);
        for (int64_t i = 0; i < inputs; i++) {
            /* Numbers follow each other from the lowest bits on, so bytes do as well. */
            const int64_t bit = (o * inputs + i) * bits;
            const int byte = (begin + (int)(bit / 8)) & 255, number = byte >> bit % 8 & ((1 << bits) - 1);
            const int64_t g = o * groups + i / group;
            const float scale = table_value(type, begin + number_bytes, g);
            const float bias = table_value(type, begin + number_bytes + table_bytes, g);
            const double product = (double)number * (double)scale, want = product + (double)bias;
            const double bound = 1e-6 * (fabs(product) + fabs((double)bias));
            if (!(fabs((double)row[i] - want) <= bound))
                fail_msg("[%d, %d]: %g, not %g", (int)o, (int)i, (double)row[i], want);
        }
    }
    ink_weights_close(weights);
}

static void rows_are_what_the_definition_says(void **state) {
    (void)state;
    static const char *const types[] = {"F32", "BF16", "F16"};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (int begin = 0; begin < 4; begin++) { /* wherever the file puts them */
            expect_rows(4, types[t], begin);
            expect_rows(8, types[t], begin);
        }
    }
}

static void expect_refusal(const char *header, size_t data_bytes, int64_t o, int64_t i) {
    tensor_file_write(folder, "w.safetensors", header, data_bytes);
    ink_weights *weights;
    ink_error error = {0};
    if (ink_weights_open(folder, "w", &weights, &error) != INK_OK) fail_msg("%s", error.message);
    const ink_shape shape = ink_shape2(o, i);
    ink_quantized q;
    bool found;
    if (ink_quantized_find(weights, "x.weight", &shape, &q, &found, &error) != INK_ERROR_FORMAT)
        fail_msg("accepted: %s", header);
    assert_non_null(strstr(error.message, "x.weight"));
    ink_weights_close(weights);
}

#define NUMBERS TENSOR("x.weight", "U32", "[1,4]", "[0,16]")

static void what_makes_no_matrix_is_refused(void **state) {
    (void)state;
    static const char scales[] = "{" NUMBERS "," TENSOR("x.scales", "F32", "[1,1]", "[16,20]") "," TENSOR(
        "x.biases", "F32", "[1,1]", "[20,24]") "}";
    expect_refusal(scales, 24, 2, 32); /* other outputs than the network needs */
    expect_refusal(scales, 24, 1, 16); /* 8 bits, but a group of 16 */
    expect_refusal(scales, 24, 1, 64); /* 2 bits */
    expect_refusal(scales, 24, 1, 24); /* no whole number of bits */
    expect_refusal("{" NUMBERS "}", 16, 1, 32);
    expect_refusal("{" NUMBERS "," TENSOR("x.scales", "F32", "[1,1]", "[16,20]") "}", 20, 1, 32);
    expect_refusal("{" NUMBERS "," TENSOR("x.scales", "F32", "[1,1]",
                                          "[16,20]") "," TENSOR("x.biases", "F16", "[1,1]", "[20,22]") "}",
                   22, 1, 32); /* two types */
    expect_refusal("{" NUMBERS "," TENSOR("x.scales", "I32", "[1,1]",
                                          "[16,20]") "," TENSOR("x.biases", "I32", "[1,1]", "[20,24]") "}",
                   24, 1, 32);
    expect_refusal("{" NUMBERS "," TENSOR("x.scales", "F32", "[1,1]",
                                          "[16,20]") "," TENSOR("x.biases", "F32", "[1]", "[20,24]") "}",
                   24, 1, 32);
    expect_refusal("{" NUMBERS "," TENSOR("x.scales", "F32", "[1,0]",
                                          "[16,16]") "," TENSOR("x.biases", "F32", "[1,0]", "[16,16]") "}",
                   16, 1, 32);
}

static void other_tensors_are_not_quantized(void **state) {
    (void)state;
    tensor_file_write(folder, "w.safetensors", "{" TENSOR("x.weight", "F32", "[1,1]", "[0,4]") "}", 4);
    ink_weights *weights;
    assert_int_equal(ink_weights_open(folder, "w", &weights, NULL), INK_OK);
    const ink_shape shape = ink_shape2(1, 1);
    ink_quantized q;
    bool found = true;
    assert_int_equal(ink_quantized_find(weights, "x.weight", &shape, &q, &found, NULL), INK_OK);
    assert_false(found);
    found = true;
    assert_int_equal(ink_quantized_find(weights, "y.weight", &shape, &q, &found, NULL), INK_OK);
    assert_false(found);
    ink_weights_close(weights);
    assert_int_equal(ink_weights_create_synthetic(&weights, NULL), INK_OK);
    found = true;
    assert_int_equal(ink_quantized_find(weights, "x.weight", &shape, &q, &found, NULL), INK_OK);
    assert_false(found);
    ink_weights_close(weights);
}

/* What a product reads is the three tensors, not a number of 32 bits for each element. */
static void products_count_the_bytes_that_are_stored(void **state) {
    (void)state;
    for (int bits = 4; bits <= 8; bits += 4) {
        ink_weights *weights = open_matrix(bits, "BF16", 0);
        ink_graph *graph;
        assert_int_equal(ink_graph_create(&graph, NULL), INK_OK);
        const ink_value x = ink_slot(graph, "x", INK_F32, ink_shape2(3, inputs));
        const ink_value w = ink_weight_value(graph, weights, ink_shape2(outputs, inputs), "x.weight");
        const ink_value y = ink_linear(graph, x, w, INK_NO_VALUE, INK_ACT_NONE);
        assert_int_equal(ink_graph_status(graph, NULL), INK_OK);
        const ink_node *node = ink_graph_node(graph, ink_graph_value(graph, y.id)->node);
        const int numbers = outputs * inputs * bits / 8, tables = 2 * outputs * groups * 2;
        const int activations = 3 * (inputs + outputs) * 4;
        assert_int_equal((int)ink_node_bytes(graph, node), numbers + tables + activations);
        ink_graph_destroy(graph);
        ink_weights_close(weights);
    }
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    (void)remove(path);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_what_the_definition_says),
        cmocka_unit_test(what_makes_no_matrix_is_refused),
        cmocka_unit_test(other_tensors_are_not_quantized),
        cmocka_unit_test(products_count_the_bytes_that_are_stored),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
