/*
 * More of Hopper's own instructions, for large products: boxes that arrive in both blocks of a cluster,
 * barriers of the other block, and products of 64 x 192. See hopper.cuh for the layout of tiles.
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

/* The box of a matrix at column x, row y; what lies outside becomes 0. */
static __device__ __forceinline__ void load_rows(void *to, const CUtensorMap *map, uint64_t *barrier, int x,
                                                 int y) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4}], [%2];" ::"r"(shared_address(to)),
                 "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y)
                 : "memory");
}

/* The same to this place in both blocks of the cluster; the bytes arrive at the barriers of both. */
static __device__ __forceinline__ void load_rows_for_both(void *to, const CUtensorMap *map, uint64_t *barrier,
                                                          int x, int y) {
    constexpr uint16_t both = 3;
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
                 ".multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(shared_address(to)),
                 "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "h"(both)
                 : "memory");
}

/* Bytes that lie side by side; addresses and their number are multiples of 16. */
static __device__ __forceinline__ void load_bytes(void *to, const void *from, int bytes, uint64_t *barrier) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
            shared_address(to)),
        "l"(from), "r"(bytes), "r"(shared_address(barrier))
        : "memory");
}

/* Between what threads write to global memory and what the copy engine then reads of it: by those who wrote,
 * and by who has seen it and starts the copy. */
static __device__ __forceinline__ void copies_fence() {
    asm volatile("fence.proxy.async.global;" ::: "memory");
}

/* Brings the box into the L2 cache. */
static __device__ __forceinline__ void fetch_rows(const CUtensorMap *map, int x, int y) {
    asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%0, {%1, %2}];" ::"l"(map), "r"(x), "r"(y)
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

#define INK_HOPPER_96_NAMES                                                                                  \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                                \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "                       \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "                       \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "                       \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "                       \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95}"
#define INK_HOPPER_96(d) INK_HOPPER_64(d, 0), INK_HOPPER_16(d, 64), INK_HOPPER_16(d, 80)

/* d [64, 192] = a b^T, or += if `add`, of 32 bytes of each row of a [64, ] and b [192, ]; both have rows
 * along the sum. Rows and columns of d are with the threads as for 64 x 128 in hopper.cuh. */
static __device__ __forceinline__ void product_bf16(float (&d)[96], uint64_t a, uint64_t b, bool add) {
    asm volatile("{\n"
                 ".reg .pred p;\n"
                 "setp.ne.b32 p, %98, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 " INK_HOPPER_96_NAMES
                 ", %96, %97, p, 1, 1, 0, 0;\n"
                 "}\n"
                 : INK_HOPPER_96(d)
                 : "l"(a), "l"(b), "r"((int)add));
}
static __device__ __forceinline__ void product_e4m3(float (&d)[96], uint64_t a, uint64_t b, bool add) {
    asm volatile("{\n"
                 ".reg .pred p;\n"
                 "setp.ne.b32 p, %98, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n192k32.f32.e4m3.e4m3 " INK_HOPPER_96_NAMES
                 ", %96, %97, p, 1, 1;\n"
                 "}\n"
                 : INK_HOPPER_96(d)
                 : "l"(a), "l"(b), "r"((int)add));
}

/* Started: the products of a stage's rows of 128 bytes, of the first `count` bands of 64 rows of x, which are
 * band_bytes apart, with all rows of W. */
template <bool fp8, int count, int band_bytes, int bands, int sums>
static __device__ __forceinline__ void start_stage(float (&d)[bands][sums], uint64_t x, uint64_t w,
                                                   bool add) {
    constexpr int row_bytes = 128, step_bytes = 32;
#pragma unroll
    for (int m = 0; m < count; m++) {
        keep(d[m]);
    }
    product_fence();
#pragma unroll
    for (int i = 0; i < row_bytes / step_bytes; i++) {
#pragma unroll
        for (int m = 0; m < count; m++) {
            const uint64_t rows = x + m * (band_bytes / 16) + 2 * i;
            if (fp8)
                product_e4m3(d[m], rows, w + 2 * i, add || i > 0);
            else
                product_bf16(d[m], rows, w + 2 * i, add || i > 0);
        }
    }
    product_commit();
}

#undef INK_HOPPER_96_NAMES
#undef INK_HOPPER_96

} // namespace hopper

#endif
