/*
 * What CUDA kernels do besides the operations of graph/ops.h: two operations in one pass, tables of steps,
 * synthetic weights. Results must have the bits of the same done one after the other; only norms that are
 * rounded to bf16 may have been summed in another order.
 *
 * INK_KERNEL_SEED in the environment runs only the trial of that seed, as a failure prints it.
 */
#include "cuda/device_matrix.h"
#include "weights/synthetic.h"
#include "weights/weights.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { trials = 40 };

static uint64_t state, seed_now;

static uint64_t draw(uint64_t n) {
    return device_random(&state) % n;
}

static ink_dtype draw_activation(void) {
    return draw(2) ? INK_BF16 : INK_F32;
}

/* A matrix of random numbers; `like`: with those of that one. */
static device_matrix open_matrix(ink_dtype dtype, int64_t rows, int64_t columns, device_layout layout) {
    device_matrix m;
    char *values = malloc((size_t)(rows * columns) * sizeof(float));
    assert_non_null(values);
    device_draw(&state, dtype, rows * columns, values);
    assert_true(device_open(&m, dtype, rows, columns, values, layout, device_random(&state)));
    free(values);
    return m;
}

static device_matrix open_like(const device_matrix *m, ink_dtype dtype) {
    device_matrix copy;
    char *values = malloc((size_t)(m->matrix.rows * m->matrix.columns) * sizeof(float));
    assert_true(values && device_read(m, values));
    assert_true(device_open(&copy, dtype, m->matrix.rows, m->matrix.columns,
                            dtype == m->matrix.dtype ? values : NULL, (device_layout)draw(DEVICE_LAYOUTS),
                            device_random(&state)));
    free(values);
    return copy;
}

static void check(cudaError_t code) {
    if (code != cudaSuccess) fail_msg("INK_KERNEL_SEED=%" PRIu64 ": %s", seed_now, cudaGetErrorString(code));
}

/* Both of one type: are their elements the same, and nothing else was written? */
static void expect_same(const device_matrix *got, const device_matrix *want, const char *what) {
    const size_t bytes =
        (size_t)(got->matrix.rows * got->matrix.columns) * ink_dtype_bytes(got->matrix.dtype);
    char *a = malloc(bytes), *b = malloc(bytes);
    assert_true(a && b && device_read(want, b));
    if (!device_read(got, a)) fail_msg("%s, INK_KERNEL_SEED=%" PRIu64 ": wrote outside", what, seed_now);
    for (size_t i = 0; i < bytes; i++) {
        if (a[i] != b[i]) fail_msg("%s, INK_KERNEL_SEED=%" PRIu64 ": byte %zu differs", what, seed_now, i);
    }
    free(a), free(b);
}

/* The same but for the last bit of bf16. */
static void expect_close(const device_matrix *got, const device_matrix *want, const char *what) {
    if (got->matrix.dtype != INK_BF16) {
        expect_same(got, want, what);
        return;
    }
    const int64_t n = got->matrix.rows * got->matrix.columns;
    uint16_t *a = malloc((size_t)n * sizeof *a), *b = malloc((size_t)n * sizeof *b);
    assert_true(a && b && device_read(want, b));
    if (!device_read(got, a)) fail_msg("%s, INK_KERNEL_SEED=%" PRIu64 ": wrote outside", what, seed_now);
    for (int64_t i = 0; i < n; i++) {
        const float is = ink_element_f32(a, INK_BF16, i), must = ink_element_f32(b, INK_BF16, i);
        if (!(fabsf(is - must) <= fabsf(must) / 127 + 1e-5f))
            fail_msg("%s, INK_KERNEL_SEED=%" PRIu64 ": element %" PRId64 " is %.9g, not %.9g", what, seed_now,
                     i, (double)is, (double)must);
    }
    free(a), free(b);
}

/* ---- norm and modulation after x += gate * add ---- */

static void layer_norm_with_add(void) {
    const int64_t rows = 1 + (int64_t)draw(6), groups = 2, few = (int64_t)(8 + draw(200));
    const bool usual = draw(2) != 0; /* as in blocks, which have a kernel of their own */
    const int64_t columns = usual ? (int64_t)(1 + draw(16)) * 256 : draw(2) ? 3072 : draw(3) ? few : 12296;
    device_matrix x = open_matrix(draw_activation(), rows, columns,
                                  usual ? DEVICE_ALIGNED : (device_layout)draw(DEVICE_LAYOUTS));
    device_matrix more = open_matrix(usual ? INK_BF16 : draw_activation(), rows, columns,
                                     usual ? DEVICE_ALIGNED : (device_layout)draw(DEVICE_LAYOUTS));
    device_matrix table = open_matrix(INK_F32, 2 * groups, 6 * columns, DEVICE_PACKED); /* two steps */
    device_matrix x2 = open_like(&x, x.matrix.dtype),
                  out = open_like(&x, usual ? INK_BF16 : draw_activation());
    device_matrix out2 = open_like(&out, out.matrix.dtype), row_groups, step;
    int32_t group[8];
    for (int64_t r = 0; r < rows; r++) {
        group[r] = (int32_t)draw((uint64_t)groups);
    }
    const int64_t number = (int64_t)draw(2);
    assert_true(device_open(&row_groups, INK_I32, 1, rows, group, DEVICE_PACKED, 0));
    assert_true(device_open(&step, INK_I64, 1, 1, &number, DEVICE_PACKED, 0));
    const ink_cuda_modulation mod = {
        {table.matrix.data, step.matrix.data, groups * 6 * columns}, 6 * columns, row_groups.matrix.data};
    ink_cuda_layer_norm norm = {.x = x.matrix,
                                .mod = mod,
                                .shift_column = 3 * columns,
                                .scale_column = 4 * columns,
                                .eps = 1e-6f,
                                .adds = true,
                                .add = more.matrix,
                                .gate = mod,
                                .gate_column = 2 * columns,
                                .out = out.matrix};
    check(ink_cuda_layer_norms(NULL, 1, &norm));
    check(ink_cuda_gated_add(NULL, &x2.matrix, &mod, 2 * columns, &more.matrix, &x2.matrix));
    /* The same row of the table, found by the host. */
    norm.x = x2.matrix, norm.out = out2.matrix, norm.adds = false;
    norm.mod.table =
        (ink_cuda_row){(const float *)table.matrix.data + number * groups * 6 * columns, NULL, 0};
    check(ink_cuda_layer_norms(NULL, 1, &norm));
    expect_same(&x, &x2, "x of layer_norm_modulate with add");
    expect_close(&out, &out2, "layer_norm_modulate with add");
    assert_true(device_read(&more, NULL) && device_read(&table, NULL) && device_read(&row_groups, NULL));
    device_close(&x), device_close(&more), device_close(&table), device_close(&x2), device_close(&out);
    device_close(&out2), device_close(&row_groups), device_close(&step);
}

/* ---- q and k as parts of one matrix, in one launch, in place ---- */

static ink_cuda_matrix columns_of(const device_matrix *m, int64_t begin, int64_t columns) {
    const int64_t at = begin * (int64_t)ink_dtype_bytes(m->matrix.dtype);
    return (ink_cuda_matrix){(char *)m->matrix.data + at, m->matrix.dtype, m->matrix.rows, columns,
                             m->matrix.stride};
}

static void rotary_of_two(void) {
    const bool usual = draw(3) == 0; /* as in blocks, which have a kernel of their own */
    const int64_t rows = 1 + (int64_t)draw(4);
    const int64_t head_dim = usual ? 128 : (int64_t[]){128, 128, 64, 24, 16}[draw(5)];
    const int64_t all = (int64_t)(6 * (1 + draw(8))), some = 1 + (int64_t)draw((uint64_t)all - 1);
    const int64_t q = head_dim * (usual ? some : (int64_t)(1 + draw(28)));
    const int64_t k = head_dim * (usual ? all - some : (int64_t)(1 + draw(8)));
    const ink_rotary_style style = !usual && draw(2) ? INK_ROTARY_HALF : INK_ROTARY_ADJACENT;
    device_matrix fused = open_matrix(usual ? INK_BF16 : draw_activation(), rows, q + k + head_dim,
                                      usual ? DEVICE_ALIGNED : (device_layout)draw(DEVICE_LAYOUTS));
    device_matrix again = open_like(&fused, fused.matrix.dtype);
    device_matrix table = open_matrix(INK_F32, rows, head_dim, DEVICE_PACKED);
    device_matrix gain = open_matrix(INK_BF16, 2, head_dim, DEVICE_PACKED);
    const uint16_t *gains = gain.matrix.data;
    ink_cuda_rotation rotation = {.count = 2,
                                  .x = {columns_of(&fused, 0, q), columns_of(&fused, q, k)},
                                  .weight = {gains, usual || draw(4) ? gains + head_dim : NULL},
                                  .weight_dtype = INK_BF16,
                                  .head_dim = head_dim,
                                  .eps = 1e-6f,
                                  .table = table.matrix.data,
                                  .style = style};
    rotation.out[0] = rotation.x[0], rotation.out[1] = rotation.x[1];
    check(ink_cuda_head_norm_rotaries(NULL, 1, &rotation));
    rotation.count = 1;
    rotation.x[0] = rotation.out[0] = columns_of(&again, 0, q);
    check(ink_cuda_head_norm_rotaries(NULL, 1, &rotation));
    rotation.x[0] = rotation.out[0] = columns_of(&again, q, k);
    rotation.weight[0] = rotation.weight[1];
    check(ink_cuda_head_norm_rotaries(NULL, 1, &rotation));
    expect_same(&fused, &again, "head_norm_rotary of two");
    assert_true(device_read(&table, NULL) && device_read(&gain, NULL));
    device_close(&fused), device_close(&again), device_close(&table), device_close(&gain);
}

/* ---- two of a kind, as the two streams have them: the same as one after the other ---- */

static void norms_of_two(void) {
    const bool usual = draw(3) != 0;
    const int64_t columns = usual ? (int64_t)(1 + draw(16)) * 256 : (int64_t)(8 + draw(500));
    const bool adds = draw(2) != 0;
    const ink_dtype x_type = draw_activation(), out_type = draw(4) ? INK_BF16 : INK_F32;
    ink_cuda_layer_norm norms[2];
    device_matrix x[2], again[2], more[2], out[2], wanted[2], table[2];
    for (int i = 0; i < 2; i++) {
        const int64_t rows = 1 + (int64_t)draw(6);
        x[i] = open_matrix(draw(8) ? x_type : draw_activation(), rows, columns, DEVICE_ALIGNED);
        again[i] = open_like(&x[i], x[i].matrix.dtype);
        more[i] = open_matrix(INK_BF16, rows, columns, DEVICE_ALIGNED);
        table[i] = open_matrix(INK_F32, 1, 3 * columns, DEVICE_PACKED);
        out[i] = open_matrix(out_type, rows, columns, DEVICE_ALIGNED);
        wanted[i] = open_like(&out[i], out_type);
        const ink_cuda_modulation mod = {{table[i].matrix.data, NULL, 0}, 3 * columns, NULL};
        norms[i] = (ink_cuda_layer_norm){.x = again[i].matrix,
                                         .mod = mod,
                                         .scale_column = columns,
                                         .eps = 1e-6f,
                                         .adds = adds,
                                         .add = more[i].matrix,
                                         .gate = mod,
                                         .gate_column = 2 * columns,
                                         .out = wanted[i].matrix};
        check(ink_cuda_layer_norms(NULL, 1, &norms[i]));
        norms[i].x = x[i].matrix, norms[i].out = out[i].matrix;
    }
    check(ink_cuda_layer_norms(NULL, 2, norms));
    for (int i = 0; i < 2; i++) {
        expect_same(&x[i], &again[i], "x of two norms");
        expect_close(&out[i], &wanted[i], "two norms"); /* which may be aligned otherwise */
        assert_true(device_read(&more[i], NULL) && device_read(&table[i], NULL));
        device_close(&x[i]), device_close(&again[i]), device_close(&more[i]), device_close(&table[i]);
        device_close(&out[i]), device_close(&wanted[i]);
    }
}

static void rotaries_of_two(void) {
    const int64_t head_dim = draw(3) ? 128 : 64, heads = 3 * (1 + (int64_t)draw(4)), part = head_dim * heads;
    ink_cuda_rotation rotations[2];
    device_matrix x[2], wanted[2], table[2], gain[2];
    for (int i = 0; i < 2; i++) {
        const int64_t rows = 1 + (int64_t)draw(6);
        x[i] = open_matrix(INK_BF16, rows, 3 * part, DEVICE_ALIGNED);
        wanted[i] = open_like(&x[i], INK_BF16);
        table[i] = open_matrix(INK_F32, rows, head_dim, DEVICE_PACKED);
        gain[i] = open_matrix(INK_BF16, 2, head_dim, DEVICE_PACKED);
        const uint16_t *gains = gain[i].matrix.data;
        rotations[i] = (ink_cuda_rotation){.count = 2,
                                           .weight = {gains, gains + head_dim},
                                           .weight_dtype = INK_BF16,
                                           .head_dim = head_dim,
                                           .eps = 1e-6f,
                                           .table = table[i].matrix.data,
                                           .style = INK_ROTARY_ADJACENT};
        for (int k = 0; k < 2; k++) {
            rotations[i].x[k] = rotations[i].out[k] = columns_of(&wanted[i], k * part, part);
        }
        check(ink_cuda_head_norm_rotaries(NULL, 1, &rotations[i]));
        for (int k = 0; k < 2; k++) {
            rotations[i].x[k] = rotations[i].out[k] = columns_of(&x[i], k * part, part);
        }
    }
    check(ink_cuda_head_norm_rotaries(NULL, 2, rotations));
    for (int i = 0; i < 2; i++) {
        expect_same(&x[i], &wanted[i], "two rotations");
        assert_true(device_read(&table[i], NULL) && device_read(&gain[i], NULL));
        device_close(&x[i]), device_close(&wanted[i]), device_close(&table[i]), device_close(&gain[i]);
    }
}

/* ---- guidance and the step ---- */

static void guided_step(void) {
    const int64_t rows = 1 + (int64_t)draw(40), columns = 1 + (int64_t)draw(100), steps = 3;
    const int64_t number = (int64_t)draw((uint64_t)steps);
    const bool rescale = draw(2) != 0;
    device_matrix v = open_matrix(draw_activation(), 2 * rows, columns, (device_layout)draw(DEVICE_LAYOUTS));
    device_matrix x = open_matrix(INK_F32, rows, columns, (device_layout)draw(DEVICE_LAYOUTS));
    device_matrix guided = open_like(&x, INK_F32), x2 = open_like(&x, INK_F32), step;
    device_matrix scalars = open_matrix(INK_F32, steps, 2, DEVICE_PACKED);
    assert_true(device_open(&step, INK_I64, 1, 1, &number, DEVICE_PACKED, 0));
    const float *table = scalars.matrix.data;
    const ink_cuda_row scale = {table, step.matrix.data, 2}, dt = {table + 1, step.matrix.data, 2};
    check(ink_cuda_guidance(NULL, &v.matrix, &scale, rescale, &guided.matrix));
    check(ink_cuda_euler_step(NULL, &x2.matrix, &guided.matrix, &dt, &x2.matrix));
    check(ink_cuda_guided_step(NULL, &x.matrix, &v.matrix, &scale, rescale, &dt, &x.matrix));
    expect_same(&x, &x2, "guided_step");
    assert_true(device_read(&v, NULL) && device_read(&scalars, NULL));
    device_close(&v), device_close(&x), device_close(&guided), device_close(&x2), device_close(&step);
    device_close(&scalars);
}

/* ---- synthetic weights ---- */

static void synthetic(void) {
    ink_weights *weights = NULL;
    const ink_weight *weight = NULL;
    const ink_shape shape = ink_shape2(1 + (int64_t)draw(70), 1 + (int64_t)draw(500));
    const char *const name =
        (const char *[]){"block.7.to_q.weight", "block.7.to_q.bias", "norm.gamma"}[draw(3)];
    const int64_t count = ink_shape_count(&shape), first = (int64_t)draw((uint64_t)count);
    const int64_t n = 1 + (int64_t)draw((uint64_t)(count - first));
    assert_int_equal(ink_weights_create_synthetic(&weights, NULL), INK_OK);
    assert_int_equal(ink_weights_get(weights, name, &shape, &weight, NULL), INK_OK);
    ink_synthetic_recipe recipe;
    assert_true(ink_synthetic_recipe_of(name, &shape, &recipe));
    const ink_dtype dtype = draw_activation();
    device_matrix out;
    assert_true(
        device_open(&out, dtype, 1, n, NULL, draw(2) ? DEVICE_PACKED : DEVICE_ODD, device_random(&state)));
    check(ink_cuda_synthetic_fill(NULL, recipe.key, recipe.scale, recipe.offset, dtype, first, n,
                                  out.matrix.data));
    float *got = malloc((size_t)n * sizeof *got);
    assert_non_null(got);
    if (!device_read(&out, got))
        fail_msg("synthetic_fill, INK_KERNEL_SEED=%" PRIu64 ": wrote outside", seed_now);
    for (int64_t i = 0; i < n; i++) {
        const float is = ink_element_f32(got, dtype, i),
                    must = ink_element_f32(weight->data, INK_BF16, first + i);
        if (memcmp(&is, &must, sizeof is) == 0) continue;
        fail_msg("synthetic_fill, INK_KERNEL_SEED=%" PRIu64 ": element %" PRId64 " is %.9g, not %.9g",
                 seed_now, first + i, (double)is, (double)must);
    }
    free(got);
    device_close(&out);
    ink_weights_close(weights);
}

/* ---- bias and activation against the formulas ---- */

static void bias_activation(void) {
    const int64_t rows = 1 + (int64_t)draw(20), columns = 1 + (int64_t)draw(300), n = rows * columns;
    const ink_activation activation =
        (ink_activation[]){INK_ACT_NONE, INK_ACT_SILU, INK_ACT_GELU_TANH}[draw(3)];
    device_matrix x = open_matrix(INK_F32, rows, columns, (device_layout)draw(DEVICE_LAYOUTS));
    device_matrix bias = open_matrix(INK_F32, 1, columns, draw(2) ? DEVICE_PACKED : DEVICE_ODD);
    device_matrix out = open_like(&x, INK_F32);
    float *from = calloc((size_t)n, sizeof *from), *to = calloc((size_t)n, sizeof *to);
    float *b = calloc((size_t)columns, sizeof *b);
    assert_true(from && to && b);
    check(ink_cuda_bias_activation(NULL, &x.matrix, bias.matrix.data, INK_F32, activation, &out.matrix));
    assert_true(device_read(&x, from) && device_read(&bias, b) && device_read(&out, to));
    for (int64_t i = 0; i < n; i++) {
        const double z = (double)from[i] + (double)b[i % columns];
        double must = z;
        if (activation == INK_ACT_SILU) must = z / (1 + exp(-z));
        if (activation == INK_ACT_GELU_TANH)
            must = 0.5 * z * (1 + tanh(0.79788456080286535588 * (z + 0.044715 * z * z * z)));
        if (fabs(to[i] - must) <= 2e-6 * (fabs((double)from[i]) + fabs((double)b[i % columns]))) continue;
        fail_msg("bias_activation, INK_KERNEL_SEED=%" PRIu64 ": activation %d of %g is %.9g, not %.9g",
                 seed_now, (int)activation, z, (double)to[i], must);
    }
    free(from), free(to), free(b);
    device_close(&x), device_close(&bias), device_close(&out);
}

/* ---- running ---- */

static void repeat(void (*trial)(void), uint64_t first) {
    const char *only = getenv("INK_KERNEL_SEED");
    for (uint64_t i = 0; i < (only ? 1 : trials); i++) {
        state = seed_now = only ? strtoull(only, NULL, 10) : first + i;
        trial();
    }
}

static void test_layer_norm_with_add(void **unused) {
    (void)unused;
    repeat(layer_norm_with_add, 1000);
}
static void test_norms_of_two(void **unused) {
    (void)unused;
    repeat(norms_of_two, 1000);
}
static void test_rotaries_of_two(void **unused) {
    (void)unused;
    repeat(rotaries_of_two, 1000);
}
static void test_rotary_of_two(void **unused) {
    (void)unused;
    repeat(rotary_of_two, 2000);
}
static void test_guided_step(void **unused) {
    (void)unused;
    repeat(guided_step, 3000);
}
static void test_synthetic(void **unused) {
    (void)unused;
    repeat(synthetic, 4000);
}
static void test_bias_activation(void **unused) {
    (void)unused;
    repeat(bias_activation, 5000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_norm_with_add), cmocka_unit_test(test_rotary_of_two),
        cmocka_unit_test(test_norms_of_two),        cmocka_unit_test(test_rotaries_of_two),
        cmocka_unit_test(test_guided_step),         cmocka_unit_test(test_synthetic),
        cmocka_unit_test(test_bias_activation),
    };
    if (!device_present()) return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
