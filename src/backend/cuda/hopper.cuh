/*
 * Hopper's own instructions, one function each: barriers in shared memory, the copy engine for boxes of
 * tensors, and matrix products of warpgroups (128 threads) on tiles in shared memory. sm_90a only.
 *
 * Tiles are bf16 in slices of 64 columns: a slice is rows of 128 bytes, and its address a multiple of 1024.
 * The copy engine stores 16-byte chunk c of row r in place of chunk c ^ (r % 8), and the products undo it, so
 * that reading a column of chunks meets all banks.
 */
#ifndef INK_BACKEND_CUDA_HOPPER_CUH
#define INK_BACKEND_CUDA_HOPPER_CUH

#include <cuda.h>
#include <cuda_bf16.h>
#include <stdint.h>

namespace hopper {

constexpr int group_threads = 128; /* of a warpgroup */
constexpr int slice_columns = 64;  /* elements in a row of a slice */
constexpr int slice_row_bytes = 128;

static __device__ __forceinline__ uint32_t shared_address(const void *x) {
    return (uint32_t)__cvta_generic_to_shared(x);
}

/* ---- barriers: a phase ends when all arrivals and all announced bytes are there ---- */

static __device__ __forceinline__ void barrier_init(uint64_t *barrier, uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals)
                 : "memory");
}

/* After the inits, by the thread that made them; then __syncthreads. */
static __device__ __forceinline__ void barrier_init_done() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

static __device__ __forceinline__ void barrier_arrive(uint64_t *barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

/* Arrives, and announces bytes of the copy engine. */
static __device__ __forceinline__ void barrier_expect(uint64_t *barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
}

/* Waits until the phase of this parity has ended; the phase before the first one has parity 1. */
static __device__ __forceinline__ void barrier_wait(uint64_t *barrier, uint32_t parity) {
    const uint32_t address = shared_address(barrier);
    uint32_t done;
    do {
        asm volatile("{\n"
                     ".reg .pred p;\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
                     "selp.u32 %0, 1, 0, p;\n"
                     "}\n"
                     : "=r"(done)
                     : "r"(address), "r"(parity)
                     : "memory");
    } while (!done);
}

/* A place in a ring of stages. Who takes out of a ring begins with parity 0; who fills it begins with 1. */
template <int stages> struct ring {
    int stage;
    uint32_t parity;
    __device__ __forceinline__ void next() {
        if (++stage == stages) {
            stage = 0;
            parity ^= 1;
        }
    }
};

/* Barriers of the block with a number, 1 to 15: of `threads` threads, some wait and some only arrive. */
static __device__ __forceinline__ void turn_wait(int number, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}
static __device__ __forceinline__ void turn_arrive(int number, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

/* ---- the copy engine ---- */

static __device__ __forceinline__ void map_prefetch(const CUtensorMap *map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/* The box of a 3-dimensional tensor at (x, y, z), innermost first; what lies outside becomes 0. The bytes of
 * the whole box arrive at the barrier. */
static __device__ __forceinline__ void load_box(void *to, const CUtensorMap *map, uint64_t *barrier, int x,
                                                int y, int z) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(shared_address(to)),
                 "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z)
                 : "memory");
}

/* ---- registers ---- */

template <int count> static __device__ __forceinline__ void registers_increase() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
}
template <int count> static __device__ __forceinline__ void registers_decrease() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
}

/* ---- products ---- */

/* How products find a tile in shared memory; addresses count in units of 16 bytes, so that adding n moves by
 * 16 n bytes. For operands whose rows run along the sum (q and k): eight rows are 1024 bytes, and slices are
 * chosen by moving. For those whose rows run across it (v): `slice_bytes` is from one slice to the next. */
static __device__ __forceinline__ uint64_t describe(const void *tile, uint32_t slice_bytes) {
    constexpr uint64_t swizzle_128 = 1;
    constexpr uint64_t eight_rows = 8 * slice_row_bytes;
    const uint64_t address = shared_address(tile);
    return (address >> 4 & 0x3FFF) | (uint64_t)(slice_bytes >> 4 & 0x3FFF) << 16 | (eight_rows >> 4) << 32 |
           swizzle_128 << 62;
}

/* Before products, when registers that they use were touched; then products; then commit, which makes them a
 * group; then wait, until at most `pending` groups are not finished. */
static __device__ __forceinline__ void product_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
static __device__ __forceinline__ void product_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int pending> static __device__ __forceinline__ void product_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

/* Registers that products work on must not be moved across their begin and end by the compiler. */
template <int n> static __device__ __forceinline__ void keep(float (&x)[n]) {
#pragma unroll
    for (int i = 0; i < n; i++) {
        asm volatile("" : "+f"(x[i])::"memory");
    }
}
template <int n> static __device__ __forceinline__ void keep(uint32_t (&x)[n]) {
#pragma unroll
    for (int i = 0; i < n; i++) {
        asm volatile("" : "+r"(x[i])::"memory");
    }
}

/* Operands of asm: n elements from i on. For this header and those that add to it. */
#define INK_HOPPER_4(d, i) "+f"((d)[i]), "+f"((d)[(i) + 1]), "+f"((d)[(i) + 2]), "+f"((d)[(i) + 3])
#define INK_HOPPER_16(d, i)                                                                                  \
    INK_HOPPER_4(d, i), INK_HOPPER_4(d, (i) + 4), INK_HOPPER_4(d, (i) + 8), INK_HOPPER_4(d, (i) + 12)
#define INK_HOPPER_64(d, i)                                                                                  \
    INK_HOPPER_16(d, i), INK_HOPPER_16(d, (i) + 16), INK_HOPPER_16(d, (i) + 32), INK_HOPPER_16(d, (i) + 48)
#define INK_HOPPER_72(d) INK_HOPPER_64(d, 0), INK_HOPPER_4(d, 64), INK_HOPPER_4(d, 68)
#define INK_HOPPER_NAMES_64                                                                                  \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                                 \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "                       \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "                       \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define INK_HOPPER_NAMES_72 INK_HOPPER_NAMES_64 ", %64, %65, %66, %67, %68, %69, %70, %71"

/* d [64, 144] = a [64, 16] b^T, or += if `add`; b [144, 16]; a and b have rows along the sum. Thread t has of
 * d the rows 16 (t / 32) + t % 32 / 4 and 8 more, and there the columns 8 j + 2 (t % 4) and 1 more: d[4 j],
 * d[4 j + 1] of the first row, d[4 j + 2], d[4 j + 3] of the second. */
static __device__ __forceinline__ void product(float (&d)[72], uint64_t a, uint64_t b, bool add) {
    asm volatile("{\n"
                 ".reg .pred p;\n"
                 "setp.ne.b32 p, %74, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n144k16.f32.bf16.bf16 {" INK_HOPPER_NAMES_72
                 "}, %72, %73, p, 1, 1, 0, 0;\n"
                 "}\n"
                 : INK_HOPPER_72(d)
                 : "l"(a), "l"(b), "r"((int)add));
}

/* d [64, 128] = a [64, 16] b, or +=; b [16, 128] has rows across the sum. `a` is in registers: what is d's
 * layout for 16 columns, as pairs: (d[0], d[1]), (d[2], d[3]), (d[4], d[5]), (d[6], d[7]). */
static __device__ __forceinline__ void product(float (&d)[64], const uint32_t *a, uint64_t b, bool add) {
    asm volatile("{\n"
                 ".reg .pred p;\n"
                 "setp.ne.b32 p, %69, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" INK_HOPPER_NAMES_64
                 "}, {%64, %65, %66, %67}, %68, p, 1, 1, 1;\n"
                 "}\n"
                 : INK_HOPPER_64(d, 0)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)add));
}

#undef INK_HOPPER_NAMES_72
#undef INK_HOPPER_NAMES_64
#undef INK_HOPPER_72

/* ---- what threads of a warp do together ---- */

/* A warp has read what it needs: one of its threads arrives. */
static __device__ __forceinline__ void release(uint64_t *empty) {
    if (threadIdx.x % 32 == 0) barrier_arrive(empty);
}

static __device__ __forceinline__ float power_of_2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* The sum over a row's columns, which four neighbouring threads have. */
static __device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
    return x + __shfl_xor_sync(0xFFFFFFFFu, x, 2);
}

static __device__ __forceinline__ uint32_t pair(float low, float high) {
    const __nv_bfloat162 two = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t *>(&two);
}
static __device__ __forceinline__ float2 widen_pair(uint32_t two) {
    return make_float2(__uint_as_float(two << 16), __uint_as_float(two & 0xFFFF0000u));
}

/* Among four neighbouring threads: word i of thread t goes to thread i as its word t. */
static __device__ __forceinline__ void transpose4(uint32_t (&x)[4]) {
    const bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
    const uint32_t a = __shfl_xor_sync(0xFFFFFFFFu, odd ? x[0] : x[1], 1);
    const uint32_t b = __shfl_xor_sync(0xFFFFFFFFu, odd ? x[2] : x[3], 1);
    if (odd)
        x[0] = a, x[2] = b;
    else
        x[1] = a, x[3] = b;
    const uint32_t c = __shfl_xor_sync(0xFFFFFFFFu, upper ? x[0] : x[2], 2);
    const uint32_t d = __shfl_xor_sync(0xFFFFFFFFu, upper ? x[1] : x[3], 2);
    if (upper)
        x[0] = c, x[1] = d;
    else
        x[2] = c, x[3] = d;
}

} // namespace hopper

#endif
