#include "backend/cuda/hopper_maps.h"

#include <cuda_runtime_api.h>
#include <string.h>

ink_status ink_hopper_find_encode(ink_hopper_encode *encode, ink_error *error) {
    enum { since = 12000 };
    enum cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    void *symbol = NULL;
    const cudaError_t code = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &symbol, since,
                                                              cudaEnableDefault, &result);
    if (code != cudaSuccess || result != cudaDriverEntryPointSuccess || !symbol) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED,
                        "the driver is too old for the Hopper kernels; install one for CUDA 12 or newer");
    }
    memcpy(encode, &symbol, sizeof symbol); /* POSIX promises that a function's address fits */
    return INK_OK;
}
