/*
 * The kernels for AVX-512 (F, BW, DQ, VL).
 */
#include "backend/cpu/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define INK_LEVEL   2
#define INK_KERNELS ink_cpu_kernels_avx512

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))),    \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

#include "backend/cpu/kernels.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else
typedef int ink_no_avx512; /* a translation unit must not be empty */
#endif
