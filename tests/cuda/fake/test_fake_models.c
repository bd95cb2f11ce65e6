/*
 * Whole models through the CUDA backend on the stand-in for a device: golden tensors fused and not, in both
 * precisions, and synthetic weights that the host never makes.
 */
#include "backend/cuda/cuda.h"
#include "fake.h"
#include "pipeline/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char tiny[] = INK_SOURCE_DIR "/tests/golden/tiny-random";
static const char tiny_golden[] = INK_SOURCE_DIR "/tests/golden/tiny-random/golden.safetensors";
static const char odd[] = INK_SOURCE_DIR "/tests/golden/tiny-odd";
static const char odd_golden[] = INK_SOURCE_DIR "/tests/golden/tiny-odd/golden.safetensors";

static ink_model *open_with(const char *path, bool synthetic, const ink_cuda_settings *settings) {
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = path;
    options.backend = "cpu";
    options.threads = 1;
    options.synthetic = synthetic;
    ink_model *model;
    ink_error error = {0};
    if (ink_model_open(&options, &model, &error) != INK_OK) fail_msg("%s", error.message);
    ink_backend_destroy(model->backend);
    assert_int_equal(ink_cuda_backend_create_with(settings, &model->backend, NULL), INK_OK);
    for (int i = 0; i < ink_model_components; i++) {
        ink_weights_leave_unfilled(model->components[i].weights);
    }
    return model;
}

static void note_failure(void *user, const ink_check *check) {
    (void)user;
    if (!check->passed)
        print_message("%s: %g, at most %g\n", check->name, check->relative_l2, check->tolerance);
}

/* How many of the comparisons fail. */
static size_t verify(const char *path, const char *golden, double tolerance, bool quiet,
                     const ink_cuda_settings *settings) {
    ink_model *model = open_with(path, false, settings);
    size_t checked = 0, failed = 0;
    ink_error error = {0};
    if (ink_verify(model, golden, tolerance, quiet ? NULL : note_failure, NULL, &checked, &failed, &error) !=
        INK_OK)
        fail_msg("%s", error.message);
    ink_model_close(model);
    assert_true(checked >= 60);
    assert_int_equal(fake_leaks(), 0);
    return failed;
}

static void test_golden(void **state) {
    (void)state;
    assert_int_equal(verify(tiny, tiny_golden, 1e-5, false, &(ink_cuda_settings){.precision = "f32"}), 0);
    assert_int_equal(verify(odd, odd_golden, 1e-5, false, &(ink_cuda_settings){.precision = "f32"}), 0);
}

static void test_golden_separate(void **state) {
    (void)state;
    const ink_cuda_settings settings = {.precision = "f32", .separate = true};
    assert_int_equal(verify(tiny, tiny_golden, 1e-5, false, &settings), 0);
}

static void test_golden_bf16(void **state) {
    (void)state;
    assert_int_equal(verify(tiny, tiny_golden, 2e-2, false, &(ink_cuda_settings){.precision = "bf16"}), 0);
    assert_int_equal(verify(odd, odd_golden, 2e-2, false, &(ink_cuda_settings){.precision = "bf16"}), 0);
}

/* The check itself: bf16 is not within 1e-4. */
static void test_golden_notices(void **state) {
    (void)state;
    assert_true(verify(tiny, tiny_golden, 1e-4, true, &(ink_cuda_settings){.precision = "bf16"}) > 20);
}

/* ---- synthetic weights ---- */

static ink_result *draw(ink_model *model) {
    ink_request request;
    ink_request_init(&request);
    request.prompt = "a cat";
    request.width = request.height = 32;
    request.steps = 4;
    request.seed = 7;
    ink_result *result;
    ink_error error = {0};
    if (ink_generate(model, &request, &result, &error) != INK_OK) fail_msg("%s", error.message);
    return result;
}

static void test_synthetic(void **state) {
    (void)state;
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = tiny;
    options.backend = "reference";
    options.synthetic = true;
    ink_model *plain;
    assert_int_equal(ink_model_open(&options, &plain, NULL), INK_OK);
    ink_result *expected = draw(plain);
    ink_model_close(plain);
    ink_model *model = open_with(tiny, true, &(ink_cuda_settings){.precision = "f32"});
    for (int round = 0; round < 2; round++) { /* the second with weights that were there before */
        ink_result *result = draw(model);
        const ink_image *a = result->images, *b = expected->images;
        for (int i = 0; i < a->width * a->height * 3; i++) {
            assert_in_range(a->pixels[i] - b->pixels[i] + 1, 0, 2);
        }
        ink_result_free(result);
    }
    ink_model_close(model);
    ink_result_free(expected);
    assert_int_equal(fake_leaks(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),      cmocka_unit_test(test_golden_separate),
        cmocka_unit_test(test_golden_bf16), cmocka_unit_test(test_golden_notices),
        cmocka_unit_test(test_synthetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
