/*
 * Sines and cosines. The frameworks compute these angles in float32, and an angle of hundreds of radians
 * carries that rounding into every digit that counts: each float below is one of their roundings.
 */
#include "backend/reference/kernels.h"

#include <math.h>

void ink_reference_rotary_table(const ink_kernel_args *args) {
    const int32_t *positions = args->in[0].data;
    float *out = args->out[0].data;
    const int64_t rows = ink_tensor_rows(&args->in[0]);
    const int axes = args->node->params.rotary_table.axes;
    for (int64_t r = 0; r < rows; r++) {
        for (int a = 0; a < axes; a++) {
            const int64_t dim = args->node->params.rotary_table.axis_dim[a];
            for (int64_t i = 0; i < dim / 2; i++) {
                const float exponent = (float)(2 * i) / (float)dim;
                const float power = (float)pow(args->node->params.rotary_table.theta, exponent);
                const float frequency = 1.0f / power;
                const float angle = (float)positions[r * axes + a] * frequency;
                *out++ = (float)cos(angle);
                *out++ = (float)sin(angle);
            }
        }
    }
}

void ink_reference_timestep_embedding(const ink_kernel_args *args) {
    const float *t = args->in[0].data;
    float *out = args->out[0].data;
    const int64_t rows = ink_tensor_count(&args->in[0]), half = args->node->params.timestep.dim / 2;
    const float scale = args->node->params.timestep.scale;
    const float rate = (float)-log(args->node->params.timestep.max_period);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < half; i++) {
            const float exponent = rate * (float)i / (float)half;
            const float frequency = (float)exp(exponent);
            const float product = t[r] * frequency;
            const float angle = scale * product;
            out[2 * r * half + i] = (float)cos(angle);
            out[2 * r * half + half + i] = (float)sin(angle);
        }
    }
}
