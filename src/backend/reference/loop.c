/*
 * What the denoising loop does to velocities and latents.
 */
#include "backend/reference/kernels.h"

#include <math.h>

/* p + (scale - 1)(p - u) would be the same formula with other roundings: the contract's order is kept. */
void ink_reference_guidance(const ink_kernel_args *args) {
    const double scale = ((const float *)args->in[1].data)[0];
    const int64_t rows = ink_tensor_rows(&args->out[0]), columns = ink_tensor_columns(&args->out[0]);
    for (int64_t r = 0; r < rows; r++) {
        const float *p = (const float *)args->in[0].data + r * columns, *u = p + rows * columns;
        float *out = (float *)args->out[0].data + r * columns;
        double p_squares = 0, c_squares = 0;
        for (int64_t i = 0; i < columns; i++) {
            const double combined = u[i] + scale * ((double)p[i] - u[i]);
            p_squares += (double)p[i] * p[i];
            c_squares += combined * combined;
        }
        double factor = 1;
        if (args->node->params.guidance.rescale && c_squares != 0) factor = sqrt(p_squares / c_squares);
        for (int64_t i = 0; i < columns; i++) {
            out[i] = (float)(factor * (u[i] + scale * ((double)p[i] - u[i])));
        }
    }
}

void ink_reference_euler_step(const ink_kernel_args *args) {
    const float *x = args->in[0].data, *v = args->in[1].data;
    const double dt = ((const float *)args->in[2].data)[0];
    float *out = args->out[0].data;
    const int64_t count = ink_tensor_count(&args->in[0]);
    for (int64_t i = 0; i < count; i++) {
        out[i] = (float)(x[i] + dt * v[i]);
    }
}
