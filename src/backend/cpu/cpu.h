/*
 * The CPU backend: threads, blocked kernels per instruction set chosen at run time.
 */
#ifndef INK_BACKEND_CPU_CPU_H
#define INK_BACKEND_CPU_CPU_H

#include "backend/host/host.h"

/* Instruction sets in ascending order. SCALAR is portable C; NEON is the same code until somebody writes
 * kernels. */
typedef enum ink_cpu_level { INK_CPU_SCALAR = 0, INK_CPU_AVX2 = 1, INK_CPU_AVX512 = 2 } ink_cpu_level;

/* The best level that this processor and this build can run. */
ink_cpu_level ink_cpu_detect(void);
const char *ink_cpu_level_name(ink_cpu_level level);

/* Fills every entry of the table with the best kernel up to `level`; tests call it for every level. */
void ink_cpu_kernels(ink_kernel_table *table, ink_cpu_level level);

ink_status ink_cpu_backend_create(const ink_backend_options *options, ink_backend **backend,
                                  ink_error *error);

#endif
