/*
 * The memory of the CUDA backend, on the stand-in for a device: weights that come and go give the same
 * pictures, limits are kept, and whatever cannot be allocated is a sentence.
 */
#include "cuda/open_model.h"
#include "fake.h"
#include "verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { side = 16, picture_bytes = side * side * 3 };

static ink_status draw(ink_model *model, const char *prompt, int size, uint8_t *pixels, ink_error *error) {
    ink_request request;
    ink_request_init(&request);
    request.prompt = prompt;
    request.width = request.height = size;
    request.steps = 2;
    request.seed = 7;
    request.guidance = 1;
    ink_result *result = NULL;
    const ink_status status = ink_generate(model, &request, &result, error);
    if (status == INK_OK && pixels) memcpy(pixels, result->images[0].pixels, (size_t)size * (size_t)size * 3);
    ink_result_free(result);
    return status;
}

/* With everything on the device; returns how much of it was used. */
static size_t expected(const char *precision, uint8_t *pixels) {
    ink_error error = {0};
    ink_model *model =
        try_open_model(TINY, false, &(ink_cuda_settings){.precision = precision, .threads = 1}, &error);
    assert_non_null(model);
    if (draw(model, "a cat", side, pixels, &error) != INK_OK) fail_msg("%s", error.message);
    ink_backend_memory memory;
    ink_backend_ask_memory(model->backend, &memory);
    assert_true(memory.peak > 0);
    ink_model_close(model);
    assert_int_equal(fake_leaks(), 0);
    return memory.peak;
}

static ink_cuda_settings limited(const char *precision, size_t bytes) {
    return (ink_cuda_settings){
        .precision = precision, .threads = 1, .max_vram = bytes, .stream_smallest = 512, .stream_slot = 6000};
}

/* Draws twice below a limit. */
static ink_status draw_below(const char *precision, size_t limit, const uint8_t *same, size_t *peak) {
    ink_error error = {0};
    uint8_t pixels[picture_bytes];
    const ink_cuda_settings settings = limited(precision, limit);
    ink_model *model = try_open_model(TINY, false, &settings, &error);
    assert_non_null(model);
    ink_status status = INK_OK;
    for (int round = 0; round < 2 && status == INK_OK; round++) {
        status = draw(model, "a cat", side, pixels, &error);
        if (status == INK_OK) assert_memory_equal(pixels, same, sizeof pixels);
    }
    if (status != INK_OK) {
        assert_int_equal(status, INK_ERROR_MEMORY);
        assert_non_null(strstr(error.message, "--max-vram"));
        print_message("%s\n", error.message);
    }
    ink_backend_memory memory;
    ink_backend_ask_memory(model->backend, &memory);
    *peak = memory.peak;
    assert_true(memory.peak <= limit);
    ink_model_close(model);
    assert_int_equal(fake_leaks(), 0);
    return status;
}

static void test_streaming(void **state) {
    (void)state;
    enum { limits = 6 };
    static const char *const precisions[] = {"f32", "bf16"};
    for (int k = 0; k < 2; k++) {
        uint8_t same[picture_bytes];
        expected(precisions[k], same);
        size_t limit = (size_t)16 << 20, peak = 0;
        fake_delay_copies(k == 0);
        assert_int_equal(draw_below(precisions[k], limit, same, &peak), INK_OK);
        const size_t all = peak;
        size_t least = all;
        int good = 0, tried = 0;
        /* Some limit may be just too tight for the packing of a weight, of which a small model has large
         * ones. */
        for (limit = all; tried < limits; tried++, limit -= limit / 5) {
            if (draw_below(precisions[k], limit, same, &peak) != INK_OK) continue;
            good++;
            least = limit;
        }
        print_message("%s: %zu bytes, and the same with %zu\n", precisions[k], all, least);
        fake_delay_copies(false);
        assert_true(good > 1 && least < all * 4 / 5);
    }
}

/* ---- allocations that fail ---- */

/* Every one, or every so many of them. */
static void fail_each(const ink_cuda_settings *settings, int stride, const uint8_t *same) {
    int failed = 0;
    for (int n = 0;; n += stride) {
        ink_error error = {0};
        uint8_t pixels[picture_bytes];
        fake_fail_allocation(n);
        ink_model *model = try_open_model(TINY, false, settings, &error);
        ink_status status = model ? draw(model, "a cat", side, pixels, &error) : error.status;
        const bool came = fake_allocation_failed();
        fake_fail_allocation(-2);
        if (status != INK_OK) {
            assert_int_equal(status, INK_ERROR_MEMORY);
            assert_true(error.message[0]);
            failed++;
        }
        if (status == INK_OK) assert_memory_equal(pixels, same, sizeof pixels);
        /* And again, with memory: mostly the same code, so not every time. */
        if (model && n % 4 == 0) {
            if (draw(model, "a cat", side, pixels, &error) != INK_OK) fail_msg("%s", error.message);
            assert_memory_equal(pixels, same, sizeof pixels);
        }
        ink_model_close(model);
        assert_int_equal(fake_leaks(), 0);
        if (!came) break;
    }
    print_message("%d allocations failed\n", failed);
    assert_true(failed > 3);
}

static void test_failing_allocations(void **state) {
    (void)state;
    uint8_t same[picture_bytes];
    expected("f32", same);
    fail_each(&(ink_cuda_settings){.precision = "f32", .threads = 1}, 3, same);
    size_t peak;
    assert_int_equal(draw_below("f32", (size_t)16 << 20, same, &peak), INK_OK);
    const ink_cuda_settings settings = limited("f32", peak - peak / 5);
    fail_each(&settings, 29, same);
}

/* The device is full, and nobody set a limit: the sentence says what to set. */
static void test_advice(void **state) {
    (void)state;
    ink_error error = {0};
    ink_model *model =
        try_open_model(TINY, false, &(ink_cuda_settings){.precision = "f32", .threads = 1}, &error);
    fake_limit_memory((size_t)3 << 30);
    ink_status status = INK_OK;
    assert_non_null(model);
    status = draw(model, "a cat", side, NULL, &error);
    assert_int_equal(status, INK_OK);
    fake_limit_memory(0);
    status = draw(model, "a longer cat", 2 * side, NULL, &error);
    assert_int_equal(status, INK_ERROR_MEMORY);
    assert_non_null(strstr(error.message, "--precision fp8"));
    fake_limit_memory((size_t)1 << 40);
    if (draw(model, "a longer cat", 2 * side, NULL, &error) != INK_OK) fail_msg("%s", error.message);
    ink_model_close(model);
    assert_int_equal(fake_leaks(), 0);
}

int main(int argc, char **argv) {
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streaming),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_advice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
