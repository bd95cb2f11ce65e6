/*
 * Inside of the kernels for products with few rows on Hopper (linear_thin.cu, linear_beside.cu): stages of
 * boxes of x and W, and what is multiplied of them. `memory` is a block's shared memory: w, x, full and empty
 * of as many stages as it has room for.
 */
#ifndef INK_BACKEND_CUDA_LINEAR_THIN_CUH
#define INK_BACKEND_CUDA_LINEAR_THIN_CUH

#include "backend/cuda/device.cuh"
#include "backend/cuda/hopper_build.h"
#include "backend/cuda/hopper_thin.cuh"
#include "backend/cuda/linear_thin.h"

namespace thin {

constexpr int row_bytes = 128, box_columns = row_bytes / 2, alignment = 1024;
constexpr int most_shared_bytes = 227 << 10;

/* Of a block with a warpgroup for each band of 64 rows, and a warp that loads. */
constexpr int threads_of(int bands) {
    return bands * hopper::group_threads + warp_size;
}

template <typename memory> static __device__ __forceinline__ memory &align(unsigned char *unaligned) {
    return *reinterpret_cast<memory *>(
        unaligned + (alignment - hopper::shared_address(unaligned) % alignment) % alignment);
}

/* By one thread; then barrier_init_done. */
template <int bands, typename memory> static __device__ __forceinline__ void init_stages(memory &s) {
    constexpr int stages = sizeof(s.full) / sizeof(s.full[0]);
    for (int i = 0; i < stages; i++) {
        hopper::barrier_init(&s.full[i], 1);
        hopper::barrier_init(&s.empty[i], bands * hopper::group_threads / warp_size);
    }
}

/* By one thread: boxes k of x and of the rows of W from `column` on, once the stage is empty. */
template <typename memory, typename ring>
static __device__ __forceinline__ void load_stage(const ink_thin_params &p, memory &s, ring &at, int k,
                                                  int column) {
    uint64_t *full = &s.full[at.stage];
    hopper::barrier_wait(&s.empty[at.stage], at.parity);
    hopper::barrier_expect(full, sizeof(s.x[0]) + sizeof(s.w[0]));
    hopper::load_rows(s.w[at.stage], &p.w, full, k * box_columns, column);
    hopper::load_rows(s.x[at.stage], &p.x, full, k * box_columns, 0);
    at.next();
}

/* By a warpgroup: the sums of its band over so many stages, which are released but for the last, which is
 * returned. */
template <typename memory, typename ring, int sums>
static __device__ __forceinline__ int multiply(memory &s, ring &at, int band, int boxes, float (&d)[sums]) {
    int before = 0;
    for (int k = 0; k < boxes; k++) {
        hopper::barrier_wait(&s.full[at.stage], at.parity);
        const uint64_t x = hopper::describe(s.x[at.stage] + band * ink_thin_band_rows * row_bytes, 16),
                       w = hopper::describe(s.w[at.stage], 16);
        hopper::keep(d);
        hopper::product_fence();
#pragma unroll
        for (int i = 0; i < row_bytes / 32; i++) {
            hopper::product_bf16(d, x + 2 * i, w + 2 * i, k > 0 || i > 0);
        }
        hopper::product_commit();
        if (k > 0) {
            hopper::product_wait<1>();
            hopper::release(&s.empty[before]);
        }
        before = at.stage;
        at.next();
    }
    hopper::product_wait<0>();
    hopper::keep(d);
    return before;
}

/* Bias of two columns. */
static __device__ __forceinline__ uint32_t load_bias(const ink_thin_params &p, int column) {
    return __ldg(reinterpret_cast<const uint32_t *>(static_cast<const ink_bf16 *>(p.bias) + column));
}

/* One of the kernels, and how it is launched. */
struct choice {
    const void *kernel;
    unsigned threads;
    int shared_bytes;
};

} // namespace thin

#endif
