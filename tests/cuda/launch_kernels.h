/*
 * The CUDA kernels as a table that the harness of tests/kernels can run: every call copies its tensors to the
 * device, launches, and copies the results back. Products and attention are not among them.
 */
#ifndef INK_TESTS_CUDA_LAUNCH_KERNELS_H
#define INK_TESTS_CUDA_LAUNCH_KERNELS_H

#include "backend/host/host.h"

/* Kernels cannot fail, so a failure here spoils the results and leaves a sentence in `message`, which must be
 * static and is empty otherwise. */
void launch_kernels(ink_kernel_table *table, ink_error *message);

#endif
