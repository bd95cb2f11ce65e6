/*
 * The kernels for AVX-512 (F, BW, DQ, VL). The build compiles this file, and no other one, for these
 * instructions; nothing here may run before the processor was asked for them.
 */
#include "backend/cpu/levels.h"

#if defined(__x86_64__)

#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512DQ__) || !defined(__AVX512VL__) ||   \
    !defined(__FMA__) || !defined(__F16C__)
#error "compile this file with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c"
#endif

#include <immintrin.h>

#define INK_LEVEL   2
#define INK_KERNELS ink_cpu_kernels_avx512

#include "backend/cpu/kernels.h"

#else
typedef int ink_no_avx512; /* a translation unit must not be empty */
#endif
