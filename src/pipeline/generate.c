/*
 * Request to pictures: text, noise, denoising, decoding. The memory of each stage is freed before the next,
 * unless the backend keeps programs (kept.h).
 */
#include "base/clock.h"
#include "pipeline/kept.h"
#include "pipeline/noise_tokens.h"
#include "pipeline/request.h"

#include <inttypes.h>
#include <stdlib.h>

/* Pictures are packed together while their image tokens stay below this: weights are then read once for all,
 * and beyond it packing gains nothing and costs memory. */
enum { packed_tokens = 4096 };

/* How often an asynchronous backend is asked how far it is. */
static const double polling_seconds = 0.002;

typedef struct generation {
    ink_model *model;
    ink_resolved_request r;
    ink_result *result;
    double begin, stage_begin;
    ink_kept own, *kept;
    int prepared;        /* pictures that the denoiser was prepared for, of this request */
    float *sigmas;       /* [steps + 1] */
    float *latents;      /* [count, image_tokens, in_channels] */
    size_t latent_count; /* elements of one picture's latents */
} generation;

static void report(generation *g, ink_stage stage, int done, int total) {
    const double now = ink_clock_seconds();
    if (done == 0) g->stage_begin = now;
    if (!g->r.request.on_progress) return;
    const ink_progress progress = {.stage = stage,
                                   .done = done,
                                   .total = total,
                                   .stage_seconds = now - g->stage_begin,
                                   .seconds = now - g->begin};
    g->r.request.on_progress(g->r.request.user, &progress);
}

static ink_status check_cancelled(const generation *g, ink_error *error) {
    const ink_run_control *control = &g->r.control;
    if (!control->cancelled || !control->cancelled(control->user)) return INK_OK;
    return ink_fail(error, INK_ERROR_CANCELLED, "the run was cancelled");
}

static ink_status encode_text(generation *g, ink_error *error) {
    report(g, INK_STAGE_TEXT, 0, 1);
    INK_TRY(check_cancelled(g, error));
    const char *texts[ink_max_prompts] = {g->r.request.prompt, g->r.request.negative_prompt};
    INK_TRY(ink_kept_encode(g->kept, g->model, texts, g->r.passes, &g->r.control, error));
    report(g, INK_STAGE_TEXT, 1, 1);
    g->result->text_seconds = ink_clock_seconds() - g->stage_begin;
    return INK_OK;
}

static ink_status start_latents(generation *g, ink_error *error) {
    const int steps = g->r.request.steps, count = g->r.request.count;
    const int64_t tokens = g->r.grid_height * g->r.grid_width;
    g->latent_count = (size_t)(tokens * g->model->transformer.in_channels);
    g->sigmas = calloc((size_t)steps + 1, sizeof *g->sigmas);
    g->latents = calloc((size_t)count * g->latent_count, sizeof *g->latents);
    if (!g->sigmas || !g->latents) {
        return ink_fail_memory(error, "latents", (size_t)count * g->latent_count * sizeof *g->latents);
    }
    ink_schedule_sigmas(&g->model->schedule, tokens, steps, g->sigmas);
    for (int k = 0; k < count; k++) {
        INK_TRY(ink_noise_tokens(g->r.request.noise, (uint64_t)g->r.request.seed + (uint64_t)k,
                                 g->r.grid_height, g->r.grid_width, g->model->vae.z_dim,
                                 g->model->transformer.patch_size, g->latents + (size_t)k * g->latent_count,
                                 error));
    }
    return INK_OK;
}

/* How many pictures go through the network together. */
static int batch_size(const generation *g) {
    const int64_t tokens = g->r.passes * g->r.grid_height * g->r.grid_width;
    const int64_t fit = packed_tokens / tokens;
    return fit < 1 ? 1 : fit < g->r.request.count ? (int)fit : g->r.request.count;
}

/* Prepares the denoiser for a batch of `pictures`, if it is not already. */
static ink_status prepare_batch(generation *g, int pictures, ink_error *error) {
    if (g->prepared == pictures) return INK_OK;
    const ink_denoiser_options options = {.pictures = pictures,
                                          .grid_height = g->r.grid_height,
                                          .grid_width = g->r.grid_width,
                                          .steps = g->r.request.steps,
                                          .sigmas = g->sigmas,
                                          .guidance = g->r.request.guidance,
                                          .progress_every = g->r.request.progress_every};
    INK_TRY(ink_kept_prepare(g->kept, g->model, &options, &g->r.control, error));
    g->prepared = pictures;
    return INK_OK;
}

/* Reports what is finished until nothing more is awaited. */
static ink_status follow(generation *g, int batch, int n_batches, int *reported, ink_error *error) {
    ink_denoiser *d = &g->kept->denoiser;
    const int steps = g->r.request.steps;
    for (;;) {
        const int finished = ink_denoiser_finished(d);
        if (finished > *reported) report(g, INK_STAGE_DENOISE, batch * steps + finished, n_batches * steps);
        if (finished > *reported) *reported = finished;
        if (finished >= ink_denoiser_awaited(d)) return INK_OK;
        INK_TRY(check_cancelled(g, error));
        ink_clock_sleep(polling_seconds);
    }
}

static ink_status denoise_batch(generation *g, int first, int batch, int n_batches, ink_error *error) {
    ink_denoiser *d = &g->kept->denoiser;
    const int steps = g->r.request.steps;
    int reported = 0;
    INK_TRY(ink_denoiser_write(d, g->latents + (size_t)first * g->latent_count, error));
    for (int i = 0; i < steps; i++) {
        INK_TRY(ink_denoiser_step(d, i, &g->r.control, error));
        INK_TRY(follow(g, batch, n_batches, &reported, error));
    }
    INK_TRY(ink_denoiser_finish(d, error));
    return ink_denoiser_read(d, g->latents + (size_t)first * g->latent_count, error);
}

static ink_status denoise(generation *g, ink_error *error) {
    const int count = g->r.request.count, size = batch_size(g), n_batches = (count + size - 1) / size;
    report(g, INK_STAGE_PREPARE, 0, 1);
    INK_TRY(check_cancelled(g, error));
    INK_TRY(start_latents(g, error));
    INK_TRY(prepare_batch(g, size, error));
    report(g, INK_STAGE_PREPARE, 1, 1);
    g->result->prepare_seconds = ink_clock_seconds() - g->stage_begin;

    report(g, INK_STAGE_DENOISE, 0, n_batches * g->r.request.steps);
    for (int b = 0; b < n_batches; b++) {
        const int first = b * size, pictures = first + size <= count ? size : count - first;
        INK_TRY(prepare_batch(g, pictures, error));
        INK_TRY(denoise_batch(g, first, b, n_batches, error));
    }
    g->result->denoise_seconds = ink_clock_seconds() - g->stage_begin;
    return INK_OK;
}

static ink_status allocate_image(generation *g, int k, ink_error *error) {
    ink_image *image = &g->result->images[k];
    *image = (ink_image){
        .width = g->r.request.width, .height = g->r.request.height, .seed = g->r.request.seed + k};
    const size_t bytes = (size_t)image->width * (size_t)image->height * 3;
    image->pixels = malloc(bytes);
    return image->pixels ? INK_OK : ink_fail_memory(error, "a picture", bytes);
}

static ink_status decode_all(generation *g, ink_error *error) {
    const int count = g->r.request.count;
    ink_decoder *d = &g->kept->decoder;
    INK_TRY(ink_kept_decoder(g->kept, g->model, count, g->r.grid_height, g->r.grid_width, error));
    INK_TRY(ink_buffer_write(d->latents, g->latents, (size_t)count * g->latent_count * sizeof *g->latents,
                             error));
    for (int k = 0; k < count; k++) {
        INK_TRY(allocate_image(g, k, error));
        INK_TRY(ink_decoder_run(d, k, &g->r.control, g->result->images[k].pixels, error));
        report(g, INK_STAGE_DECODE, k + 1, count);
    }
    return INK_OK;
}

static ink_status decode(generation *g, ink_error *error) {
    report(g, INK_STAGE_DECODE, 0, g->r.request.count);
    const ink_status status = decode_all(g, error);
    g->result->decode_seconds = ink_clock_seconds() - g->stage_begin;
    return status;
}

static ink_status run_stages(generation *g, ink_error *error) {
    const ink_request *q = &g->r.request;
    g->result->images = calloc((size_t)q->count, sizeof *g->result->images);
    if (!g->result->images)
        return ink_fail_memory(error, "a result", (size_t)q->count * sizeof *g->result->images);
    g->result->count = (size_t)q->count;
    g->result->steps = q->steps;
    g->result->guidance = q->guidance;
    if (g->r.passes == 2) {
        g->result->negative_prompt = strdup(q->negative_prompt);
        if (!g->result->negative_prompt)
            return ink_fail_memory(error, "a prompt", strlen(q->negative_prompt));
    }
    INK_TRY(ink_kept_of(g->model, &g->own, &g->kept, error));
    INK_TRY(encode_text(g, error));
    INK_TRY(denoise(g, error));
    if (!ink_keeps(g->model)) ink_denoiser_fini(&g->kept->denoiser);
    return decode(g, error);
}

ink_status ink_generate(ink_model *model, const ink_request *request, ink_result **result, ink_error *error) {
    if (!result) return ink_fail(error, INK_ERROR_ARGUMENT, "ink_generate: result is NULL");
    *result = NULL;
    generation g = {.model = model, .begin = ink_clock_seconds()};
    INK_TRY(ink_request_resolve(model, request, &g.r, error));
    g.result = calloc(1, sizeof *g.result);
    if (!g.result) return ink_fail_memory(error, "a result", sizeof *g.result);
    const ink_observer observer = {g.r.request.on_operation, g.r.request.user, g.begin};
    pthread_mutex_lock(&model->lock);
    model->observer = observer.on_operation ? &observer : NULL;
    const ink_status status = run_stages(&g, error);
    model->observer = NULL;
    ink_kept_fini(&g.own);
    /* What failed may have left anything behind; stopping leaves what was there. */
    if (status != INK_OK && status != INK_ERROR_CANCELLED) ink_kept_drop(model);
    pthread_mutex_unlock(&model->lock);
    free(g.sigmas);
    free(g.latents);
    if (status == INK_OK)
        *result = g.result;
    else
        ink_result_free(g.result);
    return status;
}

void ink_result_free(ink_result *result) {
    if (!result) return;
    for (size_t i = 0; result->images && i < result->count; i++) {
        free(result->images[i].pixels);
    }
    free(result->images);
    free(result->negative_prompt);
    free(result);
}

void ink_free(void *memory) {
    free(memory);
}
