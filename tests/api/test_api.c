/*
 * The public interface as a careless caller meets it: NULL, values out of range, structs of another age,
 * files that are not there. Each must be a status and a sentence, and leave outputs NULL.
 */
#include "support.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_names(void **state) {
    (void)state;
    assert_string_equal(ink_version(), INK_VERSION_STRING);
    for (int status = -1; status <= INK_ERROR_INTERNAL + 1; status++) {
        assert_non_null(ink_status_name((ink_status)status));
        assert_true(strlen(ink_status_name((ink_status)status)) > 0);
    }
    size_t n = 0, with_cpu = 0;
    for (; ink_backend_name(n); n++)
        with_cpu += strcmp(ink_backend_name(n), "cpu") == 0;
    assert_true(n >= 2);
    assert_int_equal(with_cpu, 1);
    assert_null(ink_backend_name(n + 1));
    assert_null(ink_backend_name(SIZE_MAX));
}

static void test_null_is_refused(void **state) {
    ink_model *model = *state;
    ink_error error = {0};
    ink_model_options options;
    ink_model_options_init(&options);
    ink_model *opened = model;
    assert_sentence(ink_model_open(&options, &opened, &error), INK_ERROR_ARGUMENT, &error, "path");
    assert_null(opened);
    assert_sentence(ink_model_open(NULL, &opened, &error), INK_ERROR_ARGUMENT, &error, "NULL");
    assert_sentence(ink_model_open(&options, NULL, &error), INK_ERROR_ARGUMENT, &error, "NULL");

    ink_request request = small_request("a cat", 1);
    ink_result *result = NULL;
    assert_sentence(ink_generate(NULL, &request, &result, &error), INK_ERROR_ARGUMENT, &error, "NULL");
    assert_sentence(ink_generate(model, NULL, &result, &error), INK_ERROR_ARGUMENT, &error, "NULL");
    assert_sentence(ink_generate(model, &request, NULL, &error), INK_ERROR_ARGUMENT, &error, "NULL");
    request.prompt = NULL;
    assert_sentence(ink_generate(model, &request, &result, &error), INK_ERROR_ARGUMENT, &error, "prompt");
    assert_null(result);

    size_t checked = 0, failed = 0, bytes = 0;
    uint8_t *png = NULL;
    const ink_image no_pixels = {.width = 1, .height = 1};
    assert_sentence(ink_verify(NULL, "x", 1e-5, NULL, NULL, &checked, &failed, &error), INK_ERROR_ARGUMENT,
                    &error, "NULL");
    assert_sentence(ink_verify(model, NULL, 1e-5, NULL, NULL, &checked, &failed, &error), INK_ERROR_ARGUMENT,
                    &error, "NULL");
    request.prompt = "a cat";
    assert_sentence(ink_inspect(model, &request, NULL, NULL, &error), INK_ERROR_ARGUMENT, &error, "NULL");
    assert_sentence(ink_image_encode_png(&no_pixels, NULL, &png, &bytes, &error), INK_ERROR_ARGUMENT, &error,
                    "pixels");
    assert_sentence(ink_image_encode_png(NULL, NULL, &png, &bytes, &error), INK_ERROR_ARGUMENT, &error,
                    "pixels");

    /* An error that nobody wants to read is no reason to crash, and nothing is to be freed. */
    assert_int_equal(ink_generate(NULL, NULL, &result, NULL), INK_ERROR_ARGUMENT);
    ink_model_close(NULL);
    ink_result_free(NULL);
    ink_tokenizer_close(NULL);
    ink_free(NULL);
}

static void test_open_failures(void **state) {
    (void)state;
    static const struct {
        const char *path, *backend, *level, *words;
        int threads;
        ink_status status;
    } cases[] = {
        {"/nowhere/at/all", NULL, NULL, "/nowhere/at/all", 0, INK_ERROR_IO},
        {INK_SOURCE_DIR "/tests", NULL, NULL, "config.json", 0, INK_ERROR_IO},
        {"", NULL, NULL, "path", 0, INK_ERROR_ARGUMENT},
        {SMALL_MODEL, "abacus", NULL, "abacus", 0, INK_ERROR_UNSUPPORTED},
        {SMALL_MODEL, NULL, "mmx", "mmx", 0, INK_ERROR_ARGUMENT},
        {SMALL_MODEL, NULL, NULL, "-1", -1, INK_ERROR_ARGUMENT},
        {SMALL_MODEL, NULL, NULL, "1025", 1025, INK_ERROR_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ink_model_options options;
        ink_model_options_init(&options);
        options.path = cases[i].path;
        options.backend = cases[i].backend;
        options.cpu_level = cases[i].level;
        options.threads = cases[i].threads;
        ink_model *model = NULL;
        ink_error error = {0};
        const ink_status status = ink_model_open(&options, &model, &error);
        assert_sentence(status, cases[i].status, &error, cases[i].words);
        assert_null(model);
    }
}

static void remember(void *user, ink_log_level level, const char *message) {
    char *text = user;
    if (level == INK_LOG_WARNING) snprintf(text, INK_MESSAGE_BYTES, "%s", message);
}

/* A limit of memory is not silently ignored, and is none below 0. */
static void check_limit(ink_model_options *options, int64_t *limit, const char *warned, const char *refused) {
    char warning[INK_MESSAGE_BYTES] = "";
    options->path = SMALL_MODEL;
    options->backend = "cpu";
    options->log = remember;
    options->log_user = warning;
    ink_model *model = NULL;
    ink_error error = {0};
    if (ink_model_open(options, &model, &error) != INK_OK) fail_msg("%s", error.message);
    assert_string_equal(warning, "");
    assert_string_equal(ink_model_precision(model), "f32");
    ink_model_close(model);
    *limit = INT64_C(8) << 30;
    if (ink_model_open(options, &model, &error) != INK_OK) fail_msg("%s", error.message);
    assert_non_null(strstr(warning, warned));
    ink_model_close(model);
    *limit = -1;
    assert_sentence(ink_model_open(options, &model, &error), INK_ERROR_ARGUMENT, &error, refused);
    assert_null(model);
}

static void test_max_ram(void **state) {
    (void)state;
    ink_model_options options;
    ink_model_options_init(&options);
    check_limit(&options, &options.max_ram, "max ram does nothing here", "-1 bytes of max_ram");
}

static void test_max_vram(void **state) {
    (void)state;
    ink_model_options options;
    ink_model_options_init(&options);
    check_limit(&options, &options.max_vram, "max vram does nothing here", "-1 bytes of max_vram");
}

/* A program that was compiled against an older header passes a shorter struct; what lies behind it is not
 * read. One that is newer than the library is told so. */
static void test_structs_of_another_age(void **state) {
    (void)state;
    ink_error error = {0};
    ink_model *model = NULL;
    ink_model_options options;
    memset(&options, 0x5a, sizeof options);
    options.struct_size = offsetof(ink_model_options, hub_cache);
    options.path = SMALL_MODEL;
    if (ink_model_open(&options, &model, &error) != INK_OK) fail_msg("%s", error.message);

    ink_request request;
    memset(&request, 0x5a, sizeof request);
    request.struct_size = offsetof(ink_request, noise);
    request.prompt = "a cat";
    request.negative_prompt = NULL;
    request.width = request.height = 32;
    request.steps = 2;
    request.guidance = 2;
    request.seed = 1;
    request.count = 1;
    ink_result *older = draw(model, &request);
    request = small_request("a cat", 1);
    request.guidance = 2;
    ink_result *today = draw(model, &request);
    assert_same_picture(&older->images[0], &today->images[0]);
    ink_result_free(older);
    ink_result_free(today);

    static const size_t wrong[] = {0, 1, sizeof(size_t), sizeof request + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ink_result *result = NULL;
        request.struct_size = wrong[i];
        assert_sentence(ink_generate(model, &request, &result, &error), INK_ERROR_ARGUMENT, &error,
                        "struct_size");
        assert_null(result);
        ink_model *other = NULL;
        ink_model_options_init(&options);
        options.path = SMALL_MODEL;
        options.struct_size = wrong[i];
        if (wrong[i] == sizeof request + 1) options.struct_size = sizeof options + 1;
        assert_sentence(ink_model_open(&options, &other, &error), INK_ERROR_ARGUMENT, &error, "struct_size");
        assert_null(other);
    }
    ink_model_close(model);
}

static void test_values_out_of_range(void **state) {
    ink_model *model = *state;
    const ink_request good = small_request("a cat", 1);
    static const struct {
        size_t offset;
        int value;
        const char *words;
    } cases[] = {
        {offsetof(ink_request, width), 33, "33"},     {offsetof(ink_request, width), -16, "-16"},
        {offsetof(ink_request, height), 8, "8"},      {offsetof(ink_request, height), 1 << 30, "1073741824"},
        {offsetof(ink_request, steps), -1, "-1"},     {offsetof(ink_request, steps), 1001, "1001"},
        {offsetof(ink_request, count), 0, "0"},       {offsetof(ink_request, count), 65, "65"},
        {offsetof(ink_request, noise), 7, "noise 7"},
    };
    ink_error error = {0};
    ink_result *result = NULL;
    ink_request request;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        request = good;
        memcpy((char *)&request + cases[i].offset, &cases[i].value, sizeof cases[i].value);
        assert_sentence(ink_generate(model, &request, &result, &error), INK_ERROR_ARGUMENT, &error,
                        cases[i].words);
        assert_null(result);
    }
    static const double guidances[] = {101, 1e300, (double)INFINITY, (double)NAN};
    for (size_t i = 0; i < sizeof guidances / sizeof *guidances; i++) {
        request = good;
        request.guidance = guidances[i];
        assert_sentence(ink_generate(model, &request, &result, &error), INK_ERROR_ARGUMENT, &error,
                        "guidance");
    }
    request = good;
    request.seed = -5;
    assert_sentence(ink_generate(model, &request, &result, &error), INK_ERROR_ARGUMENT, &error, "-5");
}

static void test_defaults_and_components(void **state) {
    (void)state;
    ink_model *model = open_model(EMOJI_MODEL, 1);
    ink_defaults defaults;
    ink_model_defaults(model, &defaults);
    assert_int_equal(defaults.width, 128);
    assert_int_equal(defaults.height, 128);
    assert_true(defaults.steps >= 1 && defaults.guidance > 0 && defaults.negative_prompt);
    assert_string_equal(ink_model_path(model), EMOJI_MODEL);
    assert_true(strlen(ink_model_backend(model)) > 0);
    ink_component part;
    size_t n = 0;
    for (; ink_model_component(model, n, &part); n++) {
        assert_true(part.name && part.precision && part.parameters > 0 && part.tensors > 0);
        assert_true(part.used > 0 && part.used <= part.parameters && part.bytes >= 2 * part.parameters);
    }
    assert_int_equal(n, 3);
    ink_model_close(model);
}

static void test_tokenizer(void **state) {
    (void)state;
    ink_error error = {0};
    ink_tokenizer *tokenizer = NULL;
    assert_sentence(ink_tokenizer_open("/nowhere", &tokenizer, &error), INK_ERROR_IO, &error, "/nowhere");
    assert_null(tokenizer);
    assert_int_equal(ink_tokenizer_open(SMALL_MODEL, &tokenizer, &error), INK_OK);
    int32_t *ids = NULL;
    size_t count = 77;
    assert_int_equal(ink_tokenizer_encode(tokenizer, "", 0, false, &ids, &count, &error), INK_OK);
    assert_int_equal(count, 0);
    assert_non_null(ids);
    ink_free(ids);
    /* A zero byte is a character like any other. */
    size_t with_zero = 0;
    assert_int_equal(ink_tokenizer_encode(tokenizer, "a\0b", 3, false, &ids, &with_zero, &error), INK_OK);
    ink_free(ids);
    assert_true(with_zero >= 3);
    assert_int_equal(ink_tokenizer_encode(tokenizer, "\xFF\xC0\xED\xA0\x80", 5, true, &ids, &count, &error),
                     INK_OK);
    assert_true(count > 5);
    ink_free(ids);
    ink_tokenizer_close(tokenizer);
}

static void test_pictures_are_written_whole(void **state) {
    ink_model *model = *state;
    ink_error error = {0};
    const ink_request request = small_request("a cat", 1);
    ink_result *result = draw(model, &request);
    char folder[] = "/tmp/inkstone-api-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/cat.png", folder);
    assert_int_equal(ink_image_write_png(&result->images[0], path, NULL, &error), INK_OK);
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(ink_image_encode_png(&result->images[0], NULL, &bytes, &size, &error), INK_OK);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, size);
    assert_memory_equal(bytes, "\x89PNG\r\n\x1a\n", 8);
    ink_free(bytes);
    unlink(path);

    snprintf(path, sizeof path, "%s/missing/cat.png", folder);
    assert_sentence(ink_image_write_png(&result->images[0], path, NULL, &error), INK_ERROR_IO, &error,
                    "missing");
    rmdir(folder);
    ink_png_options options;
    ink_png_options_init(&options);
    options.compression = 10;
    bytes = NULL;
    assert_sentence(ink_image_encode_png(&result->images[0], &options, &bytes, &size, &error),
                    INK_ERROR_ARGUMENT, &error, "10");
    assert_null(bytes);
    ink_result_free(result);
}

static void count_range(void *user, const ink_value_range *range) {
    int *calls = user;
    assert_true(range->name && range->step >= 0 && range->min <= range->max && range->non_finite == 0);
    ++*calls;
}

static void count_check(void *user, const ink_check *check) {
    int *calls = user;
    assert_true(check->name && check->note);
    ++*calls;
}

static void test_inspect_and_verify(void **state) {
    ink_model *model = *state;
    ink_error error = {0};
    const ink_request request = small_request("a cat", 1);
    int calls = 0;
    assert_int_equal(ink_inspect(model, &request, count_range, &calls, &error), INK_OK);
    assert_true(calls >= 2 * 5); /* two steps; the input, three blocks, the output */

    calls = 0;
    size_t checked = 0, failed = 77;
    assert_int_equal(ink_verify(model, SMALL_MODEL "/golden.safetensors", 1e-5, count_check, &calls, &checked,
                                &failed, &error),
                     INK_OK);
    assert_int_equal(failed, 0);
    assert_true(checked > 50 && (size_t)calls >= checked);
    /* Nothing computed in float32 is this exact: the comparison must be able to fail. */
    assert_int_equal(ink_verify(model, SMALL_MODEL "/golden.safetensors", 1e-12, count_check, &calls,
                                &checked, &failed, &error),
                     INK_OK);
    assert_true(failed > 0);
    assert_sentence(
        ink_verify(model, "/nowhere.safetensors", 1e-5, count_check, &calls, &checked, &failed, &error),
        INK_ERROR_IO, &error, "/nowhere.safetensors");
}

static int setup(void **state) {
    *state = open_model(SMALL_MODEL, 1);
    return 0;
}

static int teardown(void **state) {
    ink_model_close(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_null_is_refused),
        cmocka_unit_test(test_open_failures),
        cmocka_unit_test(test_max_ram),
        cmocka_unit_test(test_max_vram),
        cmocka_unit_test(test_structs_of_another_age),
        cmocka_unit_test(test_values_out_of_range),
        cmocka_unit_test(test_defaults_and_components),
        cmocka_unit_test(test_tokenizer),
        cmocka_unit_test(test_pictures_are_written_whole),
        cmocka_unit_test(test_inspect_and_verify),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
