/*
 * Element by element: what graph/ops.h says, each in one pass.
 */
#include "backend/cuda/each.cuh"

namespace {

struct add_operation : binary_operation {
    template <bool vector>
    __device__ void apply(float (&v)[pack_size], const float (&y)[pack_size], int64_t, int64_t,
                          int64_t) const {
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            v[i] += y[i];
        }
    }
};

struct gated_add_operation : binary_operation {
    ink_cuda_modulation mod;
    int64_t gate_column;

    template <bool vector>
    __device__ void apply(float (&v)[pack_size], const float (&y)[pack_size], int64_t row, int64_t column,
                          int64_t n) const {
        float gate[pack_size];
        load_table_pack<vector>(gate, modulation_of(mod, row) + gate_column + column, n);
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            v[i] = fmaf(gate[i], y[i], v[i]);
        }
    }
};

struct silu_operation : unary {
    template <bool vector>
    __device__ void apply(float (&v)[pack_size], const float (&)[pack_size], int64_t, int64_t,
                          int64_t) const {
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            v[i] = silu(v[i]);
        }
    }
};

struct silu_mul_operation : binary_operation {
    template <bool vector>
    __device__ void apply(float (&v)[pack_size], const float (&y)[pack_size], int64_t, int64_t,
                          int64_t) const {
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            v[i] = silu(v[i]) * y[i];
        }
    }
};

struct bias_activation_operation : unary {
    const void *bias;
    ink_dtype bias_dtype;
    ink_activation activation;

    template <bool vector>
    __device__ void apply(float (&v)[pack_size], const float (&)[pack_size], int64_t, int64_t column,
                          int64_t n) const {
        if (bias) {
            float b[pack_size];
            load_weight_pack<vector>(b, bias, bias_dtype, column, n);
#pragma unroll
            for (int i = 0; i < pack_size; i++) {
                v[i] += b[i];
            }
        }
        if (activation == INK_ACT_NONE) return;
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            v[i] = activate(activation, v[i]);
        }
    }
};

struct channel_affine_operation : unary {
    const float *scale, *offset;

    template <bool vector>
    __device__ void apply(float (&v)[pack_size], const float (&)[pack_size], int64_t, int64_t column,
                          int64_t n) const {
        float s[pack_size], o[pack_size];
        load_table_pack<vector>(s, scale + column, n);
        load_table_pack<vector>(o, offset + column, n);
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            v[i] = fmaf(v[i], s[i], o[i]);
        }
    }
};

struct affine_clamp_operation : unary {
    float scale, offset, low, high;

    template <bool vector>
    __device__ void apply(float (&v)[pack_size], const float (&)[pack_size], int64_t, int64_t,
                          int64_t) const {
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            const float y = fmaf(v[i], scale, offset);
            v[i] = y < low ? low : y > high ? high : y; /* a NaN compares false and stays */
        }
    }
};

/* The product is rounded before it is rounded to a whole number, as the reference does. */
struct to_u8_operation : unary {
    template <typename F> static cudaError_t with_result(ink_dtype dtype, F launch) {
        return dtype == INK_U8 ? launch(type_tag<uint8_t>()) : cudaErrorInvalidValue;
    }

    template <bool vector>
    __device__ void apply(float (&v)[pack_size], const float (&)[pack_size], int64_t, int64_t,
                          int64_t) const {
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            const float y = __fmul_rn(255.0f, v[i]);
            v[i] = !(y > 0.0f) ? 0.0f : y >= 255.0f ? 255.0f : rintf(y);
        }
    }
};

} // namespace

cudaError_t ink_cuda_add(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                         const ink_cuda_matrix *out) {
    return launch_each(stream, add_operation(), true, true, x, y, out);
}

cudaError_t ink_cuda_gated_add(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_modulation *mod,
                               int64_t gate_column, const ink_cuda_matrix *y, const ink_cuda_matrix *out) {
    gated_add_operation op;
    op.mod = *mod;
    op.gate_column = gate_column;
    return launch_each(stream, op, false, aligned_modulation(mod, gate_column), x, y, out);
}

cudaError_t ink_cuda_silu(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_matrix *out) {
    return launch_each(stream, silu_operation(), true, true, x, NULL, out);
}

cudaError_t ink_cuda_silu_mul(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                              const ink_cuda_matrix *out) {
    return launch_each(stream, silu_mul_operation(), true, true, x, y, out);
}

cudaError_t ink_cuda_bias_activation(cudaStream_t stream, const ink_cuda_matrix *x, const void *bias,
                                     ink_dtype bias_dtype, ink_activation activation,
                                     const ink_cuda_matrix *out) {
    if (bias && !is_weight(bias_dtype)) return cudaErrorInvalidValue;
    bias_activation_operation op;
    op.bias = bias;
    op.bias_dtype = bias_dtype;
    op.activation = activation;
    return launch_each(stream, op, !bias, aligned(bias, bytes_of(bias_dtype)), x, NULL, out);
}

cudaError_t ink_cuda_channel_affine(cudaStream_t stream, const ink_cuda_matrix *x, const float *scale,
                                    const float *offset, const ink_cuda_matrix *out) {
    channel_affine_operation op;
    op.scale = scale;
    op.offset = offset;
    return launch_each(stream, op, false, aligned(scale, 4) && aligned(offset, 4), x, NULL, out);
}

cudaError_t ink_cuda_affine_clamp(cudaStream_t stream, const ink_cuda_matrix *x, float scale, float offset,
                                  float low, float high, const ink_cuda_matrix *out) {
    affine_clamp_operation op;
    op.scale = scale;
    op.offset = offset;
    op.low = low;
    op.high = high;
    return launch_each(stream, op, true, true, x, NULL, out);
}

cudaError_t ink_cuda_to_u8(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_matrix *out) {
    return launch_each(stream, to_u8_operation(), true, true, x, NULL, out);
}
