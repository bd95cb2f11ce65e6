/*
 * --max-ram: MLX's limits are lowered while a backend that asks for it exists, put back afterwards, and left
 * alone otherwise.
 */
#include "limits_now.h"

#include "backend/backend.h"
#include "pipeline/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { mib = 1 << 20 };

static ink_backend *new_backend(int64_t max_ram) {
    ink_backend *backend = NULL;
    ink_error error = {0};
    if (ink_backend_create("mlx", &(ink_backend_options){.max_ram = max_ram}, &backend, &error) != INK_OK)
        fail_msg("%s", error.message);
    return backend;
}

static void expect(size_t memory, size_t cache) {
    const limits now = limits_now();
    assert_int_equal(now.memory, memory);
    assert_int_equal(now.cache, cache);
}

static size_t lower(size_t a, size_t b) {
    return a < b ? a : b;
}

static void test_left_alone_unless_asked(void **state) {
    (void)state;
    const limits before = limits_now();
    ink_backend *backend = new_backend(0);
    expect(before.memory, before.cache);
    ink_backend_destroy(backend);
    expect(before.memory, before.cache);
}

static void test_lowered_and_put_back(void **state) {
    (void)state;
    const limits before = limits_now();
    static const size_t amounts[] = {mib, 8 * mib, 64 * mib, 512 * (size_t)mib};
    for (size_t i = 0; i < sizeof amounts / sizeof *amounts; i++) {
        ink_backend *backend = new_backend((int64_t)amounts[i]);
        assert_null(ink_backend_note(backend));
        expect(lower(amounts[i], before.memory), lower(amounts[i], before.cache));
        ink_backend_destroy(backend);
        expect(before.memory, before.cache);
    }
}

/* More than MLX would take by itself raises nothing: the cache's limit on the CPU is but 32 MiB. */
static void test_never_raised(void **state) {
    (void)state;
    const limits before = limits_now();
    ink_backend *backend = new_backend(INT64_C(1) << 50);
    expect(before.memory, before.cache);
    ink_backend_destroy(backend);
    expect(before.memory, before.cache);
}

static void test_backends_within_each_other(void **state) {
    (void)state;
    const limits before = limits_now();
    ink_backend *outer = new_backend(16 * mib), *inner = new_backend(4 * mib), *plain = new_backend(0);
    expect(4 * mib, 4 * mib);
    ink_backend_destroy(plain);
    expect(4 * mib, 4 * mib);
    ink_backend_destroy(inner);
    expect(16 * mib, 16 * mib);
    ink_backend_destroy(outer);
    expect(before.memory, before.cache);
}

/* What somebody else has set since then stays. */
static void test_others_are_respected(void **state) {
    (void)state;
    const limits before = limits_now(), others = {before.memory / 2, 5 * mib};
    ink_backend *backend = new_backend(8 * mib);
    limits_set(others);
    ink_backend_destroy(backend);
    expect(others.memory, others.cache);
    limits_set(before);
}

static void test_larger_tensors_are_refused(void **state) {
    (void)state;
    const ink_shape shape = ink_shape2(1024, 1025); /* 4 MiB and a little */
    ink_buffer *buffer;
    ink_error error = {0};
    ink_backend *backend = new_backend(4 * mib);
    assert_int_equal(ink_buffer_create(backend, INK_F32, &shape, &buffer, &error), INK_ERROR_MEMORY);
    assert_null(buffer);
    assert_non_null(strstr(error.message, "[1024, 1025] of f32 is larger than the 4M that MLX may use"));
    ink_backend_destroy(backend);
    backend = new_backend(5 * mib);
    assert_int_equal(ink_buffer_create(backend, INK_F32, &shape, &buffer, &error), INK_OK);
    ink_buffer_destroy(buffer);
    ink_backend_destroy(backend);
}

static void count_warnings(void *user, ink_log_level level, const char *message) {
    (void)message;
    *(int *)user += level == INK_LOG_WARNING;
}

static ink_result *draw(int64_t max_ram) {
    ink_model_options options;
    ink_model_options_init(&options);
    int warnings = 0;
    options.path = INK_SOURCE_DIR "/tests/golden/tiny-random";
    options.backend = "mlx";
    options.max_ram = max_ram;
    options.log = count_warnings;
    options.log_user = &warnings;
    ink_model *model;
    ink_error error = {0};
    if (ink_model_open(&options, &model, &error) != INK_OK) fail_msg("%s", error.message);
    assert_int_equal(warnings, 0);
    assert_true(!max_ram == !strstr(ink_model_backend(model), ", at most 4M"));
    ink_request request;
    ink_request_init(&request);
    request.prompt = "a cat";
    request.width = request.height = 64;
    request.steps = 2;
    ink_result *result;
    if (ink_generate(model, &request, &result, &error) != INK_OK) fail_msg("%s", error.message);
    ink_model_close(model);
    return result;
}

static void test_the_picture_is_the_same(void **state) {
    (void)state;
    const limits before = limits_now();
    ink_result *plain = draw(0), *limited = draw(4 * mib);
    expect(before.memory, before.cache);
    const size_t bytes = (size_t)(plain->images->width * plain->images->height) * 3;
    assert_memory_equal(plain->images->pixels, limited->images->pixels, bytes);
    ink_result_free(plain);
    ink_result_free(limited);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_alone_unless_asked),
        cmocka_unit_test(test_lowered_and_put_back),
        cmocka_unit_test(test_never_raised),
        cmocka_unit_test(test_backends_within_each_other),
        cmocka_unit_test(test_others_are_respected),
        cmocka_unit_test(test_larger_tensors_are_refused),
        cmocka_unit_test(test_the_picture_is_the_same),
    };
    return cmocka_run_group_tests_name("mlx limits", tests, NULL, NULL);
}
