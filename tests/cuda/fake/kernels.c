/*
 * Stand-ins for the kernels: norms, elements, moving, tables and the loop, in the plainest way. Arguments are
 * copied into a struct of each kernel, so that a captured launch sees what a real one would.
 */
#include "fake.h"

#include "backend/cuda/step.h"
#include "weights/synthetic.h"

#include <math.h>
#include <stdlib.h>

/* One struct for all: what a kernel does not need stays zero. */
typedef struct args {
    int kind;
    ink_cuda_matrix x, y, out, x2, out2;
    bool has_y;
    const void *weight, *weight2;
    ink_dtype weight_dtype;
    float eps, scale, offset, low, high;
    ink_activation activation;
    ink_rotary_style style;
    ink_cuda_modulation mod, gate;
    int64_t shift_column, scale_column, gate_column, head_dim, height, width, patch, count;
    const float *table, *offsets;
    const int32_t *ints;
    ink_cuda_row row, dt;
    bool rescale;
    int axes;
    int64_t axis_dim[INK_MAX_AXES];
    double theta;
    int64_t *step;
    const int64_t *at_step;
    int64_t value;
    ink_synthetic_recipe recipe;
    void *memory;
} args;

static const float *row_at(const ink_cuda_row *row) {
    return row->step ? row->data + *row->step * row->per_step : row->data;
}

static double modulation(const ink_cuda_modulation *m, int64_t row, int64_t column) {
    const int64_t group = m->row_groups ? m->row_groups[row] : 0;
    return (double)row_at(&m->table)[group * m->stride + column];
}

static double activate(ink_activation activation, double z) {
    if (activation == INK_ACT_SILU) return z / (1 + exp(-z));
    if (activation == INK_ACT_GELU_TANH)
        return 0.5 * z * (1 + tanh(0.7978845608028654 * (z + 0.044715 * z * z * z)));
    return z;
}

static bool same_size(const ink_cuda_matrix *a, const ink_cuda_matrix *b) {
    return a->rows == b->rows && a->columns == b->columns;
}

/* ---- norms ---- */

static void rms_kernel(const void *arguments) {
    const args *a = arguments;
    for (int64_t r = 0; r < a->x.rows; r++) {
        double squares = 0;
        for (int64_t c = 0; c < a->x.columns; c++) {
            squares += fake_get(&a->x, r, c) * fake_get(&a->x, r, c);
        }
        const double root = sqrt(squares / (double)a->x.columns + (double)a->eps);
        const double norm = sqrt(squares) > (double)a->eps || isnan(squares) ? sqrt(squares) : (double)a->eps;
        const double factor = a->kind ? sqrt((double)a->x.columns) / norm : 1 / root;
        for (int64_t c = 0; c < a->x.columns; c++) {
            const double value = fake_get(&a->x, r, c) * factor * fake_weight(a->weight, a->weight_dtype, c);
            fake_put(&a->out, r, c, activate(a->activation, value));
        }
    }
}

cudaError_t ink_cuda_rms_norm(cudaStream_t stream, const ink_cuda_matrix *x, const void *weight,
                              ink_dtype weight_dtype, float eps, const ink_cuda_matrix *out) {
    const args a = {.x = *x, .weight = weight, .weight_dtype = weight_dtype, .eps = eps, .out = *out};
    return same_size(x, out) ? fake_start(stream, rms_kernel, &a, sizeof a) : cudaErrorInvalidValue;
}

cudaError_t ink_cuda_channel_norm(cudaStream_t stream, const ink_cuda_matrix *x, const void *weight,
                                  ink_dtype weight_dtype, float eps, ink_activation activation,
                                  const ink_cuda_matrix *out) {
    const args a = {.kind = 1,
                    .x = *x,
                    .weight = weight,
                    .weight_dtype = weight_dtype,
                    .eps = eps,
                    .activation = activation,
                    .out = *out};
    return same_size(x, out) ? fake_start(stream, rms_kernel, &a, sizeof a) : cudaErrorInvalidValue;
}

static void modulate_kernel(const void *arguments) {
    const args *a = arguments;
    const double n = (double)a->x.columns;
    for (int64_t r = 0; r < a->x.rows; r++) {
        double sum = 0, squares = 0;
        for (int64_t c = 0; c < a->x.columns && a->has_y; c++) {
            fake_put(&a->x, r, c,
                     fake_get(&a->x, r, c) +
                         modulation(&a->gate, r, a->gate_column + c) * fake_get(&a->y, r, c));
        }
        for (int64_t c = 0; c < a->x.columns; c++) {
            sum += fake_get(&a->x, r, c);
        }
        for (int64_t c = 0; c < a->x.columns; c++) {
            squares += pow(fake_get(&a->x, r, c) - sum / n, 2);
        }
        float *row = malloc((size_t)a->x.columns * sizeof *row);
        if (!row) abort();
        for (int64_t c = 0; c < a->x.columns; c++) {
            const double normed = (fake_get(&a->x, r, c) - sum / n) / sqrt(squares / n + (double)a->eps);
            const double value = normed * (1 + modulation(&a->mod, r, a->scale_column + c)) +
                                 modulation(&a->mod, r, a->shift_column + c);
            row[c] = (float)value;
            if (a->out.dtype != INK_F8_E4M3) fake_put(&a->out, r, c, value);
        }
        if (a->out.dtype == INK_F8_E4M3) fake_put_fp8_row(&a->out, r, row);
        free(row);
    }
}

/* Two that need each other would be found wrong: the second is computed first. */
cudaError_t ink_cuda_layer_norms(cudaStream_t stream, int count, const ink_cuda_layer_norm *norms) {
    cudaError_t code = cudaSuccess;
    for (int i = count - 1; i >= 0 && code == cudaSuccess; i--) {
        const ink_cuda_layer_norm *n = &norms[i];
        const args a = {.x = n->x,
                        .mod = n->mod,
                        .shift_column = n->shift_column,
                        .scale_column = n->scale_column,
                        .eps = n->eps,
                        .y = n->add,
                        .has_y = n->adds,
                        .gate = n->gate,
                        .gate_column = n->gate_column,
                        .out = n->out};
        const bool right = same_size(&n->x, &n->out) &&
                           (!n->adds || (same_size(&n->x, &n->add) && n->x.data != n->out.data));
        code = right ? fake_start(stream, modulate_kernel, &a, sizeof a) : cudaErrorInvalidValue;
    }
    return code;
}

static void rotate(const args *a, const ink_cuda_matrix *x, const void *weight, const ink_cuda_matrix *out) {
    const int64_t half = a->head_dim / 2;
    for (int64_t r = 0; r < x->rows; r++) {
        for (int64_t h = 0; h < x->columns; h += a->head_dim) {
            double squares = 0, factor = 1;
            for (int64_t c = h; c < h + a->head_dim; c++) {
                squares += fake_get(x, r, c) * fake_get(x, r, c);
            }
            if (weight) factor = 1 / sqrt(squares / (double)a->head_dim + (double)a->eps);
            for (int64_t k = 0; k < half; k++) {
                const int64_t one = a->style == INK_ROTARY_HALF ? k : 2 * k,
                              two = a->style == INK_ROTARY_HALF ? k + half : 2 * k + 1;
                const double gain[2] = {weight ? fake_weight(weight, a->weight_dtype, one) * factor : 1,
                                        weight ? fake_weight(weight, a->weight_dtype, two) * factor : 1};
                const double p = fake_get(x, r, h + one) * gain[0], q = fake_get(x, r, h + two) * gain[1];
                const float *angle = a->table ? a->table + (r * half + k) * 2 : NULL;
                fake_put(out, r, h + one, angle ? p * (double)angle[0] - q * (double)angle[1] : p);
                fake_put(out, r, h + two, angle ? p * (double)angle[1] + q * (double)angle[0] : q);
            }
        }
    }
}

static void rotate_kernel(const void *arguments) {
    const args *a = arguments;
    rotate(a, &a->x, a->weight, &a->out);
    if (a->count == 2) rotate(a, &a->x2, a->weight2, &a->out2);
}

static cudaError_t start_rotation(cudaStream_t stream, const ink_cuda_rotation *r) {
    const args a = {.count = r->count,
                    .x = r->x[0],
                    .weight = r->weight[0],
                    .x2 = r->x[1],
                    .weight2 = r->weight[1],
                    .out2 = r->out[1],
                    .weight_dtype = r->weight_dtype,
                    .head_dim = r->head_dim,
                    .eps = r->eps,
                    .table = r->table,
                    .style = r->style,
                    .out = r->out[0]};
    for (int i = 0; i < r->count; i++) {
        if (!same_size(&r->x[i], &r->out[i]) || r->x[i].rows != r->x[0].rows ||
            r->x[i].dtype != r->x[0].dtype)
            return cudaErrorInvalidValue;
    }
    return fake_start(stream, rotate_kernel, &a, sizeof a);
}

cudaError_t ink_cuda_head_norm_rotaries(cudaStream_t stream, int count, const ink_cuda_rotation *rotations) {
    cudaError_t code = cudaSuccess;
    for (int i = count - 1; i >= 0 && code == cudaSuccess; i--) {
        code = start_rotation(stream, &rotations[i]);
    }
    return code;
}

/* ---- element by element ---- */

enum { add, gated, silu, silu_mul, bias, affine, clamp, to_u8, copy, euler };

static double element(const args *a, int64_t r, int64_t c) {
    const double x = fake_get(&a->x, r, c), y = a->has_y ? fake_get(&a->y, r, c) : 0;
    switch (a->kind) {
    case add:
        return x + y;
    case gated:
        return x + modulation(&a->gate, r, a->gate_column + c) * y;
    case silu:
        return activate(INK_ACT_SILU, x);
    case silu_mul:
        return activate(INK_ACT_SILU, x) * y;
    case bias:
        return activate(a->activation, x + (a->weight ? fake_weight(a->weight, a->weight_dtype, c) : 0));
    case affine:
        return x * (double)a->table[c] + (double)a->offsets[c];
    case clamp: {
        const double z = x * (double)a->scale + (double)a->offset;
        return z < (double)a->low ? (double)a->low : z > (double)a->high ? (double)a->high : z;
    }
    case to_u8:
        return isnan(x) ? 0 : rint((double)(float)(x < 0 ? 0 : x > 1 ? 255 : 255 * x));
    case euler:
        return x + (double)*row_at(&a->dt) * y;
    default:
        return x;
    }
}

static void each_kernel(const void *arguments) {
    const args *a = arguments;
    for (int64_t r = 0; r < a->out.rows; r++) {
        for (int64_t c = 0; c < a->out.columns; c++) {
            if (a->kind == copy)
                fake_move(&a->out, r, c, &a->x, r, c);
            else
                fake_put(&a->out, r, c, element(a, r, c));
        }
    }
}

static cudaError_t each(cudaStream_t stream, args *a, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                        const ink_cuda_matrix *out) {
    a->x = *x;
    if (y) a->y = *y, a->has_y = true;
    a->out = *out;
    if (!same_size(x, out) || (y && !same_size(x, y))) return cudaErrorInvalidValue;
    return fake_start(stream, each_kernel, a, sizeof *a);
}

cudaError_t ink_cuda_add(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                         const ink_cuda_matrix *out) {
    return each(stream, &(args){.kind = add}, x, y, out);
}
cudaError_t ink_cuda_gated_add(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_modulation *mod,
                               int64_t gate_column, const ink_cuda_matrix *y, const ink_cuda_matrix *out) {
    return each(stream, &(args){.kind = gated, .gate = *mod, .gate_column = gate_column}, x, y, out);
}
cudaError_t ink_cuda_silu(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_matrix *out) {
    return each(stream, &(args){.kind = silu}, x, NULL, out);
}
cudaError_t ink_cuda_silu_mul(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                              const ink_cuda_matrix *out) {
    return each(stream, &(args){.kind = silu_mul}, x, y, out);
}
cudaError_t ink_cuda_bias_activation(cudaStream_t stream, const ink_cuda_matrix *x, const void *weight,
                                     ink_dtype dtype, ink_activation activation, const ink_cuda_matrix *out) {
    return each(stream,
                &(args){.kind = bias, .weight = weight, .weight_dtype = dtype, .activation = activation}, x,
                NULL, out);
}
cudaError_t ink_cuda_channel_affine(cudaStream_t stream, const ink_cuda_matrix *x, const float *scale,
                                    const float *offset, const ink_cuda_matrix *out) {
    return each(stream, &(args){.kind = affine, .table = scale, .offsets = offset}, x, NULL, out);
}
cudaError_t ink_cuda_affine_clamp(cudaStream_t stream, const ink_cuda_matrix *x, float scale, float offset,
                                  float low, float high, const ink_cuda_matrix *out) {
    return each(stream, &(args){.kind = clamp, .scale = scale, .offset = offset, .low = low, .high = high}, x,
                NULL, out);
}
cudaError_t ink_cuda_to_u8(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_matrix *out) {
    return each(stream, &(args){.kind = to_u8}, x, NULL, out);
}
cudaError_t ink_cuda_copy(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_matrix *out) {
    return each(stream, &(args){.kind = copy}, x, NULL, out);
}
cudaError_t ink_cuda_euler_step(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_matrix *v,
                                const ink_cuda_row *dt, const ink_cuda_matrix *out) {
    return each(stream, &(args){.kind = euler, .dt = *dt}, x, v, out);
}
