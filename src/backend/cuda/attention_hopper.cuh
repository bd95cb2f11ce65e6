/*
 * What the Hopper kernels share: rings of tiles, and the arithmetic between two products. A warpgroup has 64
 * queries; n registers of a thread are of a matrix with 64 rows and 2 n columns, as products have them.
 */
#ifndef INK_BACKEND_CUDA_ATTENTION_HOPPER_CUH
#define INK_BACKEND_CUDA_ATTENTION_HOPPER_CUH

#include "backend/cuda/attention_hopper.h"
#include "backend/cuda/device.cuh"
#include "backend/cuda/hopper.cuh"

namespace hopper {

/* A place in a ring of tiles. The consumers' first phase has parity 0; producers wait for the one before. */
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

/* The tiles of a segment's keys: those of the first range, then those of the second. */
template <int key_rows> struct key_tiles {
    int first_range, first_rows, second_rows, first_tiles, count;
    __device__ __forceinline__ key_tiles(const ink_hopper_params &p, int any_range) {
        first_range = any_range / INK_MAX_STREAMS * INK_MAX_STREAMS;
        first_rows = p.ranges[first_range].rows;
        second_rows = p.ranges[first_range + 1].rows;
        first_tiles = (first_rows + key_rows - 1) / key_rows;
        count = first_tiles + (second_rows + key_rows - 1) / key_rows;
    }
    __device__ __forceinline__ int range_of(int tile) const {
        return tile < first_tiles ? first_range : first_range + 1;
    }
    __device__ __forceinline__ int row_of(int tile) const {
        return key_rows * (tile < first_tiles ? tile : tile - first_tiles);
    }
    /* Rows that are there, from the tile's first on; may be more than the tile has. */
    __device__ __forceinline__ int rows_left(int tile) const {
        return (tile < first_tiles ? first_rows : second_rows) - row_of(tile);
    }
};

/* A warp has read what it needs. */
static __device__ __forceinline__ void release(uint64_t *empty) {
    if (threadIdx.x % warp_size == 0) barrier_arrive(empty);
}

static __device__ __forceinline__ float power_of_2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* Columns from `left` on are no keys. */
template <int n> static __device__ __forceinline__ void mask(float (&scores)[n], int left) {
    if (left >= 2 * n) return;
    const int column = 2 * ((int)threadIdx.x % 4);
#pragma unroll
    for (int i = 0; i < n; i++) {
        if (8 * (i / 4) + column + i % 2 >= left) scores[i] = -INFINITY;
    }
}

/* What is known of a thread's two rows. The totals are sums over the thread's own columns only. */
struct row_state {
    float highest[2], total[2];
};

/* Turns scores into weights relative to the rows' new maxima; what was summed before is to be multiplied by
 * `shrink`. */
template <int n>
static __device__ __forceinline__ void soften(float (&scores)[n], row_state &rows, float (&shrink)[2],
                                              float scale) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float highest = rows.highest[h];
#pragma unroll
        for (int i = 2 * h; i < n; i += 4) {
            highest = fmaxf(highest, fmaxf(scores[i], scores[i + 1]));
        }
        highest = fmaxf(highest, __shfl_xor_sync(0xFFFFFFFFu, highest, 1));
        highest = fmaxf(highest, __shfl_xor_sync(0xFFFFFFFFu, highest, 2));
        /* As long as all scores are -inf, the sums must stay 0 and not become NaN. */
        const float base = highest == -INFINITY ? 0 : highest * scale;
        shrink[h] = power_of_2(fmaf(rows.highest[h], scale, -base));
        rows.highest[h] = highest;
        float even = 0, odd = 0;
#pragma unroll
        for (int i = 2 * h; i < n; i += 4) {
            scores[i] = power_of_2(fmaf(scores[i], scale, -base));
            scores[i + 1] = power_of_2(fmaf(scores[i + 1], scale, -base));
            even += scores[i];
            odd += scores[i + 1];
        }
        rows.total[h] = fmaf(rows.total[h], shrink[h], even + odd);
    }
}

static __device__ __forceinline__ uint32_t pair(float low, float high) {
    const __nv_bfloat162 two = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t *>(&two);
}

/* Weights as the left operand of products. */
template <int n>
static __device__ __forceinline__ void narrow_weights(uint32_t (&weights)[n / 2], const float (&scores)[n]) {
#pragma unroll
    for (int i = 0; i < n / 2; i++) {
        weights[i] = pair(scores[2 * i], scores[2 * i + 1]);
    }
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

/* What was summed before, relative to the new maxima. These change seldom after the first tiles. */
template <int n> static __device__ __forceinline__ void rescale(float (&out)[n], const float (&shrink)[2]) {
    const bool same = shrink[0] >= 1 && shrink[1] >= 1; /* not if they are NaN */
    if (__all_sync(0xFFFFFFFFu, same)) return;
#pragma unroll
    for (int i = 0; i < n; i++) {
        out[i] *= shrink[i / 2 % 2];
    }
}

/* Divides by the totals and writes the rows that are there. A thread has two neighbouring columns of every
 * eight; four threads exchange theirs so that each writes eight. `column`: the first of the row. */
template <int n>
static __device__ __forceinline__ void store(const ink_hopper_params &p, const ink_cuda_attention_item &item,
                                             int group_row, int64_t column, const float (&out)[n],
                                             const row_state &rows) {
    const ink_hopper_range &to = p.ranges[item.range];
    const int thread = (int)threadIdx.x % group_threads;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float total = rows.total[h];
        total += __shfl_xor_sync(0xFFFFFFFFu, total, 1);
        total += __shfl_xor_sync(0xFFFFFFFFu, total, 2);
        const float factor = 1 / total;
        const int row = group_row + thread / warp_size * 16 + thread % warp_size / 4 + 8 * h;
        ink_bf16 *at =
            static_cast<ink_bf16 *>(to.out) + (item.row + row) * to.out_stride + column + 8 * (thread % 4);
#pragma unroll
        for (int i = 0; i < n / 16; i++) {
            uint32_t words[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const int first = 4 * (4 * i + j) + 2 * h;
                words[j] = pair(out[first] * factor, out[first + 1] * factor);
            }
            transpose4(words);
            if (row < item.rows) {
                *reinterpret_cast<uint4 *>(at + 32 * i) = make_uint4(words[0], words[1], words[2], words[3]);
            }
        }
    }
}

/* Whose turn it is to start products: barrier 1 for the first warpgroup, 2 for the second. */
static __device__ __forceinline__ void await_turn(int group) {
    turn_wait(1 + group, 2 * group_threads);
}
static __device__ __forceinline__ void give_turn(int group) {
    turn_arrive(2 - group, 2 * group_threads);
}

} // namespace hopper

#endif
