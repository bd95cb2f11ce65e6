/*
 * What heads of 384 columns need of Hopper's instructions beyond hopper.cuh: a narrower product.
 */
#ifndef INK_BACKEND_CUDA_HOPPER_WIDE_CUH
#define INK_BACKEND_CUDA_HOPPER_WIDE_CUH

#include "backend/cuda/hopper.cuh"

namespace hopper {

/* d [64, 64] = a [64, 16] b^T, or += if `add`; b [64, 16]; otherwise as the product with d [64, 128]. */
static __device__ __forceinline__ void product(float (&d)[32], uint64_t a, uint64_t b, bool add) {
    asm volatile("{\n"
                 ".reg .pred p;\n"
                 "setp.ne.b32 p, %34, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
                 "%32, %33, p, 1, 1, 0, 0;\n"
                 "}\n"
                 : INK_HOPPER_16(d, 0), INK_HOPPER_16(d, 16)
                 : "l"(a), "l"(b), "r"((int)add));
}

} // namespace hopper

#endif
