#include "pipeline/bench_pictures.h"

#include "base/clock.h"
#include "pipeline/bench_timing.h"

#include <stdlib.h>

/* What is timed, in this order. */
enum { of_text, of_prepare, of_denoise, of_decode, of_png, of_all, n_times };

typedef double times[n_times];

/* Words that are one token each, in the vocabulary of the model. */
static char *make_prompt(int tokens) {
    static const char word[] = " cat";
    const size_t length = sizeof word - 1;
    char *prompt = malloc((size_t)tokens * length + 1);
    for (int i = 0; prompt && i < tokens; i++) {
        memcpy(prompt + (size_t)i * length, word, length);
    }
    if (prompt) prompt[(size_t)tokens * length] = '\0';
    return prompt;
}

static ink_status draw(ink_model *model, const ink_request *request, times t, size_t *png_bytes,
                       ink_error *error) {
    const double begin = ink_clock_seconds();
    ink_result *result;
    INK_TRY(ink_generate(model, request, &result, error));
    const double drawn = ink_clock_seconds();
    uint8_t *png;
    const ink_status status = ink_image_encode_png(&result->images[0], NULL, &png, png_bytes, error);
    const double end = ink_clock_seconds();
    t[of_text] = result->text_seconds;
    t[of_prepare] = result->prepare_seconds;
    t[of_denoise] = result->denoise_seconds;
    t[of_decode] = result->decode_seconds;
    t[of_png] = end - drawn;
    t[of_all] = end - begin;
    if (status == INK_OK) ink_free(png);
    ink_result_free(result);
    return status;
}

static double median_of(const times *samples, int n, int which, double *column) {
    for (int i = 0; i < n; i++) {
        column[i] = samples[i][which];
    }
    return ink_median(column, (size_t)n);
}

static ink_status draw_all(ink_model *model, const ink_request *request, times *samples, int n,
                           ink_bench_picture *picture, ink_error *error) {
    ink_backend_memory memory;
    times first;
    ink_backend_ask_memory(model->backend, &memory);
    INK_TRY(draw(model, request, first, &picture->png_bytes, error));
    for (int i = 0; i < n; i++) {
        INK_TRY(draw(model, request, samples[i], &picture->png_bytes, error));
    }
    ink_backend_ask_memory(model->backend, &memory);
    picture->peak_bytes = memory.peak;
    picture->device_bytes = memory.device_peak;
    picture->first_seconds = first[of_all];
    return INK_OK;
}

ink_status ink_bench_pictures(ink_model *model, const ink_request *given, int tokens, int n,
                              ink_bench_picture *picture, ink_error *error) {
    ink_request request = *given;
    char *prompt = make_prompt(tokens);
    double *column = calloc((size_t)n, sizeof *column);
    times *samples = calloc((size_t)n, sizeof *samples);
    request.prompt = request.negative_prompt = prompt;
    ink_status status = INK_OK;
    if (!prompt || !samples || !column)
        status = ink_fail_memory(error, "samples", (size_t)n * sizeof *samples);
    if (status == INK_OK) status = draw_all(model, &request, samples, n, picture, error);
    if (status == INK_OK) {
        const times *all = (const times *)samples;
        picture->runs = n;
        picture->seconds = median_of(all, n, of_all, column);
        picture->text_seconds = median_of(all, n, of_text, column);
        picture->prepare_seconds = median_of(all, n, of_prepare, column);
        picture->denoise_seconds = median_of(all, n, of_denoise, column);
        picture->decode_seconds = median_of(all, n, of_decode, column);
        picture->png_seconds = median_of(all, n, of_png, column);
    }
    free(prompt);
    free(column);
    free(samples);
    return status;
}
