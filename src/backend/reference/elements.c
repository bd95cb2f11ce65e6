/*
 * Element by element, and the statistics of all elements.
 */
#include "backend/reference/kernels.h"

#include <math.h>

double ink_reference_silu(double z) {
    return z / (1 + exp(-z));
}

void ink_reference_add(const ink_kernel_args *args) {
    const float *x = args->in[0].data, *y = args->in[1].data;
    float *out = args->out[0].data;
    const int64_t count = ink_tensor_count(&args->in[0]);
    for (int64_t i = 0; i < count; i++) {
        out[i] = x[i] + y[i];
    }
}

void ink_reference_gated_add(const ink_kernel_args *args) {
    const float *x = args->in[0].data, *y = args->in[2].data;
    const int32_t *groups = args->node->params.gated_add.row_groups;
    float *out = args->out[0].data;
    const int64_t rows = ink_tensor_rows(&args->in[0]), columns = ink_tensor_columns(&args->in[0]);
    for (int64_t r = 0; r < rows; r++) {
        const float *gate = (const float *)args->in[1].data +
                            (groups ? groups[r] : 0) * ink_tensor_columns(&args->in[1]) +
                            args->node->params.gated_add.gate_column;
        for (int64_t c = 0; c < columns; c++) {
            const int64_t i = r * columns + c;
            out[i] = (float)(x[i] + (double)gate[c] * y[i]);
        }
    }
}

void ink_reference_silu_each(const ink_kernel_args *args) {
    const float *x = args->in[0].data;
    float *out = args->out[0].data;
    const int64_t count = ink_tensor_count(&args->in[0]);
    for (int64_t i = 0; i < count; i++) {
        out[i] = (float)ink_reference_silu(x[i]);
    }
}

void ink_reference_silu_mul(const ink_kernel_args *args) {
    const float *x = args->in[0].data, *y = args->in[1].data;
    float *out = args->out[0].data;
    const int64_t count = ink_tensor_count(&args->in[0]);
    for (int64_t i = 0; i < count; i++) {
        out[i] = (float)(ink_reference_silu(x[i]) * y[i]);
    }
}

void ink_reference_channel_affine(const ink_kernel_args *args) {
    const float *x = args->in[0].data, *scale = args->in[1].data, *offset = args->in[2].data;
    float *out = args->out[0].data;
    const int64_t rows = ink_tensor_rows(&args->in[0]), columns = ink_tensor_columns(&args->in[0]);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c++) {
            out[r * columns + c] = (float)((double)x[r * columns + c] * scale[c] + offset[c]);
        }
    }
}

void ink_reference_affine_clamp(const ink_kernel_args *args) {
    const float *x = args->in[0].data;
    const double scale = args->node->params.affine.scale, offset = args->node->params.affine.offset;
    const double low = args->node->params.affine.low, high = args->node->params.affine.high;
    float *out = args->out[0].data;
    const int64_t count = ink_tensor_count(&args->in[0]);
    for (int64_t i = 0; i < count; i++) {
        double y = x[i] * scale + offset;
        if (y < low) y = low; /* a NaN compares false and stays */
        if (y > high) y = high;
        out[i] = (float)y;
    }
}

/* The product is rounded to float32 before it is rounded to an integer, as numpy's round(255 * x) does:
 * backends must agree to the last bit here. */
void ink_reference_to_u8(const ink_kernel_args *args) {
    const float *x = args->in[0].data;
    uint8_t *out = args->out[0].data;
    const int64_t count = ink_tensor_count(&args->in[0]);
    for (int64_t i = 0; i < count; i++) {
        const float y = 255.0f * x[i];
        if (!(y > 0))
            out[i] = 0;
        else
            out[i] = y >= 255 ? 255 : (uint8_t)rintf(y);
    }
}

/* The sum of squares of each chunk of 4096 elements, then the sum over the chunks. */
void ink_reference_stats(const ink_kernel_args *args) {
    enum { chunk = 4096 };
    const float *x = args->in[0].data;
    float *out = args->out[0].data;
    const int64_t count = ink_tensor_count(&args->in[0]);
    double squares = 0;
    float low = INFINITY, high = -INFINITY;
    int64_t finite = 0;
    for (int64_t begin = 0; begin < count; begin += chunk) {
        double chunk_squares = 0;
        for (int64_t i = begin; i < count && i < begin + chunk; i++) {
            if (!isfinite(x[i])) continue;
            finite++;
            if (x[i] < low) low = x[i];
            if (x[i] > high) high = x[i];
            chunk_squares += (double)x[i] * x[i];
        }
        squares += chunk_squares;
    }
    out[0] = finite ? low : 0;
    out[1] = finite ? high : 0;
    out[2] = finite ? (float)sqrt(squares / (double)finite) : 0;
    out[3] = (float)(count - finite);
}
