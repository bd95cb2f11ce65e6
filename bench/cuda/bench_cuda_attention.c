/*
 * Attention on the device, at the sizes of the models: every implementation that can do it. Prints
 * microseconds (median), TFLOP/s and the distance from the plain kernel's result. The transformer's rows are
 * for pictures of 512, 1024 and 1328 pixels, with one prompt and two: "joint" has the rows of a segment
 * adjacent and q, k and v in one wide matrix, as programs are lowered; "apart" has a matrix for each stream.
 *
 *   bench_cuda_attention [KIND [SECONDS]]
 *
 * With SECONDS, every row also has the TFLOP/s of so long a run without a pause: a card that draws all the
 * power that it may runs slower then.
 */
#include "backend/cuda/attention.h"
#include "normal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { gap_rows = 8, parts = 4, part_out = 3, samples = 7, runs_per_sample = 4, pattern = 1000003 };
static const float slow_ms = 20; /* runs that take longer are repeated less often */

typedef struct bench_case {
    const char *name;
    int64_t heads, kv_heads, head_dim, text, image, n;
    bool joint, causal;
} bench_case;

typedef struct bench {
    bench_case c;
    int64_t rows, columns[parts], stride[parts];
    uint16_t *memory, *device[parts]; /* all of them, and each */
    size_t bytes, out_bytes;
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

static uint16_t *make_pattern(void) {
    uint16_t *numbers = must_allocate(pattern * sizeof *numbers);
    uint64_t seed = 1;
    for (int64_t i = 0; i < pattern; i++) {
        numbers[i] = ink_bf16_from_f32(next_normal(&seed));
    }
    return numbers;
}

static ink_cuda_matrix rows_of(const bench *b, int part, int64_t row, int64_t rows) {
    return (ink_cuda_matrix){b->device[part] + row * b->stride[part], INK_BF16, rows, b->columns[part],
                             b->stride[part]};
}

/* Where q, k, v and the result are. */
static void place_parts(bench *b) {
    const bench_case *c = &b->c;
    const int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim, wide = q + 2 * kv;
    const int64_t columns[parts] = {q, kv, kv, q}, column[parts] = {0, q, q + kv, 0};
    b->bytes = (size_t)(b->rows * (wide + q)) * sizeof(uint16_t);
    b->out_bytes = (size_t)(b->rows * q) * sizeof(uint16_t);
    must(cudaMalloc((void **)&b->memory, b->bytes));
    int64_t begin = 0;
    for (int part = 0; part < parts; part++) {
        b->columns[part] = columns[part];
        b->stride[part] = c->joint && part != part_out ? wide : columns[part];
        if (part == part_out) begin = b->rows * wide;
        b->device[part] = b->memory + begin + (c->joint ? column[part] : 0);
        if (!c->joint) begin += b->rows * columns[part];
    }
}

/* Numbers over all of it. */
static void fill(const bench *b, const uint16_t *numbers) {
    const size_t all = b->bytes / sizeof(uint16_t);
    for (size_t i = 0; i < all; i += pattern) {
        const size_t n = all - i < pattern ? all - i : pattern;
        must(cudaMemcpy(b->memory + i, numbers, n * sizeof(uint16_t), cudaMemcpyHostToDevice));
    }
}

static void open_bench(bench *b, const bench_case *c, const uint16_t *numbers) {
    *b = (bench){.c = *c};
    const int64_t texts = c->n * c->text, images = c->n * c->image, length = c->text + c->image;
    const int64_t image_row = texts + (c->joint ? 0 : gap_rows);
    b->rows = image_row + images;
    place_parts(b);
    fill(b, numbers);
    b->problem = (ink_cuda_attention_problem){.streams = c->joint ? 1 : 2,
                                              .heads = c->heads,
                                              .kv_heads = c->kv_heads,
                                              .head_dim = c->head_dim,
                                              .causal = c->causal,
                                              .scale = (float)(1 / sqrt((double)c->head_dim)),
                                              .n_segments = c->n,
                                              .segments = b->segments};
    for (int64_t i = 0; i < c->n; i++) {
        b->segments[i] = c->joint ? (ink_segment){{i * length, 0}, {length, 0}}
                                  : (ink_segment){{i * c->text, i * c->image}, {c->text, c->image}};
    }
    ink_cuda_matrix *const matrices[parts] = {b->problem.q, b->problem.k, b->problem.v, b->problem.out};
    for (int part = 0; part < parts; part++) {
        matrices[part][0] = rows_of(b, part, 0, c->joint ? b->rows : texts);
        matrices[part][1] = rows_of(b, part, image_row, images);
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

/* Median microseconds of a run, or of the only one. */
static double measure(ink_cuda_attention_plan *plan, bool once) {
    cudaStream_t stream;
    cudaEvent_t begin, end;
    float times[samples];
    must(cudaStreamCreate(&stream));
    must(cudaEventCreate(&begin));
    must(cudaEventCreate(&end));
    times[0] = 1000 * time_runs(plan, stream, begin, end, 1);
    const bool slow = once || times[0] > 1000 * slow_ms;
    const int n = slow ? 1 : samples, runs = slow ? 1 : runs_per_sample;
    if (!slow) (void)time_runs(plan, stream, begin, end, samples * runs_per_sample); /* warms up */
    for (int i = 0; i < n && !once; i++) {
        times[i] = time_runs(plan, stream, begin, end, runs) * 1000 / (float)runs;
    }
    must(cudaEventDestroy(begin));
    must(cudaEventDestroy(end));
    must(cudaStreamDestroy(stream));
    qsort(times, (size_t)n, sizeof times[0], by_value);
    return times[n / 2];
}

/* Mean microseconds of a run in the second half of `seconds`, if one takes about `microseconds`. */
static double measure_sustained(ink_cuda_attention_plan *plan, double microseconds, double seconds) {
    cudaStream_t stream;
    cudaEvent_t begin, end;
    const int runs = (int)(seconds * 1e6 / microseconds / 2) + 1;
    must(cudaStreamCreate(&stream));
    must(cudaEventCreate(&begin));
    must(cudaEventCreate(&end));
    (void)time_runs(plan, stream, begin, end, runs);
    const double milliseconds = time_runs(plan, stream, begin, end, runs);
    must(cudaEventDestroy(begin));
    must(cudaEventDestroy(end));
    must(cudaStreamDestroy(stream));
    return milliseconds * 1000 / runs;
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

/* The output of one kind, NULL if it cannot do this; prints its time, and how far it is from `want`, which
 * only the first one has not. */
static uint16_t *run_kind(const bench *b, const ink_cuda_attention_kind *kind, const uint16_t *want,
                          double seconds) {
    ink_error error = {0};
    ink_cuda_attention_plan *plan = NULL;
    const bench_case *c = &b->c;
    const double length = (double)(c->text + c->image);
    printf("%-8s %2lld x %3lld %6.0f x %lld  %-5s  %-6s ", c->name, (long long)c->heads,
           (long long)c->head_dim, length, (long long)c->n, c->joint ? "joint" : "apart", kind->name);
    if (ink_cuda_attention_plan_create_kind(kind, &b->problem, NULL, NULL, &plan, &error) != INK_OK) {
        printf("%s\n", error.message);
        return NULL;
    }
    must(cudaMemset(b->device[part_out], 0xFF, b->out_bytes));
    const double flops = 4 * length * length * (double)(b->columns[part_out] * c->n) * (c->causal ? 0.5 : 1);
    const double microseconds = measure(plan, !want && length > 1000);
    uint16_t *out = must_allocate(b->out_bytes);
    must(cudaMemcpy(out, b->device[part_out], b->out_bytes, cudaMemcpyDeviceToHost));
    const int64_t columns = b->columns[part_out];
    if (!c->joint) /* rows between the streams are no output */
        memset(out + c->n * c->text * columns, 0, (size_t)(gap_rows * columns) * sizeof *out);
    printf("%9.1f us %7.1f TFLOP/s  error %.1e", microseconds, flops / microseconds * 1e-6,
           want ? distance(out, want, b->rows * columns) : 0.0);
    if (want && seconds > 0)
        printf("  sustained %7.1f TFLOP/s", flops / measure_sustained(plan, microseconds, seconds) * 1e-6);
    printf("\n");
    fflush(stdout);
    ink_cuda_attention_plan_destroy(plan);
    return out;
}

int main(int argc, char **argv) {
    static const bench_case cases[] = {
        {"512", 24, 24, 128, 64, 1024, 1, true, false},   {"512", 24, 24, 128, 64, 1024, 2, true, false},
        {"1024", 24, 24, 128, 64, 4096, 1, true, false},  {"1024", 24, 24, 128, 64, 4096, 2, true, false},
        {"1024", 24, 24, 128, 64, 4096, 2, false, false}, {"1328", 24, 24, 128, 64, 6889, 1, true, false},
        {"1328", 24, 24, 128, 64, 6889, 2, true, false},  {"text", 28, 4, 128, 98, 0, 2, true, true},
        {"vae 512", 1, 1, 384, 0, 4096, 1, true, false},  {"vae 1024", 1, 1, 384, 0, 16384, 1, true, false},
        {"vae 1328", 1, 1, 384, 0, 27556, 1, true, false}};
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        printf("no CUDA device\n");
        return 77;
    }
    size_t n;
    const double seconds = argc > 2 ? strtod(argv[2], NULL) : 0;
    uint16_t *numbers = make_pattern();
    const ink_cuda_attention_kind *kinds = ink_cuda_attention_kinds(&n);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench b;
        open_bench(&b, &cases[i], numbers);
        uint16_t *want = run_kind(&b, &kinds[n - 1], NULL, 0);
        for (size_t k = 0; k + 1 < n; k++) {
            if (argc <= 1 || strcmp(argv[1], kinds[k].name) == 0)
                free(run_kind(&b, &kinds[k], want, seconds));
        }
        free(want);
        must(cudaFree(b.memory));
    }
    free(numbers);
    return 0;
}
