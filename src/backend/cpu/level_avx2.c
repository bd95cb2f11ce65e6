/*
 * The kernels for AVX2, FMA and F16C. The build compiles this file, and no other one, for these instructions;
 * nothing here may run before the processor was asked for them.
 */
#include "backend/cpu/levels.h"

#if defined(__x86_64__)

#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile this file with -mavx2 -mfma -mf16c"
#endif

#include <immintrin.h>

#define INK_LEVEL   1
#define INK_KERNELS ink_cpu_kernels_avx2

#include "backend/cpu/kernels.h"

#else
typedef int ink_no_avx2; /* a translation unit must not be empty */
#endif
