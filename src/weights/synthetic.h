/*
 * The numbers of synthetic weights, for whoever makes them: the host, or a device in parallel.
 *
 * Element i of a tensor comes from 16 bits of ink_synthetic_bits(key, i / 4), key being a hash of the
 * tensor's collapsed name, and is rounded to bf16. So a value depends on nothing but name and index.
 */
#ifndef INK_WEIGHTS_SYNTHETIC_H
#define INK_WEIGHTS_SYNTHETIC_H

#include "base/dtype.h"

#ifdef __CUDACC__
#define INK_SYNTHETIC_INLINE static __host__ __device__ __forceinline__
#else
#define INK_SYNTHETIC_INLINE static inline
#endif

/* value = bits * scale + offset */
typedef struct ink_synthetic_recipe {
    uint64_t key;
    float scale, offset;
} ink_synthetic_recipe;

#ifdef __cplusplus
extern "C" {
#endif

/* How the tensor called `name` is made. False if memory runs out. */
bool ink_synthetic_recipe_of(const char *name, const ink_shape *shape, ink_synthetic_recipe *recipe);

#ifdef __cplusplus
}
#endif

/* 16 bits for each of the elements 4 * quad to 4 * quad + 3, the first in the lowest bits: SplitMix64. */
INK_SYNTHETIC_INLINE uint64_t ink_synthetic_bits(uint64_t key, uint64_t quad) {
    uint64_t x = key + quad * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* The value before it is rounded to bf16. Product and sum are rounded apart, on every machine. */
INK_SYNTHETIC_INLINE float ink_synthetic_value(uint32_t bits, float scale, float offset) {
#ifdef __CUDA_ARCH__
    return __fadd_rn(__fmul_rn((float)bits, scale), offset);
#else
    return (float)bits * scale + offset;
#endif
}

#endif
