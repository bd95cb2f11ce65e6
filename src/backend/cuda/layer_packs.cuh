/*
 * Layer norm with modulation for rows that are one pack for each thread of a block, which is what
 * transformers have: everything that a row needs is on its way before anything is waited for.
 */
#ifndef INK_BACKEND_CUDA_LAYER_PACKS_CUH
#define INK_BACKEND_CUDA_LAYER_PACKS_CUH

#include "backend/cuda/fp8.cuh"

constexpr int most_layer_threads = 512;

struct layer_norm_problem {
    int64_t columns;
    float inverse_columns;
    ink_cuda_modulation mod, gate;
    int64_t shift_column, scale_column, gate_column;
    float eps;
    float *scales; /* of an e4m3 result */
};

/* A pack as it lies in memory. */
struct wide_pack {
    uint4 low, high;
    __device__ __forceinline__ explicit wide_pack(const float *at)
        : low(load_once(at)), high(load_once(at + pack_size / 2)) {}
    __device__ __forceinline__ void widen_to(float (&v)[pack_size]) const {
        const uint32_t all[pack_size] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            v[i] = __uint_as_float(all[i]);
        }
    }
};
struct narrow_pack {
    uint4 words;
    __device__ __forceinline__ explicit narrow_pack(const ink_bf16 *at) : words(load_once(at)) {}
    __device__ __forceinline__ void widen_to(float (&v)[pack_size]) const { widen_bf16(v, words); }
};
template <typename T> struct pack_of { typedef narrow_pack type; };
template <> struct pack_of<float> { typedef wide_pack type; };

/* As block_sum, of at most 16 warps. */
static __device__ __forceinline__ float small_block_sum(float x, float *partial) {
    x = team_sum(x, warp_size);
    if (threadIdx.x % warp_size == 0) partial[threadIdx.x / warp_size] = x;
    __syncthreads();
    const unsigned own = threadIdx.x % (warp_size / 2);
    return team_sum(own < blockDim.x / warp_size ? partial[own] : 0.0f, warp_size / 2);
}

/* The result of a row, of which v is this thread's pack. */
template <typename O>
static __device__ __forceinline__ void store_result(float *scale, O *out, const float (&v)[pack_size],
                                                    float *partial) {
    if constexpr (is_fp8<O>::value) {
        const float largest = block_largest(pack_largest(v, 0.0f, pack_size), partial);
        if (threadIdx.x == 0) *scale = fp8_scale(largest);
        store_fp8_pack<true>(out, v, fp8_factor(largest), pack_size);
    } else {
        store_vector(out, v);
    }
}

/* One or two matrices: rows of the image's stream and of the text's, say. */
template <typename X, typename O> struct layer_packs_matrix {
    layer_norm_problem norm;
    X *x;
    const ink_bf16 *add; /* nullable */
    O *out;
    int64_t x_stride, add_stride, out_stride;
};
template <typename X, typename O> struct layer_packs_problem {
    layer_packs_matrix<X, O> first, second;
    int first_rows; /* further rows are of the second */
};

/* A row. If `adds`, x += gate * add first. */
template <bool adds, typename X, typename O>
static __device__ __forceinline__ void layer_norm_row(const layer_packs_matrix<X, O> &m, int64_t row) {
    __shared__ float partial[3][most_layer_threads / warp_size];
    const layer_norm_problem &p = m.norm;
    const int column = (int)threadIdx.x * pack_size;
    X *x = m.x + row * m.x_stride + column;
    const typename pack_of<X>::type raw(x);
    float v[pack_size], a[pack_size], gate[pack_size], scale[pack_size], shift[pack_size];
    if constexpr (adds) {
        const narrow_pack more(m.add + row * m.add_stride + column);
        load_table_pack<true>(gate, modulation_of(p.gate, row) + p.gate_column + column, pack_size);
        more.widen_to(a);
    }
    const float *mod = modulation_of(p.mod, row) + column;
    load_table_pack<true>(scale, mod + p.scale_column, pack_size);
    load_table_pack<true>(shift, mod + p.shift_column, pack_size);
    raw.widen_to(v);
    if constexpr (adds) {
#pragma unroll
        for (int k = 0; k < pack_size; k++) {
            v[k] = rounded<X>(fmaf(gate[k], a[k], v[k]));
        }
        store_vector(x, v);
    }
    const float sum = ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
    const float mean = small_block_sum(sum, partial[0]) * p.inverse_columns;
    float squares = 0;
#pragma unroll
    for (int k = 0; k < pack_size; k++) {
        v[k] -= mean;
        squares = fmaf(v[k], v[k], squares);
    }
    const float factor = rsqrtf(fmaf(small_block_sum(squares, partial[1]), p.inverse_columns, p.eps));
#pragma unroll
    for (int k = 0; k < pack_size; k++) {
        v[k] = fmaf(v[k] * factor, 1.0f + scale[k], shift[k]);
    }
    store_result(p.scales + row, m.out + row * m.out_stride + column, v, partial[2]);
}

/* A block for each row, of columns / 8 threads, which are whole warps. The code is there twice, for what is
 * told of a matrix is read more slowly where it has to be looked for. */
template <bool adds, typename X, typename O>
__global__ void __launch_bounds__(most_layer_threads, 2)
    layer_norm_packs(const __grid_constant__ layer_packs_problem<X, O> p) {
    const int row = (int)blockIdx.x;
    allow_next_launch();
    if (row < p.first_rows)
        layer_norm_row<adds>(p.first, row);
    else
        layer_norm_row<adds>(p.second, row - p.first_rows);
}

#endif
