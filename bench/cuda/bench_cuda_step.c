/*
 * Whole denoising steps on the device, each in several ways, one after the other: what pays in a step is not
 * what is fastest alone, as the card is at its power limit. Full-size model, synthetic weights, prompts of 64
 * tokens. Prints milliseconds and joules of a step, in runs of about a second, each way twice.
 *
 *   bench_cuda_step [-w WAY] [-b N] [MODEL_FOLDER [SIDE PASSES]...]
 *
 *   -w WAY          only this one, such as "bf16"
 *   -b N            the text runs beside the image on so many multiprocessors, where nothing else is said
 *   -d N            some columns of each of the text's products do
 *   MODEL_FOLDER    models/qwen-image
 *   SIDE PASSES     512 1 512 2 1024 1 1024 2 1328 1
 */
#include "backend/cuda/cuda.h"
#include "meter.h"
#include "models/transformer.h"
#include "normal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { tokens = 64, most_slots = 16, rounds = 2, pixels = 16 };
static const double seconds_per_run = 1;

static const struct {
    const char *name;
    ink_cuda_settings settings;
} ways[] = {{"bf16", {.precision = "bf16"}},
            {"bf16, in turn", {.precision = "bf16", .beside = -1}},
            {"bf16, launch by launch", {.precision = "bf16", .ununited = true, .beside = -1}},
            {"bf16, residual of f32", {.precision = "bf16", .wide_residual = true}},
            {"fp8", {.precision = "fp8"}},
            {"fp8, launch by launch", {.precision = "fp8", .ununited = true, .beside = -1}}};

static void must(ink_status status, const ink_error *error) {
    if (status == INK_OK) return;
    fprintf(stderr, "bench_cuda_step: %s\n", error->message);
    exit(1);
}

static double now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- a program with a buffer for each slot ---- */

typedef struct step {
    ink_backend *backend;
    ink_program *program;
    ink_buffer *buffers[most_slots], *latents;
    int n_buffers;
    float *host; /* of the latents, and as long as the longest slot */
    size_t latent_bytes;
} step;

/* Numbers of tables are as good as any, for a step is not asked what it draws. */
static void fill(float *values, int64_t n, uint64_t seed) {
    for (int64_t i = 0; i < n; i++) {
        values[i] = next_normal(&seed);
    }
}

static void open_slot(step *s, const ink_value_info *info) {
    ink_error error;
    const int64_t n = ink_shape_count(&info->shape);
    const size_t bytes = (size_t)n * sizeof(float);
    float *values = malloc(bytes);
    if (!values || s->n_buffers == most_slots || info->dtype != INK_F32) {
        fprintf(stderr, "bench_cuda_step: slot %s cannot be made\n", info->name);
        exit(1);
    }
    ink_buffer **buffer = &s->buffers[s->n_buffers++];
    must(ink_buffer_create(s->backend, info->dtype, &info->shape, buffer, &error), &error);
    must(ink_program_bind(s->program, info->name, *buffer, &error), &error);
    fill(values, n, (uint64_t)s->n_buffers);
    must(ink_buffer_write(*buffer, values, bytes, &error), &error);
    if (strcmp(info->name, "latents") != 0) {
        free(values);
        return;
    }
    s->latents = *buffer;
    s->host = values;
    s->latent_bytes = bytes;
}

static void open_step(step *s, const ink_graph *graph, const ink_cuda_settings *settings) {
    ink_error error;
    *s = (step){0};
    must(ink_cuda_backend_create_with(settings, &s->backend, &error), &error);
    must(ink_compile(s->backend, graph, &s->program, &error), &error);
    ink_value slot;
    while ((slot = ink_graph_slot(graph, (size_t)s->n_buffers)).id) {
        open_slot(s, ink_graph_value(graph, slot.id));
    }
}

static void close_step(step *s) {
    ink_program_destroy(s->program);
    for (int i = 0; i < s->n_buffers; i++) {
        ink_buffer_destroy(s->buffers[i]);
    }
    ink_backend_destroy(s->backend);
    free(s->host);
}

/* Seconds of so many runs. */
static double run(const step *s, int runs) {
    ink_error error;
    must(ink_buffer_read(s->latents, s->host, s->latent_bytes, &error), &error);
    const double begin = now();
    for (int i = 0; i < runs; i++) {
        must(ink_program_run(s->program, 0, NULL, &error), &error);
    }
    must(ink_buffer_read(s->latents, s->host, s->latent_bytes, &error), &error);
    return now() - begin;
}

/* ---- sizes ---- */

static void measure(const step *s, const meter *m, const char *name) {
    (void)run(s, 2); /* compiles, then records */
    const int runs = 1 + (int)(seconds_per_run / (run(s, 2) / 2));
    (void)run(s, runs); /* warms up */
    const double before = meter_joules(m), seconds = run(s, runs), joules = meter_joules(m) - before;
    const unsigned clock = meter_megahertz(m);
    printf("  %-26s %8.2f ms %8.2f J %5.0f W %5u MHz\n", name, seconds / runs * 1e3, joules / runs,
           joules / seconds, clock);
    fflush(stdout);
}

/* What is asked for. */
typedef struct selection {
    const char *way; /* nullable: all */
    int beside;
    bool divided;
} selection;

static void measure_size(const ink_transformer_config *config, const meter *m, const selection *wish,
                         int64_t side, int64_t passes) {
    ink_error error;
    ink_weights *weights;
    ink_layout layout;
    ink_graph *graph;
    const int64_t prompts[INK_MAX_PASSES] = {tokens, tokens};
    must(ink_weights_create_synthetic(&weights, &error), &error);
    must(ink_layout_init(&layout, 1, passes, prompts, side / pixels, side / pixels, &error), &error);
    must(ink_graph_create(&graph, &error), &error);
    ink_transformer_record_step(graph, config, weights, &layout, 1);
    printf("%lld x %lld, %lld pass%s\n", (long long)side, (long long)side, (long long)passes,
           passes > 1 ? "es" : "");
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            step s;
            ink_cuda_settings settings = ways[i].settings;
            if (wish->way && strcmp(wish->way, ways[i].name) != 0) continue;
            if (!settings.beside) settings.beside = wish->beside, settings.divided = wish->divided;
            open_step(&s, graph, &settings);
            measure(&s, m, ways[i].name);
            close_step(&s);
        }
    }
    ink_graph_destroy(graph);
    ink_layout_fini(&layout);
    ink_weights_close(weights);
}

int main(int argc, char **argv) {
    static const char *const usual[] = {"512", "1", "512", "2", "1024", "1", "1024", "2", "1328", "1"};
    char text[128], folder[512];
    if (!ink_cuda_usable(text, sizeof text)) {
        printf("%s\n", text);
        return 77;
    }
    selection wish = {0};
    for (; argc > 2 && argv[1][0] == '-'; argc -= 2, argv += 2) {
        if (strcmp(argv[1], "-w") == 0) {
            wish.way = argv[2];
        } else if (strcmp(argv[1], "-b") == 0 || strcmp(argv[1], "-d") == 0) {
            wish.beside = atoi(argv[2]);
            wish.divided = argv[1][1] == 'd';
        } else {
            fprintf(stderr, "bench_cuda_step: unknown option %s; there are -w WAY, -b N and -d N\n", argv[1]);
            return 2;
        }
    }
    ink_error error;
    ink_transformer_config config;
    snprintf(folder, sizeof folder, "%s/transformer", argc > 1 ? argv[1] : "models/qwen-image");
    must(ink_transformer_config_read(folder, &config, &error), &error);
    const meter m = meter_open();
    const char *const *sizes = argc > 3 ? (const char *const *)argv + 2 : usual;
    const int n = argc > 3 ? argc - 2 : (int)(sizeof usual / sizeof usual[0]);
    printf("%s\n", text);
    for (int i = 0; i + 1 < n; i += 2) {
        measure_size(&config, &m, &wish, strtoll(sizes[i], NULL, 10), strtoll(sizes[i + 1], NULL, 10));
    }
    return 0;
}
