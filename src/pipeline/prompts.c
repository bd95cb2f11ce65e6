#include "pipeline/prompts.h"

#include "text/prompt.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* All ids one after the other; *ids is malloced. */
static ink_status tokenize_all(ink_model *model, const char *const *texts, int64_t n, size_t max_kept,
                               int32_t **ids, int64_t *tokens, size_t *total, ink_error *error) {
    *ids = NULL;
    *total = 0;
    for (int64_t i = 0; i < n; i++) {
        ink_prompt_ids prompt;
        INK_TRY(ink_prompt_tokens(model->tokenizer, texts[i], max_kept, &prompt, error));
        if (prompt.cut) {
            ink_model_log(
                model, INK_LOG_WARNING,
                "the prompt has %zu tokens, %zu are the most; the end of it was cut and has no effect",
                prompt.full_count, max_kept);
        }
        int32_t *longer = realloc(*ids, (*total + prompt.count) * sizeof **ids);
        if (!longer) {
            free(prompt.ids);
            return ink_fail_memory(error, "token ids", (*total + prompt.count) * sizeof **ids);
        }
        *ids = longer;
        memcpy(*ids + *total, prompt.ids, prompt.count * sizeof **ids);
        free(prompt.ids);
        tokens[i] = (int64_t)prompt.count;
        *total += prompt.count;
    }
    return INK_OK;
}

static ink_status hand_out_taps(const ink_executable *e, const ink_prompt_taps *taps, ink_error *error) {
    const char *name;
    ink_buffer *buffer;
    for (size_t i = 0; ink_executable_tap(e, i, &name, &buffer); i++) {
        float *values;
        size_t count;
        INK_TRY(ink_buffer_read_f32(buffer, &values, &count, error));
        taps->on_tap(taps->user, name, values, &buffer->shape);
        free(values);
    }
    return INK_OK;
}

static ink_status check_finite(const ink_model *model, ink_buffer *embeds, ink_error *error) {
    float *values;
    size_t count, bad = 0;
    INK_TRY(ink_buffer_read_f32(embeds, &values, &count, error));
    for (size_t i = 0; i < count; i++) {
        bad += isfinite(values[i]) ? 0U : 1U;
    }
    free(values);
    if (bad == 0) return INK_OK;
    return ink_fail(error, INK_ERROR_NUMERIC,
                    "the text encoder's output holds %zu values that are not finite; its weight files in "
                    "%s/text_encoder are probably damaged",
                    bad, model->path);
}

ink_status ink_prompts_compile(ink_model *model, ink_executable *e, const int32_t *ids, const int64_t *tokens,
                               const ink_prompt_taps *taps, ink_prompts *prompts, ink_error *error) {
    size_t total = 0;
    for (int64_t i = 0; i < prompts->n; i++) {
        prompts->tokens[i] = tokens[i] - INK_TEMPLATE_DROP;
        total += (size_t)tokens[i];
    }
    INK_TRY(ink_executable_init(e, model->backend, error));
    if (taps) ink_graph_set_taps(e->graph, taps->mode, taps->filter, taps->filter_user);
    ink_text_encoder_record(e->graph, &model->text_encoder, ink_model_text_weights(model), tokens, prompts->n,
                            INK_TEMPLATE_DROP);
    INK_TRY(ink_executable_compile(e, error));
    ink_buffer *ids_buffer;
    INK_TRY(ink_executable_bind_new(e, "ids", &ids_buffer, error));
    INK_TRY(ink_buffer_write(ids_buffer, ids, total * sizeof *ids, error));
    const ink_shape shape = ink_value_shape(e->graph, ink_graph_find_slot(e->graph, "embeds"));
    INK_TRY(ink_buffer_create(model->backend, INK_F32, &shape, &prompts->embeds, error));
    INK_TRY(ink_program_bind(e->program, "embeds", prompts->embeds, error));
    return ink_executable_bind_taps(e, error);
}

static ink_status encode(ink_model *model, ink_executable *e, const int32_t *ids, const int64_t *tokens,
                         const ink_prompt_taps *taps, const ink_run_control *control, ink_prompts *prompts,
                         ink_error *error) {
    INK_TRY(ink_prompts_compile(model, e, ids, tokens, taps, prompts, error));
    INK_TRY(ink_observed_run(model->observer, INK_STAGE_TEXT, 0, e->program, 0, control, error));
    return taps ? hand_out_taps(e, taps, error) : check_finite(model, prompts->embeds, error);
}

/* Token ids of all prompts (*ids is malloced, also after failure), checked. */
static ink_status make_ids(ink_model *model, const char *const *texts, int64_t n, size_t max_kept,
                           int32_t **ids, int64_t *tokens, size_t *total, ink_error *error) {
    INK_TRY(tokenize_all(model, texts, n, max_kept, ids, tokens, total, error));
    for (int64_t i = 0; i < n; i++) {
        if (tokens[i] > INK_TEMPLATE_DROP) continue;
        return ink_fail(error, INK_ERROR_FORMAT,
                        "the prompt template has %" PRId64
                        " tokens with this tokenizer, more than %d are needed",
                        tokens[i], INK_TEMPLATE_DROP);
    }
    return INK_OK;
}

ink_status ink_prompts_encode(ink_model *model, const char *const *texts, int64_t n, size_t max_kept,
                              const ink_prompt_taps *taps, const ink_run_control *control,
                              ink_prompts *prompts, ink_error *error) {
    *prompts = (ink_prompts){.n = n};
    int32_t *ids = NULL;
    int64_t tokens[ink_max_prompts];
    size_t total;
    ink_executable e = {0};
    ink_status status = make_ids(model, texts, n, max_kept, &ids, tokens, &total, error);
    if (status == INK_OK) status = encode(model, &e, ids, tokens, taps, control, prompts, error);
    ink_executable_fini(&e);
    free(ids);
    return status;
}

/* ---- again ---- */

/* Makes the program, unless it is there, and gives it the ids. */
static ink_status ready(ink_text_program *t, ink_model *model, const int32_t *ids, const int64_t *tokens,
                        int64_t n, size_t total, ink_error *error) {
    const size_t bytes = (size_t)n * sizeof *tokens;
    if (t->executable.program && t->prompts.n == n && memcmp(t->tokens, tokens, bytes) == 0)
        return ink_buffer_write(ink_executable_buffer(&t->executable, "ids"), ids, total * sizeof *ids,
                                error);
    ink_text_program fresh = {.prompts = {.n = n}};
    memcpy(fresh.tokens, tokens, bytes);
    const ink_status status =
        ink_prompts_compile(model, &fresh.executable, ids, tokens, NULL, &fresh.prompts, error);
    if (status != INK_OK) {
        ink_text_program_fini(&fresh);
        return status;
    }
    ink_text_program_fini(t);
    *t = fresh;
    return INK_OK;
}

ink_status ink_text_program_encode(ink_text_program *t, ink_model *model, const char *const *texts, int64_t n,
                                   size_t max_kept, const ink_run_control *control, ink_error *error) {
    int32_t *ids = NULL;
    int64_t tokens[ink_max_prompts];
    size_t total;
    ink_status status = make_ids(model, texts, n, max_kept, &ids, tokens, &total, error);
    if (status == INK_OK) status = ready(t, model, ids, tokens, n, total, error);
    free(ids);
    INK_TRY(status);
    INK_TRY(ink_observed_run(model->observer, INK_STAGE_TEXT, 0, t->executable.program, 0, control, error));
    return check_finite(model, t->prompts.embeds, error);
}

void ink_text_program_fini(ink_text_program *t) {
    ink_executable_fini(&t->executable);
    ink_prompts_fini(&t->prompts);
    *t = (ink_text_program){0};
}

void ink_prompts_fini(ink_prompts *prompts) {
    ink_buffer_destroy(prompts->embeds);
    *prompts = (ink_prompts){0};
}
