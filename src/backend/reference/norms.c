/*
 * Norms over the last dim.
 */
#include "backend/reference/kernels.h"

#include <math.h>

static double sum_of_squares(const float *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i] * x[i];
    }
    return sum;
}

void ink_reference_rms_norm(const ink_kernel_args *args) {
    const ink_tensor *weight = &args->in[1];
    const int64_t rows = ink_tensor_rows(&args->in[0]), columns = ink_tensor_columns(&args->in[0]);
    for (int64_t r = 0; r < rows; r++) {
        const float *x = (const float *)args->in[0].data + r * columns;
        float *out = (float *)args->out[0].data + r * columns;
        const double mean = sum_of_squares(x, columns) / (double)columns;
        const double root = sqrt(mean + (double)args->node->params.norm.eps);
        for (int64_t c = 0; c < columns; c++) {
            out[c] = (float)(ink_weight_at(weight, c) * x[c] / root);
        }
    }
}

void ink_reference_channel_norm(const ink_kernel_args *args) {
    const ink_tensor *weight = &args->in[1];
    const bool silu = args->node->params.norm.activation == INK_ACT_SILU;
    const int64_t rows = ink_tensor_rows(&args->in[0]), columns = ink_tensor_columns(&args->in[0]);
    for (int64_t r = 0; r < rows; r++) {
        const float *x = (const float *)args->in[0].data + r * columns;
        float *out = (float *)args->out[0].data + r * columns;
        double length = sqrt(sum_of_squares(x, columns));
        if (length < args->node->params.norm.eps) length = args->node->params.norm.eps;
        for (int64_t c = 0; c < columns; c++) {
            const double z = ink_weight_at(weight, c) * sqrt((double)columns) * x[c] / length;
            out[c] = (float)(silu ? ink_reference_silu(z) : z);
        }
    }
}

void ink_reference_layer_norm_modulate(const ink_kernel_args *args) {
    const int64_t rows = ink_tensor_rows(&args->in[0]), columns = ink_tensor_columns(&args->in[0]);
    const int32_t *groups = args->node->params.modulate.row_groups;
    for (int64_t r = 0; r < rows; r++) {
        const float *x = (const float *)args->in[0].data + r * columns;
        const float *mod =
            (const float *)args->in[1].data + (groups ? groups[r] : 0) * ink_tensor_columns(&args->in[1]);
        const float *shift = mod + args->node->params.modulate.shift_column;
        const float *scale = mod + args->node->params.modulate.scale_column;
        float *out = (float *)args->out[0].data + r * columns;
        double sum = 0, variance = 0;
        for (int64_t c = 0; c < columns; c++) {
            sum += x[c];
        }
        const double mean = sum / (double)columns;
        for (int64_t c = 0; c < columns; c++) {
            variance += (x[c] - mean) * (x[c] - mean) / (double)columns;
        }
        const double root = sqrt(variance + (double)args->node->params.modulate.eps);
        for (int64_t c = 0; c < columns; c++) {
            out[c] = (float)((x[c] - mean) / root * (1 + (double)scale[c]) + shift[c]);
        }
    }
}
