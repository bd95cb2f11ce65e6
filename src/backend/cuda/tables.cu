/*
 * Sines and cosines, once per picture. Every float below is a rounding that graph/ops.h asks for; what lies
 * between them is computed in double precision, so that a result can differ from the reference's only where
 * the exact number is all but half-way between two floats.
 */
#include "backend/cuda/device.cuh"

#include <math.h>

namespace {

constexpr int table_threads = 256;

struct rotary_axes {
    int axes;
    int64_t pairs; /* of all axes */
    int64_t dim[INK_MAX_AXES];
};

/* A thread for every pair of a row. */
__global__ void __launch_bounds__(table_threads)
    make_rotary_table(const int32_t *positions, int64_t rows, rotary_axes axes, double theta, float *out) {
    const int64_t item = (int64_t)blockIdx.x * table_threads + threadIdx.x;
    if (item >= rows * axes.pairs) return;
    const int64_t row = quotient(item, axes.pairs);
    int64_t pair = item - row * axes.pairs, dim = axes.dim[0];
    int axis = 0;
#pragma unroll
    for (int a = 1; a < INK_MAX_AXES; a++) {
        if (axis == a - 1 && a < axes.axes && pair >= dim / 2) {
            pair -= dim / 2;
            dim = axes.dim[a];
            axis = a;
        }
    }
    const float exponent = __fdiv_rn((float)(2 * pair), (float)dim);
    const float frequency = __fdiv_rn(1.0f, (float)pow(theta, (double)exponent));
    const float angle = __fmul_rn((float)positions[row * axes.axes + axis], frequency);
    double sine, cosine;
    sincos((double)angle, &sine, &cosine);
    out[2 * item] = (float)cosine;
    out[2 * item + 1] = (float)sine;
}

__global__ void __launch_bounds__(table_threads)
    make_timestep_embedding(const float *t, int64_t pairs, float scale, float rate, ink_cuda_matrix out) {
    const int64_t item = (int64_t)blockIdx.x * table_threads + threadIdx.x;
    if (item >= out.rows * pairs) return;
    const int64_t row = quotient(item, pairs), i = item - row * pairs;
    const float exponent = __fdiv_rn(__fmul_rn(rate, (float)i), (float)pairs);
    const float frequency = (float)exp((double)exponent);
    const float angle = __fmul_rn(scale, __fmul_rn(t[row], frequency));
    double sine, cosine;
    sincos((double)angle, &sine, &cosine);
    store_any(out.data, out.dtype, row * out.stride + i, (float)cosine);
    store_any(out.data, out.dtype, row * out.stride + pairs + i, (float)sine);
}

} // namespace

cudaError_t ink_cuda_rotary_table(cudaStream_t stream, const int32_t *positions, int64_t rows, int axes,
                                  const int64_t *axis_dim, double theta, float *out) {
    if (axes < 1 || axes > INK_MAX_AXES) return cudaErrorInvalidValue;
    rotary_axes all = {axes, 0, {}};
    for (int a = 0; a < axes; a++) {
        all.dim[a] = axis_dim[a];
        all.pairs += axis_dim[a] / 2;
    }
    if (rows * all.pairs == 0) return cudaSuccess;
    const int64_t blocks = ink_divide_up(rows * all.pairs, table_threads);
    make_rotary_table<<<(unsigned)blocks, table_threads, 0, stream>>>(positions, rows, all, theta, out);
    return cudaGetLastError();
}

cudaError_t ink_cuda_timestep_embedding(cudaStream_t stream, const float *t, int64_t count, int64_t dim,
                                        float scale, float max_period, const ink_cuda_matrix *out) {
    const int64_t pairs = dim / 2;
    if (!is_activation(out) || dim % 2 != 0 || out->rows != count || out->columns != dim)
        return cudaErrorInvalidValue;
    if (count * pairs == 0) return cudaSuccess;
    const float rate = (float)-log((double)max_period);
    const int64_t blocks = ink_divide_up(count * pairs, table_threads);
    make_timestep_embedding<<<(unsigned)blocks, table_threads, 0, stream>>>(t, pairs, scale, rate, *out);
    return cudaGetLastError();
}
