/*
 * The number of the step, on the device.
 */
#ifndef INK_BACKEND_CUDA_STEP_H
#define INK_BACKEND_CUDA_STEP_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

cudaError_t ink_cuda_set_step(cudaStream_t stream, int64_t *step, int64_t value);

#ifdef __cplusplus
}
#endif

#endif
