#include "pipeline/denoiser.h"

#include "pipeline/diagnose.h"

#include <stdlib.h>

enum { usual_progress_every = 5 };

/* Whether a step is finished when it was run. */
static bool is_synchronous(const ink_denoiser *d) {
    return d->model->backend->api->synchronous || ink_observer_waits(d->model->observer, d->model->backend);
}

static ink_status write_column(ink_executable *e, const char *slot, const float *values, int n,
                               ink_error *error) {
    ink_buffer *buffer;
    INK_TRY(ink_executable_bind_new(e, slot, &buffer, error));
    return ink_buffer_write(buffer, values, (size_t)n * sizeof *values, error);
}

/* Step tables: what the network is told (the time, through the reference's own roundings), how far each step
 * goes, and the guidance scale. */
static ink_status write_tables(ink_denoiser *d, ink_error *error) {
    const int steps = d->options.steps;
    float *table = calloc((size_t)steps, sizeof *table);
    if (!table) return ink_fail_memory(error, "the step tables", (size_t)steps * sizeof *table);
    const float train_steps = (float)d->model->schedule.num_train_timesteps;
    for (int i = 0; i < steps; i++) {
        const float timestep = d->options.sigmas[i] * train_steps;
        table[i] = timestep / 1000.0f;
    }
    ink_status status = write_column(&d->prepare, "sigmas", table, steps, error);
    for (int i = 0; i < steps; i++) {
        table[i] = d->options.sigmas[i + 1] - d->options.sigmas[i];
    }
    if (status == INK_OK) status = write_column(&d->step, "dt", table, steps, error);
    for (int i = 0; i < steps; i++) {
        table[i] = (float)d->options.guidance;
    }
    if (status == INK_OK && d->prompts->n == 2)
        status = write_column(&d->step, "guidance", table, steps, error);
    free(table);
    return status;
}

/* Buffers that prepare fills and the steps read. */
static ink_status connect(ink_denoiser *d, ink_error *error) {
    static const char *const shared[] = {"text_stream", "text_rotary", "image_rotary", "modulation"};
    for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++) {
        ink_buffer *buffer;
        INK_TRY(ink_executable_bind_new(&d->step, shared[i], &buffer, error));
        INK_TRY(ink_program_bind(d->prepare.program, shared[i], buffer, error));
    }
    INK_TRY(ink_program_bind(d->prepare.program, "embeds", d->prompts->embeds, error));
    INK_TRY(ink_executable_bind_new(&d->step, "latents", &d->latents, error));
    INK_TRY(ink_executable_bind_new(&d->step, "previous", &d->previous, error));
    INK_TRY(ink_executable_bind_new(&d->step, "velocity_stats", &d->velocity_stats, error));
    INK_TRY(write_tables(d, error));
    INK_TRY(ink_executable_bind_taps(&d->prepare, error));
    return ink_executable_bind_taps(&d->step, error);
}

ink_status ink_denoiser_init(ink_denoiser *d, ink_model *model, const ink_prompts *prompts,
                             const ink_denoiser_options *options, ink_error *error) {
    *d = (ink_denoiser){.model = model, .prompts = prompts, .options = *options};
    if (d->options.progress_every == 0) d->options.progress_every = usual_progress_every;
    INK_TRY(ink_layout_init(&d->layout, options->pictures, prompts->n, prompts->tokens, options->grid_height,
                            options->grid_width, error));
    INK_TRY(ink_executable_init(&d->prepare, model->backend, error));
    ink_graph_set_taps(d->prepare.graph, options->tap_mode, options->tap_filter, options->tap_user);
    ink_transformer_record_prepare(d->prepare.graph, &model->transformer,
                                   ink_model_transformer_weights(model), &d->layout, options->steps);
    INK_TRY(ink_executable_compile(&d->prepare, error));
    INK_TRY(ink_executable_init(&d->step, model->backend, error));
    ink_graph_set_taps(d->step.graph, options->tap_mode, options->tap_filter, options->tap_user);
    ink_transformer_record_step(d->step.graph, &model->transformer, ink_model_transformer_weights(model),
                                &d->layout, options->steps);
    INK_TRY(ink_executable_compile(&d->step, error));
    return connect(d, error);
}

void ink_denoiser_fini(ink_denoiser *d) {
    ink_executable_fini(&d->prepare);
    ink_executable_fini(&d->step);
    ink_layout_fini(&d->layout);
    free(d->first);
    *d = (ink_denoiser){0};
}

ink_status ink_denoiser_prepare(ink_denoiser *d, const ink_run_control *control, ink_error *error) {
    INK_TRY(
        ink_observed_run(d->model->observer, INK_STAGE_PREPARE, 0, d->prepare.program, 0, control, error));
    ink_executable_release(&d->prepare);
    return INK_OK;
}

size_t ink_denoiser_latent_bytes(const ink_denoiser *d) {
    return (size_t)(d->layout.pictures * d->layout.image_tokens * d->model->transformer.in_channels) *
           sizeof(float);
}

ink_status ink_denoiser_write(ink_denoiser *d, const float *latents, ink_error *error) {
    const size_t bytes = ink_denoiser_latent_bytes(d);
    if (!is_synchronous(d)) {
        if (!d->first) d->first = malloc(bytes);
        if (!d->first) return ink_fail_memory(error, "latents", bytes);
        memcpy(d->first, latents, bytes);
    }
    d->runs_before += d->started;
    d->started = 0;
    return ink_buffer_write(d->latents, latents, bytes, error);
}

ink_status ink_denoiser_read(ink_denoiser *d, float *latents, ink_error *error) {
    return ink_buffer_read(d->latents, latents, ink_denoiser_latent_bytes(d), error);
}

/* Runs the steps up to `step` once more, so that `previous` holds the latents before it. */
static ink_status repeat_until(ink_denoiser *d, int step, ink_error *error) {
    INK_TRY(ink_buffer_write(d->latents, d->first, ink_denoiser_latent_bytes(d), error));
    for (int i = 0; i <= step; i++) {
        INK_TRY(ink_program_run(d->step.program, i, NULL, error));
    }
    return INK_OK;
}

/* INK_ERROR_NUMERIC if one of the steps first ... last has a velocity that is not finite. */
static ink_status check_velocities(ink_denoiser *d, int first, int last, ink_error *error) {
    float *stats;
    size_t count;
    INK_TRY(ink_buffer_read_f32(d->velocity_stats, &stats, &count, error));
    int bad = -1;
    for (int i = first; i <= last && bad < 0; i++) {
        if (!(stats[4 * i + 3] == 0)) bad = i;
    }
    free(stats);
    if (bad < 0) return INK_OK;
    if (bad < last) INK_TRY(repeat_until(d, bad, error));
    return ink_diagnose_step(d, bad, error);
}

ink_status ink_denoiser_step(ink_denoiser *d, int i, const ink_run_control *control, ink_error *error) {
    INK_TRY(ink_observed_run(d->model->observer, INK_STAGE_DENOISE, i, d->step.program, i, control, error));
    d->started = i + 1;
    if (is_synchronous(d)) return check_velocities(d, i, i, error);
    const bool submits = d->started % d->options.progress_every == 0 || d->started == d->options.steps;
    return submits ? ink_program_submit(d->step.program, error) : INK_OK;
}

int ink_denoiser_finished(ink_denoiser *d) {
    if (is_synchronous(d)) return d->started;
    const int64_t finished = ink_program_finished(d->step.program) - d->runs_before;
    return finished < 0 ? 0 : (int)finished;
}

int ink_denoiser_awaited(const ink_denoiser *d) {
    if (d->started == d->options.steps) return d->started;
    const int submitted = d->started / d->options.progress_every * d->options.progress_every;
    return submitted < d->options.progress_every ? 0 : submitted - d->options.progress_every;
}

ink_status ink_denoiser_finish(ink_denoiser *d, ink_error *error) {
    return check_velocities(d, 0, d->options.steps - 1, error);
}
