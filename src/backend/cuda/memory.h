/*
 * Device memory, and CUDA's errors as sentences.
 */
#ifndef INK_BACKEND_CUDA_MEMORY_H
#define INK_BACKEND_CUDA_MEMORY_H

#include "base/status.h"

#include <cuda_runtime_api.h>
#include <stddef.h>

/* INK_OK, or a status and "CUDA could not do <what>: ...". */
ink_status ink_cuda_check(cudaError_t code, const char *what, ink_error *error);

/* Device memory, aligned to 256 bytes, not cleared. Without success *memory is NULL, and the sentence says
 * how much is needed and how much there is. */
ink_status ink_cuda_allocate(size_t bytes, const char *what, void **memory, ink_error *error);

/* "out of device memory for <what>: ...". */
ink_status ink_cuda_fail_memory(ink_error *error, const char *what, size_t bytes);

#endif
