#include "pipeline/diagnose.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Order of the parts of a step as a reader thinks of them: the taps of prepare come before those of the step.
 */
static bool first_non_finite(const ink_executable *e, char *place, size_t size) {
    const char *name;
    ink_buffer *buffer;
    for (size_t i = 0; ink_executable_tap(e, i, &name, &buffer); i++) {
        float stats[4];
        if (ink_buffer_read(buffer, stats, sizeof stats, NULL) == INK_OK && !(stats[3] == 0)) {
            snprintf(place, size, "%s", name);
            return true;
        }
    }
    return false;
}

static bool all_finite(const float *values, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) return false;
    }
    return true;
}

/* Runs the step again with checks on; false if that is not possible. */
static bool find_place(ink_denoiser *d, int step, char *place, size_t size) {
    ink_denoiser checked;
    ink_denoiser_options options = d->options;
    options.tap_mode = INK_TAP_STATS;
    options.tap_filter = NULL;
    options.modulation = NULL;
    bool found = false;
    float *latents = malloc(ink_denoiser_latent_bytes(d));
    if (latents && ink_buffer_read(d->previous, latents, ink_denoiser_latent_bytes(d), NULL) == INK_OK) {
        if (!all_finite(latents, ink_denoiser_latent_bytes(d) / sizeof *latents)) {
            snprintf(place, size, "the latents before the step");
            found = true;
        } else if (ink_denoiser_init(&checked, d->model, d->prompts, &options, NULL) == INK_OK) {
            found = ink_denoiser_write(&checked, latents, NULL) == INK_OK &&
                    ink_denoiser_prepare(&checked, NULL, NULL) == INK_OK &&
                    (first_non_finite(&checked.prepare, place, size) ||
                     first_non_finite(&checked.modulate, place, size) ||
                     (ink_program_run(checked.step.program, step, NULL, NULL) == INK_OK &&
                      first_non_finite(&checked.step, place, size)));
            ink_denoiser_fini(&checked);
        } else {
            ink_denoiser_fini(&checked);
        }
    }
    free(latents);
    return found;
}

ink_status ink_diagnose_step(ink_denoiser *d, int step, ink_error *error) {
    char place[128];
    if (!find_place(d, step, place, sizeof place))
        snprintf(place, sizeof place, "a place that could not be found");
    return ink_fail(error, INK_ERROR_NUMERIC,
                    "step %d of %d made values that are not finite, beginning in %s; the weights there (in "
                    "%s/transformer) are probably damaged: check the files against their source",
                    step + 1, d->options.steps, place, d->model->path);
}
