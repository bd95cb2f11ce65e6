/*
 * Whole models through the CUDA backend on the stand-in for a device: golden tensors fused and not, in both
 * precisions, and synthetic weights that the host never makes.
 */
#include "cuda/open_model.h"
#include "fake.h"
#include "verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_golden(void **state) {
    (void)state;
    assert_int_equal(fake_verify(TINY, TINY_GOLDEN, 1e-5, false, &(ink_cuda_settings){.precision = "f32"}),
                     0);
    assert_int_equal(fake_verify(ODD, ODD_GOLDEN, 1e-5, false, &(ink_cuda_settings){.precision = "f32"}), 0);
}

static void test_golden_separate(void **state) {
    (void)state;
    const ink_cuda_settings settings = {.precision = "f32", .separate = true};
    assert_int_equal(fake_verify(TINY, TINY_GOLDEN, 1e-5, false, &settings), 0);
}

static void test_golden_bf16(void **state) {
    (void)state;
    assert_int_equal(fake_verify(TINY, TINY_GOLDEN, 2e-2, false, &(ink_cuda_settings){.precision = "bf16"}),
                     0);
    assert_int_equal(fake_verify(ODD, ODD_GOLDEN, 2e-2, false, &(ink_cuda_settings){.precision = "bf16"}), 0);
}

/* The check itself: bf16 is not within 1e-4. */
static void test_golden_notices(void **state) {
    (void)state;
    assert_true(fake_verify(TINY, TINY_GOLDEN, 1e-4, true, &(ink_cuda_settings){.precision = "bf16"}) > 20);
}

/* ---- synthetic weights ---- */

static ink_result *draw(ink_model *model) {
    ink_request request;
    ink_request_init(&request);
    request.prompt = "a cat";
    request.width = request.height = 32;
    request.steps = 4;
    request.seed = 7;
    return draw_request(model, &request);
}

static void test_synthetic(void **state) {
    (void)state;
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = TINY;
    options.backend = "reference";
    options.synthetic = true;
    ink_model *plain;
    assert_int_equal(ink_model_open(&options, &plain, NULL), INK_OK);
    ink_result *expected = draw(plain);
    ink_model_close(plain);
    ink_model *model = open_model_with(TINY, true, &(ink_cuda_settings){.precision = "f32"});
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
