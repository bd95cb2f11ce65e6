/*
 * Inside of the kernel for large products on Hopper (linear_hopper.cu): what a tile and a stage are, and how
 * sums of parts of K get from those who make them to whoever adds them.
 */
#ifndef INK_BACKEND_CUDA_LINEAR_TILES_CUH
#define INK_BACKEND_CUDA_LINEAR_TILES_CUH

#include "backend/cuda/device.cuh"
#include "backend/cuda/hopper_products.cuh"
#include "backend/cuda/linear_hopper.h"

namespace hopper_linear {

constexpr int stages = 3, consumer_groups = 2, group_rows = 64;
constexpr int thread_count = (1 + consumer_groups) * hopper::group_threads;
constexpr int consumer_warps = consumer_groups * hopper::group_threads / warp_size,
              cluster_blocks = ink_hopper_cluster;
constexpr int tile_columns = ink_hopper_tile_columns, head_columns = ink_hopper_head_columns,
              box_columns = ink_hopper_box_columns;
constexpr int row_bytes = ink_hopper_box_bytes, x_bytes = ink_hopper_tile_rows * row_bytes,
              w_bytes = tile_columns * row_bytes;

/* A warpgroup's rows: `bands` times 64, and this far apart. */
constexpr int bands = 2, band_step = ink_hopper_tile_rows / bands;
/* What a thread has of the sums of 64 rows. */
constexpr int band_sums = group_rows * tile_columns / hopper::group_threads;

/* The result goes to memory by 64 rows and columns at a time. */
constexpr int store_bytes = group_rows * row_bytes, store_boxes = tile_columns / box_columns;

struct shared_memory {
    unsigned char x[stages][x_bytes];
    unsigned char w[stages][w_bytes];
    unsigned char out[consumer_groups][store_boxes][store_bytes];
    float2 bias[consumer_groups][tile_columns / 2], scales[consumer_groups][tile_columns / 2];
    uint64_t full[stages], empty[stages];
};
constexpr int shared_alignment = 1024, shared_bytes = (int)sizeof(shared_memory) + shared_alignment;

typedef hopper::ring<stages> ring;

/* ---- which columns ---- */

/* Of box b of a tile. A tile of q, k and v is a head of q or k, which is rotated as a whole, and half a head
 * of v: there are as many of one as of the other. */
template <bool rotates>
static __device__ __forceinline__ int column_of(const ink_hopper_linear_params &p, int tile, int b) {
    constexpr int head_boxes = head_columns / box_columns;
    if (!rotates) return tile * tile_columns + b * box_columns;
    return b < head_boxes ? tile * head_columns + b * box_columns
                          : 2 * p.part_columns + tile * box_columns + (b - head_boxes) * box_columns;
}

/* A warp has read what it needs: both blocks must know before either loads into the stage of both. */
static __device__ __forceinline__ void release(uint64_t *empty) {
    const uint32_t lane = threadIdx.x % warp_size;
    if (lane < cluster_blocks) hopper::barrier_arrive_at(empty, lane);
}

/* ---- sums of a part of K ---- */

/* A warpgroup's own part of a slot: for each of its bands, a number of chunks, in which each thread's float4
 * lie a warpgroup apart. */
constexpr int chunks = 2, chunk_sums = band_sums / chunks,
              chunk_bytes = chunk_sums * hopper::group_threads * (int)sizeof(float);
static_assert(chunk_bytes <= x_bytes && chunk_bytes <= w_bytes, "a stage holds a chunk of each warpgroup");

static __device__ __forceinline__ int slot_part(int slot, int rank, int group) {
    return (slot * cluster_blocks + rank) * consumer_groups + group;
}
static __device__ __forceinline__ float *sums_of(const ink_hopper_linear_params &p, int part) {
    return p.slots + (int64_t)part * (bands * band_sums * hopper::group_threads);
}
/* Bands of warpgroup 0, and so the most of any. */
static __device__ __forceinline__ int bands_of(const ink_hopper_linear_params &p,
                                               const ink_hopper_linear_item &item) {
    return item.row + band_step < p.groups[item.group].rows ? bands : 1;
}
/* Stages that bring sums. */
static __device__ __forceinline__ int sum_stages(const ink_hopper_linear_params &p,
                                                 const ink_hopper_linear_item &item) {
    return item.slots * bands_of(p, item) * chunks;
}

template <int count>
static __device__ __forceinline__ void leave_sums(const ink_hopper_linear_params &p, int slot, int rank,
                                                  int group, const float (&d)[bands][band_sums]) {
    const int part = slot_part(slot, rank, group), thread = (int)threadIdx.x % hopper::group_threads;
    float4 *to = reinterpret_cast<float4 *>(sums_of(p, part)) + thread;
#pragma unroll
    for (int m = 0; m < count; m++) {
#pragma unroll
        for (int j = 0; j < band_sums; j += 4) {
            __stcg(to, make_float4(d[m][j], d[m][j + 1], d[m][j + 2], d[m][j + 3]));
            to += hopper::group_threads;
        }
    }
    hopper::copies_fence();
    __threadfence();
    hopper::turn_wait(1 + group, hopper::group_threads);
    if (thread == 0)
        asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(p.flags + part), "r"(1) : "memory");
}

/* Until the sums are there. They were begun before those of this item: nobody who leaves sums waits for
 * anything. */
static __device__ __forceinline__ void wait_for_sums(const ink_hopper_linear_params &p, int part) {
    uint32_t there;
    do {
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(there) : "l"(p.flags + part) : "memory");
    } while (!there);
    p.flags[part] = 0; /* for the next launch */
}

/* By the thread that loads: a stage for each chunk, of warpgroup 0 in place of x and of warpgroup 1 in place
 * of W. Where a warpgroup has no rows or columns, nobody left anything. */
template <bool rotates>
static __device__ __forceinline__ void bring_sums(const ink_hopper_linear_params &p, shared_memory &s,
                                                  const ink_hopper_linear_item &item, int rank, ring &at) {
    const bool any = column_of<rotates>(p, item.tile + rank, 0) < p.columns,
               both = item.row + group_rows < p.groups[item.group].rows;
    for (int slot = item.slot; slot < item.slot + item.slots; slot++) {
        const int part = slot_part(slot, rank, 0);
        if (any) wait_for_sums(p, part);
        if (any && both) wait_for_sums(p, part + 1);
        hopper::copies_fence();
        for (int c = 0; c < bands_of(p, item) * chunks; c++) {
            uint64_t *full = &s.full[at.stage];
            hopper::barrier_wait(&s.empty[at.stage], at.parity);
            hopper::barrier_expect(full, any ? chunk_bytes * (both ? 2 : 1) : 0);
            const int from = c * (chunk_bytes / (int)sizeof(float));
            if (any) hopper::load_bytes(s.x[at.stage], sums_of(p, part) + from, chunk_bytes, full);
            if (any && both)
                hopper::load_bytes(s.w[at.stage], sums_of(p, part + 1) + from, chunk_bytes, full);
            at.next();
        }
    }
}

/* By those who multiply. */
template <int count>
static __device__ __forceinline__ void add_sums(shared_memory &s, int group, int most, ring &at,
                                                float (&d)[bands][band_sums]) {
#pragma unroll
    for (int m = 0; m < bands; m++) {
        if (m >= most) break;
#pragma unroll
        for (int c = 0; c < chunks; c++) {
            const float4 *from = reinterpret_cast<const float4 *>(group ? s.w[at.stage] : s.x[at.stage]) +
                                 threadIdx.x % hopper::group_threads;
            hopper::barrier_wait(&s.full[at.stage], at.parity);
            if (m < count) {
#pragma unroll
                for (int j = c * chunk_sums; j < (c + 1) * chunk_sums; j += 4) {
                    const float4 more = from[(j - c * chunk_sums) / 4 * hopper::group_threads];
                    d[m][j] += more.x, d[m][j + 1] += more.y;
                    d[m][j + 2] += more.z, d[m][j + 3] += more.w;
                }
            }
            __syncwarp();
            /* By one thread at both. */
            for (uint32_t block = 0; block < cluster_blocks && threadIdx.x % warp_size == 0; block++) {
                hopper::barrier_arrive_at(&s.empty[at.stage], block);
            }
            at.next();
        }
    }
}

} // namespace hopper_linear

#endif
