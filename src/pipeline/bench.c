/*
 * How long each stage of drawing takes, and each kind of operation in it. Stages are made, run and freed in
 * the order in which a picture needs them, so that no more memory is held than for a picture.
 */
#include "base/clock.h"
#include "base/versioned.h"
#include "pipeline/bench_kinds.h"
#include "pipeline/bench_pictures.h"
#include "pipeline/bench_timing.h"
#include "pipeline/kept.h"
#include "pipeline/noise_tokens.h"
#include "pipeline/request.h"
#include "text/prompt.h"

#include <math.h>
#include <stdlib.h>

enum {
    usual_runs = 5,
    usual_tokens = 64,
    most_profiled = 5,
    bursts = 3,
    most_pictures = 1000,
    most_executables = 2
};

typedef struct bench {
    ink_model *model;
    ink_bench_options o;
    ink_resolved_request r;
    ink_bench_result *result;
    ink_buffer *fence;
    ink_roof roof;
    ink_prompts prompts;
    float *sigmas, *latents; /* [steps + 1], [image tokens, channels] */
    double begin, stage_begin;
    int done, total; /* runs of the stage */
} bench;

/* Programs to be timed, one after the other. */
typedef struct subject {
    ink_stage stage;
    int n_executables;
    const ink_executable *executables[most_executables];
    int64_t steps; /* run i gets step i % steps */
    int burst;     /* runs in a row, on backends that need not be waited for after each one */
} subject;

static bool wants(const bench *b, ink_bench_part part) {
    return (b->o.parts & (unsigned)part) != 0;
}

/* ---- progress ---- */

static void report(bench *b, ink_stage stage) {
    const double now = ink_clock_seconds();
    if (b->done == 0) b->stage_begin = now;
    if (!b->o.on_progress) return;
    const ink_progress progress = {.stage = stage,
                                   .done = b->done,
                                   .total = b->total,
                                   .stage_seconds = now - b->stage_begin,
                                   .seconds = now - b->begin};
    b->o.on_progress(b->o.user, &progress);
}

/* Runs whose time is taken are profiled too where that costs nothing. */
static bool profiles_while_timing(const bench *b) {
    return b->model->backend->api->synchronous && ink_backend_profiles(b->model->backend);
}

static int burst_of(const bench *b, const subject *s) {
    return b->model->backend->api->synchronous ? 1 : s->burst;
}

/* How many times are taken. */
static int sample_count(const bench *b, const subject *s) {
    return burst_of(b, s) > 1 ? bursts : b->r.request.steps;
}

static int profiled_count(const bench *b) {
    if (!ink_backend_profiles(b->model->backend)) return 0;
    const int runs = b->r.request.steps;
    return profiles_while_timing(b) || runs < most_profiled ? runs : most_profiled;
}

/* Begins a stage, before its program is made. */
static void begin_stage(bench *b, const subject *s) {
    ink_backend_memory ignored;
    ink_backend_ask_memory(b->model->backend, &ignored);
    b->done = 0;
    b->total = 1 + sample_count(b, s) + (profiles_while_timing(b) ? 0 : profiled_count(b));
    report(b, s->stage);
}

/* ---- one stage ---- */

typedef struct profiled_run {
    bench *b;
    const subject *subject;
    ink_kinds *kinds;
    int run;
    double begin;
} profiled_run;

static void on_launch(void *user, const ink_launch *launch) {
    const profiled_run *p = user;
    ink_kinds_add(p->kinds, p->run, launch);
    if (p->run != 0 || !p->b->o.on_operation) return;
    const ink_operation operation = {.stage = p->subject->stage,
                                     .kind = launch->kind,
                                     .label = launch->label,
                                     .begin = p->begin - p->b->begin + launch->begin,
                                     .seconds = launch->seconds,
                                     .flops = launch->flops,
                                     .bytes = launch->bytes,
                                     .track = launch->track};
    p->b->o.on_operation(p->b->o.user, &operation);
}

static ink_status profile(bench *b, const subject *s, ink_kinds *kinds, int run, double *seconds,
                          ink_error *error) {
    const double begin = ink_clock_seconds();
    for (int i = 0; i < s->n_executables; i++) {
        profiled_run p = {b, s, kinds, run, ink_clock_seconds()};
        INK_TRY(ink_program_profile(s->executables[i]->program, run % s->steps, &b->r.control,
                                    &(ink_profile){on_launch, &p}, error));
    }
    *seconds = ink_clock_seconds() - begin;
    b->done++;
    report(b, s->stage);
    return INK_OK;
}

static ink_status time_burst(bench *b, const subject *s, int count, double *seconds, ink_error *error) {
    *seconds = 0;
    for (int i = 0; i < s->n_executables; i++) {
        double own = 0;
        INK_TRY(ink_time_runs(s->executables[i]->program, b->fence, 0, count, s->steps, &b->r.control, &own,
                              error));
        *seconds += own;
    }
    return INK_OK;
}

static ink_status take_samples(bench *b, const subject *s, ink_kinds *kinds, double *samples, int n,
                               ink_error *error) {
    const int burst = burst_of(b, s);
    double ignored;
    /* Devices get up to speed, and capture what they will replay. */
    if (!b->model->backend->api->synchronous) INK_TRY(time_burst(b, s, burst, &ignored, error));
    for (int i = 0; i < n; i++) {
        if (profiles_while_timing(b)) {
            INK_TRY(profile(b, s, kinds, i, &samples[i], error));
            continue;
        }
        INK_TRY(time_burst(b, s, burst, &samples[i], error));
        b->done++;
        report(b, s->stage);
    }
    for (int i = 0; i < profiled_count(b) && !profiles_while_timing(b); i++) {
        INK_TRY(profile(b, s, kinds, i, &ignored, error));
    }
    return INK_OK;
}

static void sum_graph(const bench *b, const ink_graph *g, ink_bench_stage *stage) {
    for (int32_t n = 0; n < ink_graph_node_count(g); n++) {
        const double flops = ink_node_flops(g, ink_graph_node(g, n));
        const double bytes = ink_node_bytes(g, ink_graph_node(g, n));
        stage->flops += flops;
        stage->bytes += bytes;
        stage->roof_seconds += ink_roof_seconds(&b->roof, flops, bytes);
    }
}

/* What a run costs: by its launches, or by its graph where nothing is known of launches. */
static void sum_up(const bench *b, const subject *s, ink_bench_stage *stage) {
    for (size_t i = 0; i < stage->n_kinds; i++) {
        stage->flops += stage->kinds[i].flops;
        stage->bytes += stage->kinds[i].bytes;
        stage->roof_seconds += stage->kinds[i].roof_seconds;
    }
    for (int i = 0; i < s->n_executables && stage->n_kinds == 0; i++) {
        sum_graph(b, s->executables[i]->graph, stage);
    }
}

/* Since the stage began. */
static void note_memory(const bench *b, ink_bench_stage *stage) {
    ink_backend_memory memory;
    ink_backend_ask_memory(b->model->backend, &memory);
    stage->peak_bytes = memory.peak;
    stage->device_bytes = memory.device_peak;
    stage->loaded_bytes = memory.loaded_bytes;
    stage->loading_seconds = memory.loading_seconds;
}

static ink_status measure_with(bench *b, const subject *s, ink_kinds *kinds, double *samples, int n,
                               ink_bench_stage *stage, ink_error *error) {
    INK_TRY(take_samples(b, s, kinds, samples, n, error));
    INK_TRY(ink_kinds_finish(kinds, &stage->kinds, &stage->n_kinds, error));
    stage->seconds = ink_median(samples, (size_t)n); /* which sorts them */
    stage->fastest = samples[0];
    stage->slowest = samples[n - 1];
    for (int i = 0; i < s->n_executables; i++) {
        stage->program_bytes += ink_program_bytes(s->executables[i]->program);
    }
    note_memory(b, stage);
    sum_up(b, s, stage);
    return INK_OK;
}

/* Runs a program that was just made and has what it reads: once, to warm up, and then with the clock. */
static ink_status measure(bench *b, const subject *s, ink_error *error) {
    ink_bench_stage *stage = &b->result->stages[b->result->n_stages++];
    const int n = sample_count(b, s);
    *stage = (ink_bench_stage){.stage = s->stage, .runs = n};
    double ignored;
    INK_TRY(time_burst(b, s, 1, &ignored, error));
    b->done++;
    report(b, s->stage);
    stage->first_seconds = ink_clock_seconds() - b->stage_begin;
    double *samples = calloc((size_t)n, sizeof *samples);
    if (!samples) return ink_fail_memory(error, "samples", (size_t)n * sizeof *samples);
    ink_kinds kinds;
    ink_kinds_init(&kinds, profiled_count(b), &b->roof);
    const ink_status status = measure_with(b, s, &kinds, samples, n, stage, error);
    ink_kinds_fini(&kinds);
    free(samples);
    return status;
}

/* ---- the stages ---- */

/* Ids that are all different from their neighbours; which ones makes no difference in time. */
static int32_t *make_ids(const bench *b, int64_t n) {
    int32_t *ids = malloc((size_t)n * sizeof *ids);
    for (int64_t i = 0; ids && i < n; i++) {
        ids[i] = (int32_t)((17 + 7919 * i) % b->model->text_encoder.vocab_size);
    }
    return ids;
}

static ink_status bench_text(bench *b, ink_error *error) {
    const int64_t length = b->o.tokens + INK_TEMPLATE_DROP, tokens[ink_max_prompts] = {length, length};
    ink_executable e = {0};
    const subject s = {INK_STAGE_TEXT, 1, {&e}, 1, 1};
    int32_t *ids = make_ids(b, b->r.passes * length);
    if (!ids) return ink_fail_memory(error, "token ids", (size_t)(b->r.passes * length) * sizeof *ids);
    begin_stage(b, &s);
    ink_status status = ink_prompts_compile(b->model, &e, ids, tokens, NULL, &b->prompts, error);
    if (status == INK_OK) status = measure(b, &s, error);
    ink_executable_fini(&e);
    free(ids);
    ink_weights_release(ink_model_text_weights(b->model));
    return status;
}

/* Embeddings without the text encoder. */
static ink_status make_embeds(bench *b, ink_error *error) {
    const int64_t rows = b->r.passes * b->o.tokens;
    const ink_shape shape = ink_shape2(rows, b->model->transformer.joint_attention_dim);
    const size_t count = (size_t)ink_shape_count(&shape);
    for (int64_t i = 0; i < b->prompts.n; i++) {
        b->prompts.tokens[i] = b->o.tokens;
    }
    INK_TRY(ink_buffer_create(b->model->backend, INK_F32, &shape, &b->prompts.embeds, error));
    float *values = malloc(count * sizeof *values);
    if (!values) return ink_fail_memory(error, "embeddings", count * sizeof *values);
    ink_fill_activations(values, count);
    const ink_status status = ink_buffer_write(b->prompts.embeds, values, count * sizeof *values, error);
    free(values);
    return status;
}

static ink_status check_velocities(const bench *b, const ink_denoiser *d, ink_error *error) {
    float *stats;
    size_t count;
    INK_TRY(ink_buffer_read_f32(d->velocity_stats, &stats, &count, error));
    bool finite = true;
    for (size_t i = 3; i < count; i += 4) {
        finite = finite && stats[i] == 0;
    }
    free(stats);
    if (finite) return INK_OK;
    return ink_fail(error, INK_ERROR_NUMERIC,
                    "a step made values that are not finite, so its time says nothing; inspecting %s with a "
                    "prompt shows where they begin",
                    b->model->path);
}

static ink_status bench_denoiser(bench *b, ink_denoiser *d, ink_error *error) {
    const subject prepare = {INK_STAGE_PREPARE, 2, {&d->modulate, &d->prepare}, 1, 1};
    const subject step = {INK_STAGE_DENOISE, 1, {&d->step}, b->r.request.steps, b->r.request.steps};
    const ink_denoiser_options options = {.pictures = 1,
                                          .grid_height = b->r.grid_height,
                                          .grid_width = b->r.grid_width,
                                          .steps = b->r.request.steps,
                                          .sigmas = b->sigmas,
                                          .guidance = b->r.request.guidance};
    if (!b->prompts.embeds) INK_TRY(make_embeds(b, error));
    if (wants(b, INK_BENCH_PREPARE)) begin_stage(b, &prepare);
    INK_TRY(ink_denoiser_init(d, b->model, &b->prompts, &options, error));
    if (wants(b, INK_BENCH_PREPARE)) INK_TRY(measure(b, &prepare, error));
    if (!wants(b, INK_BENCH_STEP)) return INK_OK;
    begin_stage(b, &step);
    INK_TRY(ink_denoiser_prepare(d, &b->r.control, error));
    INK_TRY(ink_denoiser_write(d, b->latents, error));
    INK_TRY(measure(b, &step, error));
    return check_velocities(b, d, error);
}

static ink_status bench_decode(bench *b, ink_decoder *d, ink_error *error) {
    const subject s = {INK_STAGE_DECODE, 1, {&d->executable}, 1, 1};
    begin_stage(b, &s);
    INK_TRY(ink_decoder_init(d, b->model, 1, b->r.grid_height, b->r.grid_width, error));
    const size_t count = (size_t)ink_shape_count(&d->latents->shape);
    INK_TRY(ink_buffer_write(d->latents, b->latents, count * sizeof *b->latents, error));
    return measure(b, &s, error);
}

static ink_status make_latents(bench *b, ink_error *error) {
    const int steps = b->r.request.steps;
    const int64_t tokens = b->r.grid_height * b->r.grid_width;
    const size_t count = (size_t)(tokens * b->model->transformer.in_channels);
    b->sigmas = calloc((size_t)steps + 1, sizeof *b->sigmas);
    b->latents = calloc(count, sizeof *b->latents);
    if (!b->sigmas || !b->latents) return ink_fail_memory(error, "latents", count * sizeof *b->latents);
    ink_schedule_sigmas(&b->model->schedule, tokens, steps, b->sigmas);
    return ink_noise_tokens(INK_NOISE_F32, 0, b->r.grid_height, b->r.grid_width, b->model->vae.z_dim,
                            b->model->transformer.patch_size, b->latents, error);
}

static ink_status run_parts(bench *b, ink_error *error) {
    INK_TRY(ink_fence_create(b->model->backend, &b->fence, error));
    INK_TRY(make_latents(b, error));
    if (wants(b, INK_BENCH_ROOF)) {
        INK_TRY(ink_roof_measure(b->model->backend, b->fence, &b->r.control, &b->roof, error));
        b->result->roof_flops = b->roof.flops;
        b->result->roof_bytes = b->roof.bytes;
        b->result->roof_side = b->roof.side;
        b->result->roof_copied = b->roof.copied;
    }
    b->prompts.n = b->r.passes;
    if (wants(b, INK_BENCH_TEXT)) INK_TRY(bench_text(b, error));
    if (wants(b, INK_BENCH_PREPARE) || wants(b, INK_BENCH_STEP)) {
        ink_denoiser denoiser = {0};
        const ink_status status = bench_denoiser(b, &denoiser, error);
        ink_denoiser_fini(&denoiser);
        INK_TRY(status);
    }
    if (!wants(b, INK_BENCH_DECODE)) return INK_OK;
    ink_decoder decoder = {0};
    const ink_status status = bench_decode(b, &decoder, error);
    ink_decoder_fini(&decoder);
    return status;
}

/* ---- the call ---- */

void ink_bench_options_init(ink_bench_options *options) {
    *options = (ink_bench_options){
        .struct_size = sizeof *options, .parts = INK_BENCH_ALL, .tokens = usual_tokens, .guidance = -1};
}

static ink_status resolve(bench *b, const ink_bench_options *given, ink_error *error) {
    ink_bench_options *o = &b->o;
    if (!given) return ink_fail(error, INK_ERROR_ARGUMENT, "ink_bench: options is NULL");
    ink_bench_options_init(o);
    INK_TRY(ink_struct_copy(o, sizeof *o, given, given->struct_size, "ink_bench_options", error));
    if (o->tokens == 0) o->tokens = usual_tokens;
    if (o->tokens < 1 || o->tokens > ink_default_kept_tokens) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "%d tokens are out of range: 1 to %d", o->tokens,
                        ink_default_kept_tokens);
    }
    if (o->pictures < 0 || o->pictures > most_pictures) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "%d pictures are out of range: 0 to %d", o->pictures,
                        most_pictures);
    }
    if ((o->parts == 0 && o->pictures == 0) || (o->parts & ~(unsigned)INK_BENCH_ALL) != 0) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "parts %u is no sum of parts of a benchmark: 1 to %d",
                        o->parts, (int)INK_BENCH_ALL);
    }
    ink_request request;
    ink_request_init(&request);
    request.prompt = "";
    request.width = o->width;
    request.height = o->height;
    request.steps = o->steps == 0 ? usual_runs : o->steps;
    request.guidance = o->guidance;
    request.should_cancel = o->should_cancel;
    request.user = o->user;
    return ink_request_resolve(b->model, &request, &b->r, error);
}

ink_status ink_bench(ink_model *model, const ink_bench_options *options, ink_bench_result **result,
                     ink_error *error) {
    if (!result) return ink_fail(error, INK_ERROR_ARGUMENT, "ink_bench: result is NULL");
    *result = NULL;
    bench b = {.model = model, .begin = ink_clock_seconds()};
    INK_TRY(resolve(&b, options, error));
    const ink_request *q = &b.r.request;
    b.result = calloc(1, sizeof *b.result);
    if (!b.result) return ink_fail_memory(error, "a result", sizeof *b.result);
    *b.result = (ink_bench_result){.width = q->width,
                                   .height = q->height,
                                   .steps = q->steps,
                                   .tokens = b.o.tokens,
                                   .passes = (int)b.r.passes,
                                   .layers = (int)model->transformer.num_layers,
                                   .guidance = q->guidance};
    pthread_mutex_lock(&model->lock);
    ink_kept_drop(model);
    ink_status status = b.o.parts ? run_parts(&b, error) : INK_OK;
    ink_prompts_fini(&b.prompts);
    ink_buffer_destroy(b.fence);
    pthread_mutex_unlock(&model->lock);
    free(b.sigmas);
    free(b.latents);
    if (status == INK_OK && b.o.pictures > 0) /* each takes the lock for itself */
        status = ink_bench_pictures(model, q, b.o.tokens, b.o.pictures, &b.result->picture, error);
    if (status == INK_OK)
        *result = b.result;
    else
        ink_bench_result_free(b.result);
    return status;
}

void ink_bench_result_free(ink_bench_result *result) {
    if (!result) return;
    for (size_t i = 0; i < result->n_stages; i++) {
        ink_kinds_free(result->stages[i].kinds, result->stages[i].n_kinds);
    }
    free(result);
}
