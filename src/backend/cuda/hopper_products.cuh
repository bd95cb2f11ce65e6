/*
 * More of Hopper's own instructions, for large products: boxes that arrive in both blocks of a cluster,
 * barriers of the other block, and products of 64 x 256. See hopper.cuh for the layout of tiles.
 */
#ifndef INK_BACKEND_CUDA_HOPPER_PRODUCTS_CUH
#define INK_BACKEND_CUDA_HOPPER_PRODUCTS_CUH

#include "backend/cuda/hopper.cuh"

namespace hopper {

/* ---- clusters of two blocks ---- */

static __device__ __forceinline__ uint32_t cluster_rank() {
    uint32_t rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/* Of all threads of both blocks. */
static __device__ __forceinline__ void cluster_sync() {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
}

/* At the barrier that lies at the same place in the block `rank` of the cluster. */
static __device__ __forceinline__ void barrier_arrive_at(uint64_t *barrier, uint32_t rank) {
    asm volatile("{\n"
                 ".reg .b32 remote;\n"
                 "mapa.shared::cluster.u32 remote, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [remote];\n"
                 "}\n" ::"r"(shared_address(barrier)),
                 "r"(rank)
                 : "memory");
}

/* How long the L2 cache should keep what is loaded. */
static __device__ __forceinline__ uint64_t cache_policy_normal() {
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}
static __device__ __forceinline__ uint64_t cache_policy_first_out() {
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}
static __device__ __forceinline__ uint64_t cache_policy_last_out() {
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

/* The box of a matrix at column x, row y; what lies outside becomes 0. */
static __device__ __forceinline__ void load_rows(void *to, const CUtensorMap *map, uint64_t *barrier, int x,
                                                 int y, uint64_t policy) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
                 ".L2::cache_hint [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(shared_address(to)),
                 "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "l"(policy)
                 : "memory");
}

/* The same to this place in both blocks of the cluster; the bytes arrive at the barriers of both. */
static __device__ __forceinline__ void load_rows_for_both(void *to, const CUtensorMap *map, uint64_t *barrier,
                                                          int x, int y, uint64_t policy) {
    constexpr uint16_t both = 3;
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
        ".multicast::cluster.L2::cache_hint [%0], [%1, {%3, %4}], [%2], %5, %6;" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "h"(both), "l"(policy)
        : "memory");
}

/* ---- storing: shared memory is written, the writes are made visible to the copy engine, it stores ---- */

/* By every thread that wrote, before a barrier of them. */
static __device__ __forceinline__ void store_fence() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* By one thread. What lies outside of the matrix is not stored. */
static __device__ __forceinline__ void store_rows(const void *from, const CUtensorMap *map, int x, int y) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];" ::"l"(map),
                 "r"(shared_address(from)), "r"(x), "r"(y)
                 : "memory");
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/* By the same thread: until at most `pending` of its stores still read their shared memory. */
template <int pending> static __device__ __forceinline__ void store_wait_read() {
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(pending) : "memory");
}
static __device__ __forceinline__ void store_wait_all() {
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

/* Four matrices of 8 x 8 bf16 numbers of a warp, as products have them; each thread says where a row of eight
 * goes: thread t row t % 8 of matrix t / 8. */
static __device__ __forceinline__ void store_matrices(uint32_t to, uint32_t a, uint32_t b, uint32_t c,
                                                      uint32_t d) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(a), "r"(b),
                 "r"(c), "r"(d)
                 : "memory");
}

/* ---- products ---- */

#define INK_HOPPER_128_NAMES                                                                                 \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                                \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "                       \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "                       \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "                       \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "                       \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "                       \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "           \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}"

/* d [64, 256] = a b^T, or += if `add`, of 32 bytes of each row of a [64, ] and b [256, ]; both have rows
 * along the sum. Rows and columns of d are with the threads as for 64 x 128 in hopper.cuh. */
static __device__ __forceinline__ void product_bf16(float (&d)[128], uint64_t a, uint64_t b, bool add) {
    asm volatile("{\n"
                 ".reg .pred p;\n"
                 "setp.ne.b32 p, %130, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 " INK_HOPPER_128_NAMES
                 ", %128, %129, p, 1, 1, 0, 0;\n"
                 "}\n"
                 : INK_HOPPER_64(d, 0), INK_HOPPER_64(d, 64)
                 : "l"(a), "l"(b), "r"((int)add));
}
static __device__ __forceinline__ void product_e4m3(float (&d)[128], uint64_t a, uint64_t b, bool add) {
    asm volatile("{\n"
                 ".reg .pred p;\n"
                 "setp.ne.b32 p, %130, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n256k32.f32.e4m3.e4m3 " INK_HOPPER_128_NAMES
                 ", %128, %129, p, 1, 1;\n"
                 "}\n"
                 : INK_HOPPER_64(d, 0), INK_HOPPER_64(d, 64)
                 : "l"(a), "l"(b), "r"((int)add));
}

#undef INK_HOPPER_128_NAMES

} // namespace hopper

#endif
