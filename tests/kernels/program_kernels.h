/*
 * Makes kernels of a backend that has none: each runs its operation as a program of one node, with slots for
 * what it reads and writes. The harness of tests/kernels then tests the backend as it tests host kernels.
 */
#ifndef INK_TESTS_KERNELS_PROGRAM_KERNELS_H
#define INK_TESTS_KERNELS_PROGRAM_KERNELS_H

#include "backend/host/host.h"

/* Fills every entry of the table. The kernels use `backend`, which must outlive them; one table at a time. A
 * program that fails leaves its outputs as they are and its message in *error. */
void program_kernels(ink_kernel_table *table, ink_backend *backend, ink_error *error);

#endif
