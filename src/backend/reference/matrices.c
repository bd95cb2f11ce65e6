/*
 * Products with weights: rows of an embedding table, linear layers, convolutions.
 */
#include "backend/reference/kernels.h"

#include <math.h>

void ink_reference_embed_rows(const ink_kernel_args *args) {
    const ink_tensor *table = &args->in[0];
    const int32_t *ids = args->in[1].data;
    float *out = args->out[0].data;
    const int64_t rows = ink_tensor_rows(&args->out[0]), columns = ink_tensor_columns(table);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c++) {
            out[r * columns + c] = ink_element_f32(table->data, table->dtype, ids[r] * columns + c);
        }
    }
}

static double gelu_tanh(double z) {
    return 0.5 * z * (1 + tanh(0.79788456080286535588 * (z + 0.044715 * z * z * z))); /* sqrt(2/pi) */
}

static double activate(ink_activation activation, double z) {
    switch (activation) {
    case INK_ACT_SILU:
        return ink_reference_silu(z);
    case INK_ACT_GELU_TANH:
        return gelu_tanh(z);
    default:
        return z;
    }
}

size_t ink_reference_linear_scratch(const ink_node *node, const ink_tensor *in, const ink_tensor *out,
                                    int threads) {
    (void)node, (void)out, (void)threads;
    return (size_t)ink_tensor_columns(&in[0]) * sizeof(float);
}

/* The scratch holds one row of the weight, widened. */
void ink_reference_linear(const ink_kernel_args *args) {
    const ink_tensor *weight = &args->in[1], *bias = &args->in[2];
    const float *x = args->in[0].data;
    float *out = args->out[0].data, *w = args->scratch;
    const int64_t rows = ink_tensor_rows(&args->in[0]);
    const int64_t inputs = ink_tensor_columns(&args->in[0]), outputs = ink_tensor_columns(&args->out[0]);
    for (int64_t o = 0; o < outputs; o++) {
        for (int64_t i = 0; i < inputs; i++) {
            w[i] = ink_element_f32(weight->data, weight->dtype, o * inputs + i);
        }
        for (int64_t r = 0; r < rows; r++) {
            double sum = ink_weight_at(bias, o);
            for (int64_t i = 0; i < inputs; i++) {
                sum += (double)x[r * inputs + i] * w[i];
            }
            out[r * outputs + o] = (float)activate(args->node->params.linear.activation, sum);
        }
    }
}

size_t ink_reference_conv2d_scratch(const ink_node *node, const ink_tensor *in, const ink_tensor *out,
                                    int threads) {
    (void)node, (void)out, (void)threads;
    const ink_shape *w = &in[1].shape;
    return (size_t)(w->dim[1] * w->dim[w->rank - 2] * w->dim[w->rank - 1]) * sizeof(float);
}

/* The kernel of output channel o, last time slice, as [KY, KX, I]. */
static void widen_kernel(float *to, const ink_tensor *weight, int64_t o) {
    const ink_shape *shape = &weight->shape;
    const int64_t inputs = shape->dim[1], times = shape->rank == 5 ? shape->dim[2] : 1;
    const int64_t area = shape->dim[shape->rank - 2] * shape->dim[shape->rank - 1];
    for (int64_t i = 0; i < inputs; i++) {
        for (int64_t k = 0; k < area; k++) {
            const int64_t from = ((o * inputs + i) * times + times - 1) * area + k;
            to[k * inputs + i] = ink_element_f32(weight->data, weight->dtype, from);
        }
    }
}

/* The sum over the kernel at output position (y, x); w is [KY, KX, I]. */
static double convolve_at(const ink_kernel_args *args, const float *w, int64_t y, int64_t x) {
    const ink_shape *in = &args->in[0].shape, *kernel = &args->in[1].shape;
    const float *pixels = args->in[0].data;
    const int64_t kernel_y = kernel->dim[kernel->rank - 2], kernel_x = kernel->dim[kernel->rank - 1];
    const int64_t stride = args->node->params.conv.stride, upsample = args->node->params.conv.upsample;
    double sum = 0;
    for (int64_t ky = 0; ky < kernel_y; ky++) {
        for (int64_t kx = 0; kx < kernel_x; kx++) {
            const int64_t at_y = y * stride + ky - args->node->params.conv.pad_top;
            const int64_t at_x = x * stride + kx - args->node->params.conv.pad_left;
            if (at_y < 0 || at_x < 0 || at_y >= in->dim[0] * upsample || at_x >= in->dim[1] * upsample) {
                continue;
            }
            const float *pixel = pixels + (at_y / upsample * in->dim[1] + at_x / upsample) * in->dim[2];
            const float *tap = w + (ky * kernel_x + kx) * in->dim[2];
            for (int64_t i = 0; i < in->dim[2]; i++) {
                sum += (double)pixel[i] * tap[i];
            }
        }
    }
    return sum;
}

/* The scratch holds one output channel's kernel, widened. */
void ink_reference_conv2d(const ink_kernel_args *args) {
    const ink_shape *shape = &args->out[0].shape;
    float *out = args->out[0].data;
    for (int64_t o = 0; o < shape->dim[2]; o++) {
        widen_kernel(args->scratch, &args->in[1], o);
        const double bias = ink_weight_at(&args->in[2], o);
        for (int64_t y = 0; y < shape->dim[0]; y++) {
            for (int64_t x = 0; x < shape->dim[1]; x++) {
                out[(y * shape->dim[1] + x) * shape->dim[2] + o] =
                    (float)(bias + convolve_at(args, args->scratch, y, x));
            }
        }
    }
}
