#include "backend/cuda/memory.h"

static double gibibytes(size_t bytes) {
    return (double)bytes / (1024.0 * 1024.0 * 1024.0);
}

ink_status ink_cuda_check(cudaError_t code, const char *what, ink_error *error) {
    if (code == cudaSuccess) return INK_OK;
    if (code == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError(); /* this one is over; others stay */
        return ink_fail(error, INK_ERROR_MEMORY, "out of device memory for %s; choose a smaller picture",
                        what);
    }
    return ink_fail(error, INK_ERROR_INTERNAL, "CUDA could not do %s: %s", what, cudaGetErrorString(code));
}

ink_status ink_cuda_fail_memory(ink_error *error, const char *what, size_t bytes) {
    size_t free_bytes = 0, all_bytes = 0;
    (void)cudaMemGetInfo(&free_bytes, &all_bytes);
    return ink_fail(error, INK_ERROR_MEMORY,
                    "out of device memory for %s: %.2f GiB are needed, %.2f of %.2f GiB are free; choose a "
                    "smaller picture, end what else runs on the device, or use --backend cpu",
                    what, gibibytes(bytes), gibibytes(free_bytes), gibibytes(all_bytes));
}

ink_status ink_cuda_allocate(size_t bytes, const char *what, void **memory, ink_error *error) {
    *memory = NULL;
    const cudaError_t code = cudaMalloc(memory, bytes ? bytes : 1);
    if (code == cudaSuccess) return INK_OK;
    *memory = NULL;
    if (code != cudaErrorMemoryAllocation) return ink_cuda_check(code, what, error);
    (void)cudaGetLastError();
    return ink_cuda_fail_memory(error, what, bytes);
}
