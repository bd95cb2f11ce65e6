/*
 * A kernel that says at once that the next launch may begin, and writes much later.
 */
#ifndef INK_TESTS_CUDA_LATE_COPY_H
#define INK_TESTS_CUDA_LATE_COPY_H

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Copies bytes from device to device, not overlapping, after so many nanoseconds, on one multiprocessor. An
 * error is of the launch. */
cudaError_t late_copy(cudaStream_t stream, void *to, const void *from, size_t bytes, unsigned nanoseconds);

#ifdef __cplusplus
}
#endif

#endif
