/*
 * ink_verify: reads a golden file and runs every stage that it has tensors for.
 */
#include "pipeline/verify.h"

#include "base/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The JSON under a metadata key; an empty array if the key is absent. */
static ink_status read_array(const ink_weights *golden, const char *key, json_t **array, ink_error *error) {
    *array = NULL;
    const char *text = ink_weights_metadata(golden, key);
    if (!text) text = "[]";
    INK_TRY(ink_json_parse(text, strlen(text), key, array, error));
    if (json_is_array(*array)) return INK_OK;
    return ink_fail(error, INK_ERROR_FORMAT, "%s: metadata '%s' must be a JSON array",
                    ink_weights_path(golden), key);
}

static ink_status read_negative(const ink_weights *golden, char **negative, ink_error *error) {
    const char *text = ink_weights_metadata(golden, "negative");
    if (!text) return INK_OK;
    char array_text[4096];
    const int length = snprintf(array_text, sizeof array_text, "[%s]", text);
    if (length < 0 || (size_t)length >= sizeof array_text) {
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s: metadata 'negative' has %zu bytes, at most %zu are read",
                        ink_weights_path(golden), strlen(text), sizeof array_text - 3);
    }
    json_t *array = NULL;
    INK_TRY(ink_json_parse(array_text, (size_t)length, "negative", &array, error));
    const char *string = json_string_value(json_array_get(array, 0));
    *negative = string ? strdup(string) : NULL;
    json_decref(array);
    if (!string) {
        return ink_fail(error, INK_ERROR_FORMAT, "%s: metadata 'negative' must be a JSON string",
                        ink_weights_path(golden));
    }
    return *negative ? INK_OK : ink_fail_memory(error, "a prompt", strlen(text));
}

static ink_status verifier_open(ink_verifier *v, const char *path, ink_error *error) {
    INK_TRY(ink_weights_open_file(path, &v->golden, error));
    while (ink_weights_at(v->golden, v->n_tensors)) {
        v->n_tensors++;
    }
    v->used = calloc(v->n_tensors + 1, sizeof *v->used);
    if (!v->used) return ink_fail_memory(error, "golden tensors", v->n_tensors * sizeof *v->used);
    INK_TRY(read_array(v->golden, "prompts", &v->prompts, error));
    INK_TRY(read_array(v->golden, "runs", &v->runs, error));
    return read_negative(v->golden, &v->negative, error);
}

static void verifier_close(ink_verifier *v) {
    json_decref(v->prompts);
    json_decref(v->runs);
    free(v->negative);
    free(v->used);
    ink_weights_close(v->golden);
}

static ink_status run_stages(ink_verifier *v, ink_error *error) {
    INK_TRY(ink_verify_noise(v, error));
    INK_TRY(ink_verify_schedules(v, error));
    INK_TRY(ink_verify_prompts(v, error));
    INK_TRY(ink_verify_forward(v, error));
    INK_TRY(ink_verify_vae(v, error));
    INK_TRY(ink_verify_runs(v, error));
    for (size_t i = 0; i < v->n_tensors; i++) {
        if (!v->used[i])
            ink_verifier_skip(v, ink_weights_at(v->golden, i), "no stage makes a tensor of this name");
    }
    return INK_OK;
}

ink_status ink_verify(ink_model *model, const char *golden_path, double tolerance, ink_check_fn on_check,
                      void *user, size_t *checked, size_t *failed, ink_error *error) {
    if (checked) *checked = 0;
    if (failed) *failed = 0;
    if (!model) return ink_fail(error, INK_ERROR_ARGUMENT, "ink_verify: the model is NULL");
    if (!golden_path) return ink_fail(error, INK_ERROR_ARGUMENT, "ink_verify: golden_path is NULL");
    if (!(tolerance > 0 && tolerance < INFINITY)) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "tolerance %g must be a number above 0", tolerance);
    }
    ink_verifier v = {.model = model, .tolerance = tolerance, .on_check = on_check, .user = user};
    ink_status status = verifier_open(&v, golden_path, error);
    if (status == INK_OK) {
        pthread_mutex_lock(&model->lock);
        status = run_stages(&v, error);
        pthread_mutex_unlock(&model->lock);
    }
    verifier_close(&v);
    if (checked) *checked = v.checked;
    if (failed) *failed = v.failed;
    return status;
}
