/*
 * Inside of the kernels for products with few rows on Hopper (linear_thin.cu, linear_beside.cu): stages of
 * boxes of x and W. `memory` is a block's shared memory: w, x, full and empty of as many stages as it has
 * room for.
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

template <typename memory> static __device__ __forceinline__ memory &align(unsigned char *unaligned) {
    return *reinterpret_cast<memory *>(
        unaligned + (alignment - hopper::shared_address(unaligned) % alignment) % alignment);
}

/* By one thread; then barrier_init_done. So many warpgroups read a stage. */
template <int readers, typename memory> static __device__ __forceinline__ void init_stages(memory &s) {
    constexpr int stages = sizeof(s.full) / sizeof(s.full[0]);
    for (int i = 0; i < stages; i++) {
        hopper::barrier_init(&s.full[i], 1);
        hopper::barrier_init(&s.empty[i], readers * hopper::group_threads / warp_size);
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
