/*
 * Inside of attention for Hopper (attention_hopper.cu): what a block has in shared memory, and the
 * threads that fill it.
 */
#ifndef INK_BACKEND_CUDA_ATTENTION_HOPPER_CUH
#define INK_BACKEND_CUDA_ATTENTION_HOPPER_CUH

#include "backend/cuda/attention_hopper.h"
#include "backend/cuda/device.cuh"
#include "backend/cuda/hopper_products.cuh"

namespace hopper_attention {

constexpr int head_dim = ink_hopper_head_dim, slices = head_dim / hopper::slice_columns;
constexpr int query_rows = ink_hopper_query_rows, group_rows = 64, key_rows = ink_hopper_key_rows;
constexpr int stages = 2; /* of queries, of keys and of values */
constexpr int consumer_groups = query_rows / group_rows;
constexpr int thread_count = (1 + consumer_groups) * hopper::group_threads;
/* Products of 16 along the sum. */
constexpr int steps = head_dim / 16, key_steps = key_rows / 16;
/* Numbers of a thread: scores, and weights as pairs. */
constexpr int score_count = key_rows / 2, weight_count = key_rows / 4;
constexpr uint32_t query_slice_bytes = query_rows * hopper::slice_row_bytes;
constexpr uint32_t key_slice_bytes = key_rows * hopper::slice_row_bytes;
constexpr uint32_t query_bytes = slices * query_slice_bytes, key_bytes = slices * key_slice_bytes;

static_assert(hopper::slice_columns == ink_hopper_slice_columns, "maps have the slices of tiles");

/* What a warpgroup leaves of a part. */
constexpr int part_vectors = ink_hopper_part_vectors * hopper::group_threads,
              part_bytes = part_vectors * (int)sizeof(float4);
static_assert(consumer_groups * part_bytes == ink_hopper_part_bytes, "the memory for parts");
static_assert(part_bytes <= (int)key_bytes, "a stage holds what a warpgroup left");

/* What consumers must know of a piece of work. It is written before its queries arrive and read until the
 * next one's have been used; the producer is then at most two pieces further on. */
struct work {
    int tiles; /* 0: there is no more */
    int first, first_tiles, first_rows, second_rows, rows;
    int part, parts;
    bool leaves;   /* its sums; else they are final, with those of the parts */
    ink_bf16 *out; /* of the first query's head */
    int64_t out_stride;
};
constexpr int works = 4;

struct shared_memory {
    ink_bf16 q[stages][slices][query_rows][hopper::slice_columns];
    ink_bf16 k[stages][slices][key_rows][hopper::slice_columns];
    ink_bf16 v[stages][slices][key_rows][hopper::slice_columns];
    work items[works];
    uint64_t q_full[stages], q_empty[stages];
    uint64_t k_full[stages], k_empty[stages], v_full[stages], v_empty[stages];
    uint64_t left; /* the sums of the first piece are in memory */
};
constexpr int shared_alignment = 1024, shared_bytes = (int)sizeof(shared_memory) + shared_alignment;

typedef hopper::ring<stages> ring;

/* The tiles of a segment's keys: those of the first range, then those of the second. */
struct key_tiles {
    int first_range, first_tiles;
    __device__ __forceinline__ key_tiles(const ink_hopper_params &p, int any_range) {
        first_range = any_range / INK_MAX_STREAMS * INK_MAX_STREAMS;
        first_tiles = (p.ranges[first_range].rows + key_rows - 1) / key_rows;
    }
    __device__ __forceinline__ int range_of(int tile) const {
        return tile < first_tiles ? first_range : first_range + 1;
    }
    __device__ __forceinline__ int row_of(int tile) const {
        return key_rows * (tile < first_tiles ? tile : tile - first_tiles);
    }
};

/* ---- loading ---- */

static __device__ __forceinline__ void describe_work(work &to, const ink_hopper_params &p,
                                                     const ink_hopper_piece &piece) {
    const ink_cuda_attention_item &item = piece.item;
    const ink_hopper_range &range = p.ranges[item.range];
    const key_tiles tiles(p, item.range);
    to.tiles = piece.end - piece.first;
    to.first = piece.first;
    to.first_tiles = tiles.first_tiles;
    to.first_rows = p.ranges[tiles.first_range].rows;
    to.second_rows = p.ranges[tiles.first_range + 1].rows;
    to.rows = item.rows;
    to.part = piece.part;
    to.parts = piece.parts;
    to.leaves = piece.first > 0;
    to.out = static_cast<ink_bf16 *>(range.out) + item.row * range.out_stride + item.head * head_dim;
    to.out_stride = range.out_stride;
}

/* The stage of the n-th load into a ring, once it is empty; its barrier will be told of the bytes. */
static __device__ __forceinline__ int await_stage(uint32_t n, uint64_t *full, uint64_t *empty,
                                                  uint32_t bytes) {
    const int stage = (int)(n % stages);
    hopper::barrier_wait(&empty[stage], n / stages % 2 ^ 1);
    hopper::barrier_expect(&full[stage], bytes);
    return stage;
}

/* Rows of a head's two slices from `row` on. */
template <typename tile>
static __device__ __forceinline__ void load(uint32_t n, tile *to, uint64_t *full, uint64_t *empty,
                                            uint32_t bytes, const CUtensorMap &map, int row, int slice) {
    const int stage = await_stage(n, full, empty, bytes);
    hopper::load_box(to[stage], &map, &full[stage], 0, row, slice);
}

/* ---- parts ---- */

static __device__ __forceinline__ float4 *sums_of(const ink_hopper_params &p, int part, int group) {
    return static_cast<float4 *>(p.parts) + (part * consumer_groups + group) * part_vectors;
}

static __device__ __forceinline__ uint32_t *flag_of(const ink_hopper_params &p, int part, int group) {
    return p.flags + part * consumer_groups + group;
}

/* By one thread. Says that what the block leaves is there, if it leaves anything: that is its first piece. */
static __device__ __forceinline__ void publish(const ink_hopper_params &p, shared_memory &s) {
    const ink_hopper_piece &piece = p.pieces[p.starts[blockIdx.x]];
    if (piece.first == 0) return;
    hopper::barrier_wait(&s.left, 0);
    hopper::copies_fence();
    for (int i = 0; i < consumer_groups; i++) {
        asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag_of(p, piece.part, i)), "r"(1)
                     : "memory");
    }
}

/* After the tiles: the parts of the last piece, as one of the warpgroups left them, once they are there. They
 * were begun before what waits for them. */
template <typename tile>
static __device__ __forceinline__ void load_parts(const ink_hopper_params &p, uint32_t n, tile *to,
                                                  uint64_t *full, uint64_t *empty, int group) {
    const ink_hopper_piece &last = p.pieces[p.starts[blockIdx.x + 1] - 1];
    for (int part = last.part; part < last.part + last.parts; part++, n++) {
        uint32_t *flag = flag_of(p, part, group), there;
        do {
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(there) : "l"(flag) : "memory");
        } while (!there);
        *flag = 0; /* for the next launch */
        hopper::copies_fence();
        const int stage = await_stage(n, full, empty, part_bytes);
        hopper::load_bytes(to[stage], sums_of(p, part, group), part_bytes, &full[stage]);
    }
}

/* ---- all of it, by three threads, each of another warp ---- */

/* The keys of tile `first` on, up to `end`: loads n and following. */
static __device__ __forceinline__ void load_keys(const ink_hopper_params &p, shared_memory &s,
                                                 const ink_hopper_piece &piece, uint32_t n, int first,
                                                 int end) {
    const int slice = piece.item.head / p.group * slices;
    const key_tiles tiles(p, piece.item.range);
    for (int tile = first; tile < end; tile++, n++) {
        load(n, s.k, s.k_full, s.k_empty, key_bytes, p.ranges[tiles.range_of(tile)].k, tiles.row_of(tile),
             slice);
    }
}

/* Queries and keys; then what the first warpgroup left. */
static __device__ __forceinline__ void produce_keys(const ink_hopper_params &p, shared_memory &s) {
    const int begin = p.starts[blockIdx.x], end = p.starts[blockIdx.x + 1];
    uint32_t number = 0, n = 0; /* pieces, and tiles of all of them */
    for (int i = begin; i < end; i++, number++) {
        const ink_hopper_piece &piece = p.pieces[i];
        const int first = piece.first, last = piece.end;
        load_keys(p, s, piece, n, first, first + 1);
        hopper::barrier_wait(&s.q_empty[number % stages], number / stages % 2 ^ 1);
        describe_work(s.items[number % works], p, piece);
        load(number, s.q, s.q_full, s.q_empty, query_bytes, p.ranges[piece.item.range].q, piece.item.row,
             piece.item.head * slices);
        load_keys(p, s, piece, n + 1, first + 1, last);
        n += (uint32_t)(last - first);
    }
    hopper::barrier_wait(&s.q_empty[number % stages], number / stages % 2 ^ 1);
    s.items[number % works].tiles = 0;
    hopper::barrier_arrive(&s.q_full[number % stages]);
    load_parts(p, n, s.k, s.k_full, s.k_empty, 0);
}

/* Values; then what the second warpgroup left. */
static __device__ __forceinline__ void produce_values(const ink_hopper_params &p, shared_memory &s) {
    const int begin = p.starts[blockIdx.x], end = p.starts[blockIdx.x + 1];
    uint32_t n = 0;
    for (int i = begin; i < end; i++) {
        const ink_hopper_piece &piece = p.pieces[i];
        const int slice = piece.item.head / p.group * slices, last = piece.end;
        const key_tiles tiles(p, piece.item.range);
        for (int tile = piece.first; tile < last; tile++, n++) {
            load(n, s.v, s.v_full, s.v_empty, key_bytes, p.ranges[tiles.range_of(tile)].v, tiles.row_of(tile),
                 slice);
        }
    }
    load_parts(p, n, s.v, s.v_full, s.v_empty, 1);
}

/* By the threads of a warpgroup. */
static __device__ __forceinline__ void produce(const ink_hopper_params &p, shared_memory &s) {
    switch (threadIdx.x) {
    case 0:
        produce_keys(p, s);
        break;
    case warp_size:
        produce_values(p, s);
        break;
    case 2 * warp_size:
        publish(p, s);
        break;
    default:
        break;
    }
}

} // namespace hopper_attention

#endif
