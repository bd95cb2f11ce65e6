/*
 * The kernels for any processor.
 */
#include "backend/cpu/levels.h"

#define INK_LEVEL   0
#define INK_KERNELS ink_cpu_kernels_scalar

#include "backend/cpu/kernels.h"
