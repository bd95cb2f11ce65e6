#include "backend/cuda/step.h"

/* The value travels with the launch, so the host need not wait until an earlier one was used. */
static __global__ void set_step(int64_t *step, int64_t value) {
    *step = value;
}

cudaError_t ink_cuda_set_step(cudaStream_t stream, int64_t *step, int64_t value) {
    set_step<<<1, 1, 0, stream>>>(step, value);
    return cudaGetLastError();
}
