/*
 * The plain-C reference: one short function per operation, single-threaded, double accumulation. It defines
 * what the contracts in graph/ops.h mean, and is the oracle that every other implementation is tested
 * against.
 */
#ifndef INK_BACKEND_REFERENCE_REFERENCE_H
#define INK_BACKEND_REFERENCE_REFERENCE_H

#include "backend/host/host.h"

/* Fills every entry of the table. */
void ink_reference_kernels(ink_kernel_table *table);

ink_status ink_reference_backend_create(const ink_backend_options *options, ink_backend **backend,
                                        ink_error *error);

#endif
