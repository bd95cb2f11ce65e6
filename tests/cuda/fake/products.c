/*
 * Stand-ins for products, attention and convolution, and for the plans that choose how to compute them.
 */
#include "fake.h"

#include "backend/cuda/linear_hopper_plan.h"
#include "backend/cuda/linear_thin_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- products ---- */

struct ink_cuda_linears {
    int nothing;
};
struct ink_cuda_linear {
    int nothing;
};
static const ink_cuda_linear the_linear;

ink_status ink_cuda_linears_create(ink_cuda_linears **linears, ink_error *error) {
    *linears = calloc(1, sizeof **linears);
    return *linears ? INK_OK : ink_fail_memory(error, "products", sizeof **linears);
}
void ink_cuda_linears_destroy(ink_cuda_linears *linears) {
    free(linears);
}
size_t ink_cuda_linears_bytes(const ink_cuda_linears *linears) {
    (void)linears;
    return 0;
}

/* Trying candidates writes to the result. */
ink_status ink_cuda_linear_find(ink_cuda_linears *linears, const ink_cuda_linear_problem *p,
                                cudaStream_t stream, const ink_cuda_linear **linear, ink_error *error) {
    (void)linears, (void)stream;
    if (p->x.dtype != INK_F32 && p->x.dtype != INK_BF16 && p->x.dtype != INK_F8_E4M3)
        return ink_fail(error, INK_ERROR_INTERNAL, "a product of %s", ink_dtype_name(p->x.dtype));
    if (p->x.dtype == INK_F32 && p->out.dtype != INK_F32)
        return ink_fail(error, INK_ERROR_INTERNAL, "a product of f32 makes %s", ink_dtype_name(p->out.dtype));
    for (int64_t r = 0; r < p->out.rows; r++) {
        for (int64_t c = 0; c < p->out.columns; c++) {
            fake_put(&p->out, r, c, 1e30);
        }
    }
    *linear = &the_linear;
    return INK_OK;
}

void *ink_cuda_linears_scratch(const ink_cuda_linears *linears) {
    (void)linears;
    return NULL;
}

ink_status ink_cuda_linears_simplify(const ink_cuda_linears *linears, cudaGraph_t graph, ink_error *error) {
    (void)linears, (void)graph, (void)error;
    return INK_OK;
}

static double activate(ink_activation activation, double z) {
    if (activation == INK_ACT_SILU) return z / (1 + exp(-z));
    if (activation == INK_ACT_GELU_TANH)
        return 0.5 * z * (1 + tanh(0.7978845608028654 * (z + 0.044715 * z * z * z)));
    return z;
}

static float *new_floats(int64_t n) {
    float *x = malloc((size_t)n * sizeof *x);
    if (!x) abort();
    return x;
}

static void widen(float *to, const void *data, ink_dtype dtype, int64_t first, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        to[i] = dtype == INK_BF16 ? ink_f32_from_bf16(((const uint16_t *)data)[first + i])
                                  : ((const float *)data)[first + i];
    }
}

static void widen_row(float *to, const ink_cuda_matrix *m, int64_t row) {
    if (m->dtype != INK_F8_E4M3) {
        widen(to, m->data, m->dtype, row * m->stride, m->columns);
        return;
    }
    for (int64_t c = 0; c < m->columns; c++) {
        to[c] = (float)fake_get_fp8(m, row, c);
    }
}

static double dot(const float *x, const float *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i] * (double)y[i];
    }
    return sum;
}

static void linear_kernel(const void *arguments) {
    const ink_cuda_linear_problem *p = arguments;
    const int64_t rows = p->x.rows, k = p->x.columns;
    float *x = new_floats(rows * k), *w = new_floats(k);
    ink_cuda_matrix weight = {.dtype = p->x.dtype, .rows = p->out.columns, .columns = k, .stride = k};
    memcpy(&weight.data, &p->weight, sizeof weight.data);
    for (int64_t r = 0; r < rows; r++) {
        widen_row(x + r * k, &p->x, r);
    }
    for (int64_t o = 0; o < p->out.columns; o++) {
        const double bias = p->bias ? fake_weight(p->bias, p->out.dtype, o) : 0;
        widen_row(w, &weight, o);
        for (int64_t r = 0; r < rows; r++) {
            fake_put(&p->out, r, o, activate(p->activation, bias + dot(x + r * k, w, k)));
        }
    }
    free(x);
    free(w);
}

ink_status ink_cuda_linear_run(ink_cuda_linears *linears, const ink_cuda_linear *linear,
                               const ink_cuda_linear_problem *p, cudaStream_t stream, ink_error *error) {
    (void)linears, (void)linear;
    if (fake_start(stream, linear_kernel, p, sizeof *p) == cudaSuccess) return INK_OK;
    return ink_fail_memory(error, "a product", sizeof *p);
}

/* ---- products beside others ---- */

static int beside_runs;

int fake_beside_runs(void) {
    const int runs = beside_runs;
    beside_runs = 0;
    return runs;
}

/* As the device's kernel, which has two blocks for the inputs. */
ink_status ink_beside_linear_prepare(const ink_cuda_linear_problem *p, ink_error *error) {
    enum { fewest_inputs = 128 };
    const ink_cuda_linear *ignored;
    if (p->x.columns < fewest_inputs || p->x.dtype != INK_BF16)
        return ink_fail(error, INK_ERROR_UNSUPPORTED, "a product cannot run beside others");
    return ink_cuda_linear_find(NULL, p, NULL, &ignored, error);
}

ink_status ink_beside_linear_run(const ink_cuda_linear_problem *p, int multiprocessors, cudaStream_t stream,
                                 ink_error *error) {
    beside_runs += multiprocessors > 0;
    return ink_cuda_linear_run(NULL, NULL, p, stream, error);
}

/* ---- products in one go: here one after the other ---- */

struct ink_hopper_linear {
    int nothing;
};
static int united_runs;

int fake_united_runs(void) {
    const int runs = united_runs;
    united_runs = 0;
    return runs;
}

bool ink_hopper_linear_can(const ink_hopper_linear_problem *p, int major, int minor) {
    return major == 9 && minor == 0 && p->products[0].x.dtype != INK_F32;
}

ink_status ink_hopper_linear_create(const ink_hopper_linear_problem *problem, int multiprocessors,
                                    void *scratch, size_t scratch_bytes, cudaStream_t stream,
                                    ink_hopper_linear **linear, ink_error *error) {
    (void)problem, (void)multiprocessors, (void)scratch, (void)scratch_bytes, (void)stream;
    *linear = calloc(1, sizeof **linear);
    return *linear ? INK_OK : ink_fail_memory(error, "a product", sizeof **linear);
}
void ink_hopper_linear_destroy(ink_hopper_linear *linear) {
    free(linear);
}

static cudaError_t rotate(const ink_cuda_matrix *qkv, const ink_hopper_rotation *r, cudaStream_t stream) {
    ink_cuda_matrix parts[2] = {*qkv, *qkv};
    for (int i = 0; i < 2; i++) {
        parts[i].columns = qkv->columns / 3;
        parts[i].data = (uint16_t *)qkv->data + i * parts[i].columns;
    }
    const ink_cuda_rotation rotation = {.count = 2,
                                        .x = {parts[0], parts[1]},
                                        .out = {parts[0], parts[1]},
                                        .weight = {r->gains[0], r->gains[1]},
                                        .weight_dtype = INK_BF16,
                                        .head_dim = ink_hopper_head_columns,
                                        .eps = r->eps,
                                        .table = r->table,
                                        .style = INK_ROTARY_ADJACENT};
    return ink_cuda_head_norm_rotaries(stream, 1, &rotation);
}

ink_status ink_hopper_linear_run(const ink_hopper_linear *linear, const ink_hopper_linear_problem *p,
                                 cudaStream_t stream, ink_error *error) {
    (void)linear;
    united_runs++;
    fake_be_fast();
    for (int i = 0; i < p->n_groups; i++) {
        INK_TRY(ink_cuda_linear_run(NULL, NULL, &p->products[i], stream, error));
        if (p->rotations[i].table && rotate(&p->products[i].out, &p->rotations[i], stream) != cudaSuccess)
            return ink_fail_memory(error, "a rotation", sizeof *p);
    }
    return INK_OK;
}

/* ---- attention ---- */

struct ink_cuda_attention_plan {
    ink_cuda_attention_problem problem;
    ink_segment segments[]; /* the problem's, which may go */
};

ink_status ink_cuda_attention_plan_create_like(const ink_cuda_attention_problem *problem,
                                               const ink_cuda_attention_plan *like, cudaStream_t stream,
                                               ink_cuda_attention_plan **plan, ink_error *error) {
    (void)like, (void)stream;
    const size_t bytes = (size_t)problem->n_segments * sizeof *problem->segments;
    *plan = malloc(sizeof **plan + bytes);
    if (!*plan) return ink_fail_memory(error, "an attention plan", sizeof **plan + bytes);
    (*plan)->problem = *problem;
    if (bytes) memcpy((*plan)->segments, problem->segments, bytes);
    (*plan)->problem.segments = (*plan)->segments;
    if (problem->scale == 0) (*plan)->problem.scale = (float)(1 / sqrt((double)problem->head_dim));
    return INK_OK;
}
void ink_cuda_attention_plan_destroy(ink_cuda_attention_plan *plan) {
    free(plan);
}
size_t ink_cuda_attention_bytes(const ink_cuda_attention_plan *plan) {
    (void)plan;
    return 0;
}

/* Row i of a segment's sequence: its stream, and its row there. */
static int64_t row_of(const ink_segment *segment, int64_t i, int *stream) {
    for (*stream = 0; i >= segment->length[*stream]; (*stream)++) {
        i -= segment->length[*stream];
    }
    return segment->begin[*stream] + i;
}

/* One query of one head; `keys` and `values` are the segment's, [length, head_dim]. */
static void attend(const ink_cuda_attention_problem *p, const ink_segment *segment, int64_t position,
                   int64_t visible, int64_t head, const float *keys, const float *values, double *sums) {
    const int64_t d = p->head_dim;
    int stream;
    const int64_t row = row_of(segment, position, &stream);
    float *q = new_floats(d);
    double highest = -INFINITY, total = 0;
    widen(q, p->q[stream].data, p->q[stream].dtype, row * p->q[stream].stride + head * d, d);
    for (int64_t c = 0; c < d; c++) {
        sums[c] = 0;
    }
    for (int64_t j = 0; j < visible; j++) {
        const double score = dot(q, keys + j * d, d) * (double)p->scale;
        const double larger = score > highest ? score : highest, shrink = exp(highest - larger);
        const double weight = exp(score - larger);
        for (int64_t c = 0; c < d; c++) {
            sums[c] = sums[c] * shrink + weight * (double)values[j * d + c];
        }
        total = total * shrink + weight;
        highest = larger;
    }
    for (int64_t c = 0; c < d; c++) {
        fake_put(&p->out[stream], row, head * d + c, sums[c] / total);
    }
    free(q);
}

static void attend_segment(const ink_cuda_attention_problem *p, const ink_segment *segment, int64_t head) {
    const int64_t d = p->head_dim, kv = head / (p->heads / p->kv_heads) * d;
    const int64_t length = segment->length[0] + segment->length[1];
    float *keys = new_floats(length * d), *values = new_floats(length * d);
    double *sums = malloc((size_t)d * sizeof *sums);
    if (!sums) abort();
    for (int64_t j = 0; j < length; j++) {
        int s;
        const int64_t at = row_of(segment, j, &s);
        widen(keys + j * d, p->k[s].data, p->k[s].dtype, at * p->k[s].stride + kv, d);
        widen(values + j * d, p->v[s].data, p->v[s].dtype, at * p->v[s].stride + kv, d);
    }
    for (int64_t i = 0; i < length; i++) {
        attend(p, segment, i, p->causal ? i + 1 : length, head, keys, values, sums);
    }
    free(keys);
    free(values);
    free(sums);
}

static void attention_kernel(const void *arguments) {
    const ink_cuda_attention_problem *p = arguments;
    for (int s = 0; s < p->streams; s++) {
        for (int64_t r = 0; r < p->out[s].rows; r++) {
            for (int64_t c = 0; c < p->out[s].columns; c++) {
                fake_put(&p->out[s], r, c, 0);
            }
        }
    }
    for (int64_t i = 0; i < p->n_segments; i++) {
        for (int64_t head = 0; head < p->heads; head++) {
            attend_segment(p, &p->segments[i], head);
        }
    }
}

ink_status ink_cuda_attention_run(ink_cuda_attention_plan *plan, cudaStream_t stream, ink_error *error) {
    if (fake_start(stream, attention_kernel, &plan->problem, sizeof plan->problem) == cudaSuccess)
        return INK_OK;
    return ink_fail_memory(error, "attention", sizeof plan->problem);
}

/* ---- convolution ---- */

struct ink_cuda_conv_plan {
    ink_cuda_conv_problem problem;
};

ink_status ink_cuda_conv_plan_create_like(const ink_cuda_conv_problem *problem,
                                          const ink_cuda_conv_plan *like, cudaStream_t stream,
                                          ink_cuda_conv_plan **plan, ink_error *error) {
    (void)like, (void)stream;
    *plan = malloc(sizeof **plan);
    if (!*plan) return ink_fail_memory(error, "a convolution plan", sizeof **plan);
    (*plan)->problem = *problem;
    return INK_OK;
}
void ink_cuda_conv_plan_destroy(ink_cuda_conv_plan *plan) {
    free(plan);
}
size_t ink_cuda_conv_bytes(const ink_cuda_conv_plan *plan) {
    (void)plan;
    return 0;
}

static double convolve(const ink_cuda_conv_problem *p, const float *x, const float *weight, int64_t row_out,
                       int64_t column_out, int64_t o) {
    double sum = p->bias ? (double)p->bias[o] : 0;
    for (int64_t ky = 0; ky < p->kernel_y; ky++) {
        for (int64_t kx = 0; kx < p->kernel_x; kx++) {
            const int64_t from_y = row_out * p->stride + ky - p->pad_top,
                          from_x = column_out * p->stride + kx - p->pad_left;
            if (from_y < 0 || from_x < 0 || from_y >= p->height * p->upsample ||
                from_x >= p->width * p->upsample)
                continue;
            const int64_t row = from_y / p->upsample * p->width + from_x / p->upsample;
            const int64_t tap = (o * p->kernel_y + ky) * p->kernel_x + kx;
            sum += dot(x + row * p->x.columns, weight + tap * p->x.columns, p->x.columns);
        }
    }
    return sum;
}

static void conv_kernel(const void *arguments) {
    const ink_cuda_conv_problem *p = arguments;
    const int64_t inputs = p->x.columns, weights = p->out.columns * p->kernel_y * p->kernel_x * inputs;
    float *x = new_floats(p->x.rows * inputs), *weight = new_floats(weights);
    for (int64_t r = 0; r < p->x.rows; r++) {
        widen(x + r * inputs, p->x.data, p->x.dtype, r * p->x.stride, inputs);
    }
    widen(weight, p->weight, p->weight_dtype, 0, weights);
    for (int64_t i = 0; i < p->out_height * p->out_width; i++) {
        for (int64_t o = 0; o < p->out.columns; o++) {
            fake_put(&p->out, i, o, convolve(p, x, weight, i / p->out_width, i % p->out_width, o));
        }
    }
    free(x);
    free(weight);
}

ink_status ink_cuda_conv_run(ink_cuda_conv_plan *plan, cudaStream_t stream, ink_error *error) {
    if (fake_start(stream, conv_kernel, &plan->problem, sizeof plan->problem) == cudaSuccess) return INK_OK;
    return ink_fail_memory(error, "a convolution", sizeof plan->problem);
}

typedef struct packing {
    const void *from;
    int64_t outputs, inputs, time, area;
    ink_dtype dtype;
    ink_cuda_matrix out;
} packing;

static void pack_kernel(const void *arguments) {
    const packing *p = arguments;
    for (int64_t o = 0; o < p->outputs; o++) {
        for (int64_t a = 0; a < p->area; a++) {
            for (int64_t i = 0; i < p->inputs; i++) {
                const int64_t from = ((o * p->inputs + i) * p->time + p->time - 1) * p->area + a;
                fake_put(&p->out, o, a * p->inputs + i, fake_weight(p->from, p->dtype, from));
            }
        }
    }
}

cudaError_t ink_cuda_conv_pack_weight(cudaStream_t stream, const void *weight, ink_dtype dtype,
                                      int64_t outputs, int64_t inputs, int64_t time, int64_t kernel_y,
                                      int64_t kernel_x, ink_dtype out_dtype, void *out) {
    const int64_t area = kernel_y * kernel_x;
    const packing p = {
        weight, outputs, inputs, time, area, dtype, {out, out_dtype, outputs, area * inputs, area * inputs}};
    return fake_start(stream, pack_kernel, &p, sizeof p);
}
