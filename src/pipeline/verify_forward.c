/*
 * One forward pass of the transformer, from golden embeddings and latents.
 */
#include "pipeline/denoiser.h"
#include "pipeline/verify.h"

#include <math.h>
#include <stdlib.h>

typedef struct forward_inputs {
    const ink_weight *embeds, *latents, *timestep;
    int64_t grid_height, grid_width;
} forward_inputs;

static bool wants_tap(void *user, const char *name) {
    return ink_verifier_find(user, "forward.%s", name) != NULL;
}

/* False, with the tensors that depend on it left to be reported as unused, if an input is missing or unfit.
 */
static bool find_inputs(ink_verifier *v, forward_inputs *in, const char **why) {
    const ink_weight *grid = ink_verifier_find(v, "forward.grid");
    in->embeds = ink_verifier_find(v, "prompt0.embeds");
    in->latents = ink_verifier_find(v, "forward.latents");
    in->timestep = ink_verifier_find(v, "forward.timestep");
    *why = "it needs prompt0.embeds, forward.grid, forward.timestep";
    if (!in->latents || !grid || !in->embeds || !in->timestep) return false;
    *why = "forward.grid must be i32 [frames = 1, rows, columns]";
    if (grid->dtype != INK_I32 || ink_shape_count(&grid->shape) != 3) return false;
    int32_t dims[3];
    memcpy(dims, grid->data, sizeof dims);
    if (dims[0] != 1 || dims[1] < 1 || dims[2] < 1) return false;
    in->grid_height = dims[1];
    in->grid_width = dims[2];
    const ink_transformer_config *c = &v->model->transformer;
    *why = "its shape does not fit forward.grid and the model";
    if (ink_shape_count(&in->latents->shape) / c->in_channels / in->grid_width != in->grid_height ||
        ink_shape_count(&in->latents->shape) != in->grid_height * in->grid_width * c->in_channels)
        return false;
    *why = "prompt0.embeds or forward.timestep does not fit the model";
    return ink_shape_columns(&in->embeds->shape) == c->joint_attention_dim &&
           ink_shape_rows(&in->embeds->shape) >= 1 && ink_shape_count(&in->timestep->shape) == 1;
}

static ink_status write_golden(ink_buffer *buffer, const ink_weight *golden, ink_error *error) {
    float *values;
    INK_TRY(ink_verifier_values(golden, &values, error));
    const ink_status status =
        ink_buffer_write(buffer, values, (size_t)ink_shape_count(&golden->shape) * sizeof *values, error);
    free(values);
    return status;
}

static ink_status compare_taps(ink_verifier *v, const ink_executable *e, ink_error *error) {
    const char *name;
    ink_buffer *buffer;
    for (size_t i = 0; ink_executable_tap(e, i, &name, &buffer); i++) {
        const ink_weight *golden = ink_verifier_find(v, "forward.%s", name);
        if (!golden) continue;
        float *values;
        size_t count;
        INK_TRY(ink_buffer_read_f32(buffer, &values, &count, error));
        ink_verifier_compare(v, golden, values, (int64_t)count, v->tolerance);
        free(values);
    }
    return INK_OK;
}

/* Angles back from the cosines and sines that the network reads. */
static ink_status compare_angles(ink_verifier *v, const ink_denoiser *d, const char *slot,
                                 const char *golden_name, ink_error *error) {
    const ink_weight *golden = ink_verifier_find(v, "%s", golden_name);
    if (!golden) return INK_OK;
    float *table;
    size_t count;
    INK_TRY(ink_buffer_read_f32(ink_executable_buffer(&d->step, slot), &table, &count, error));
    for (size_t i = 0; i < count / 2; i++) {
        table[i] = (float)atan2((double)table[2 * i + 1], (double)table[2 * i]);
    }
    ink_verifier_compare_angles(v, golden, table, (int64_t)(count / 2), v->tolerance);
    free(table);
    return INK_OK;
}

static ink_status run_forward(ink_verifier *v, ink_denoiser *d, const forward_inputs *in, ink_error *error) {
    const ink_prompts *prompts = d->prompts;
    INK_TRY(write_golden(prompts->embeds, in->embeds, error));
    INK_TRY(write_golden(d->latents, in->latents, error));
    /* What the network is told is given, not a step's sigma through the roundings of the loop. */
    INK_TRY(write_golden(ink_executable_buffer(&d->modulate, "sigmas"), in->timestep, error));
    INK_TRY(ink_denoiser_prepare(d, NULL, error));
    INK_TRY(ink_program_run(d->step.program, 0, NULL, error));
    INK_TRY(compare_angles(v, d, "image_rotary", "forward.rope.img_angle", error));
    INK_TRY(compare_angles(v, d, "text_rotary", "forward.rope.txt_angle", error));
    INK_TRY(compare_taps(v, &d->prepare, error));
    INK_TRY(compare_taps(v, &d->modulate, error));
    return compare_taps(v, &d->step, error);
}

ink_status ink_verify_forward(ink_verifier *v, ink_error *error) {
    forward_inputs in;
    const char *why;
    if (!find_inputs(v, &in, &why)) {
        if (in.latents) ink_verifier_skip(v, in.latents, why);
        return INK_OK;
    }
    static const float sigmas[2] = {1, 0};
    const ink_denoiser_options options = {.pictures = 1,
                                          .grid_height = in.grid_height,
                                          .grid_width = in.grid_width,
                                          .steps = 1,
                                          .sigmas = sigmas,
                                          .guidance = 1,
                                          .tap_mode = INK_TAP_VALUES,
                                          .tap_filter = wants_tap,
                                          .tap_user = v};
    ink_prompts prompts = {.n = 1, .tokens = {ink_shape_rows(&in.embeds->shape)}};
    const ink_shape shape = ink_shape2(prompts.tokens[0], ink_shape_columns(&in.embeds->shape));
    INK_TRY(ink_buffer_create(v->model->backend, INK_F32, &shape, &prompts.embeds, error));
    ink_denoiser d;
    ink_status status = ink_denoiser_init(&d, v->model, &prompts, &options, error);
    if (status == INK_OK) status = run_forward(v, &d, &in, error);
    ink_denoiser_fini(&d);
    ink_prompts_fini(&prompts);
    return status;
}
