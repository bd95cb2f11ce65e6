/*
 * Convolutions on the device against the plain-C reference: every implementation in turn, on random problems.
 * An implementation that is not there (cuDNN, say) is passed over and named.
 *
 * INK_KERNEL_SEED in the environment runs only the trial of that seed, as a failure prints it.
 */
#include "backend/cuda/conv.h"
#include "backend/reference/reference.h"
#include "cuda/device_matrix.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { trials = 60 };

typedef struct conv_trial {
    uint64_t seed, random;
    ink_node node;
    ink_dtype x_dtype, weight_dtype, out_dtype;
    ink_shape x, weight, out;
    bool with_bias;
    float *x_values, *weight_values, *bias_values; /* as the device sees them, rounded to their types */
    float *want, *got;
    device_matrix x_device, raw_weight, packed, bias, out_device;
} conv_trial;

static int64_t draw(conv_trial *t, int64_t low, int64_t high) {
    return low + (int64_t)(device_random(&t->random) % (uint64_t)(high - low + 1));
}

/* ---- drawing ---- */

/* What the network has, half of the time; anything otherwise. `unit`: channels are multiples of it. */
static void draw_problem(conv_trial *t, int64_t unit) {
    const bool usual = draw(t, 0, 1) == 1;
    int64_t kernel = usual ? 3 : draw(t, 1, 4), stride = 1, upsample = 1, before = 1, after = 1;
    const int64_t kind = draw(t, 0, 3);
    if (usual && kind == 0) stride = 2, before = 0;
    if (usual && kind == 1) upsample = 2;
    if (!usual) {
        stride = draw(t, 1, 2), upsample = draw(t, 1, 2);
        before = draw(t, 0, kernel - 1), after = draw(t, 0, kernel - 1);
    }
    const int64_t height = draw(t, kernel, 20), width = draw(t, kernel, 40);
    const int64_t inputs = unit * draw(t, 1, 96 / unit), outputs = unit * draw(t, 1, 96 / unit);
    t->node = (ink_node){.op = INK_OP_CONV2D, .n_inputs = 3, .n_outputs = 1};
    t->node.params.conv.stride = stride;
    t->node.params.conv.upsample = upsample;
    t->node.params.conv.pad_top = t->node.params.conv.pad_left = before;
    t->node.params.conv.pad_bottom = t->node.params.conv.pad_right = after;
    t->x = ink_shape3(height, width, inputs);
    t->weight = ink_shape4(outputs, inputs, kernel, kernel);
    if (draw(t, 0, 1)) t->weight = (ink_shape){5, {outputs, inputs, draw(t, 1, 3), kernel, kernel}};
    t->out = ink_shape3((height * upsample + before + after - kernel) / stride + 1,
                        (width * upsample + before + after - kernel) / stride + 1, outputs);
    t->with_bias = draw(t, 0, 3) != 0;
}

static float *draw_values(conv_trial *t, ink_dtype dtype, int64_t n, device_matrix *to, int64_t columns,
                          device_layout layout) {
    char *raw = malloc((size_t)n * sizeof(float));
    float *widened = malloc((size_t)n * sizeof(float));
    assert_true(raw && widened);
    device_draw(&t->random, dtype, n, raw);
    for (int64_t i = 0; i < n; i++) {
        widened[i] = ink_element_f32(raw, dtype, i);
    }
    assert_true(device_open(to, dtype, n / columns, columns, raw, layout, device_random(&t->random)));
    free(raw);
    return widened;
}

static void open_trial(conv_trial *t, bool wide) {
    const device_layout layout = wide ? (device_layout)draw(t, DEVICE_PACKED, DEVICE_ALIGNED)
                                      : (device_layout)draw(t, 0, DEVICE_LAYOUTS - 1);
    const int64_t outputs = t->weight.dim[0], count = ink_shape_count(&t->weight);
    const int64_t times = t->weight.rank == 5 ? t->weight.dim[2] : 1;
    t->x_values = draw_values(t, t->x_dtype, ink_shape_count(&t->x), &t->x_device, t->x.dim[2], layout);
    t->weight_values = draw_values(t, t->weight_dtype, count, &t->raw_weight, count, DEVICE_PACKED);
    t->bias_values = draw_values(t, INK_F32, outputs, &t->bias, outputs, DEVICE_PACKED);
    t->want = calloc((size_t)ink_shape_count(&t->out), sizeof(float));
    t->got = calloc((size_t)ink_shape_count(&t->out), sizeof(float));
    assert_true(t->want && t->got);
    assert_true(device_open(&t->packed, t->weight_dtype, 1, count / times, NULL, DEVICE_PACKED, 0));
    assert_true(device_open(&t->out_device, t->out_dtype, ink_shape_rows(&t->out), outputs, NULL, layout,
                            device_random(&t->random)));
    const int64_t kernel = t->weight.dim[t->weight.rank - 1];
    assert_int_equal(ink_cuda_conv_pack_weight(NULL, t->raw_weight.matrix.data, t->weight_dtype, outputs,
                                               t->weight.dim[1], times, kernel, kernel, t->weight_dtype,
                                               t->packed.matrix.data),
                     cudaSuccess);
}

static void close_trial(conv_trial *t) {
    device_close(&t->x_device), device_close(&t->raw_weight), device_close(&t->packed),
        device_close(&t->bias);
    device_close(&t->out_device);
    free(t->x_values), free(t->weight_values), free(t->bias_values), free(t->want), free(t->got);
}

/* ---- what it must be ---- */

static void run_reference(const conv_trial *t, const float *x, const float *weight, const float *bias,
                          float *out) {
    union {
        const float *in;
        void *out;
    } x_data = {x}, weight_data = {weight}, bias_data = {bias};
    ink_kernel_table table;
    ink_reference_kernels(&table);
    const ink_tensor in[] = {{x_data.out, INK_F32, t->x},
                             {weight_data.out, INK_F32, t->weight},
                             {bias_data.out, INK_F32, ink_shape1(t->out.dim[2])}};
    const ink_tensor result = {out, INK_F32, t->out};
    void *scratch = malloc(table.kernel[INK_OP_CONV2D].scratch_bytes(&t->node, in, &result, 1));
    assert_non_null(scratch);
    table.kernel[INK_OP_CONV2D].run(
        &(ink_kernel_args){.node = &t->node, .in = in, .out = &result, .scratch = scratch});
    free(scratch);
}

/* The root of the sum of the squares of a result's terms: what rounding errors add up to. */
static float *sizes_of_sums(const conv_trial *t) {
    const int64_t n_x = ink_shape_count(&t->x), n_weight = ink_shape_count(&t->weight);
    float *x = malloc((size_t)n_x * sizeof *x), *weight = malloc((size_t)n_weight * sizeof *weight);
    float *sizes = malloc((size_t)ink_shape_count(&t->out) * sizeof *sizes);
    assert_true(x && weight && sizes);
    for (int64_t i = 0; i < n_x; i++) {
        x[i] = t->x_values[i] * t->x_values[i];
    }
    for (int64_t i = 0; i < n_weight; i++) {
        weight[i] = t->weight_values[i] * t->weight_values[i];
    }
    run_reference(t, x, weight, NULL, sizes);
    for (int64_t i = 0; i < ink_shape_count(&t->out); i++) {
        sizes[i] = sqrtf(sizes[i]);
    }
    free(x), free(weight);
    return sizes;
}

/* In bf16 a folded weight is rounded once more, and a result may be rounded before the bias is added. */
static void compare(conv_trial *t, const ink_cuda_conv_kind *kind) {
    float *sizes = sizes_of_sums(t);
    const double own = t->out_dtype == INK_BF16 ? 1.0 / 256 : 1e-6;
    const bool twice = t->out_dtype == INK_BF16 && t->weight_dtype == INK_BF16;
    const double terms = !twice ? 1e-5 : t->node.params.conv.upsample == 2 ? 1.0 / 32 : 1.0 / 64;
    for (int64_t i = 0; i < ink_shape_count(&t->out); i++) {
        const double is = ink_element_f32(t->got, t->out_dtype, i), must = t->want[i];
        if (fabs(is - must) <= own * fabs(must) + terms * sizes[i]) continue;
        fail_msg("%s, INK_KERNEL_SEED=%" PRIu64 ": [%" PRId64 ", %" PRId64 ", %" PRId64 "] to %" PRId64
                 " channels, kernel %" PRId64 ", stride %" PRId64 ", upsample %" PRId64
                 ", %s * %s to %s: element %" PRId64 " is %g, not %g",
                 kind->name, t->seed, t->x.dim[0], t->x.dim[1], t->x.dim[2], t->out.dim[2],
                 t->weight.dim[t->weight.rank - 1], t->node.params.conv.stride, t->node.params.conv.upsample,
                 ink_dtype_name(t->x_dtype), ink_dtype_name(t->weight_dtype), ink_dtype_name(t->out_dtype), i,
                 is, must);
    }
    free(sizes);
}

/* ---- running ---- */

/* Runs twice: the second time as a plan like the first. False if the kind cannot do the problem. */
static bool run_kind(conv_trial *t, const ink_cuda_conv_kind *kind, ink_error *error) {
    const ink_cuda_conv_problem problem = {.x = t->x_device.matrix,
                                           .out = t->out_device.matrix,
                                           .height = t->x.dim[0],
                                           .width = t->x.dim[1],
                                           .out_height = t->out.dim[0],
                                           .out_width = t->out.dim[1],
                                           .kernel_y = t->weight.dim[t->weight.rank - 2],
                                           .kernel_x = t->weight.dim[t->weight.rank - 1],
                                           .weight = t->packed.matrix.data,
                                           .weight_dtype = t->weight_dtype,
                                           .bias = t->with_bias ? t->bias.matrix.data : NULL,
                                           .stride = t->node.params.conv.stride,
                                           .upsample = t->node.params.conv.upsample,
                                           .pad_top = t->node.params.conv.pad_top,
                                           .pad_left = t->node.params.conv.pad_left,
                                           .pad_bottom = t->node.params.conv.pad_bottom,
                                           .pad_right = t->node.params.conv.pad_right};
    ink_cuda_conv_plan *plan[2] = {NULL, NULL};
    ink_status status = INK_OK;
    for (int i = 0; i < 2 && status == INK_OK; i++) {
        status = ink_cuda_conv_plan_create_kind(kind, &problem, plan[0], NULL, &plan[i], error);
        if (status == INK_OK) status = ink_cuda_conv_run(plan[i], NULL, error);
    }
    ink_cuda_conv_plan_destroy(plan[0]);
    const cudaError_t code = cudaDeviceSynchronize();
    ink_cuda_conv_plan_destroy(plan[1]);
    if (status == INK_ERROR_UNSUPPORTED) return false;
    if (status != INK_OK)
        fail_msg("%s, INK_KERNEL_SEED=%" PRIu64 ": %s", kind->name, t->seed, error->message);
    if (code != cudaSuccess)
        fail_msg("%s, INK_KERNEL_SEED=%" PRIu64 ": %s", kind->name, t->seed, cudaGetErrorString(code));
    if (!device_read(&t->out_device, t->got) || !device_read(&t->x_device, NULL) ||
        !device_read(&t->bias, NULL) || !device_read(&t->raw_weight, NULL)) {
        fail_msg("%s, INK_KERNEL_SEED=%" PRIu64 ": wrote outside of its output", kind->name, t->seed);
    }
    return true;
}

/* ---- folding, with the simple implementation in the middle ---- */

typedef struct folded {
    const ink_cuda_conv_problem *problem;
    ink_cuda_conv_problem inner;
    void *weight, *out;
} folded;

static ink_status folded_create(const ink_cuda_conv_problem *p, const void *like, cudaStream_t stream,
                                void **state, ink_error *error) {
    (void)like, (void)error;
    folded *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const int64_t outputs = 4 * p->out.columns, rows = (p->height + 1) * (p->width + 1);
    const size_t weight_bytes = (size_t)(outputs * 4 * p->x.columns) * ink_dtype_bytes(p->weight_dtype);
    assert_int_equal(cudaMalloc(&f->weight, weight_bytes), cudaSuccess);
    assert_int_equal(cudaMalloc(&f->out, (size_t)(rows * outputs) * ink_dtype_bytes(p->out.dtype)),
                     cudaSuccess);
    assert_int_equal(ink_cuda_conv_fold_weight(stream, p, f->weight), cudaSuccess);
    f->problem = p;
    f->inner = *p;
    f->inner.weight = f->weight;
    f->inner.bias = NULL;
    f->inner.out = (ink_cuda_matrix){f->out, p->out.dtype, rows, outputs, outputs};
    f->inner.out_height = p->height + 1;
    f->inner.out_width = p->width + 1;
    f->inner.kernel_y = f->inner.kernel_x = 2;
    f->inner.upsample = 1;
    *state = f;
    return INK_OK;
}

static ink_status folded_run(void *state, cudaStream_t stream, ink_error *error) {
    const folded *f = state;
    INK_TRY(ink_cuda_check(ink_cuda_conv_simple(stream, &f->inner), "a convolution", error));
    return ink_cuda_check(ink_cuda_conv_unfold(stream, f->problem, f->out), "unfolding", error);
}

static size_t folded_bytes(const void *state) {
    (void)state;
    return 0;
}

static void folded_destroy(void *state) {
    folded *f = state;
    (void)cudaFree(f->weight);
    (void)cudaFree(f->out);
    free(f);
}

static const ink_cuda_conv_kind folded_kind = {"folded",   ink_cuda_conv_can_fold, folded_create,
                                               folded_run, folded_bytes,           folded_destroy};

/* ---- all kinds ---- */

/* False if the kind passed. `wide`: bf16 and multiples of 8 channels, as fast implementations want. */
static bool run_trial(const ink_cuda_conv_kind *kind, uint64_t seed, bool wide, ink_error *error) {
    conv_trial t = {.seed = seed, .random = seed};
    t.x_dtype = wide || draw(&t, 0, 1) ? INK_BF16 : INK_F32;
    t.weight_dtype = wide || draw(&t, 0, 1) ? INK_BF16 : INK_F32;
    t.out_dtype = wide || draw(&t, 0, 1) ? INK_BF16 : INK_F32;
    draw_problem(&t, wide ? 8 : 1);
    open_trial(&t, wide);
    run_reference(&t, t.x_values, t.weight_values, t.with_bias ? t.bias_values : NULL, t.want);
    const bool ran = run_kind(&t, kind, error);
    if (ran) compare(&t, kind);
    close_trial(&t);
    return ran;
}

static void test_kind(void **state) {
    const ink_cuda_conv_kind *kind = *state;
    const char *only = getenv("INK_KERNEL_SEED");
    int ran = 0;
    ink_error error = {0};
    for (uint64_t i = 0; i < (only ? 1 : trials); i++) {
        const uint64_t seed = only ? strtoull(only, NULL, 10) : i;
        ran += run_trial(kind, seed, seed % 3 != 0, &error);
    }
    if (ran > 0) {
        print_message("%s: %d of %d problems\n", kind->name, ran, trials);
        return;
    }
    print_message("%s can do none of the problems: %s\n", kind->name, error.message);
    skip();
}

int main(void) {
    static struct CMUnitTest units[8];
    if (!device_present()) return 77;
    size_t n;
    const ink_cuda_conv_kind *kinds = ink_cuda_conv_kinds(&n);
    assert(n < sizeof units / sizeof units[0]);
    for (size_t i = 0; i <= n; i++) {
        union {
            const ink_cuda_conv_kind *in;
            void *out;
        } kind = {i < n ? &kinds[i] : &folded_kind};
        units[i] =
            (struct CMUnitTest){.name = kind.in->name, .test_func = test_kind, .initial_state = kind.out};
    }
    return _cmocka_run_group_tests("convolutions", units, n + 1, NULL, NULL);
}
