/*
 * Attention on the device: every implementation at the transformer's sizes for 512, 1024 and 1328 pixels,
 * with the two streams apart and adjacent, one picture and two passes packed; and the autoencoder's one wide
 * head. Prints microseconds (median), TFLOP/s and the distance from the plain kernel's result.
 *
 *   bench_cuda_attention [KIND]
 */
#include "backend/cuda/attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { gap_rows = 8, parts = 4, part_out = 3, samples = 11, runs_per_sample = 4 };
static const float slow_ms = 20; /* runs that take longer are repeated less often */

typedef struct bench_case {
    int64_t heads, head_dim, text, image, n;
    bool adjacent;
} bench_case;

typedef struct bench {
    bench_case c;
    int64_t rows, columns;
    uint16_t *device[parts];
    ink_segment segments[2];
    ink_cuda_attention_problem problem;
} bench;

static void must(cudaError_t code) {
    if (code == cudaSuccess) return;
    fprintf(stderr, "bench_cuda_attention: %s\n", cudaGetErrorString(code));
    exit(1);
}

static void must_run(ink_status status, const ink_error *error) {
    if (status == INK_OK) return;
    fprintf(stderr, "bench_cuda_attention: %s\n", error->message);
    exit(1);
}

static void *must_allocate(size_t bytes) {
    void *memory = malloc(bytes);
    if (memory) return memory;
    fprintf(stderr, "bench_cuda_attention: out of memory\n");
    exit(1);
}

/* ---- problems ---- */

/* About normal, with a deviation of 1. */
static void fill(uint16_t *to, int64_t count, uint64_t seed) {
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const double sum =
            (double)(seed >> 48) + (double)(seed >> 32 & 0xFFFF) + (double)(seed >> 16 & 0xFFFF);
        to[i] = ink_bf16_from_f32((float)((sum / 65536 - 1.5) * 2));
    }
}

static size_t part_bytes(const bench *b) {
    return (size_t)(b->rows * b->columns) * sizeof(uint16_t);
}

static ink_cuda_matrix rows_of(const bench *b, int part, int64_t row, int64_t rows) {
    return (ink_cuda_matrix){b->device[part] + row * b->columns, INK_BF16, rows, b->columns, b->columns};
}

/* Adjacent: one stream of joint segments, as a lowering would make it. */
static void open_bench(bench *b, const bench_case *c) {
    *b = (bench){.c = *c, .columns = c->heads * c->head_dim};
    const int64_t texts = c->n * c->text, images = c->n * c->image;
    const int64_t image_row = texts + (c->adjacent ? 0 : gap_rows);
    b->rows = image_row + images;
    uint16_t *host = must_allocate(part_bytes(b));
    for (int part = 0; part < parts; part++) {
        fill(host, b->rows * b->columns, (uint64_t)part + 1);
        must(cudaMalloc((void **)&b->device[part], part_bytes(b)));
        must(cudaMemcpy(b->device[part], host, part_bytes(b), cudaMemcpyHostToDevice));
    }
    free(host);
    b->problem = (ink_cuda_attention_problem){.streams = c->adjacent ? 1 : 2,
                                              .heads = c->heads,
                                              .kv_heads = c->heads,
                                              .head_dim = c->head_dim,
                                              .scale = (float)(1 / sqrt((double)c->head_dim)),
                                              .n_segments = c->n,
                                              .segments = b->segments};
    const int64_t length = c->text + c->image;
    for (int64_t i = 0; i < c->n; i++) {
        b->segments[i] = c->adjacent ? (ink_segment){{i * length, 0}, {length, 0}}
                                     : (ink_segment){{i * c->text, i * c->image}, {c->text, c->image}};
    }
    ink_cuda_matrix *const matrices[parts] = {b->problem.q, b->problem.k, b->problem.v, b->problem.out};
    for (int part = 0; part < parts; part++) {
        matrices[part][0] = rows_of(b, part, 0, c->adjacent ? b->rows : texts);
        matrices[part][1] = rows_of(b, part, image_row, images);
    }
}

static void close_bench(bench *b) {
    for (int part = 0; part < parts; part++) {
        must(cudaFree(b->device[part]));
    }
}

/* ---- measuring ---- */

static int by_value(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* Milliseconds of some runs, one after the other. */
static float time_runs(ink_cuda_attention_plan *plan, cudaStream_t stream, cudaEvent_t begin, cudaEvent_t end,
                       int runs) {
    ink_error error = {0};
    float milliseconds = 0;
    must(cudaEventRecord(begin, stream));
    for (int i = 0; i < runs; i++) {
        must_run(ink_cuda_attention_run(plan, stream, &error), &error);
    }
    must(cudaEventRecord(end, stream));
    must(cudaEventSynchronize(end));
    must(cudaEventElapsedTime(&milliseconds, begin, end));
    return milliseconds;
}

/* Median microseconds of a run. */
static double measure(ink_cuda_attention_plan *plan) {
    cudaStream_t stream;
    cudaEvent_t begin, end;
    float times[samples];
    must(cudaStreamCreate(&stream));
    must(cudaEventCreate(&begin));
    must(cudaEventCreate(&end));
    (void)time_runs(plan, stream, begin, end, 1);
    const bool slow = time_runs(plan, stream, begin, end, 1) > slow_ms;
    const int n = slow ? 1 : samples, runs = slow ? 1 : runs_per_sample;
    for (int i = 0; i < n; i++) {
        times[i] = time_runs(plan, stream, begin, end, runs) * 1000 / (float)runs;
    }
    must(cudaEventDestroy(begin));
    must(cudaEventDestroy(end));
    must(cudaStreamDestroy(stream));
    qsort(times, (size_t)n, sizeof times[0], by_value);
    return times[n / 2];
}

/* |a - b| / |b|, NaN if there is one. */
static double distance(const uint16_t *a, const uint16_t *b, int64_t count) {
    double error = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        const double x = ink_f32_from_bf16(a[i]), y = ink_f32_from_bf16(b[i]);
        error += (x - y) * (x - y);
        size += y * y;
    }
    return sqrt(error / size);
}

/* The output of one kind, NULL if it cannot do this; prints its time, and how far it is from `want`
 * (nullable). */
static uint16_t *run_kind(const bench *b, const ink_cuda_attention_kind *kind, const uint16_t *want) {
    ink_error error = {0};
    ink_cuda_attention_plan *plan = NULL;
    const bench_case *c = &b->c;
    const double length = (double)(c->text + c->image);
    printf("%2lld x %3lld  %6.0f x %lld  %-8s  %-7s  ", (long long)c->heads, (long long)c->head_dim, length,
           (long long)c->n, c->adjacent ? "adjacent" : "apart", kind->name);
    if (ink_cuda_attention_plan_create_kind(kind, &b->problem, NULL, NULL, &plan, &error) != INK_OK) {
        printf("%s\n", error.message);
        return NULL;
    }
    must(cudaMemset(b->device[part_out], 0xFF, part_bytes(b)));
    const double microseconds = measure(plan), flops = 4 * length * length * (double)(b->columns * c->n);
    uint16_t *out = must_allocate(part_bytes(b));
    must(cudaMemcpy(out, b->device[part_out], part_bytes(b), cudaMemcpyDeviceToHost));
    if (!c->adjacent) { /* rows between the streams are no output */
        memset(out + c->n * c->text * b->columns, 0, (size_t)(gap_rows * b->columns) * sizeof *out);
    }
    printf("%9.1f us  %6.1f TFLOP/s  error %.1e  %zu bytes\n", microseconds, flops / microseconds * 1e-6,
           want ? distance(out, want, b->rows * b->columns) : 0.0, ink_cuda_attention_bytes(plan));
    fflush(stdout);
    ink_cuda_attention_plan_destroy(plan);
    return out;
}

int main(int argc, char **argv) {
    static const bench_case cases[] = {
        {24, 128, 64, 1024, 1, false}, {24, 128, 64, 1024, 1, true},  {24, 128, 64, 1024, 2, false},
        {24, 128, 64, 1024, 2, true},  {24, 128, 64, 4096, 1, false}, {24, 128, 64, 4096, 1, true},
        {24, 128, 64, 4096, 2, false}, {24, 128, 64, 4096, 2, true},  {24, 128, 64, 6889, 1, false},
        {24, 128, 64, 6889, 1, true},  {1, 384, 0, 4096, 1, true},    {1, 384, 0, 16384, 1, true}};
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        printf("no CUDA device\n");
        return 77;
    }
    size_t n;
    const ink_cuda_attention_kind *kinds = ink_cuda_attention_kinds(&n);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench b;
        open_bench(&b, &cases[i]);
        uint16_t *want = run_kind(&b, &kinds[n - 1], NULL);
        for (size_t k = 0; k + 1 < n; k++) {
            if (argc <= 1 || strcmp(argv[1], kinds[k].name) == 0) free(run_kind(&b, &kinds[k], want));
        }
        free(want);
        close_bench(&b);
    }
    return 0;
}
