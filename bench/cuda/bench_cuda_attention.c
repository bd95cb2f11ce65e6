/*
 * Attention of the transformer on the device: every implementation at the sizes of 512, 1024 and 1328 pixels,
 * with the two streams apart and adjacent, one picture and two passes packed. Prints microseconds (median),
 * TFLOP/s and the distance from the plain kernel's result.
 *
 *   bench_cuda_attention [KIND]
 */
#include "backend/cuda/attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { heads = 24, head_dim = 128, columns = heads * head_dim, gap_rows = 8, parts = 4 };
enum { samples = 11, runs_per_sample = 4, warm_runs = 3 };

typedef struct bench_case {
    int64_t text, image, n;
    bool adjacent; /* the lowering joins the streams */
} bench_case;

typedef struct bench {
    bench_case c;
    int64_t rows;
    uint16_t *device[parts];
    ink_segment segments[2];
    ink_cuda_attention_problem problem;
} bench;

static void must(cudaError_t code) {
    if (code == cudaSuccess) return;
    fprintf(stderr, "bench_cuda_attention: %s\n", cudaGetErrorString(code));
    exit(1);
}

static void *must_allocate(size_t bytes) {
    void *memory = malloc(bytes);
    if (memory) return memory;
    fprintf(stderr, "bench_cuda_attention: out of memory\n");
    exit(1);
}

/* About normal, with a deviation of 1. */
static void fill(uint16_t *to, int64_t count, uint64_t seed) {
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const double sum =
            (double)(seed >> 48) + (double)(seed >> 32 & 0xFFFF) + (double)(seed >> 16 & 0xFFFF);
        to[i] = ink_bf16_from_f32((float)((sum / 65536 - 1.5) * 2));
    }
}

static ink_cuda_matrix matrix(uint16_t *data, int64_t row, int64_t rows) {
    return (ink_cuda_matrix){data + row * columns, INK_BF16, rows, columns, columns};
}

static void open_bench(bench *b, const bench_case *c) {
    *b = (bench){.c = *c};
    const int64_t texts = c->n * c->text, images = c->n * c->image;
    const int64_t image_row = texts + (c->adjacent ? 0 : gap_rows);
    b->rows = image_row + images;
    uint16_t *host = must_allocate((size_t)(b->rows * columns) * sizeof *host);
    for (int part = 0; part < parts; part++) {
        fill(host, b->rows * columns, (uint64_t)part + 1);
        must(cudaMalloc((void **)&b->device[part], (size_t)(b->rows * columns) * sizeof *host));
        must(cudaMemcpy(b->device[part], host, (size_t)(b->rows * columns) * sizeof *host,
                        cudaMemcpyHostToDevice));
    }
    free(host);
    b->problem = (ink_cuda_attention_problem){.streams = c->adjacent ? 1 : 2,
                                              .heads = heads,
                                              .kv_heads = heads,
                                              .head_dim = head_dim,
                                              .scale = (float)(1 / sqrt(head_dim)),
                                              .n_segments = c->n,
                                              .segments = b->segments};
    for (int64_t i = 0; i < c->n; i++) {
        b->segments[i] = c->adjacent ? (ink_segment){{i * (c->text + c->image), 0}, {c->text + c->image, 0}}
                                     : (ink_segment){{i * c->text, i * c->image}, {c->text, c->image}};
    }
    ink_cuda_matrix *const matrices[parts] = {b->problem.q, b->problem.k, b->problem.v, b->problem.out};
    for (int part = 0; part < parts; part++) {
        matrices[part][0] = matrix(b->device[part], 0, c->adjacent ? b->rows : texts);
        matrices[part][1] = matrix(b->device[part], image_row, images);
    }
}

static void close_bench(bench *b) {
    for (int part = 0; part < parts; part++) {
        must(cudaFree(b->device[part]));
    }
}

static int by_value(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* Median microseconds of a run. */
static double measure(ink_cuda_attention_plan *plan) {
    cudaStream_t stream;
    cudaEvent_t begin, end;
    float times[samples];
    must(cudaStreamCreate(&stream));
    must(cudaEventCreate(&begin));
    must(cudaEventCreate(&end));
    for (int i = -1; i < samples; i++) {
        ink_error error = {0};
        const int runs = i < 0 ? warm_runs : runs_per_sample;
        must(cudaEventRecord(begin, stream));
        for (int k = 0; k < runs; k++) {
            if (ink_cuda_attention_run(plan, stream, &error) != INK_OK) {
                fprintf(stderr, "bench_cuda_attention: %s\n", error.message);
                exit(1);
            }
        }
        must(cudaEventRecord(end, stream));
        must(cudaEventSynchronize(end));
        float milliseconds = 0;
        must(cudaEventElapsedTime(&milliseconds, begin, end));
        if (i >= 0) times[i] = milliseconds * 1000 / (float)runs;
    }
    must(cudaEventDestroy(begin));
    must(cudaEventDestroy(end));
    must(cudaStreamDestroy(stream));
    qsort(times, samples, sizeof times[0], by_value);
    return times[samples / 2];
}

static uint16_t *read_output(const bench *b) {
    const size_t bytes = (size_t)(b->rows * columns) * sizeof(uint16_t);
    uint16_t *out = must_allocate(bytes);
    must(cudaMemcpy(out, b->device[parts - 1], bytes, cudaMemcpyDeviceToHost));
    return out;
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

/* Times one kind and compares it with `want`; or, without it, returns its output. */
static uint16_t *run_kind(bench *b, const ink_cuda_attention_kind *kind, const uint16_t *want, bool quiet) {
    ink_error error = {0};
    ink_cuda_attention_plan *plan = NULL;
    const bench_case *c = &b->c;
    if (ink_cuda_attention_plan_create_kind(kind, &b->problem, NULL, NULL, &plan, &error) != INK_OK) {
        printf("%6lld x %lld  %-8s  %-8s  %s\n", (long long)(c->text + c->image), (long long)c->n,
               c->adjacent ? "adjacent" : "apart", kind->name, error.message);
        return NULL;
    }
    must(cudaMemset(b->device[parts - 1], 0xFF, (size_t)(b->rows * columns) * sizeof(uint16_t)));
    const double microseconds = measure(plan);
    uint16_t *out = read_output(b);
    if (!c->adjacent) { /* rows between the streams are no output */
        memset(out + c->n * c->text * columns, 0, (size_t)gap_rows * columns * sizeof *out);
    }
    if (!quiet) {
        const double length = (double)(c->text + c->image);
        const double flops = 4.0 * length * length * columns * (double)c->n;
        printf("%6lld x %lld  %-8s  %-8s  %9.1f us  %6.1f TFLOP/s  error %.1e  %zu bytes\n",
               (long long)(c->text + c->image), (long long)c->n, c->adjacent ? "adjacent" : "apart",
               kind->name, microseconds, flops / microseconds * 1e-6,
               want ? distance(out, want, b->rows * columns) : 0.0, ink_cuda_attention_bytes(plan));
        fflush(stdout);
    }
    ink_cuda_attention_plan_destroy(plan);
    return out;
}

int main(int argc, char **argv) {
    static const bench_case cases[] = {{64, 1024, 1, false}, {64, 1024, 1, true},  {64, 1024, 2, false},
                                       {64, 1024, 2, true},  {64, 4096, 1, false}, {64, 4096, 1, true},
                                       {64, 4096, 2, false}, {64, 4096, 2, true},  {64, 6889, 1, false},
                                       {64, 6889, 1, true}};
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
        uint16_t *want =
            run_kind(&b, &kinds[n - 1], NULL, argc > 1 && strcmp(argv[1], kinds[n - 1].name) != 0);
        for (size_t k = 0; k + 1 < n; k++) {
            if (argc > 1 && strcmp(argv[1], kinds[k].name) != 0) continue;
            free(run_kind(&b, &kinds[k], want, false));
        }
        free(want);
        close_bench(&b);
    }
    return 0;
}
