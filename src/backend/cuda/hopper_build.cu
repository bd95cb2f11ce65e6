#include "backend/cuda/hopper_build.h"
#include "backend/cuda/memory.h"

namespace {

/* Not 0 in code for sm_90a; what is made for other devices lacks the instructions. */
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
__device__ int has_instructions = 1;
#else
__device__ int has_instructions = 0;
#endif

} // namespace

ink_status ink_hopper_allow_shared(const void *kernel, int bytes, ink_error *error) {
    int compiled = 0;
    const char *what = "the preparation of a kernel";
    INK_TRY(ink_cuda_check(cudaMemcpyFromSymbol(&compiled, has_instructions, sizeof compiled), what, error));
    if (!compiled) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED,
                        "the Hopper kernels are not in this build; compile for 90a");
    }
    return ink_cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
                          what, error);
}
