/*
 * Inside of the CPU backend: one kernel source, compiled once per instruction set. level_<name>.c selects the
 * instructions and the blocking and includes the kernel headers of this folder, all of whose functions are
 * static; what it exports is one function that overrides the entries of the table it has kernels for.
 */
#ifndef INK_BACKEND_CPU_LEVELS_H
#define INK_BACKEND_CPU_LEVELS_H

#include "backend/host/host.h"

void ink_cpu_kernels_scalar(ink_kernel_table *table);
#if defined(__x86_64__)
void ink_cpu_kernels_avx2(ink_kernel_table *table);
void ink_cpu_kernels_avx512(ink_kernel_table *table);
#endif

/* Moves of rows and patches, the same for every level. */
void ink_cpu_kernels_moves(ink_kernel_table *table);

#endif
