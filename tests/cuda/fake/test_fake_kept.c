/*
 * What the CUDA backend keeps from one picture to the next, on the stand-in for a device: pictures are those
 * of a fresh model, and what is the same is not loaded again.
 */
#include "cuda/open_model.h"
#include "fake.h"
#include "verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static ink_model *open_model(void) {
    return open_model_with(TINY, false, &(ink_cuda_settings){.precision = "f32", .threads = 1});
}

static ink_request request_of(const char *prompt, int width, int height) {
    ink_request request;
    ink_request_init(&request);
    request.prompt = prompt;
    request.negative_prompt = "dogs";
    request.width = width;
    request.height = height;
    request.steps = 2;
    request.guidance = 1;
    return request;
}

/* Bytes of weights that were loaded since the last question. */
static double loaded(ink_model *model) {
    ink_backend_memory memory;
    ink_backend_ask_memory(model->backend, &memory);
    return memory.loaded_bytes;
}

static void expect_same(const ink_result *a, const ink_result *b) {
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const size_t bytes = (size_t)a->images[i].width * (size_t)a->images[i].height * 3;
        assert_int_equal(a->images[i].width, b->images[i].width);
        assert_int_equal(a->images[i].height, b->images[i].height);
        assert_memory_equal(a->images[i].pixels, b->images[i].pixels, bytes);
    }
}

static void test_pictures_are_the_same(void **state) {
    (void)state;
    ink_request requests[] = {
        request_of("a cat", 16, 16), request_of("a dog", 16, 16), request_of("a dog", 16, 16),
        request_of("a dog", 32, 16), request_of("a dog", 32, 16), request_of("a dog and a cat", 16, 16),
        request_of("a cat", 16, 16),
    };
    const size_t n = sizeof requests / sizeof *requests;
    requests[1].seed = 5;
    requests[2].guidance = 3;
    requests[4].steps = 3;
    requests[5].count = 2;
    ink_model *kept = open_model();
    for (size_t i = 0; i < n; i++) {
        ink_model *fresh = open_model();
        ink_result *a = draw_request(kept, &requests[i]), *b = draw_request(fresh, &requests[i]);
        expect_same(a, b);
        ink_result_free(a);
        ink_result_free(b);
        ink_model_close(fresh);
    }
    ink_model_close(kept);
    assert_int_equal(fake_leaks(), 0);
}

static bool stop(void *user) {
    int *left = user;
    return --*left < 0;
}

static void test_nothing_is_loaded_again(void **state) {
    (void)state;
    ink_model *model = open_model();
    ink_request request = request_of("a cat", 16, 16);
    ink_result *first = draw_request(model, &request);
    const double all = loaded(model);
    assert_true(all > 1e6);
    for (int stopped = 0; stopped < 12; stopped += 3) { /* also after one that was stopped */
        int left = stopped;
        ink_result *result;
        request.should_cancel = stop;
        request.user = &left;
        const ink_status status = ink_generate(model, &request, &result, NULL);
        if (status == INK_OK) ink_result_free(result);
        assert_true(status == INK_OK || status == INK_ERROR_CANCELLED);
        request.should_cancel = NULL;
        result = draw_request(model, &request);
        expect_same(result, first);
        ink_result_free(result);
        assert_true(loaded(model) == 0);
    }
    /* Another size reads what the schedule needs, and constants; another prompt only constants. */
    request.width = 32;
    ink_result_free(draw_request(model, &request));
    const double size = loaded(model);
    request.prompt = "a cat and a dog";
    ink_result_free(draw_request(model, &request));
    const double prompt = loaded(model);
    print_message("%.0f bytes, of another size %.0f, of another prompt %.0f\n", all, size, prompt);
    assert_true(size < all / 3 && prompt < all / 50);
    ink_result_free(first);
    ink_model_close(model);
    assert_int_equal(fake_leaks(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures_are_the_same),
        cmocka_unit_test(test_nothing_is_loaded_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
