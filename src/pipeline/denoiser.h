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
    int progress_every;  /* steps that an asynchronous backend gets at a time; 0: 5 */
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
    int started;                                     /* steps since the latents were written */
    int64_t runs_before;                             /* runs of the step program before that */
    float *first; /* the latents that were written, for a step that must be found again; asynchronous only */
} ink_denoiser;

/* Builds both programs. `prompts` holds one prompt, or two for classifier-free guidance; it and
 * options->sigmas must outlive the denoiser. Free with ink_denoiser_fini (also after failure). */
ink_status ink_denoiser_init(ink_denoiser *d, ink_model *model, const ink_prompts *prompts,
                             const ink_denoiser_options *options, ink_error *error);
void ink_denoiser_fini(ink_denoiser *d);

/* Runs what is computed once: text stream, rotary tables, modulation of all steps. The program is freed then,
 * and with it the weights that no step reads: call this once. */
ink_status ink_denoiser_prepare(ink_denoiser *d, const ink_run_control *control, ink_error *error);

/* latents [pictures, image_tokens, in_channels] */
ink_status ink_denoiser_write(ink_denoiser *d, const float *latents, ink_error *error);
ink_status ink_denoiser_read(ink_denoiser *d, float *latents, ink_error *error);
size_t ink_denoiser_latent_bytes(const ink_denoiser *d);

/* Starts step i (0 ... steps - 1; one after the other). If the backend has finished it, a velocity that is
 * not finite is INK_ERROR_NUMERIC with the step, the place where it began and the likely cause. */
ink_status ink_denoiser_step(ink_denoiser *d, int i, const ink_run_control *control, ink_error *error);

/* How many steps are known to be finished; does not wait. */
int ink_denoiser_finished(ink_denoiser *d);

/* How many steps should be finished before the next one is started: an asynchronous backend may be up to two
 * submissions ahead, so that it never runs dry and yet can be stopped. All of them after the last step. */
int ink_denoiser_awaited(const ink_denoiser *d);

/* Waits for all steps and checks their velocities, where ink_denoiser_step could not. */
ink_status ink_denoiser_finish(ink_denoiser *d, ink_error *error);

#endif
