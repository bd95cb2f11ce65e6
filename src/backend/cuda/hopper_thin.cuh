/*
 * More of Hopper's own instructions, for products with few rows: narrow ones, memory of the other block of a
 * cluster, and kernels that begin before the one before them has ended.
 */
#ifndef INK_BACKEND_CUDA_HOPPER_THIN_CUH
#define INK_BACKEND_CUDA_HOPPER_THIN_CUH

#include "backend/cuda/hopper_products.cuh"

namespace hopper {

/* ---- products of 64 rows: as product_bf16 of hopper_products.cuh ---- */

#define INK_HOPPER_24(d) INK_HOPPER_16(d, 0), INK_HOPPER_4(d, 16), INK_HOPPER_4(d, 20)
#define INK_HOPPER_48(d) INK_HOPPER_16(d, 0), INK_HOPPER_16(d, 16), INK_HOPPER_16(d, 32)

static __device__ __forceinline__ void product_bf16(float (&d)[24], uint64_t a, uint64_t b, bool add) {
    asm volatile("{\n"
                 ".reg .pred p;\n"
                 "setp.ne.b32 p, %26, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n48k16.f32.bf16.bf16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23}, %24, %25, p, 1, 1, 0, 0;\n"
                 "}\n"
                 : INK_HOPPER_24(d)
                 : "l"(a), "l"(b), "r"((int)add));
}
static __device__ __forceinline__ void product_bf16(float (&d)[48], uint64_t a, uint64_t b, bool add) {
    asm volatile("{\n"
                 ".reg .pred p;\n"
                 "setp.ne.b32 p, %50, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n96k16.f32.bf16.bf16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
                 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47}, "
                 "%48, %49, p, 1, 1, 0, 0;\n"
                 "}\n"
                 : INK_HOPPER_48(d)
                 : "l"(a), "l"(b), "r"((int)add));
}
static __device__ __forceinline__ void product_bf16(float (&d)[72], uint64_t a, uint64_t b, bool add) {
    product(d, a, b, add);
}

#undef INK_HOPPER_48
#undef INK_HOPPER_24

/* ---- the other block ---- */

/* Of the place in the block `rank` of the cluster that lies where x does in this one. */
static __device__ __forceinline__ uint32_t address_at(const void *x, uint32_t rank) {
    uint32_t address;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_address(x)), "r"(rank));
    return address;
}

/* To such an address; the bytes arrive at the barrier there. */
static __device__ __forceinline__ void send(uint32_t to, uint32_t barrier, float4 x) {
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%2, %3, %4, %5}, "
                 "[%1];" ::"r"(to),
                 "r"(barrier), "f"(x.x), "f"(x.y), "f"(x.z), "f"(x.w)
                 : "memory");
}

/* cluster_sync in two parts, which all threads call. */
static __device__ __forceinline__ void cluster_arrive() {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
static __device__ __forceinline__ void cluster_wait() {
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

} // namespace hopper

#endif
