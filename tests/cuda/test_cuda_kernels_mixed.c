/*
 * CUDA kernels on mixtures of f32 and bf16. Their arithmetic is that of the float32 kernels, which are tested
 * against the reference: so a result must have the very bits of the float32 result for the same numbers,
 * rounded once. Only norms of layers may be summed in another order for some types.
 *
 * INK_KERNEL_SEED in the environment runs only the trial of that seed, as a failure prints it.
 */
#include "cuda/device_matrix.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { trials = 40, heads = 3, patch = 2 };

/* What launchers need besides the matrices. */
typedef struct mixture {
    uint64_t random;
    int64_t rows, columns; /* of x; rows is a multiple of 4 */
    ink_dtype weight_dtype;
    device_matrix weight;        /* [columns] */
    device_matrix first, second; /* f32 [rows, columns] without gaps: tables of any kind */
    device_matrix ids;           /* i32 [rows], each below rows */
} mixture;

typedef struct mixed_case {
    const char *name;
    cudaError_t (*launch)(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                          const ink_cuda_matrix *out);
    int64_t rows, columns; /* of the output, in quarters of x's */
    ink_dtype out;         /* if not any activation */
    bool half;             /* x may be f16 */
} mixed_case;

/* ---- launches ---- */

static cudaError_t rms_norm(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                            const ink_cuda_matrix *out) {
    (void)y;
    return ink_cuda_rms_norm(NULL, x, m->weight.matrix.data, m->weight_dtype, 1e-6f, out);
}

static cudaError_t channel_norm(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                                const ink_cuda_matrix *out) {
    (void)y;
    return ink_cuda_channel_norm(NULL, x, m->weight.matrix.data, m->weight_dtype, 1e-12f, INK_ACT_SILU, out);
}

/* A table of as many groups as x has rows. */
static ink_cuda_modulation modulation(const mixture *m, const device_matrix *table) {
    return (ink_cuda_modulation){{table->matrix.data, NULL, 0}, m->columns, m->ids.matrix.data};
}

static cudaError_t layer_norm_modulate(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                                       const ink_cuda_matrix *out) {
    (void)y;
    const ink_cuda_modulation mod = modulation(m, &m->first);
    const ink_cuda_layer_norm norm = {.x = *x, .mod = mod, .eps = 1e-6f, .out = *out};
    return ink_cuda_layer_norms(NULL, 1, &norm);
}

static cudaError_t rotate(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *out,
                          ink_rotary_style style) {
    const ink_cuda_rotation rotation = {.count = 1,
                                        .x = {*x},
                                        .out = {*out},
                                        .weight = {m->weight.matrix.data},
                                        .weight_dtype = m->weight_dtype,
                                        .head_dim = m->columns / heads,
                                        .eps = 1e-6f,
                                        .table = m->first.matrix.data,
                                        .style = style};
    return ink_cuda_head_norm_rotaries(NULL, 1, &rotation);
}

static cudaError_t rotary_adjacent(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                                   const ink_cuda_matrix *out) {
    (void)y;
    return rotate(m, x, out, INK_ROTARY_ADJACENT);
}

static cudaError_t rotary_half(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                               const ink_cuda_matrix *out) {
    (void)y;
    return rotate(m, x, out, INK_ROTARY_HALF);
}

static cudaError_t add(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                       const ink_cuda_matrix *out) {
    (void)m;
    return ink_cuda_add(NULL, x, y, out);
}

static cudaError_t gated_add(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                             const ink_cuda_matrix *out) {
    const ink_cuda_modulation mod = modulation(m, &m->first);
    return ink_cuda_gated_add(NULL, x, &mod, 0, y, out);
}

static cudaError_t silu(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                        const ink_cuda_matrix *out) {
    (void)m, (void)y;
    return ink_cuda_silu(NULL, x, out);
}

static cudaError_t silu_mul(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                            const ink_cuda_matrix *out) {
    (void)m;
    return ink_cuda_silu_mul(NULL, x, y, out);
}

static cudaError_t bias_gelu(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                             const ink_cuda_matrix *out) {
    (void)y;
    return ink_cuda_bias_activation(NULL, x, m->weight.matrix.data, m->weight_dtype, INK_ACT_GELU_TANH, out);
}

static cudaError_t channel_affine(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                                  const ink_cuda_matrix *out) {
    (void)y;
    return ink_cuda_channel_affine(NULL, x, m->first.matrix.data, m->second.matrix.data, out);
}

static cudaError_t affine_clamp(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                                const ink_cuda_matrix *out) {
    (void)m, (void)y;
    return ink_cuda_affine_clamp(NULL, x, 0.7f, -0.1f, -0.5f, 0.9f, out);
}

static cudaError_t to_u8(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                         const ink_cuda_matrix *out) {
    (void)m, (void)y;
    return ink_cuda_to_u8(NULL, x, out);
}

static cudaError_t copy(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                        const ink_cuda_matrix *out) {
    (void)m, (void)y;
    return ink_cuda_copy(NULL, x, out);
}

static cudaError_t gather_rows(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                               const ink_cuda_matrix *out) {
    (void)y;
    return ink_cuda_gather_rows(NULL, x, m->ids.matrix.data, out);
}

static cudaError_t embed_rows(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                              const ink_cuda_matrix *out) {
    (void)y;
    return ink_cuda_embed_rows(NULL, x, m->ids.matrix.data, out);
}

static cudaError_t pack_patches(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                                const ink_cuda_matrix *out) {
    (void)y;
    return ink_cuda_pack_patches(NULL, x, patch, m->rows / patch, patch, out);
}

static cudaError_t unpack_patches(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                                  const ink_cuda_matrix *out) {
    (void)y;
    return ink_cuda_unpack_patches(NULL, x, 2, m->rows / 2, patch, out);
}

static cudaError_t guidance(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                            const ink_cuda_matrix *out) {
    (void)y;
    const ink_cuda_row scale = {m->first.matrix.data, NULL, 0};
    return ink_cuda_guidance(NULL, x, &scale, true, out);
}

static cudaError_t euler_step(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                              const ink_cuda_matrix *out) {
    const ink_cuda_row dt = {m->first.matrix.data, NULL, 0};
    return ink_cuda_euler_step(NULL, x, y, &dt, out);
}

static cudaError_t timestep_embedding(const mixture *m, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                                      const ink_cuda_matrix *out) {
    (void)x, (void)y;
    return ink_cuda_timestep_embedding(NULL, m->first.matrix.data, out->rows, out->columns, 1000, 1e4f, out);
}

static const mixed_case cases[] = {
    {"rms_norm", rms_norm, 4, 4, INK_F32, false},
    {"channel_norm", channel_norm, 4, 4, INK_F32, false},
    {"layer_norm_modulate", layer_norm_modulate, 4, 4, INK_F32, false},
    {"head_norm_rotary, adjacent", rotary_adjacent, 4, 4, INK_F32, false},
    {"head_norm_rotary, half", rotary_half, 4, 4, INK_F32, false},
    {"add", add, 4, 4, INK_F32, false},
    {"gated_add", gated_add, 4, 4, INK_F32, false},
    {"silu", silu, 4, 4, INK_F32, false},
    {"silu_mul", silu_mul, 4, 4, INK_F32, false},
    {"bias_activation", bias_gelu, 4, 4, INK_F32, false},
    {"channel_affine", channel_affine, 4, 4, INK_F32, false},
    {"affine_clamp", affine_clamp, 4, 4, INK_F32, false},
    {"to_u8", to_u8, 4, 4, INK_U8, false},
    {"copy", copy, 4, 4, INK_F32, false},
    {"gather_rows", gather_rows, 4, 4, INK_F32, false},
    {"embed_rows", embed_rows, 4, 4, INK_F32, true},
    {"pack_patches", pack_patches, 1, 16, INK_F32, false},
    {"unpack_patches", unpack_patches, 16, 1, INK_F32, false},
    {"guidance", guidance, 2, 4, INK_F32, false},
    {"euler_step", euler_step, 4, 4, INK_F32, false},
    {"timestep_embedding", timestep_embedding, 4, 4, INK_F32, false},
};

/* ---- trials ---- */

static uint64_t draw(mixture *m, uint64_t n) {
    return device_random(&m->random) % n;
}

static ink_dtype draw_activation(mixture *m) {
    return draw(m, 2) ? INK_BF16 : INK_F32;
}

static void open_drawn(mixture *m, device_matrix *to, ink_dtype dtype, int64_t rows, int64_t columns,
                       device_layout layout, float *widened) {
    const int64_t n = rows * columns;
    char *values = malloc((size_t)n * sizeof(float));
    assert_non_null(values);
    device_draw(&m->random, dtype, n, values);
    for (int64_t i = 0; widened && i < n; i++) {
        widened[i] = ink_element_f32(values, dtype, i);
    }
    assert_true(device_open(to, dtype, rows, columns, values, layout, device_random(&m->random)));
    free(values);
}

/* Columns are heads of an even length; some are the networks'. */
static void open_mixture(mixture *m) {
    const int64_t wide[] = {heads * 64, heads * 128, heads * 1024};
    m->rows = 4 * (int64_t)(1 + draw(m, 5));
    m->columns = draw(m, 2) ? (int64_t)(heads * 4 * (1 + draw(m, 40))) : wide[draw(m, 3)];
    m->weight_dtype = (ink_dtype[]){INK_F32, INK_BF16, INK_F16}[draw(m, 3)];
    open_drawn(m, &m->weight, m->weight_dtype, 1, m->columns, draw(m, 3) ? DEVICE_PACKED : DEVICE_ODD, NULL);
    open_drawn(m, &m->first, INK_F32, m->rows, m->columns, DEVICE_PACKED, NULL);
    open_drawn(m, &m->second, INK_F32, m->rows, m->columns, DEVICE_PACKED, NULL);
    int32_t ids[64];
    for (int64_t r = 0; r < m->rows; r++) {
        ids[r] = (int32_t)draw(m, (uint64_t)m->rows);
    }
    assert_true(device_open(&m->ids, INK_I32, 1, m->rows, ids, DEVICE_PACKED, 0));
}

static void close_mixture(mixture *m) {
    assert_true(device_read(&m->weight, NULL) && device_read(&m->first, NULL) &&
                device_read(&m->second, NULL) && device_read(&m->ids, NULL));
    device_close(&m->weight), device_close(&m->first), device_close(&m->second), device_close(&m->ids);
}

/* Runs the case with x and y as they are; `to` gets the output's elements. */
static void run_case(mixture *m, const mixed_case *which, const device_matrix *x, const device_matrix *y,
                     ink_dtype dtype, device_layout layout, void *to) {
    device_matrix out;
    assert_true(device_open(&out, dtype, m->rows * which->rows / 4, m->columns * which->columns / 4, NULL,
                            layout, device_random(&m->random)));
    const cudaError_t code = which->launch(m, &x->matrix, &y->matrix, &out.matrix);
    if (code != cudaSuccess) fail_msg("%s: %s", which->name, cudaGetErrorString(code));
    if (!device_read(&out, to)) fail_msg("%s failed, or wrote outside of its output", which->name);
    if (!device_read(x, NULL) || !device_read(y, NULL)) fail_msg("%s changed an input", which->name);
    device_close(&out);
}

/* Is element i of `got` what the float32 result must become? */
static bool same(const mixed_case *which, const void *got, ink_dtype dtype, const void *want, int64_t i) {
    if (dtype == INK_U8) return ((const uint8_t *)got)[i] == ((const uint8_t *)want)[i];
    const float single = ((const float *)want)[i];
    if (dtype == INK_F32) return memcmp((const float *)got + i, &single, sizeof single) == 0;
    if (which->launch == layer_norm_modulate)
        return fabsf(ink_element_f32(got, INK_BF16, i) - single) <= fabsf(single) / 127 + 1e-5f;
    return ((const uint16_t *)got)[i] == ink_bf16_from_f32(single);
}

static void run_trial(const mixed_case *which, uint64_t seed) {
    mixture m = {.random = seed};
    open_mixture(&m);
    const int64_t count = m.rows * m.columns;
    const int64_t out_count = count * which->rows * which->columns / 16;
    float *x_values = calloc((size_t)count, sizeof(float)), *y_values = calloc((size_t)count, sizeof(float));
    float *want = calloc((size_t)out_count, sizeof(float)), *got = calloc((size_t)out_count, sizeof(float));
    assert_true(x_values && y_values && want && got);
    const ink_dtype x_dtype = which->half && draw(&m, 3) == 0 ? INK_F16 : draw_activation(&m);
    const ink_dtype dtype = which->out == INK_U8 ? INK_U8 : draw_activation(&m);
    device_matrix x, y;
    open_drawn(&m, &x, x_dtype, m.rows, m.columns, (device_layout)draw(&m, DEVICE_LAYOUTS), x_values);
    open_drawn(&m, &y, draw_activation(&m), m.rows, m.columns, (device_layout)draw(&m, DEVICE_LAYOUTS),
               y_values);
    run_case(&m, which, &x, &y, dtype, (device_layout)draw(&m, DEVICE_LAYOUTS), got);
    const ink_dtype y_dtype = y.matrix.dtype;
    device_close(&x), device_close(&y);
    assert_true(device_open(&x, INK_F32, m.rows, m.columns, x_values, DEVICE_PACKED, 0));
    assert_true(device_open(&y, INK_F32, m.rows, m.columns, y_values, DEVICE_PACKED, 0));
    run_case(&m, which, &x, &y, dtype == INK_U8 ? INK_U8 : INK_F32, DEVICE_PACKED, want);
    device_close(&x), device_close(&y);
    for (int64_t i = 0; i < out_count; i++) {
        if (same(which, got, dtype, want, i)) continue;
        fail_msg("%s, INK_KERNEL_SEED=%" PRIu64 ": %s and %s to %s, [%" PRId64 ", %" PRId64
                 "]: element %" PRId64 " is %g, the float32 result is %g",
                 which->name, seed, ink_dtype_name(x_dtype), ink_dtype_name(y_dtype), ink_dtype_name(dtype),
                 m.rows, m.columns, i, (double)ink_element_f32(got, dtype, i), (double)want[i]);
    }
    free(x_values), free(y_values), free(want), free(got);
    close_mixture(&m);
}

static void test_mixture(void **state) {
    const mixed_case *which = *state;
    const char *seed = getenv("INK_KERNEL_SEED");
    if (seed) {
        run_trial(which, strtoull(seed, NULL, 10));
        return;
    }
    for (uint64_t i = 0; i < trials; i++) {
        run_trial(which, (uint64_t)(which - cases) * 1000 + i);
    }
}

int main(void) {
    enum { n = sizeof cases / sizeof cases[0] };
    static struct CMUnitTest units[n];
    if (!device_present()) return 77;
    for (size_t i = 0; i < n; i++) {
        union {
            const mixed_case *in;
            void *out;
        } which = {&cases[i]};
        units[i] =
            (struct CMUnitTest){.name = cases[i].name, .test_func = test_mixture, .initial_state = which.out};
    }
    return _cmocka_run_group_tests("mixtures of types", units, n, NULL, NULL);
}
