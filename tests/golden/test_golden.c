/*
 * Every stage against what the reference computes, for every backend in this build; and that a golden file
 * that was tampered with is found out at exactly the tensor that was changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inkstone.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TINY_MODEL  INK_SOURCE_DIR "/tests/golden/tiny-random"
#define TINY_GOLDEN TINY_MODEL "/golden.safetensors"

/* Checked in all runs of this file: what the reference's float32 allows. */
static const double tolerance = 1e-5;

typedef struct outcome {
    const char *expected_failure; /* the only tensor that may fail; NULL: none may */
    bool failed_as_expected;
    int groups[8]; /* checks per prefix below */
} outcome;

static const char *const group_names[8] = {"promptK.input_ids", "prompt",   "negative", "batch.",
                                           "sigmas.",           "forward.", "vae.",     "run"};

static void count_groups(outcome *o, const char *name) {
    for (int i = 1; i < 8; i++) {
        if (strncmp(name, group_names[i], strlen(group_names[i])) == 0) o->groups[i]++;
    }
    if (strstr(name, ".input_ids")) o->groups[0]++;
}

static void on_check(void *user, const ink_check *check) {
    outcome *o = user;
    if (check->skipped) fail_msg("%s was skipped: %s", check->name, check->note);
    count_groups(o, check->name);
    const bool expected = o->expected_failure && strcmp(o->expected_failure, check->name) == 0;
    if (expected && !check->passed) o->failed_as_expected = true;
    if (!check->passed && !expected) {
        fail_msg("%s: relative L2 %g, maximum %g (tolerance %g) %s", check->name, check->relative_l2,
                 check->max_error, check->tolerance, check->note);
    }
    /* Recomputed here, so that `passed` is not taken on trust. */
    if (check->passed && check->tolerance > 0 && !(check->relative_l2 <= check->tolerance))
        fail_msg("%s passed with relative L2 %g above %g", check->name, check->relative_l2, check->tolerance);
}

static void verify(const char *folder, const char *golden, const char *backend, outcome *o, size_t *checked,
                   size_t *failed) {
    ink_error error = {0};
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = folder;
    options.backend = backend;
    options.precision = "f32";
    options.threads = 2;
    ink_model *model;
    if (ink_model_open(&options, &model, &error) != INK_OK) fail_msg("%s", error.message);
    const ink_status status = ink_verify(model, golden, tolerance, on_check, o, checked, failed, &error);
    ink_model_close(model);
    if (status != INK_OK) fail_msg("%s", error.message);
}

static void every_stage_of_every_backend(void **state) {
    (void)state;
    const char *backend;
    for (size_t i = 0; (backend = ink_backend_name(i)) != NULL; i++) {
        if (!ink_backend_usable(backend, NULL, 0)) continue;
        outcome o = {0};
        size_t checked, failed;
        verify(TINY_MODEL, TINY_GOLDEN, backend, &o, &checked, &failed);
        assert_int_equal(failed, 0);
        assert_int_equal(checked, 86);
        for (int g = 0; g < 8; g++) {
            if (o.groups[g] == 0) fail_msg("%s: no check of %s", backend, group_names[g]);
        }
    }
}

/* A model of other dimensions, and the one that comes with the project. Made by tools/make_tiny_model.py and
 * tools/dump_golden.py. */
static void other_models(void **state) {
    (void)state;
    static const struct {
        const char *folder, *golden;
    } models[] = {
        {INK_SOURCE_DIR "/tests/golden/tiny-odd", INK_SOURCE_DIR "/tests/golden/tiny-odd/golden.safetensors"},
        {INK_SOURCE_DIR "/models/emoji", INK_SOURCE_DIR "/tests/golden/emoji.safetensors"},
    };
    const char *backend;
    for (size_t i = 0; (backend = ink_backend_name(i)) != NULL; i++) {
        if (!ink_backend_usable(backend, NULL, 0)) continue;
        for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
            outcome o = {0};
            size_t checked, failed;
            verify(models[m].folder, models[m].golden, backend, &o, &checked, &failed);
            assert_int_equal(failed, 0);
            assert_true(checked >= 60);
        }
    }
}

/* ---- tampering ---- */

static unsigned char *read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *bytes = (size_t)ftell(file);
    rewind(file);
    unsigned char *data = malloc(*bytes);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *bytes, file), *bytes);
    fclose(file);
    return data;
}

/* The first bytes of a tensor, found through its entry in the header. */
static unsigned char *tensor_data(unsigned char *file, const char *name) {
    uint64_t header;
    memcpy(&header, file, sizeof header);
    char *text = malloc((size_t)header + 1), quoted[128];
    assert_non_null(text);
    memcpy(text, file + 8, (size_t)header);
    text[header] = '\0';
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *entry = strstr(text, quoted);
    assert_non_null(entry);
    const char *offsets = strstr(entry, "\"data_offsets\":[");
    assert_non_null(offsets);
    const size_t begin = (size_t)strtoull(offsets + strlen("\"data_offsets\":["), NULL, 10);
    free(text);
    return file + 8 + header + begin;
}

static void verify_tampered(const char *name, const void *bytes, size_t count) {
    size_t size;
    unsigned char *file = read_file(TINY_GOLDEN, &size);
    memcpy(tensor_data(file, name), bytes, count);
    char path[] = "/tmp/inkstone-golden-XXXXXX";
    const int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    FILE *copy = fdopen(descriptor, "wb");
    assert_non_null(copy);
    assert_int_equal(fwrite(file, 1, size, copy), size);
    assert_int_equal(fclose(copy), 0);
    free(file);
    outcome o = {.expected_failure = name};
    size_t checked, failed;
    verify(TINY_MODEL, path, "cpu", &o, &checked, &failed);
    remove(path);
    if (!o.failed_as_expected) fail_msg("the change of %s went unnoticed", name);
    assert_int_equal(failed, 1);
}

static void a_changed_golden_tensor_is_found(void **state) {
    (void)state;
    const float changed = 0.5f, infinite = INFINITY, not_a_number = NAN;
    const int32_t id = 1;
    const uint8_t level = 7;
    verify_tampered("prompt1.input_ids", &id, sizeof id);
    verify_tampered("prompt0.hidden.2", &changed, sizeof changed);
    verify_tampered("forward.transformer_blocks.1.txt", &not_a_number, sizeof not_a_number);
    verify_tampered("forward.rope.img_angle", &changed, sizeof changed);
    verify_tampered("sigmas.512x512.8", &changed, sizeof changed);
    verify_tampered("vae.decode.image", &infinite, sizeof infinite);
    verify_tampered("vae.encode.logvar", &not_a_number, sizeof not_a_number);
    verify_tampered("run1.latents.5", &not_a_number, sizeof not_a_number);
    verify_tampered("run0.pixels", &level, sizeof level);
    verify_tampered("randn.seed42.17", &changed, sizeof changed);
}

static void files_that_are_no_golden_files(void **state) {
    (void)state;
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = TINY_MODEL;
    ink_model *model;
    assert_int_equal(ink_model_open(&options, &model, NULL), INK_OK);
    ink_error error = {0};
    size_t checked, failed;
    assert_int_equal(ink_verify(model, "/nonexistent", tolerance, NULL, NULL, &checked, &failed, &error),
                     INK_ERROR_IO);
    assert_non_null(strstr(error.message, "/nonexistent"));
    assert_int_equal(
        ink_verify(model, TINY_MODEL "/model_index.json", tolerance, NULL, NULL, &checked, &failed, &error),
        INK_ERROR_FORMAT);
    assert_int_equal(ink_verify(model, TINY_GOLDEN, NAN, NULL, NULL, &checked, &failed, &error),
                     INK_ERROR_ARGUMENT);
    /* A checkpoint is a safetensors file too, but no stage makes its tensors. */
    assert_int_equal(ink_verify(model, INK_SOURCE_DIR "/models/emoji/vae/diffusion_pytorch_model.safetensors",
                                tolerance, NULL, NULL, &checked, &failed, &error),
                     INK_OK);
    assert_int_equal(checked, 0);
    ink_model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stage_of_every_backend),
        cmocka_unit_test(other_models),
        cmocka_unit_test(a_changed_golden_tensor_is_found),
        cmocka_unit_test(files_that_are_no_golden_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
