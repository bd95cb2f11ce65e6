/*
 * Weights from files, shards and the generator. The format of the files has its own test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tensor_file.h"
#include "weights/weights.h"

#include <math.h>
#include <pthread.h>
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

static void remove_file(const char *name) {
    char path[512];
    path_of(name, path);
    assert_int_equal(remove(path), 0);
}

static void views_are_right_also_when_misaligned(void **state) {
    (void)state;
    /* 3 bytes before the f32 tensor misalign it. */
    const char *header = "{\"__metadata__\":{\"k\":\"v\"}," TENSOR("b", "F32", "[1,2]", "[3,11]") "," TENSOR(
        "a", "U8", "[3]", "[0,3]") "," TENSOR("e", "F32", "[0]", "[11,11]") "}";
    tensor_file_write(folder, "one.safetensors", header, 11);
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

static void only_whole_files_are_opened(void **state) {
    (void)state;
    char path[512];
    path_of("broken", path);
    ink_weights *weights;
    ink_error error = {0};
    static const char *const broken[] = {"", "abc", "12345678", "\4\0\0\0\0\0\0\0{}"};
    static const size_t bytes[] = {0, 3, 8, 10};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        write_bytes("broken", broken[i], bytes[i]);
        assert_int_equal(ink_weights_open_file(path, &weights, &error), INK_ERROR_FORMAT);
        assert_null(weights);
        assert_non_null(strstr(error.message, path));
    }
    remove_file("broken");
    assert_int_equal(ink_weights_open_file(path, &weights, &error), INK_ERROR_IO);
    assert_int_equal(ink_weights_open_file(folder, &weights, &error), INK_ERROR_IO);
    assert_int_equal(ink_weights_open_file("/dev/zero", &weights, &error), INK_ERROR_IO);
}

/* In a folder tensors are copied when they are asked for; in a single file at once. */
static void misaligned_tensors_are_copied_when_needed(void **state) {
    (void)state;
    tensor_file_write(
        folder, "w.safetensors",
        "{" TENSOR("p.odd", "U32", "[1]", "[1,5]") "," TENSOR("p.nine", "F4", "[2]", "[5,6]") "}", 6);
    ink_weights *weights;
    ink_error error = {0};
    assert_int_equal(ink_weights_open(folder, "w", &weights, NULL), INK_OK);
    assert_int_equal(ink_weights_strip_prefix(weights, "p.", NULL), INK_OK);
    const ink_weight *odd = ink_weights_find(weights, "odd"), *nine = ink_weights_find(weights, "nine");
    assert_non_null(odd);
    assert_null(odd->data);
    assert_int_equal(ink_weights_align(weights, &odd, NULL), INK_OK);
    assert_int_equal((uintptr_t)odd->data % 4, 0);
    assert_memory_equal(odd->data, ((unsigned char[]){1, 2, 3, 4}), 4);
    assert_string_equal(odd->name, "odd");
    const ink_weight *again = ink_weights_find(weights, "odd");
    assert_int_equal(ink_weights_align(weights, &again, NULL), INK_OK);
    assert_ptr_equal(again, odd);
    assert_int_equal(ink_weights_align(weights, &nine, &error), INK_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "F4"));
    const ink_shape two = ink_shape1(2);
    assert_int_equal(ink_weights_get(weights, "nine", &two, &nine, &error), INK_ERROR_UNSUPPORTED);
    ink_weights_close(weights);

    char path[512];
    path_of("w.safetensors", path);
    assert_int_equal(ink_weights_open_file(path, &weights, NULL), INK_OK);
    assert_non_null(ink_weights_find(weights, "p.odd")->data);
    assert_int_equal(ink_weights_strip_prefix(weights, "p.", NULL), INK_OK);
    assert_string_equal(ink_weights_find(weights, "odd")->name,
                        "odd"); /* the copy has the new name as well */
    ink_weights_close(weights);
    remove_file("w.safetensors");
}

static void released_files_come_back(void **state) {
    (void)state;
    enum { bytes = 1 << 16 };
    char header[128];
    snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[0,%d]}}",
             bytes, bytes);
    tensor_file_write(folder, "w.safetensors", header, bytes);
    ink_weights *weights;
    assert_int_equal(ink_weights_open(folder, "w", &weights, NULL), INK_OK);
    const unsigned char *data = ink_weights_find(weights, "a")->data;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < bytes; i++) {
            assert_int_equal(data[i], i & 255);
        }
        ink_weights_release(weights);
    }
    ink_weights_close(weights);
    remove_file("w.safetensors");
}

/* ---- threads ---- */

enum { threads = 4, blocks = 16 };

typedef struct asker {
    pthread_t thread;
    ink_weights *weights;
    const ink_weight *got[blocks];
    ink_status status;
} asker;

static void *ask(void *argument) {
    asker *a = argument;
    const ink_shape shape = ink_shape2(2, 1);
    for (int i = 0; i < blocks && a->status == INK_OK; i++) {
        char name[32];
        snprintf(name, sizeof name, "blocks.%d.w", i);
        a->status = ink_weights_get(a->weights, name, &shape, &a->got[i], NULL);
    }
    return NULL;
}

/* All threads get the same views, also where somebody must make them first. */
static void expect_same_from_all_threads(ink_weights *weights) {
    asker askers[threads] = {{0}};
    for (int t = 0; t < threads; t++) {
        askers[t].weights = weights;
        assert_int_equal(pthread_create(&askers[t].thread, NULL, ask, &askers[t]), 0);
    }
    for (int t = 0; t < threads; t++) {
        assert_int_equal(pthread_join(askers[t].thread, NULL), 0);
        assert_int_equal(askers[t].status, INK_OK);
    }
    for (int i = 0; i < blocks; i++) {
        assert_non_null(askers[0].got[i]->data);
        for (int t = 1; t < threads; t++) {
            assert_ptr_equal(askers[t].got[i], askers[0].got[i]);
        }
    }
}

static void threads_share_the_views(void **state) {
    (void)state;
    char header[blocks * 96] = "{";
    for (int i = 0; i < blocks; i++) {
        const size_t n = strlen(header);
        snprintf(header + n, sizeof header - n,
                 "%s\"blocks.%d.w\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[%d,%d]}",
                 i ? "," : "", i, 9 * i + 1, 9 * i + 9);
    }
    memcpy(header + strlen(header), "}", 2);
    tensor_file_write(folder, "w.safetensors", header, blocks * 9);
    ink_weights *weights;
    assert_int_equal(ink_weights_open(folder, "w", &weights, NULL), INK_OK);
    expect_same_from_all_threads(weights);
    ink_weights_close(weights);
    remove_file("w.safetensors");
    assert_int_equal(ink_weights_create_synthetic(&weights, NULL), INK_OK);
    expect_same_from_all_threads(weights);
    ink_weights_close(weights);
}

/* ---- a real checkpoint ---- */

static void shards_of_a_checkpoint_are_one_list(void **state) {
    (void)state;
    ink_weights *weights;
    ink_error error = {0};
    if (ink_weights_open(INK_SOURCE_DIR "/tests/golden/tiny-random/text_encoder", "model", &weights,
                         &error) != INK_OK)
        fail_msg("%s", error.message);
    assert_int_equal(ink_weights_strip_prefix(weights, "model.", NULL), INK_OK);
    size_t count = 0;
    const char *before = "";
    for (const ink_weight *w; (w = ink_weights_at(weights, count)) != NULL; count++) {
        assert_true(strcmp(before, w->name) < 0);
        assert_ptr_equal(ink_weights_find(weights, w->name), w);
        before = w->name;
    }
    assert_int_equal(count, 68);
    assert_non_null(ink_weights_find(weights, "layers.0.input_layernorm.weight"));
    assert_null(ink_weights_find(weights, "model.layers.0.input_layernorm.weight"));
    assert_non_null(ink_weights_find(weights, "visual.merger.mlp.2.bias"));
    ink_weights_close(weights);
}

static void prefixes_are_stripped(void **state) {
    (void)state;
    tensor_file_write(folder, "p.safetensors",
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
    tensor_file_write(folder, "p.safetensors",
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
    tensor_file_write(folder, "s1.safetensors", "{" TENSOR("a", "U8", "[1]", "[0,1]") "}", 1);
    tensor_file_write(folder, "s2.safetensors", "{" TENSOR("b", "U8", "[2]", "[0,2]") "}", 2);
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
    expect_index_refusal("{\"weight_map\":{\"a\":\"..\"}}", "not the name of a file beside it");
    expect_index_refusal("{\"weight_map\":{\"a\":\"\"}}", "not the name of a file beside it");
    expect_index_refusal("{\"weight_map\":{\"a\":\"s3.safetensors\"}}",
                         "w.safetensors.index.json needs s3.safetensors beside it");
    expect_index_refusal("{\"weight_map\":{\"a\":\"s2.safetensors\"}}", "is not in s2.safetensors");
    expect_index_refusal("{\"weight_map\":{}}", "names 0 files");
    expect_index_refusal("{}", "weight_map");
    tensor_file_write(folder, "s2.safetensors",
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
        cmocka_unit_test(views_are_right_also_when_misaligned),
        cmocka_unit_test(only_whole_files_are_opened),
        cmocka_unit_test(misaligned_tensors_are_copied_when_needed),
        cmocka_unit_test(released_files_come_back),
        cmocka_unit_test(threads_share_the_views),
        cmocka_unit_test(shards_of_a_checkpoint_are_one_list),
        cmocka_unit_test(prefixes_are_stripped),
        cmocka_unit_test(shards_are_found_by_their_index),
        cmocka_unit_test(synthetic_weights_are_useful_and_repeatable),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
