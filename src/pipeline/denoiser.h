/*
 * The second stage: noise to latents, for one packed batch of pictures.
 */
#ifndef INK_PIPELINE_DENOISER_H
#define INK_PIPELINE_DENOISER_H

#include "pipeline/executable.h"
#include "pipeline/model.h"
#include "pipeline/prompts.h"

typedef struct ink_denoiser_options {
    int64_t pictures, grid_height, grid_width;
    int steps;
    const float *sigmas; /* [steps + 1] */
    double guidance;     /* used if there are two prompts */
    ink_tap_mode tap_mode;
    ink_tap_filter tap_filter; /* nullable */
    void *tap_user;
} ink_denoiser_options;

typedef struct ink_denoiser {
    ink_model *model;
    const ink_prompts *prompts;
    ink_denoiser_options options;
    ink_layout layout;
    ink_executable prepare, step;
    ink_buffer *latents, *previous, *velocity_stats; /* owned by step */
} ink_denoiser;

/* Builds both programs. `prompts` holds one prompt, or two for classifier-free guidance; it and
 * options->sigmas must outlive the denoiser. Free with ink_denoiser_fini (also after failure). */
ink_status ink_denoiser_init(ink_denoiser *d, ink_model *model, const ink_prompts *prompts,
                             const ink_denoiser_options *options, ink_error *error);
void ink_denoiser_fini(ink_denoiser *d);

/* Runs what is computed once: text stream, rotary tables, modulation of all steps. */
ink_status ink_denoiser_prepare(ink_denoiser *d, const ink_run_control *control, ink_error *error);

/* latents [pictures, image_tokens, in_channels] */
ink_status ink_denoiser_write(ink_denoiser *d, const float *latents, ink_error *error);
ink_status ink_denoiser_read(ink_denoiser *d, float *latents, ink_error *error);
size_t ink_denoiser_latent_bytes(const ink_denoiser *d);

/* Starts step i (0 ... steps - 1). If the backend has finished it, a velocity that is not finite is
 * INK_ERROR_NUMERIC with the step, the place where it began and the likely cause. */
ink_status ink_denoiser_step(ink_denoiser *d, int i, const ink_run_control *control, ink_error *error);

/* Waits for all steps and checks their velocities, where ink_denoiser_step could not. */
ink_status ink_denoiser_finish(ink_denoiser *d, ink_error *error);

#endif
