/*
 * Rows of e4m3 numbers, in kernels.
 */
#ifndef INK_BACKEND_CUDA_FP8_CUH
#define INK_BACKEND_CUDA_FP8_CUH

#include "backend/cuda/device.cuh"
#include "backend/cuda/fp8.h"

#include <cuda_fp8.h>

typedef __nv_fp8_e4m3 ink_fp8;

template <typename T> struct is_fp8 { static constexpr bool value = false; };
template <> struct is_fp8<ink_fp8> { static constexpr bool value = true; };

static __device__ __forceinline__ float widen(ink_fp8 x) {
    return static_cast<float>(x);
}

/* The largest absolute value of a pack; numbers that are none do not count. */
static __device__ __forceinline__ float pack_largest(const float (&v)[pack_size], float largest, int64_t n) {
#pragma unroll
    for (int k = 0; k < pack_size; k++) {
        if (k < n) largest = fmaxf(largest, fabsf(v[k]));
    }
    return largest;
}

/* The largest over a warp, of numbers that are not negative: they are in the order of their bits. */
static __device__ __forceinline__ float warp_largest(float x) {
    return __uint_as_float(__reduce_max_sync(0xFFFFFFFFu, __float_as_uint(x)));
}

/* The same over a block of whole warps, in every thread; `partial` as for block_sum. */
static __device__ __forceinline__ float block_largest(float x, float *partial) {
    x = warp_largest(x);
    const unsigned lane = threadIdx.x % warp_size;
    if (lane == 0) partial[threadIdx.x / warp_size] = x;
    __syncthreads();
    return warp_largest(lane < blockDim.x / warp_size ? partial[lane] : 0.0f);
}

/* What the numbers of a row are multiplied by before they are rounded. */
static __device__ __forceinline__ float fp8_factor(float largest) {
    return largest < 1e-30f ? 0.0f : 448.0f / largest;
}
static __device__ __forceinline__ float fp8_scale(float largest) {
    return largest < 1e-30f ? 0.0f : largest / 448.0f;
}

/* Rounds the first n numbers of a pack; if `vector`, all or none. */
template <bool vector>
static __device__ __forceinline__ void store_fp8_pack(ink_fp8 *at, const float (&v)[pack_size], float factor,
                                                      int64_t n) {
    __nv_fp8x2_storage_t pairs[pack_size / 2];
#pragma unroll
    for (int k = 0; k < pack_size / 2; k++) {
        pairs[k] = __nv_cvt_float2_to_fp8x2(make_float2(v[2 * k] * factor, v[2 * k + 1] * factor),
                                            __NV_SATFINITE, __NV_E4M3);
    }
    if constexpr (vector) {
        if (n >= pack_size)
            *reinterpret_cast<uint2 *>(at) =
                make_uint2(pairs[0] | (uint32_t)pairs[1] << 16, pairs[2] | (uint32_t)pairs[3] << 16);
    } else {
#pragma unroll
        for (int k = 0; k < pack_size; k++) {
            if (k < n) at[k].__x = (__nv_fp8_storage_t)(pairs[k / 2] >> (8 * (k % 2)));
        }
    }
}

/* Can packs be written, and does the memory look as fp8.h says? */
static inline bool aligned_fp8(const ink_cuda_matrix *x) {
    return (uintptr_t)x->data % 256 == 0 && x->stride == x->columns && x->columns % pack_size == 0;
}

#endif
