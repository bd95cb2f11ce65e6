/*
 * Our own products for Hopper on a device, against sums in double precision: one group and two, at the edges
 * of tiles, with bias, GELU, and the norm and rotation of q and k; of bf16 and of e4m3 numbers.
 *
 * INK_KERNEL_SEED in the environment runs only the trial of that seed, as a failure prints it.
 *
 *   test_cuda_united [TEST_TO_SKIP]
 */
#include "backend/cuda/fp8.h"
#include "backend/cuda/linear_hopper_plan.h"
#include "backend/cuda/linear_thin.h"
#include "cuda/device_matrix.h"
#include "cuda/late_copy.h"
#include "e4m3.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { trials = 60, head = ink_hopper_head_columns };
static const float eps = 1e-6f;

static uint64_t state, seed_now;
static int multiprocessors, major, minor;

static int64_t draw(int64_t n) {
    return (int64_t)(device_random(&state) % (uint64_t)n);
}

static void check(cudaError_t code) {
    if (code != cudaSuccess) fail_msg("INK_KERNEL_SEED=%" PRIu64 ": %s", seed_now, cudaGetErrorString(code));
}

/* ---- factors ---- */

typedef struct factor {
    ink_cuda_matrix matrix; /* device */
    device_matrix bf16;     /* what it is freed by; e4m3: matrix.data */
    double *values;         /* [rows, columns] */
} factor;

static factor open_bf16(int64_t rows, int64_t columns, device_layout layout) {
    factor f = {.values = malloc((size_t)(rows * columns) * sizeof(double))};
    uint16_t *bits = malloc((size_t)(rows * columns) * sizeof *bits);
    assert_true(f.values && bits);
    device_draw(&state, INK_BF16, rows * columns, bits);
    for (int64_t i = 0; i < rows * columns; i++) {
        f.values[i] = (double)ink_f32_from_bf16(bits[i]);
    }
    assert_true(device_open(&f.bf16, INK_BF16, rows, columns, bits, layout, device_random(&state)));
    f.matrix = f.bf16.matrix;
    free(bits);
    return f;
}

static factor open_e4m3(int64_t rows, int64_t columns) {
    const size_t bytes = ink_cuda_fp8_bytes(rows, columns);
    factor f = {.matrix = {NULL, INK_F8_E4M3, rows, columns, columns},
                .values = malloc((size_t)(rows * columns) * sizeof(double))};
    unsigned char *host = malloc(bytes);
    assert_true(f.values && host);
    float *scales = ink_cuda_fp8_scales_out(host, rows, columns);
    for (int64_t r = 0; r < rows; r++) {
        scales[r] = (float)(1 + draw(100)) / 20000;
        for (int64_t c = r * columns; c < (r + 1) * columns; c++) {
            host[c] = (unsigned char)draw(256);
            if ((host[c] & 0x7F) == 0x7F) host[c] = 0; /* not a number */
            f.values[c] = (double)e4m3_widen(host[c]) * (double)scales[r];
        }
    }
    check(cudaMalloc(&f.matrix.data, bytes));
    check(cudaMemcpy(f.matrix.data, host, bytes, cudaMemcpyHostToDevice));
    free(host);
    return f;
}

static factor open_factor(bool fp8, int64_t rows, int64_t columns, device_layout layout) {
    return fp8 ? open_e4m3(rows, columns) : open_bf16(rows, columns, layout);
}

static void close_factor(factor *f) {
    if (f->matrix.dtype == INK_F8_E4M3)
        check(cudaFree(f->matrix.data));
    else
        device_close(&f->bf16);
    free(f->values);
}

/* ---- groups ---- */

typedef struct group {
    int64_t m, n, k;
    ink_activation activation;
    bool biased, rotates;
    factor x, weight, bias, gains[2];
    float *angles; /* host: [m, head] */
    float *table;  /* device */
    device_matrix out;
} group;

static void open_angles(group *g) {
    const size_t bytes = (size_t)(g->m * head) * sizeof(float);
    g->angles = malloc(bytes);
    assert_non_null(g->angles);
    for (int64_t i = 0; i < g->m * head; i += 2) {
        const double angle = (double)draw(100000) / 7;
        g->angles[i] = (float)cos(angle);
        g->angles[i + 1] = (float)sin(angle);
    }
    check(cudaMalloc((void **)&g->table, bytes));
    check(cudaMemcpy(g->table, g->angles, bytes, cudaMemcpyHostToDevice));
}

static void open_group(group *g, bool fp8) {
    g->x = open_factor(fp8, g->m, g->k, draw(2) ? DEVICE_ALIGNED : DEVICE_PACKED);
    g->weight = open_factor(fp8, g->n, g->k, DEVICE_PACKED);
    g->bias = open_bf16(1, g->n, DEVICE_PACKED);
    for (int i = 0; i < 2; i++) {
        g->gains[i] = open_bf16(1, head, DEVICE_PACKED);
    }
    if (g->rotates) open_angles(g);
    assert_true(device_open(&g->out, INK_BF16, g->m, g->n, NULL, draw(2) ? DEVICE_ALIGNED : DEVICE_PACKED,
                            device_random(&state)));
}

static void close_group(group *g) {
    close_factor(&g->x), close_factor(&g->weight), close_factor(&g->bias);
    close_factor(&g->gains[0]), close_factor(&g->gains[1]);
    if (g->rotates) check(cudaFree(g->table));
    free(g->angles);
    device_close(&g->out);
}

static double gelu(double z) {
    return 0.5 * z * (1 + tanh(0.7978845608028654 * (z + 0.044715 * z * z * z)));
}

/* Of a head of q or k. */
static void rotate(const group *g, int64_t row, int part, double *v) {
    double squares = 0;
    for (int i = 0; i < head; i++) {
        squares += v[i] * v[i];
    }
    const double inverse = 1 / sqrt(squares / head + (double)eps);
    const float *angles = g->angles + row * head;
    for (int i = 0; i < head; i += 2) {
        const double a = v[i] * inverse * g->gains[part].values[i],
                     b = v[i + 1] * inverse * g->gains[part].values[i + 1];
        v[i] = a * (double)angles[i] - b * (double)angles[i + 1];
        v[i + 1] = a * (double)angles[i + 1] + b * (double)angles[i];
    }
}

static void row_of(const group *g, int64_t row, double *want) {
    for (int64_t c = 0; c < g->n; c++) {
        double sum = g->biased ? g->bias.values[c] : 0;
        for (int64_t i = 0; i < g->k; i++) {
            sum += g->x.values[row * g->k + i] * g->weight.values[c * g->k + i];
        }
        want[c] = g->activation == INK_ACT_GELU_TANH ? gelu(sum) : sum;
    }
    for (int64_t c = 0; g->rotates && c < g->n / 3 * 2; c += head) {
        rotate(g, row, c >= g->n / 3, want + c);
    }
}

/* No element may be far off, and all together must be as good as rounding allows. */
static void compare(const group *g, const char *what) {
    uint16_t *got = malloc((size_t)(g->m * g->n) * sizeof *got);
    double *want = malloc((size_t)g->n * sizeof *want), error = 0, size = 0, worst = 0;
    assert_true(got && want);
    if (!device_read(&g->out, got))
        fail_msg("INK_KERNEL_SEED=%" PRIu64 ": wrote elsewhere, %s", seed_now, what);
    for (int64_t r = 0; r < g->m; r++) {
        double row_size = 0;
        row_of(g, r, want);
        for (int64_t c = 0; c < g->n; c++) {
            row_size += want[c] * want[c];
        }
        const double typical = sqrt(row_size / (double)g->n);
        for (int64_t c = 0; c < g->n; c++) {
            const double off = (double)ink_f32_from_bf16(got[r * g->n + c]) - want[c];
            const double relative = fabs(off) / (fabs(want[c]) + typical + 1e-30);
            error += off * off;
            if (!(relative <= worst)) worst = relative;
        }
        size += row_size;
    }
    free(got), free(want);
    const double all = sqrt(error / size);
    print_message("%s, %" PRId64 " x %" PRId64 " by %" PRId64 "%s%s: error %.2e, worst %.2e\n", what, g->m,
                  g->k, g->n, g->rotates ? ", rotated" : "", g->activation ? ", gelu" : "", all, worst);
    if (!(all <= 3e-3) || !(worst <= 1e-2))
        fail_msg("INK_KERNEL_SEED=%" PRIu64 ": error %g, worst %g", seed_now, all, worst);
}

/* ---- trials ---- */

static ink_cuda_linear_problem problem_of(const group *g) {
    return (ink_cuda_linear_problem){.x = g->x.matrix,
                                     .weight = g->weight.matrix.data,
                                     .bias = g->biased ? g->bias.matrix.data : NULL,
                                     .activation = g->activation,
                                     .out = g->out.matrix};
}

static void run_groups(group *groups, int n, bool fp8) {
    ink_hopper_linear_problem problem = {.n_groups = n};
    for (int i = 0; i < n; i++) {
        group *g = &groups[i];
        open_group(g, fp8);
        problem.products[i] = problem_of(g);
        if (g->rotates)
            problem.rotations[i] =
                (ink_hopper_rotation){g->table, {g->gains[0].matrix.data, g->gains[1].matrix.data}, eps};
    }
    assert_true(ink_hopper_linear_can(&problem, major, minor));
    ink_hopper_linear *linear;
    ink_error error = {0};
    cudaStream_t stream;
    void *scratch;
    const size_t scratch_bytes = draw(3) ? (size_t)32 << 20 : 0;
    check(cudaMalloc(&scratch, (size_t)32 << 20));
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    for (int run = 0; run < 2; run++) { /* nothing of a run is left to the next */
        if (run == 0 && ink_hopper_linear_create(&problem, multiprocessors, scratch, scratch_bytes, stream,
                                                 &linear, &error) != INK_OK)
            fail_msg("INK_KERNEL_SEED=%" PRIu64 ": %s", seed_now, error.message);
        if (ink_hopper_linear_run(linear, &problem, stream, &error) != INK_OK)
            fail_msg("INK_KERNEL_SEED=%" PRIu64 ": %s", seed_now, error.message);
    }
    check(cudaStreamSynchronize(stream));
    ink_hopper_linear_destroy(linear);
    check(cudaStreamDestroy(stream));
    check(cudaFree(scratch));
    for (int i = 0; i < n; i++) {
        compare(&groups[i], fp8 ? "e4m3" : "bf16");
        close_group(&groups[i]);
    }
}

/* Rows around the sizes of tiles. */
static int64_t draw_rows(void) {
    static const int64_t edges[] = {1, 63, 64, 65, 127, 128, 129, 192, 255, 257, 300};
    return draw(2) ? edges[draw((int64_t)(sizeof edges / sizeof edges[0]))] : 1 + draw(330);
}

static void multiply_some(void) {
    const bool fp8 = draw(3) == 0, rotates = draw(2), gelu = !rotates && draw(2), biased = draw(4) > 0;
    const int64_t unit = fp8 ? 16 : 8, k = unit * (1 + draw(40)),
                  n = rotates ? 3 * head * (1 + draw(3)) : 8 * (1 + draw(100));
    const int count = 1 + (int)draw(2);
    group groups[2] = {{0}, {0}};
    for (int i = 0; i < count; i++) {
        groups[i] = (group){.m = draw_rows(),
                            .n = n,
                            .k = k,
                            .activation = gelu ? INK_ACT_GELU_TANH : INK_ACT_NONE,
                            .biased = biased,
                            .rotates = rotates};
    }
    run_groups(groups, count, fp8);
}

static void repeat(void (*trial)(void), uint64_t salt) {
    const char *seed = getenv("INK_KERNEL_SEED");
    for (int i = 1; i <= trials; i++) {
        seed_now = (uint64_t)(seed ? strtoll(seed, NULL, 10) : i);
        state = seed_now * 0x9E3779B97F4A7C15u + salt;
        trial();
        if (seed) return;
    }
}

static void test_small(void **unused) {
    (void)unused;
    repeat(multiply_some, 1);
}

/* A long K, divided among multiprocessors: the sums of the parts are joined. */
static void test_divided(void **unused) {
    (void)unused;
    seed_now = 0;
    state = 7;
    for (int i = 0; i < 6; i++) {
        const bool fp8 = i % 3 == 2, rotates = i % 2;
        group groups[2] = {
            {.m = 500, .n = 384 * (1 + i), .k = 2048 + 16 * i, .biased = true, .rotates = rotates},
            {.m = i < 3 ? 33 : 100, .n = 384 * (1 + i), .k = 2048 + 16 * i, .rotates = rotates}};
        run_groups(groups, 2, fp8);
    }
}

/* More tiles than multiprocessors, and both ways of sharing them. */
static void test_many_tiles(void **unused) {
    (void)unused;
    seed_now = 0;
    state = 5;
    group groups[2] = {{.m = 1300, .n = 8192, .k = 72, .biased = true}, {.m = 40, .n = 8192, .k = 72}};
    run_groups(groups, 2, false);
}

/* ---- few rows ---- */

static void run_prepared(const ink_cuda_linear_problem *p, int width, cudaStream_t stream) {
    ink_error error = {0};
    if (ink_thin_linear_run(p, width, stream, &error) != INK_OK)
        fail_msg("INK_KERNEL_SEED=%" PRIu64 ": %s", seed_now, error.message);
}

static void run_thin(const ink_cuda_linear_problem *p, int width, cudaStream_t stream) {
    ink_error error = {0};
    if (ink_thin_linear_prepare(p, width, &error) != INK_OK)
        fail_msg("INK_KERNEL_SEED=%" PRIu64 ": %s", seed_now, error.message);
    run_prepared(p, width, stream);
}

static void run_beside(const ink_cuda_linear_problem *p, int processors) {
    ink_error error = {0};
    if (ink_beside_linear_prepare(p, &error) != INK_OK ||
        ink_beside_linear_run(p, processors, NULL, &error) != INK_OK)
        fail_msg("INK_KERNEL_SEED=%" PRIu64 ": %s", seed_now, error.message);
}

static void multiply_few(void) {
    group g = {.m = draw(2)   ? 1 + draw(128)
                    : draw(2) ? 64
                              : 128,
               .n = 8 * (1 + draw(150)),
               .k = 128 + 8 * draw(200),
               .activation = draw(2) ? INK_ACT_GELU_TANH : INK_ACT_NONE,
               .biased = draw(4) > 0};
    open_group(&g, false);
    const ink_cuda_linear_problem problem = problem_of(&g);
    const int least = ink_thin_width_of(&problem, major, minor, multiprocessors);
    assert_true(least >= 0);
    run_thin(&problem, least + (int)draw(ink_thin_widths - least), NULL);
    compare(&g, "few rows");
    check(
        cudaMemset2D(g.out.matrix.data, (size_t)g.out.matrix.stride * 2, 0xFF, (size_t)g.n * 2, (size_t)g.m));
    run_beside(&problem, 1 + (int)draw(6));
    compare(&g, "few rows beside others");
    close_group(&g);
}

static void test_few_rows(void **unused) {
    (void)unused;
    repeat(multiply_few, 3);
}

/* The product is on its way before x is written, and must wait for it. */
static void multiply_early(int64_t n, int64_t m) {
    const unsigned late_ns = 200000;
    group g = {.m = m, .n = n, .k = 3072, .biased = true};
    open_group(&g, false);
    ink_cuda_linear_problem problem = problem_of(&g);
    const int width = ink_thin_width_of(&problem, major, minor, multiprocessors);
    const size_t row = (size_t)g.k * 2, pitch = (size_t)problem.x.stride * 2, bytes = pitch * (size_t)m;
    void *x;
    cudaStream_t stream;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    check(cudaMalloc(&x, bytes));
    check(cudaMemcpy2D(x, pitch, problem.x.data, pitch, row, (size_t)m, cudaMemcpyDeviceToDevice));
    check(cudaMemset2D(problem.x.data, pitch, 0xFF, row, (size_t)m));
    run_thin(&problem, width, stream); /* loads the kernel */
    check(cudaDeviceSynchronize());
    problem.early = true;
    check(late_copy(stream, problem.x.data, x, bytes - pitch + row, late_ns));
    run_prepared(&problem, width, stream);
    check(cudaStreamSynchronize(stream));
    compare(&g, "early");
    check(cudaFree(x));
    check(cudaStreamDestroy(stream));
    close_group(&g);
}

static void test_early(void **unused) {
    (void)unused;
    seed_now = 0;
    state = 11;
    multiply_early(9216, 64);
    multiply_early(3072, 128);
}

int main(int argc, char **argv) {
    if (!device_present()) return 77;
    if (argc > 1) cmocka_set_skip_filter(argv[1]);
    check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0));
    if (major != 9 || minor != 0) {
        print_message("these kernels are for compute capability 9.0\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_small), cmocka_unit_test(test_divided),
                                       cmocka_unit_test(test_many_tiles), cmocka_unit_test(test_few_rows),
                                       cmocka_unit_test(test_early)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
