/*
 * Runs some steps of a picture with statistics after every part of the network.
 */
#include "pipeline/denoiser.h"
#include "pipeline/noise_tokens.h"
#include "pipeline/request.h"

#include <stdlib.h>

/* One range for every tap of a program. The count of elements is that of the value behind the tap. */
static ink_status report_taps(const ink_executable *e, int step, ink_range_fn on_range, void *user,
                              ink_error *error) {
    const char *name;
    ink_buffer *buffer;
    for (size_t i = 0; ink_executable_tap(e, i, &name, &buffer); i++) {
        float stats[4];
        INK_TRY(ink_buffer_read(buffer, stats, sizeof stats, error));
        const ink_value_range range = {.name = name,
                                       .step = step,
                                       .min = (double)stats[0],
                                       .max = (double)stats[1],
                                       .rms = (double)stats[2],
                                       .non_finite = (int64_t)stats[3]};
        on_range(user, &range);
    }
    return INK_OK;
}

static ink_status inspect(ink_model *model, const ink_resolved_request *r, const ink_prompts *prompts,
                          const float *sigmas, float *latents, ink_range_fn on_range, void *user,
                          ink_error *error) {
    const ink_denoiser_options options = {.pictures = 1,
                                          .grid_height = r->grid_height,
                                          .grid_width = r->grid_width,
                                          .steps = r->request.steps,
                                          .sigmas = sigmas,
                                          .guidance = r->request.guidance,
                                          .tap_mode = INK_TAP_STATS};
    ink_denoiser d;
    ink_status status = ink_denoiser_init(&d, model, prompts, &options, error);
    if (status == INK_OK) status = ink_denoiser_write(&d, latents, error);
    if (status == INK_OK) status = ink_denoiser_prepare(&d, &r->control, error);
    if (status == INK_OK) status = report_taps(&d.prepare, 0, on_range, user, error);
    if (status == INK_OK) status = report_taps(&d.modulate, 0, on_range, user, error);
    for (int i = 0; i < r->request.steps && status == INK_OK; i++) {
        /* The program itself, not ink_denoiser_step: values that are not finite are to be shown, not refused.
         */
        status = ink_program_run(d.step.program, i, &r->control, error);
        if (status == INK_OK) status = report_taps(&d.step, i, on_range, user, error);
    }
    ink_denoiser_fini(&d);
    return status;
}

static ink_status encode_and_inspect(ink_model *model, const ink_resolved_request *r, float *sigmas,
                                     float *latents, ink_range_fn on_range, void *user, ink_error *error) {
    const char *texts[ink_max_prompts] = {r->request.prompt, r->request.negative_prompt};
    ink_prompts prompts;
    ink_status status = ink_prompts_encode(model, texts, r->passes, ink_default_kept_tokens, NULL,
                                           &r->control, &prompts, error);
    if (status == INK_OK) {
        ink_weights_release(ink_model_text_weights(model));
        ink_schedule_sigmas(&model->schedule, r->grid_height * r->grid_width, r->request.steps, sigmas);
        status = ink_noise_tokens(r->request.noise, (uint64_t)r->request.seed, r->grid_height, r->grid_width,
                                  model->vae.z_dim, model->transformer.patch_size, latents, error);
    }
    if (status == INK_OK) status = inspect(model, r, &prompts, sigmas, latents, on_range, user, error);
    ink_prompts_fini(&prompts);
    return status;
}

ink_status ink_inspect(ink_model *model, const ink_request *request, ink_range_fn on_range, void *user,
                       ink_error *error) {
    ink_resolved_request r;
    INK_TRY(ink_request_resolve(model, request, &r, error));
    if (!on_range) return ink_fail(error, INK_ERROR_ARGUMENT, "ink_inspect: on_range is NULL");
    const size_t elements = (size_t)(r.grid_height * r.grid_width * model->transformer.in_channels);
    float *sigmas = calloc((size_t)r.request.steps + 1, sizeof *sigmas);
    float *latents = calloc(elements, sizeof *latents);
    ink_status status =
        sigmas && latents ? INK_OK : ink_fail_memory(error, "latents", elements * sizeof *latents);
    if (status == INK_OK) {
        pthread_mutex_lock(&model->lock);
        status = encode_and_inspect(model, &r, sigmas, latents, on_range, user, error);
        pthread_mutex_unlock(&model->lock);
    }
    free(sigmas);
    free(latents);
    return status;
}
