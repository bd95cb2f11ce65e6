#include "support.h"

ink_model *open_model(const char *path, int threads) {
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = path;
    options.threads = threads;
    ink_model *model = NULL;
    ink_error error = {0};
    if (ink_model_open(&options, &model, &error) != INK_OK) fail_msg("%s", error.message);
    assert_non_null(model);
    return model;
}

ink_request small_request(const char *prompt, int64_t seed) {
    ink_request request;
    ink_request_init(&request);
    request.prompt = prompt;
    request.width = request.height = 32;
    request.steps = 2;
    request.seed = seed;
    return request;
}

ink_result *draw(ink_model *model, const ink_request *request) {
    ink_result *result = NULL;
    ink_error error = {0};
    if (ink_generate(model, request, &result, &error) != INK_OK) fail_msg("%s", error.message);
    assert_non_null(result);
    assert_int_equal(result->count, request->count);
    return result;
}

void assert_same_picture(const ink_image *a, const ink_image *b) {
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_memory_equal(a->pixels, b->pixels, (size_t)a->width * (size_t)a->height * 3);
}

void assert_sentence(ink_status got, ink_status expected, const ink_error *error, const char *words) {
    if (got != expected) {
        fail_msg("status %d (%s) instead of %d: %s", (int)got, ink_status_name(got), (int)expected,
                 error->message);
    }
    assert_int_equal(error->status, expected);
    if (!strstr(error->message, words)) fail_msg("'%s' says nothing of '%s'", error->message, words);
    /* One sentence on one line, whole. */
    assert_null(strchr(error->message, '\n'));
    assert_true(strlen(error->message) < INK_MESSAGE_BYTES);
}
