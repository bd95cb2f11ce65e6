/*
 * What the kernels of this room share: loading and storing eight neighbours of a row at once, sums over
 * threads, activations, and choosing a template by the type of the elements.
 *
 * A kernel works in packs of eight elements: 16 bytes of bf16, 32 of f32. A launcher says whether everything
 * is aligned for 16-byte accesses; if not, the same kernel goes element by element.
 */
#ifndef INK_BACKEND_CUDA_DEVICE_CUH
#define INK_BACKEND_CUDA_DEVICE_CUH

#include "backend/cuda/divide.h"
#include "backend/cuda/kernels.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

typedef __nv_bfloat16 ink_bf16;
typedef __half ink_f16;

constexpr int pack_size = 8, warp_size = 32;

/* ---- elements ---- */

static __device__ __forceinline__ float widen(float x) {
    return x;
}
static __device__ __forceinline__ float widen(ink_bf16 x) {
    return __bfloat162float(x);
}
static __device__ __forceinline__ float widen(ink_f16 x) {
    return __half2float(x);
}

static __device__ __forceinline__ void narrow(float *to, float x) {
    *to = x;
}
static __device__ __forceinline__ void narrow(ink_bf16 *to, float x) {
    *to = __float2bfloat16_rn(x);
}
/* x is a whole number from 0 to 255. */
static __device__ __forceinline__ void narrow(uint8_t *to, float x) {
    *to = (uint8_t)x;
}

/* What remains of x after it was stored as a T. */
template <typename T> static __device__ __forceinline__ float rounded(float x) {
    T stored;
    narrow(&stored, x);
    return widen(stored);
}

/* For kernels that are not worth a template. */
static __device__ __forceinline__ float load_any(const void *data, ink_dtype dtype, int64_t i) {
    if (dtype == INK_F32) return static_cast<const float *>(data)[i];
    if (dtype == INK_BF16) return widen(static_cast<const ink_bf16 *>(data)[i]);
    return widen(static_cast<const ink_f16 *>(data)[i]);
}
static __device__ __forceinline__ void store_any(void *data, ink_dtype dtype, int64_t i, float x) {
    if (dtype == INK_F32)
        static_cast<float *>(data)[i] = x;
    else
        narrow(static_cast<ink_bf16 *>(data) + i, x);
}

/* ---- packs ---- */

static __device__ __forceinline__ void load_vector(float (&v)[pack_size], const float *at) {
    const float4 low = reinterpret_cast<const float4 *>(at)[0],
                 high = reinterpret_cast<const float4 *>(at)[1];
    v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
    v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
}

/* A pack of bf16 as it lies in memory. */
static __device__ __forceinline__ void widen_bf16(float (&v)[pack_size], const uint4 &raw) {
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = __uint_as_float(words[i] << 16);
        v[2 * i + 1] = __uint_as_float(words[i] & 0xFFFF0000u);
    }
}

static __device__ __forceinline__ void load_vector(float (&v)[pack_size], const ink_bf16 *at) {
    widen_bf16(v, *reinterpret_cast<const uint4 *>(at));
}

static __device__ __forceinline__ void load_vector(float (&v)[pack_size], const ink_f16 *at) {
    const uint4 raw = *reinterpret_cast<const uint4 *>(at);
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        __half2 two;
        memcpy(&two, &words[i], sizeof two);
        v[2 * i] = __low2float(two);
        v[2 * i + 1] = __high2float(two);
    }
}

static __device__ __forceinline__ void store_vector(float *at, const float (&v)[pack_size]) {
    reinterpret_cast<float4 *>(at)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4 *>(at)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

static __device__ __forceinline__ void store_vector(ink_bf16 *at, const float (&v)[pack_size]) {
    uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const __nv_bfloat162 two = __floats2bfloat162_rn(v[2 * i], v[2 * i + 1]);
        memcpy(&words[i], &two, sizeof two);
    }
    *reinterpret_cast<uint4 *>(at) = make_uint4(words[0], words[1], words[2], words[3]);
}

static __device__ __forceinline__ void store_vector(uint8_t *at, const float (&v)[pack_size]) {
    uint32_t words[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < pack_size; i++) {
        words[i / 4] |= (uint32_t)v[i] << (8 * (i % 4));
    }
    *reinterpret_cast<uint2 *>(at) = make_uint2(words[0], words[1]);
}

static __device__ __forceinline__ void clear(float (&v)[pack_size]) {
#pragma unroll
    for (int i = 0; i < pack_size; i++) {
        v[i] = 0;
    }
}

/* Loads the first n elements of a pack; the others become 0. If `vector`, n is at least 8, or 0 or less. */
template <bool vector, typename T>
static __device__ __forceinline__ void load_pack(float (&v)[pack_size], const T *at, int64_t n) {
    if constexpr (vector) {
        if (n >= pack_size)
            load_vector(v, at);
        else
            clear(v);
    } else {
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            v[i] = i < n ? widen(at[i]) : 0.0f;
        }
    }
}

template <bool vector, typename T>
static __device__ __forceinline__ void store_pack(T *at, const float (&v)[pack_size], int64_t n) {
    if constexpr (vector) {
        if (n >= pack_size) store_vector(at, v);
    } else {
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            if (i < n) narrow(at + i, v[i]);
        }
    }
}

/* The same of a table that nothing writes meanwhile: the loads need not wait for stores that come before
 * them. */
template <bool vector>
static __device__ __forceinline__ void load_table_pack(float (&v)[pack_size], const float *at, int64_t n) {
    if constexpr (vector) {
        if (n >= pack_size) {
            const float4 low = __ldg(reinterpret_cast<const float4 *>(at));
            const float4 high = __ldg(reinterpret_cast<const float4 *>(at) + 1);
            v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
            v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
        } else {
            clear(v);
        }
    } else {
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            v[i] = i < n ? __ldg(at + i) : 0.0f;
        }
    }
}

/* The same of a weight, whose type is known when it runs: weights are few and stay in the caches. */
template <bool vector>
static __device__ __forceinline__ void load_weight_pack(float (&v)[pack_size], const void *weight,
                                                        ink_dtype dtype, int64_t at, int64_t n) {
    if (dtype == INK_F32)
        load_pack<vector>(v, static_cast<const float *>(weight) + at, n);
    else if (dtype == INK_BF16)
        load_pack<vector>(v, static_cast<const ink_bf16 *>(weight) + at, n);
    else
        load_pack<vector>(v, static_cast<const ink_f16 *>(weight) + at, n);
}

/* 16 bytes that are read once: tables should stay in the cache that is nearest instead. Loads of this kind
 * are started in the order in which they are written. */
static __device__ __forceinline__ uint4 load_once(const void *at) {
    uint4 v;
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(at)
                 : "memory");
    return v;
}

/* ---- tables of the steps ---- */

static __device__ __forceinline__ const float *row_of(const ink_cuda_row &row) {
    return row.step ? row.data + *row.step * row.per_step : row.data;
}

static __device__ __forceinline__ const float *modulation_of(const ink_cuda_modulation &mod, int64_t row) {
    const int64_t group = mod.row_groups ? mod.row_groups[row] : 0;
    return row_of(mod.table) + group * mod.stride;
}

/* ---- arithmetic ---- */

/* Quotients of 32-bit numbers are several times cheaper. */
static __device__ __forceinline__ int64_t quotient(int64_t a, int64_t b) {
    if (((a | b) >> 32) == 0) return (int64_t)((uint32_t)a / (uint32_t)b);
    return a / b;
}

/* The sum over a team of 2^k neighbouring threads of a warp, in every one of them. All threads of the warp
 * call. */
static __device__ __forceinline__ float team_sum(float x, int team) {
    for (int offset = team / 2; offset > 0; offset /= 2) {
        x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
    }
    return x;
}

/* The sum over a block of whole warps, in every thread; `partial` is shared memory of a float per warp, which
 * is not used for anything else. */
static __device__ __forceinline__ float block_sum(float x, float *partial) {
    x = team_sum(x, warp_size);
    if (threadIdx.x % warp_size == 0) partial[threadIdx.x / warp_size] = x;
    __syncthreads();
    float sum = 0;
    for (unsigned i = 0; i < blockDim.x / warp_size; i++) {
        sum += partial[i];
    }
    return sum;
}

/* z / (1 + e^-z). The fast exponential is good for this: where its relative error is large, the result is
 * small against z, and z is what the error is measured by. */
static __device__ __forceinline__ float silu(float z) {
    return __fdividef(z, 1.0f + __expf(-z));
}

/* 0.5 z (1 + tanh(u)) = z / (1 + e^-2u), which loses no digits where tanh(u) is near -1. */
static __device__ __forceinline__ float gelu_tanh(float z) {
    const float u = 0.7978845608f * fmaf(0.044715f * z * z, z, z);
    return __fdividef(z, 1.0f + __expf(-2.0f * u));
}

static __device__ __forceinline__ float activate(ink_activation activation, float z) {
    if (activation == INK_ACT_SILU) return silu(z);
    if (activation == INK_ACT_GELU_TANH) return gelu_tanh(z);
    return z;
}

/* ---- on the host ---- */

template <typename T> struct type_tag { typedef T type; };

/* Calls launch(type_tag<T>()) with the type of an activation. */
template <typename F> static inline cudaError_t with_type(ink_dtype dtype, F launch) {
    if (dtype == INK_F32) return launch(type_tag<float>());
    if (dtype == INK_BF16) return launch(type_tag<ink_bf16>());
    return cudaErrorInvalidValue;
}

static inline bool is_activation(const ink_cuda_matrix *x) {
    return x->dtype == INK_F32 || x->dtype == INK_BF16;
}
static inline bool is_weight(ink_dtype dtype) {
    return dtype == INK_F32 || dtype == INK_BF16 || dtype == INK_F16;
}

static inline int64_t bytes_of(ink_dtype dtype) {
    return dtype == INK_U8 ? 1 : dtype == INK_BF16 || dtype == INK_F16 ? 2 : 4;
}

/* Can packs be read at multiples of 8 elements from here? */
static inline bool aligned(const void *data, int64_t bytes) {
    return (uintptr_t)data % (uintptr_t)(bytes == 1 ? 8 : 16) == 0;
}
static inline bool aligned_rows(const ink_cuda_matrix *x) {
    const int64_t bytes = bytes_of(x->dtype);
    return aligned(x->data, bytes) && (x->rows == 1 || x->stride * bytes % (bytes == 1 ? 8 : 16) == 0);
}
static inline bool aligned_modulation(const ink_cuda_modulation *mod, int64_t column) {
    return aligned(mod->table.data, 4) && mod->table.per_step % 4 == 0 && mod->stride % 4 == 0 &&
           column % 4 == 0;
}

static inline bool same_size(const ink_cuda_matrix *a, const ink_cuda_matrix *b) {
    return a->rows == b->rows && a->columns == b->columns;
}

/* ---- launches that the next one may begin beside ---- */

/* By every thread, early: what is launched next may take its place on the device and fetch what this kernel
 * does not write, if it says that it will wait. */
static __device__ __forceinline__ void allow_next_launch() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    cudaTriggerProgrammaticLaunchCompletion();
#endif
}

#endif
