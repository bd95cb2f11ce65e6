/*
 * The text stages: token ids, hidden states, embeddings, two prompts packed together.
 */
#include "pipeline/prompts.h"
#include "pipeline/verify.h"
#include "text/prompt.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct text_check {
    ink_verifier *v;
    char name[32]; /* "prompt0", "negative" */
} text_check;

static bool wants_tap(void *user, const char *name) {
    const text_check *c = user;
    return ink_verifier_find(c->v, "%s.%s", c->name, name) != NULL;
}

static void compare_tap(void *user, const char *name, const float *values, const ink_shape *shape) {
    const text_check *c = user;
    const ink_weight *golden = ink_verifier_find(c->v, "%s.%s", c->name, name);
    if (golden) ink_verifier_compare(c->v, golden, values, ink_shape_count(shape), c->v->tolerance);
}

static ink_status check_ids(ink_verifier *v, const char *name, const char *text, ink_error *error) {
    const ink_weight *golden = ink_verifier_find(v, "%s.input_ids", name);
    if (!golden) return INK_OK;
    ink_prompt_ids prompt;
    INK_TRY(ink_prompt_tokens(v->model->tokenizer, text, ink_max_kept_tokens, &prompt, error));
    ink_verifier_compare_ids(v, golden, prompt.ids, (int64_t)prompt.count);
    free(prompt.ids);
    return INK_OK;
}

/* The reference's pipeline keeps fewer rows of long prompts than its tokenizer; the encoder is causal, so the
 * rows it keeps are the same. */
static size_t rows_kept(const ink_weight *golden) {
    const int64_t rows = ink_shape_rows(&golden->shape);
    return rows == ink_default_kept_tokens ? ink_default_kept_tokens : ink_max_kept_tokens;
}

static ink_status check_prompt(ink_verifier *v, const char *name, const char *text, ink_error *error) {
    INK_TRY(check_ids(v, name, text, error));
    text_check c = {.v = v};
    snprintf(c.name, sizeof c.name, "%s", name);
    const ink_prompt_taps taps = {
        .mode = INK_TAP_VALUES, .filter = wants_tap, .filter_user = &c, .on_tap = compare_tap, .user = &c};
    const ink_weight *golden = ink_verifier_find(v, "%s.embeds", name);
    char hidden[64];
    snprintf(hidden, sizeof hidden, "%s.hidden.0", name);
    if (!golden && !ink_verifier_find(v, "%s", hidden)) return INK_OK;
    ink_prompts prompts;
    float *embeds = NULL;
    size_t count = 0;
    ink_status status = ink_prompts_encode(
        v->model, &text, 1, golden ? rows_kept(golden) : ink_max_kept_tokens, &taps, NULL, &prompts, error);
    if (status == INK_OK && golden) status = ink_buffer_read_f32(prompts.embeds, &embeds, &count, error);
    if (status == INK_OK && golden) ink_verifier_compare(v, golden, embeds, (int64_t)count, v->tolerance);
    free(embeds);
    ink_prompts_fini(&prompts);
    return status;
}

/* The rows of batch.embeds that batch.mask calls valid, one prompt after the other; *rows their number. */
static ink_status valid_rows(const ink_weight *golden, const ink_weight *mask, float **values, int64_t *rows,
                             ink_error *error) {
    const int64_t prompts = golden->shape.dim[0], longest = golden->shape.dim[1],
                  width = golden->shape.dim[2];
    INK_TRY(ink_verifier_values(golden, values, error));
    *rows = 0;
    for (int64_t i = 0; i < prompts * longest; i++) {
        int32_t valid;
        memcpy(&valid, (const char *)mask->data + i * (int64_t)sizeof valid, sizeof valid);
        if (!valid) continue;
        memmove(*values + *rows * width, *values + i * width, (size_t)width * sizeof **values);
        ++*rows;
    }
    return INK_OK;
}

/* batch.embeds, batch.mask: prompts 0 and 1, padded there, packed here. */
static ink_status check_batch(ink_verifier *v, ink_error *error) {
    const ink_weight *golden = ink_verifier_find(v, "batch.embeds");
    const ink_weight *mask = ink_verifier_find(v, "batch.mask");
    if (!golden) return INK_OK;
    const char *texts[2] = {json_string_value(json_array_get(v->prompts, 0)),
                            json_string_value(json_array_get(v->prompts, 1))};
    if (!mask || mask->dtype != INK_I32 || golden->shape.rank != 3 || golden->shape.dim[0] != 2 ||
        ink_shape_count(&mask->shape) != golden->shape.dim[0] * golden->shape.dim[1] || !texts[0] ||
        !texts[1]) {
        ink_verifier_skip(v, golden, "it needs two prompts and batch.mask, i32, of its first two dims");
        return INK_OK;
    }
    float *theirs, *ours = NULL;
    int64_t rows;
    size_t count = 0;
    INK_TRY(valid_rows(golden, mask, &theirs, &rows, error));
    ink_prompts prompts;
    ink_status status =
        ink_prompts_encode(v->model, texts, 2, ink_max_kept_tokens, NULL, NULL, &prompts, error);
    if (status == INK_OK) status = ink_buffer_read_f32(prompts.embeds, &ours, &count, error);
    if (status == INK_OK) {
        const ink_weight packed = {.name = golden->name,
                                   .dtype = INK_F32,
                                   .shape = ink_shape2(rows, golden->shape.dim[2]),
                                   .data = theirs};
        ink_verifier_compare(v, &packed, ours, (int64_t)count, v->tolerance);
    }
    free(theirs);
    free(ours);
    ink_prompts_fini(&prompts);
    return status;
}

ink_status ink_verify_prompts(ink_verifier *v, ink_error *error) {
    for (size_t i = 0; i < json_array_size(v->prompts); i++) {
        const char *text = json_string_value(json_array_get(v->prompts, i));
        char name[32];
        snprintf(name, sizeof name, "prompt%zu", i);
        if (!text) {
            return ink_fail(error, INK_ERROR_FORMAT, "%s: metadata 'prompts' must hold strings",
                            ink_weights_path(v->golden));
        }
        INK_TRY(check_prompt(v, name, text, error));
    }
    if (v->negative) INK_TRY(check_prompt(v, "negative", v->negative, error));
    return check_batch(v, error);
}
