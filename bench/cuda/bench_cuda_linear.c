/*
 * Products on the device, at the sizes of the transformer's blocks: cuBLASLt's for the image and for the
 * text, one after the other, beside our own that computes both in one launch, without and with the norm and
 * rotation of q and k; then the image's of e4m3 numbers, alone. Every case runs for some tenths of a second,
 * as cards that are at their power limit are slower then than for a moment. Prints microseconds for a run,
 * TFLOP/s, and what the card says of its power and clock, if libnvidia-ml is there.
 *
 *   bench_cuda_linear [ROWS TEXT_ROWS]...     (default: the sizes of 512, 1024 and 1328 pixels)
 */
#include "backend/cuda/fp8.h"
#include "backend/cuda/linear_hopper_plan.h"
#include "backend/cuda/memory.h"
#include "meter.h"
#include "normal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { copies = 4, pattern = 1000003, most_columns = 12288 };
static const double seconds_per_case = 0.3;

static void must(cudaError_t code) {
    if (code == cudaSuccess) return;
    fprintf(stderr, "bench_cuda_linear: %s\n", cudaGetErrorString(code));
    exit(1);
}

static void must_run(ink_status status, const ink_error *error) {
    if (status == INK_OK) return;
    fprintf(stderr, "bench_cuda_linear: %s\n", error->message);
    exit(1);
}

/* ---- problems ---- */

typedef struct bench {
    ink_cuda_linears *linears;
    ink_hopper_linear *own;
    cudaStream_t stream;
    ink_hopper_linear_problem problems[copies];
    const ink_cuda_linear *library[ink_hopper_most_groups];
    int multiprocessors;
    meter meter;
} bench;

static uint16_t *device_numbers(const uint16_t *numbers, int64_t count) {
    uint16_t *memory;
    must(cudaMalloc((void **)&memory, (size_t)count * sizeof *memory));
    for (int64_t i = 0; i < count; i += pattern) {
        const int64_t n = count - i < pattern ? count - i : pattern;
        must(cudaMemcpy(memory + i, numbers, (size_t)n * sizeof *memory, cudaMemcpyHostToDevice));
    }
    return memory;
}

static uint16_t *make_pattern(float scale) {
    uint16_t *numbers = malloc(pattern * sizeof *numbers);
    if (!numbers) exit(1);
    uint64_t seed = 1;
    for (int64_t i = 0; i < pattern; i++) {
        numbers[i] = ink_bf16_from_f32(scale * next_normal(&seed));
    }
    return numbers;
}

typedef struct shape {
    const char *name;
    int64_t n, k;
    ink_activation activation;
    bool rotates;
} shape;

/* The same rounded; the bf16 numbers are freed. */
static void *device_e4m3(uint16_t *numbers, int64_t rows, int64_t columns) {
    void *memory;
    must(cudaMalloc(&memory, ink_cuda_fp8_bytes(rows, columns)));
    const ink_cuda_matrix from = {numbers, INK_BF16, rows, columns, columns},
                          to = {memory, INK_F8_E4M3, rows, columns, columns};
    must(ink_cuda_quantise_rows(NULL, &from, INK_ACT_NONE, &to));
    must(cudaDeviceSynchronize());
    must(cudaFree(numbers));
    return memory;
}

static void round_factors(ink_cuda_linear_problem *p) {
    p->x.data = device_e4m3(p->x.data, p->x.rows, p->x.columns);
    p->weight = device_e4m3((uint16_t *)(uintptr_t)p->weight, p->out.columns, p->x.columns);
    p->x.dtype = INK_F8_E4M3;
    p->activation = INK_ACT_NONE; /* the rounding of the result does it */
}

static void open_problems(bench *b, const shape *s, const int64_t rows[2], bool fp8) {
    uint16_t *wide = make_pattern(1), *narrow = make_pattern((float)(1 / sqrt((double)s->k)));
    for (int c = 0; c < copies; c++) {
        ink_hopper_linear_problem *p = &b->problems[c];
        *p = (ink_hopper_linear_problem){.n_groups = rows[1] > 0 ? 2 : 1};
        for (int i = 0; i < p->n_groups; i++) {
            const int64_t m = rows[i];
            p->products[i] =
                (ink_cuda_linear_problem){.x = {device_numbers(wide, m * s->k), INK_BF16, m, s->k, s->k},
                                          .weight = device_numbers(narrow, s->n * s->k),
                                          .bias = device_numbers(wide, s->n),
                                          .activation = s->activation,
                                          .out = {device_numbers(wide, m * s->n), INK_BF16, m, s->n, s->n}};
            if (fp8) round_factors(&p->products[i]);
        }
    }
    free(wide), free(narrow);
}

/* The norm and rotation of q and k, by angles that are as good as any. */
static void open_rotations(bench *b, const int64_t rows[2]) {
    uint16_t *wide = make_pattern(1);
    for (int c = 0; c < copies; c++) {
        for (int i = 0; i < b->problems[c].n_groups; i++) {
            const int64_t numbers =
                rows[i] * ink_hopper_head_columns * 2; /* two of bf16 where one is of f32 */
            const uint16_t *gains = device_numbers(wide, 2 * ink_hopper_head_columns);
            b->problems[c].rotations[i] =
                (ink_hopper_rotation){.table = (const float *)(const void *)device_numbers(wide, numbers),
                                      .gains = {gains, gains + ink_hopper_head_columns},
                                      .eps = 1e-6f};
        }
    }
    free(wide);
}

static void close_rotations(bench *b) {
    for (int c = 0; c < copies; c++) {
        for (int i = 0; i < b->problems[c].n_groups; i++) {
            ink_hopper_rotation *r = &b->problems[c].rotations[i];
            must(cudaFree((void *)(uintptr_t)r->table));
            must(cudaFree((void *)(uintptr_t)r->gains[0]));
            *r = (ink_hopper_rotation){0};
        }
    }
}

static void close_problems(bench *b) {
    for (int c = 0; c < copies; c++) {
        for (int i = 0; i < b->problems[c].n_groups; i++) {
            ink_cuda_linear_problem *p = &b->problems[c].products[i];
            must(cudaFree(p->x.data));
            must(cudaFree((void *)(uintptr_t)p->weight));
            must(cudaFree((void *)(uintptr_t)p->bias));
            must(cudaFree(p->out.data));
        }
    }
}

/* ---- measuring ---- */

static void run_once(bench *b, int copy, bool own) {
    ink_error error;
    const ink_hopper_linear_problem *p = &b->problems[copy];
    if (own) {
        must_run(ink_hopper_linear_run(b->own, p, b->stream, &error), &error);
        return;
    }
    for (int i = 0; i < p->n_groups; i++) {
        must_run(ink_cuda_linear_run(b->linears, b->library[i], &p->products[i], b->stream, &error), &error);
    }
}

static double time_runs(bench *b, int runs, bool own, cudaEvent_t begin, cudaEvent_t end) {
    float milliseconds;
    must(cudaEventRecord(begin, b->stream));
    for (int i = 0; i < runs; i++) {
        run_once(b, i % copies, own);
    }
    must(cudaEventRecord(end, b->stream));
    must(cudaEventSynchronize(end));
    must(cudaEventElapsedTime(&milliseconds, begin, end));
    return (double)milliseconds * 1e-3 / runs;
}

static void measure(bench *b, const char *what, bool own, double flops) {
    cudaEvent_t begin, end;
    must(cudaEventCreate(&begin));
    must(cudaEventCreate(&end));
    (void)time_runs(b, copies, own, begin, end);
    const double guess = time_runs(b, 3 * copies, own, begin, end);
    const int runs = (int)(seconds_per_case / guess) + copies;
    (void)time_runs(b, runs, own, begin, end);
    const double before = meter_joules(&b->meter);
    const double seconds = time_runs(b, runs, own, begin, end);
    const unsigned clock = meter_megahertz(&b->meter);
    const double watts = (meter_joules(&b->meter) - before) / (seconds * runs);
    printf("  %-9s %8.1f us (a moment: %7.1f) %6.1f TFLOP/s %5.0f W %5u MHz", what, seconds * 1e6,
           guess * 1e6, flops / seconds * 1e-12, watts, clock);
    fflush(stdout);
    must(cudaEventDestroy(begin));
    must(cudaEventDestroy(end));
}

static double distance(const ink_cuda_matrix *out, const uint16_t *want, uint16_t *have) {
    const int64_t count = out->rows * out->columns;
    double error = 0, size = 0;
    must(cudaMemcpy(have, out->data, (size_t)count * sizeof *have, cudaMemcpyDeviceToHost));
    for (int64_t i = 0; i < count; i++) {
        const double x = ink_f32_from_bf16(have[i]), y = ink_f32_from_bf16(want[i]);
        error += (x - y) * (x - y);
        size += y * y;
    }
    return sqrt(error / size);
}

static void open_own(bench *b) {
    ink_error error;
    must_run(ink_hopper_linear_create(&b->problems[0], b->multiprocessors,
                                      ink_cuda_linears_scratch(b->linears),
                                      ink_cuda_linears_bytes(b->linears), b->stream, &b->own, &error),
             &error);
}

static void run_case(bench *b, const shape *s, const int64_t rows[2], bool fp8) {
    ink_error error;
    open_problems(b, s, rows, fp8);
    const ink_hopper_linear_problem *p = &b->problems[0];
    const double flops = 2.0 * (double)(rows[0] + rows[1]) * (double)s->n * (double)s->k;
    printf("%-5s %5lld + %3lld rows%s\n", s->name, (long long)rows[0], (long long)rows[1],
           fp8 ? ", e4m3" : "");
    uint16_t *want[2] = {NULL, NULL};
    for (int i = 0; i < p->n_groups; i++) {
        must_run(ink_cuda_linear_find(b->linears, &p->products[i], b->stream, &b->library[i], &error),
                 &error);
    }
    measure(b, "cublasLt", false, flops);
    printf("\n");
    for (int i = 0; i < p->n_groups; i++) {
        const size_t bytes = (size_t)(rows[i] * s->n) * sizeof(uint16_t);
        want[i] = malloc(2 * bytes);
        if (!want[i]) exit(1);
        must(cudaMemcpy(want[i], p->products[i].out.data, bytes, cudaMemcpyDeviceToHost));
        must(cudaMemset(p->products[i].out.data, 0xFF, bytes));
    }
    open_own(b);
    measure(b, "own", true, flops);
    for (int i = 0; i < p->n_groups; i++) {
        printf("  error %.1e", distance(&p->products[i].out, want[i], want[i] + rows[i] * s->n));
        free(want[i]);
    }
    printf("\n");
    ink_hopper_linear_destroy(b->own);
    if (s->rotates) {
        open_rotations(b, rows);
        open_own(b);
        measure(b, "rotated", true, flops);
        printf("\n");
        ink_hopper_linear_destroy(b->own);
        close_rotations(b);
    }
    close_problems(b);
}

int main(int argc, char **argv) {
    static const shape shapes[] = {{"qkv", 9216, 3072, INK_ACT_NONE, true},
                                   {"out", 3072, 3072, INK_ACT_NONE, false},
                                   {"up", 12288, 3072, INK_ACT_GELU_TANH, false},
                                   {"down", 3072, 12288, INK_ACT_NONE, false}};
    static const int64_t usual[][2] = {{1024, 64}, {2048, 128}, {4096, 64}, {8192, 128}, {6889, 64}};
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        printf("no CUDA device\n");
        return 77;
    }
    bench b = {.meter = meter_open()};
    ink_error error;
    must(cudaDeviceGetAttribute(&b.multiprocessors, cudaDevAttrMultiProcessorCount, 0));
    must(cudaStreamCreate(&b.stream));
    must_run(ink_cuda_linears_create(&b.linears, &error), &error);
    const int n = argc > 2 ? (argc - 1) / 2 : (int)(sizeof usual / sizeof usual[0]);
    for (int i = 0; i < n; i++) {
        const int64_t rows[2] = {argc > 2 ? atoll(argv[2 * i + 1]) : usual[i][0],
                                 argc > 2 ? atoll(argv[2 * i + 2]) : usual[i][1]};
        const int64_t image[2] = {rows[0], 0};
        for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
            run_case(&b, &shapes[k], rows, false);
            run_case(&b, &shapes[k], image, true);
        }
    }
    ink_cuda_linears_destroy(b.linears);
    must(cudaStreamDestroy(b.stream));
    return 0;
}
