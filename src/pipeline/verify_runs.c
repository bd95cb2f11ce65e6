/*
 * Whole runs: from a prompt and golden noise to pixels, with the latents after every step.
 */
#include "pipeline/denoiser.h"
#include "pipeline/noise_tokens.h"
#include "pipeline/verify.h"

#include <stdio.h>
#include <stdlib.h>

enum { max_side = 8192, max_steps = 1000 };

typedef struct run {
    ink_verifier *v;
    size_t index;
    const char *prompt, *negative;
    int64_t width, height;
    int steps;
    double guidance;
    bool has_seed;
    uint64_t seed;
    /* derived */
    int64_t grid_width, grid_height;
    size_t latent_count;
    float *latents, *sigmas;
} run;

static const ink_weight *find(const run *r, const char *what) {
    return ink_verifier_find(r->v, "run%zu.%s", r->index, what);
}

static bool read_run(run *r, const json_t *entry) {
    const ink_model *model = r->v->model;
    const json_t *guidance = json_object_get(entry, "cfg"), *seed = json_object_get(entry, "seed");
    const json_t *negative = json_object_get(entry, "negative");
    r->prompt = json_string_value(json_object_get(entry, "prompt"));
    r->negative = json_is_string(negative) ? json_string_value(negative)
                  : r->v->negative         ? r->v->negative
                                           : model->default_negative_prompt;
    r->width = json_integer_value(json_object_get(entry, "width"));
    r->height = json_integer_value(json_object_get(entry, "height"));
    const json_int_t steps = json_integer_value(json_object_get(entry, "steps"));
    r->guidance = json_is_number(guidance) ? json_number_value(guidance) : model->default_guidance;
    r->has_seed = json_is_integer(seed);
    r->seed = (uint64_t)json_integer_value(seed);
    const int64_t size_step = ink_model_size_step(model);
    if (!r->prompt || steps < 1 || steps > max_steps || r->width < size_step || r->height < size_step ||
        r->width > max_side || r->height > max_side || r->width % size_step || r->height % size_step)
        return false;
    r->steps = (int)steps;
    r->grid_width = r->width / size_step;
    r->grid_height = r->height / size_step;
    r->latent_count = (size_t)(r->grid_width * r->grid_height * model->transformer.in_channels);
    return true;
}

/* Golden noise if the file has it, else that of the seed. Checks one against the other if there are both. */
static ink_status start_latents(run *r, bool *ready, ink_error *error) {
    const ink_model *model = r->v->model;
    const ink_weight *noise = find(r, "noise");
    *ready = false;
    r->latents = calloc(r->latent_count, sizeof *r->latents);
    if (!r->latents) return ink_fail_memory(error, "latents", r->latent_count * sizeof *r->latents);
    if (r->has_seed) {
        INK_TRY(ink_noise_tokens(INK_NOISE_F32, r->seed, r->grid_height, r->grid_width, model->vae.z_dim,
                                 model->transformer.patch_size, r->latents, error));
        if (noise) ink_verifier_compare_bits(r->v, noise, r->latents, (int64_t)r->latent_count);
    }
    if (noise && ink_shape_count(&noise->shape) == (int64_t)r->latent_count) {
        float *values;
        INK_TRY(ink_verifier_values(noise, &values, error));
        memcpy(r->latents, values, r->latent_count * sizeof *values);
        free(values);
        *ready = true;
    } else if (noise && !r->has_seed) {
        ink_verifier_fail(r->v, noise, "it does not have the size of the run's latents");
    } else {
        *ready = r->has_seed;
    }
    return INK_OK;
}

static ink_status denoise(run *r, const ink_prompts *prompts, ink_error *error) {
    const ink_denoiser_options options = {.pictures = 1,
                                          .grid_height = r->grid_height,
                                          .grid_width = r->grid_width,
                                          .steps = r->steps,
                                          .sigmas = r->sigmas,
                                          .guidance = r->guidance};
    ink_denoiser d;
    ink_status status = ink_denoiser_init(&d, r->v->model, prompts, &options, error);
    if (status == INK_OK) status = ink_denoiser_write(&d, r->latents, error);
    if (status == INK_OK) status = ink_denoiser_prepare(&d, NULL, error);
    for (int i = 0; i < r->steps && status == INK_OK; i++) {
        status = ink_denoiser_step(&d, i, NULL, error);
        if (status == INK_OK) status = ink_denoiser_read(&d, r->latents, error);
        const ink_weight *golden = ink_verifier_find(r->v, "run%zu.latents.%d", r->index, i);
        if (status == INK_OK && golden) {
            ink_verifier_compare(r->v, golden, r->latents, (int64_t)r->latent_count,
                                 INK_RUN_TOLERANCES * r->v->tolerance);
        }
    }
    if (status == INK_OK) status = ink_denoiser_finish(&d, error);
    ink_denoiser_fini(&d);
    return status;
}

static ink_status compare_picture(run *r, ink_buffer *image, ink_buffer *pixels, ink_error *error) {
    const ink_weight *golden_image = find(r, "image"), *golden_pixels = find(r, "pixels");
    const size_t n = (size_t)(r->width * r->height * 3);
    if (golden_image) {
        float *values;
        size_t count;
        INK_TRY(ink_buffer_read_f32(image, &values, &count, error));
        ink_verifier_compare(r->v, golden_image, values, (int64_t)count,
                             INK_RUN_TOLERANCES * r->v->tolerance);
        free(values);
    }
    if (golden_pixels) {
        uint8_t *levels = malloc(n);
        if (!levels) return ink_fail_memory(error, "a picture", n);
        const ink_status status = ink_buffer_read(pixels, levels, n, error);
        if (status == INK_OK) ink_verifier_compare_pixels(r->v, golden_pixels, levels, (int64_t)n);
        free(levels);
        return status;
    }
    return INK_OK;
}

static ink_status decode_with(run *r, ink_executable *e, ink_error *error) {
    const ink_model *model = r->v->model;
    ink_vae_record_decode(e->graph, &model->vae, ink_model_vae_weights(model), 1, r->grid_height,
                          r->grid_width, model->transformer.patch_size);
    INK_TRY(ink_executable_compile(e, error));
    ink_buffer *latents, *image, *pixels;
    INK_TRY(ink_executable_bind_new(e, "latents", &latents, error));
    INK_TRY(ink_executable_bind_new(e, "image", &image, error));
    INK_TRY(ink_executable_bind_new(e, "signal_stats", NULL, error));
    INK_TRY(ink_executable_bind_new(e, "pixels", &pixels, error));
    INK_TRY(ink_buffer_write(latents, r->latents, r->latent_count * sizeof *r->latents, error));
    INK_TRY(ink_program_run(e->program, 0, NULL, error));
    return compare_picture(r, image, pixels, error);
}

static ink_status decode(run *r, ink_error *error) {
    ink_executable e;
    ink_status status = ink_executable_init(&e, r->v->model->backend, error);
    if (status == INK_OK) status = decode_with(r, &e, error);
    ink_executable_fini(&e);
    return status;
}

static ink_status verify_run(run *r, ink_error *error) {
    bool ready;
    INK_TRY(start_latents(r, &ready, error));
    if (!ready) return INK_OK;
    r->sigmas = calloc((size_t)r->steps + 1, sizeof *r->sigmas);
    if (!r->sigmas) return ink_fail_memory(error, "a schedule", ((size_t)r->steps + 1) * sizeof *r->sigmas);
    ink_schedule_sigmas(&r->v->model->schedule, r->grid_height * r->grid_width, r->steps, r->sigmas);
    const char *texts[ink_max_prompts] = {r->prompt, r->negative};
    ink_prompts prompts;
    ink_status status = ink_prompts_encode(r->v->model, texts, r->guidance > 1 ? 2 : 1,
                                           ink_default_kept_tokens, NULL, NULL, &prompts, error);
    if (status == INK_OK) status = denoise(r, &prompts, error);
    ink_prompts_fini(&prompts);
    return status == INK_OK ? decode(r, error) : status;
}

ink_status ink_verify_runs(ink_verifier *v, ink_error *error) {
    for (size_t i = 0; i < json_array_size(v->runs); i++) {
        run r = {.v = v, .index = i};
        if (!read_run(&r, json_array_get(v->runs, i))) {
            return ink_fail(error, INK_ERROR_FORMAT,
                            "%s: entry %zu of metadata 'runs' must have a prompt, steps from 1 to %d, and a "
                            "width and height in multiples of %d up to %d",
                            ink_weights_path(v->golden), i, max_steps, (int)ink_model_size_step(v->model),
                            max_side);
        }
        const ink_status status = verify_run(&r, error);
        free(r.latents);
        free(r.sigmas);
        INK_TRY(status);
    }
    return INK_OK;
}
