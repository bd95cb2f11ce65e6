/*
 * The second stage: noise to latents, for one packed batch of pictures.
 */
#ifndef INK_PIPELINE_DENOISER_H
#define INK_PIPELINE_DENOISER_H

#include "pipeline/executable.h"
#include "pipeline/model.h"
#include "pipeline/prompts.h"

/* The modulation vectors of all steps: they depend on the schedule alone, and cost more weights to read than
 * anything else. */
typedef struct ink_modulation {
    int steps;
    float *sigmas;     /* [steps + 1], that they were made for */
    ink_buffer *table; /* NULL: there are none */
} ink_modulation;

typedef struct ink_denoiser_options {
    int64_t pictures, grid_height, grid_width;
    int steps;
    const float *sigmas;              /* [steps + 1] */
    double guidance;                  /* used if there are two prompts */
    int progress_every;               /* steps that an asynchronous backend gets at a time; 0: 5 */
    const ink_modulation *modulation; /* made before, for these sigmas; must outlive the denoiser; nullable */
    ink_tap_mode tap_mode;
    ink_tap_filter tap_filter; /* nullable */
    void *tap_user;
} ink_denoiser_options;

bool ink_modulation_fits(const ink_modulation *modulation, int steps, const float *sigmas);
/* A zeroed one is allowed. */
void ink_modulation_fini(ink_modulation *modulation);

typedef struct ink_denoiser {
    ink_model *model;
    const ink_prompts *prompts;
    const ink_buffer *embeds; /* of the prompts that the programs were made for, and: */
    int64_t n_prompts, tokens[ink_max_prompts];
    ink_denoiser_options options;
    ink_layout layout;
    ink_executable prepare, modulate, step;
    const ink_modulation *given; /* what the steps read; NULL: own */
    ink_modulation own;
    bool modulated;                                  /* it holds what the sigmas say */
    ink_buffer *latents, *previous, *velocity_stats; /* owned by step */
    int started;                                     /* steps since the latents were written */
    int64_t runs_before;                             /* runs of the step program before that */
    float *first; /* the latents that were written, for a step that must be found again; asynchronous only */
} ink_denoiser;

/* Builds the programs. `prompts` holds one prompt, or two for classifier-free guidance; it and
 * options->sigmas must outlive the denoiser. Free with ink_denoiser_fini (also after failure). */
ink_status ink_denoiser_init(ink_denoiser *d, ink_model *model, const ink_prompts *prompts,
                             const ink_denoiser_options *options, ink_error *error);
void ink_denoiser_fini(ink_denoiser *d);

/* Whether a denoiser that was prepared before can do the same for these. */
bool ink_denoiser_fits(const ink_denoiser *d, const ink_prompts *prompts,
                       const ink_denoiser_options *options);
/* Takes them: prompts of the same lengths, in the same buffer, and options that fit. To be prepared again. */
ink_status ink_denoiser_renew(ink_denoiser *d, const ink_prompts *prompts,
                              const ink_denoiser_options *options, ink_error *error);
/* Hands a modulation of its own over to `to`, where it is read from then on; what was there is freed. */
void ink_denoiser_give_modulation(ink_denoiser *d, ink_modulation *to);

/* Runs what is computed once: text stream, rotary tables, and the modulation of all steps, unless it is there
 * already. That program is freed then, and with it the weights that no step reads. Where the backend does not
 * keep programs (ink_backend_api), the other one is freed too: call this once. */
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
