/*
 * Vectors of the level being compiled, on the compilers' vector types: + - * / and comparisons are operators,
 * the few things that they lack are functions here. INK_LEVEL (0 scalar, 1 avx2, 2 avx512) is defined by the
 * including file, which has also turned the instruction set on.
 *
 * Level 0 uses vectors of four floats: every 64-bit processor has those in its base instruction set (SSE2,
 * NEON), and where there are none compilers take them apart.
 */
#ifndef INK_BACKEND_CPU_SIMD_H
#define INK_BACKEND_CPU_SIMD_H

#include "base/dtype.h"

#if INK_LEVEL == 2
#define VECTOR_BYTES 64
#elif INK_LEVEL == 1
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

typedef float vf __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t vi __attribute__((vector_size(VECTOR_BYTES)));
typedef double vd __attribute__((vector_size(VECTOR_BYTES)));

enum { VL = VECTOR_BYTES / 4 }; /* floats per vector */

#define INLINE static inline __attribute__((always_inline, unused))

/* Loops over register arrays must be unrolled completely, or the arrays live in memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

/* Loads and stores need no alignment. */
INLINE vf vload(const void *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void vstore(float *p, vf v) {
    memcpy(p, &v, sizeof v);
}

INLINE vf vset(float x) {
    return x - (vf){0}; /* not +: that would turn -0 into 0 */
}

INLINE vf vzero(void) {
    return (vf){0};
}

/* a * b + c, rounded once where the processor can. */
INLINE vf vfma(vf a, vf b, vf c) {
#if INK_LEVEL == 2
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif INK_LEVEL == 1
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    vf d;
    for (int i = 0; i < VL; i++) {
        d[i] = __builtin_fmaf(a[i], b[i], c[i]);
    }
    return d;
#else
    return a * b + c;
#endif
}

/* Lanes of a where the mask is all ones, of b where it is zero. */
INLINE vf vselect(vi mask, vf a, vf b) {
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* The greater one; b where either is NaN. */
INLINE vf vmax(vf a, vf b) {
#if INK_LEVEL == 2
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif INK_LEVEL == 1
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return vselect((vi)(a > b), a, b);
#endif
}

/* The smaller one; b where either is NaN. */
INLINE vf vmin(vf a, vf b) {
#if INK_LEVEL == 2
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif INK_LEVEL == 1
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return vselect((vi)(a < b), a, b);
#endif
}

/* Sum and maximum of the lanes, by halves. */
INLINE float vsum(vf v) {
    float lane[VL];
    vstore(lane, v);
    for (int n = VL / 2; n > 0; n /= 2) {
        for (int i = 0; i < n; i++) {
            lane[i] += lane[i + n];
        }
    }
    return lane[0];
}

INLINE float vgreatest(vf v) {
    float lane[VL];
    vstore(lane, v);
    for (int n = VL / 2; n > 0; n /= 2) {
        for (int i = 0; i < n; i++) {
            lane[i] = lane[i] > lane[i + n] ? lane[i] : lane[i + n];
        }
    }
    return lane[0];
}

INLINE double vsum_double(vd v) {
    double sum = 0;
    for (int i = 0; i < VL / 2; i++) {
        sum += v[i];
    }
    return sum;
}

/* VL / 2 floats as doubles. */
INLINE vd vload_double(const float *p) {
#if INK_LEVEL == 2
    return (vd)_mm512_cvtps_pd(_mm256_loadu_ps(p));
#elif INK_LEVEL == 1
    return (vd)_mm256_cvtps_pd(_mm_loadu_ps(p));
#else
    return (vd){(double)p[0], (double)p[1]};
#endif
}

/* VL elements from element i on of an array of f32, bf16 or f16, widened. */
INLINE vf vload_as(const void *data, ink_dtype dtype, int64_t i) {
    const char *p = (const char *)data + i * (dtype == INK_F32 ? 4 : 2);
    if (dtype == INK_F32) return vload(p);
#if INK_LEVEL == 2
    const __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)p);
    if (dtype == INK_F16) return (vf)_mm512_cvtph_ps(half);
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
#elif INK_LEVEL == 1
    const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)p);
    if (dtype == INK_F16) return (vf)_mm256_cvtph_ps(half);
    return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16);
#else
    vf v;
    for (int j = 0; j < VL; j++) {
        v[j] = ink_element_f32(p, dtype, j);
    }
    return v;
#endif
}

#endif
