#include "pipeline/denoiser.h"

#include "pipeline/diagnose.h"

#include <stdlib.h>

enum { usual_progress_every = 5 };

/* Whether a step is finished when it was run. */
static bool is_synchronous(const ink_denoiser *d) {
    return d->model->backend->api->synchronous || ink_observer_waits(d->model->observer, d->model->backend);
}

/* Into the slot's buffer, which is made if it has none. */
static ink_status write_column(ink_executable *e, const char *slot, const float *values, int n,
                               ink_error *error) {
    ink_buffer *buffer = ink_executable_buffer(e, slot);
    if (!buffer) INK_TRY(ink_executable_bind_new(e, slot, &buffer, error));
    return ink_buffer_write(buffer, values, (size_t)n * sizeof *values, error);
}

/* Step tables: what the network is told (the time, through the reference's own roundings) and how far each
 * step goes. */
static ink_status write_tables(ink_denoiser *d, ink_error *error) {
    const int steps = d->options.steps;
    float *table = calloc((size_t)steps, sizeof *table);
    if (!table) return ink_fail_memory(error, "the step tables", (size_t)steps * sizeof *table);
    const float train_steps = (float)d->model->schedule.num_train_timesteps;
    for (int i = 0; i < steps; i++) {
        const float timestep = d->options.sigmas[i] * train_steps;
        table[i] = timestep / 1000.0f;
    }
    ink_status status = INK_OK;
    if (d->modulate.program) status = write_column(&d->modulate, "sigmas", table, steps, error);
    for (int i = 0; i < steps; i++) {
        table[i] = d->options.sigmas[i + 1] - d->options.sigmas[i];
    }
    if (status == INK_OK) status = write_column(&d->step, "dt", table, steps, error);
    free(table);
    return status;
}

static ink_status write_guidance(ink_denoiser *d, ink_error *error) {
    if (d->prompts->n < 2) return INK_OK;
    const int steps = d->options.steps;
    float *table = calloc((size_t)steps, sizeof *table);
    if (!table) return ink_fail_memory(error, "the step tables", (size_t)steps * sizeof *table);
    for (int i = 0; i < steps; i++) {
        table[i] = (float)d->options.guidance;
    }
    const ink_status status = write_column(&d->step, "guidance", table, steps, error);
    free(table);
    return status;
}

/* The table that was given, or a new one. */
static ink_status connect_modulation(ink_denoiser *d, ink_error *error) {
    d->given = d->options.modulation;
    d->modulated = d->given != NULL;
    if (d->given) return ink_program_bind(d->step.program, "modulation", d->given->table, error);
    const ink_shape shape = ink_value_shape(d->step.graph, ink_graph_find_slot(d->step.graph, "modulation"));
    const size_t bytes = ((size_t)d->options.steps + 1) * sizeof *d->own.sigmas;
    d->own.steps = d->options.steps;
    d->own.sigmas = malloc(bytes);
    if (!d->own.sigmas) return ink_fail_memory(error, "the step tables", bytes);
    memcpy(d->own.sigmas, d->options.sigmas, bytes);
    INK_TRY(ink_buffer_create(d->model->backend, INK_F32, &shape, &d->own.table, error));
    INK_TRY(ink_program_bind(d->modulate.program, "modulation", d->own.table, error));
    return ink_program_bind(d->step.program, "modulation", d->own.table, error);
}

/* Buffers that prepare fills and the steps read. */
static ink_status connect(ink_denoiser *d, ink_error *error) {
    static const char *const shared[] = {"text_stream", "text_rotary", "image_rotary"};
    for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++) {
        ink_buffer *buffer;
        INK_TRY(ink_executable_bind_new(&d->step, shared[i], &buffer, error));
        INK_TRY(ink_program_bind(d->prepare.program, shared[i], buffer, error));
    }
    INK_TRY(ink_program_bind(d->prepare.program, "embeds", d->prompts->embeds, error));
    INK_TRY(ink_executable_bind_new(&d->step, "latents", &d->latents, error));
    INK_TRY(ink_executable_bind_new(&d->step, "previous", &d->previous, error));
    INK_TRY(ink_executable_bind_new(&d->step, "velocity_stats", &d->velocity_stats, error));
    INK_TRY(connect_modulation(d, error));
    INK_TRY(write_tables(d, error));
    INK_TRY(write_guidance(d, error));
    INK_TRY(ink_executable_bind_taps(&d->prepare, error));
    if (d->modulate.program) INK_TRY(ink_executable_bind_taps(&d->modulate, error));
    return ink_executable_bind_taps(&d->step, error);
}

static ink_status record_modulation(ink_denoiser *d, ink_error *error) {
    const ink_denoiser_options *o = &d->options;
    INK_TRY(ink_executable_init(&d->modulate, d->model->backend, error));
    ink_graph_set_taps(d->modulate.graph, o->tap_mode, o->tap_filter, o->tap_user);
    ink_graph_set_rare(d->modulate.graph);
    ink_transformer_record_modulation(d->modulate.graph, &d->model->transformer,
                                      ink_model_transformer_weights(d->model), o->steps);
    return ink_executable_compile(&d->modulate, error);
}

ink_status ink_denoiser_init(ink_denoiser *d, ink_model *model, const ink_prompts *prompts,
                             const ink_denoiser_options *options, ink_error *error) {
    *d = (ink_denoiser){.model = model, .prompts = prompts, .options = *options};
    if (d->options.progress_every == 0) d->options.progress_every = usual_progress_every;
    d->embeds = prompts->embeds;
    d->n_prompts = prompts->n;
    memcpy(d->tokens, prompts->tokens, sizeof d->tokens);
    INK_TRY(ink_layout_init(&d->layout, options->pictures, prompts->n, prompts->tokens, options->grid_height,
                            options->grid_width, error));
    INK_TRY(ink_executable_init(&d->prepare, model->backend, error));
    ink_graph_set_taps(d->prepare.graph, options->tap_mode, options->tap_filter, options->tap_user);
    ink_transformer_record_prepare(d->prepare.graph, &model->transformer,
                                   ink_model_transformer_weights(model), &d->layout);
    INK_TRY(ink_executable_compile(&d->prepare, error));
    if (!options->modulation) INK_TRY(record_modulation(d, error));
    INK_TRY(ink_executable_init(&d->step, model->backend, error));
    ink_graph_set_taps(d->step.graph, options->tap_mode, options->tap_filter, options->tap_user);
    ink_transformer_record_step(d->step.graph, &model->transformer, ink_model_transformer_weights(model),
                                &d->layout, options->steps);
    INK_TRY(ink_executable_compile(&d->step, error));
    return connect(d, error);
}

void ink_denoiser_fini(ink_denoiser *d) {
    ink_executable_fini(&d->prepare);
    ink_executable_fini(&d->modulate);
    ink_executable_fini(&d->step);
    ink_modulation_fini(&d->own);
    ink_layout_fini(&d->layout);
    free(d->first);
    *d = (ink_denoiser){0};
}

ink_status ink_denoiser_prepare(ink_denoiser *d, const ink_run_control *control, ink_error *error) {
    const ink_observer *observer = d->model->observer;
    if (!d->modulated) {
        INK_TRY(ink_observed_run(observer, INK_STAGE_PREPARE, 0, d->modulate.program, 0, control, error));
        ink_executable_release(&d->modulate);
        d->modulated = true;
    }
    INK_TRY(ink_observed_run(observer, INK_STAGE_PREPARE, 0, d->prepare.program, 0, control, error));
    if (!ink_keeps(d->model)) ink_executable_release(&d->prepare);
    return INK_OK;
}

/* ---- again ---- */

bool ink_modulation_fits(const ink_modulation *m, int steps, const float *sigmas) {
    return m->table && m->steps == steps &&
           memcmp(m->sigmas, sigmas, ((size_t)steps + 1) * sizeof *sigmas) == 0;
}

void ink_modulation_fini(ink_modulation *m) {
    ink_buffer_destroy(m->table);
    free(m->sigmas);
    *m = (ink_modulation){0};
}

void ink_denoiser_give_modulation(ink_denoiser *d, ink_modulation *to) {
    if (d->given || !d->modulated) return;
    ink_modulation_fini(to);
    *to = d->own;
    d->own = (ink_modulation){0};
    d->given = to;
}

bool ink_denoiser_fits(const ink_denoiser *d, const ink_prompts *prompts, const ink_denoiser_options *o) {
    const ink_denoiser_options *own = &d->options;
    bool fits = d->prepare.program && d->step.program && d->modulated && prompts->embeds == d->embeds &&
                own->pictures == o->pictures && own->grid_height == o->grid_height &&
                own->grid_width == o->grid_width && own->tap_mode == o->tap_mode &&
                ink_modulation_fits(d->given ? d->given : &d->own, o->steps, o->sigmas) &&
                prompts->n == d->n_prompts;
    for (int64_t i = 0; fits && i < prompts->n; i++) {
        fits = prompts->tokens[i] == d->tokens[i];
    }
    return fits;
}

ink_status ink_denoiser_renew(ink_denoiser *d, const ink_prompts *prompts, const ink_denoiser_options *o,
                              ink_error *error) {
    const int progress_every = o->progress_every ? o->progress_every : usual_progress_every;
    d->prompts = prompts;
    d->options = *o;
    d->options.progress_every = progress_every;
    return write_guidance(d, error);
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
