/*
 * Attention for Hopper with heads of 384 columns: bf16, not causal, one segment. It is the autoencoder's.
 *
 * A block has two warpgroups and stays on its multiprocessor. Each takes 64 queries and all columns of the
 * output, which is 192 registers of a thread: the most that a multiprocessor has is given to them, and none
 * is left for warps that only load, nor for scores beside weights. So a warpgroup has either scores or output
 * in the tensor cores; the two take turns, and one's exponentials run during the other's products. The second
 * is half a step behind: both use a tile of 64 keys, then both its values. As the second is done with a piece
 * of a tile, one of its threads has the copy engine put the next tile's there.
 *
 * The maximum of a row's scores is a base that follows only when it was left far behind: the weights are
 * numbers in bf16, for which a common factor does not matter, and output is seldom multiplied.
 *
 * Where items of work are too few for all multiprocessors, they are cut along the keys. Such parts leave sums
 * and bases in device memory, and a second kernel joins them.
 *
 * ref: Shah et al., FlashAttention-3 (arXiv:2407.08608)
 */
#include "backend/cuda/attention_wide.h"
#include "backend/cuda/device.cuh"
#include "backend/cuda/hopper_build.h"
#include "backend/cuda/hopper_wide.cuh"

namespace {

constexpr int head_dim = ink_wide_head_dim, slices = head_dim / hopper::slice_columns;
constexpr int query_rows = ink_wide_rows, group_rows = 64, key_rows = ink_wide_keys;
constexpr int pair = ink_wide_pair, pairs = slices / pair;
constexpr int groups = query_rows / group_rows;
constexpr int thread_count = groups * hopper::group_threads;
constexpr int score_count = key_rows / 2, weight_count = score_count / 2; /* in a thread */
/* Products of 16 along the sum: of a pair of slices, of a tile of keys. */
constexpr int steps = pair * hopper::slice_columns / 16, key_steps = key_rows / 16;
constexpr uint32_t query_slice_bytes = query_rows * hopper::slice_row_bytes;
constexpr uint32_t key_slice_bytes = key_rows * hopper::slice_row_bytes;
constexpr uint32_t query_bytes = slices * query_slice_bytes, pair_bytes = pair * key_slice_bytes;
/* A base is left behind by powers of 2 up to this. */
constexpr float tolerated = 8;

typedef ink_bf16 key_tile[pairs][pair][key_rows][hopper::slice_columns];

struct shared_memory {
    ink_bf16 q[slices][query_rows][hopper::slice_columns];
    key_tile k, v;
    uint64_t q_full, q_empty, k_full[pairs], k_empty[pairs], v_full[pairs], v_empty[pairs];
};
constexpr int shared_alignment = 1024, shared_bytes = (int)sizeof(shared_memory) + shared_alignment;

/* ---- loading ---- */

__device__ __forceinline__ void load_queries(const ink_wide_params &p, shared_memory &s, int index) {
    const ink_wide_piece &piece = p.pieces[index];
    hopper::barrier_expect(&s.q_full, query_bytes);
    hopper::load_box(s.q, &p.q, &s.q_full, 0, piece.row, piece.head * slices);
}

/* A pair of slices of keys or values. */
__device__ __forceinline__ void load_pair(ink_bf16 (*to)[key_rows][hopper::slice_columns], uint64_t *full,
                                          const CUtensorMap *map, int row, int slice) {
    hopper::barrier_expect(full, pair_bytes);
    hopper::load_box(to, map, full, 0, row, slice);
}

/* Which tile comes next: its first row, or -1, and its first slice. */
struct tile_place {
    int row, slice;
};
__device__ __forceinline__ tile_place first_tile(const ink_wide_params &p, int index) {
    const ink_wide_piece &piece = p.pieces[index];
    return {piece.first * key_rows, piece.head / p.group * slices};
}

__device__ __forceinline__ void load_first(const ink_wide_params &p, shared_memory &s, int index) {
    const tile_place at = first_tile(p, index);
    load_queries(p, s, index);
    for (int i = 0; i < pairs; i++) {
        load_pair(s.k[i], &s.k_full[i], &p.k, at.row, at.slice + i * pair);
    }
    for (int i = 0; i < pairs; i++) {
        load_pair(s.v[i], &s.v_full[i], &p.v, at.row, at.slice + i * pair);
    }
}

/* ---- computing ---- */

/* This warp has read a pair. `next`, which only one thread has: what then comes there. */
__device__ __forceinline__ void replace(ink_bf16 (*to)[key_rows][hopper::slice_columns], uint64_t *full,
                                        uint64_t *empty, uint32_t parity, const CUtensorMap *map,
                                        const tile_place &next, int slice) {
    hopper::release(empty);
    if (next.row < 0) return;
    hopper::barrier_wait(empty, parity);
    load_pair(to, full, map, next.row, next.slice + slice);
}

/* scores [64, 64] = q k^T, started. */
__device__ __forceinline__ void start_scores(float (&scores)[score_count], uint64_t *full, uint32_t parity,
                                             uint64_t q, uint64_t k) {
    hopper::keep(scores);
#pragma unroll
    for (int i = 0; i < pairs; i++) {
        hopper::barrier_wait(&full[i], parity);
        hopper::product_fence();
#pragma unroll
        for (int j = 0; j < steps; j++) {
            /* 16 columns are 32 bytes, 4 times that a slice. */
            const uint64_t inside = 2 * (j % 4);
            const int slice = pair * i + j / 4;
            hopper::product(scores, q + slice * (query_slice_bytes / 16) + inside,
                            k + slice * (key_slice_bytes / 16) + inside, slice + j > 0);
        }
        hopper::product_commit();
    }
}

/* out [64, 384] += weights v, started. */
__device__ __forceinline__ void start_output(float (&out)[pairs][64], uint32_t (&weights)[weight_count],
                                             uint64_t *full, uint32_t parity, uint64_t v) {
#pragma unroll
    for (int i = 0; i < pairs; i++) {
        hopper::keep(out[i]);
    }
    hopper::keep(weights);
#pragma unroll
    for (int i = 0; i < pairs; i++) {
        hopper::barrier_wait(&full[i], parity);
        hopper::product_fence();
#pragma unroll
        for (int j = 0; j < key_steps; j++) {
            const uint64_t sixteen_rows = j * (16 * hopper::slice_row_bytes / 16);
            hopper::product(out[i], weights + 4 * j, v + i * (pair_bytes / 16) + sixteen_rows, true);
        }
        hopper::product_commit();
    }
}

/* Products of each pair, which are a group, have ended. */
__device__ __forceinline__ void finish(key_tile &tile, uint64_t *full, uint64_t *empty, uint32_t parity,
                                       const CUtensorMap *map, const tile_place &next) {
    static_assert(pairs == 3, "a wait for each");
    hopper::product_wait<2>();
    replace(tile[0], &full[0], &empty[0], parity, map, next, 0);
    hopper::product_wait<1>();
    replace(tile[1], &full[1], &empty[1], parity, map, next, pair);
    hopper::product_wait<0>();
    replace(tile[2], &full[2], &empty[2], parity, map, next, 2 * pair);
}

/* Columns from `left` on are no keys. */
__device__ __forceinline__ void mask(float (&scores)[score_count], int left) {
    if (left >= key_rows) return;
    const int column = 2 * ((int)threadIdx.x % 4);
#pragma unroll
    for (int i = 0; i < score_count; i++) {
        if (8 * (i / 4) + column + i % 2 >= left) scores[i] = -INFINITY;
    }
}

/* What is known of a thread's two rows. The totals are sums over the thread's own columns only. */
struct row_state {
    float base[2], total[2];
};

/* The bases follow the scores' maxima where these are far above, and output and totals with them. */
__device__ __forceinline__ void follow(const float (&scores)[score_count], row_state &rows,
                                       float (&out)[pairs][64], float scale) {
    float highest[2];
    bool far = false;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float most = fmaxf(scores[2 * h], scores[2 * h + 1]);
#pragma unroll
        for (int i = 4 + 2 * h; i < score_count; i += 4) {
            most = fmaxf(most, fmaxf(scores[i], scores[i + 1]));
        }
        most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 2));
        highest[h] = most * scale;
        far = far || highest[h] > rows.base[h] + tolerated;
    }
    if (!__any_sync(0xFFFFFFFFu, far)) return;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float base = fmaxf(rows.base[h], highest[h]);
        /* As long as all scores are -inf, the sums must stay 0 and not become NaN. */
        const float shrink = base == -INFINITY ? 1 : hopper::power_of_2(rows.base[h] - base);
        rows.base[h] = base;
        rows.total[h] *= shrink;
#pragma unroll
        for (int i = 0; i < pairs * 64; i++) {
            if (i / 2 % 2 == h) out[i / 64][i % 64] *= shrink;
        }
    }
}

/* Turns scores into weights relative to the rows' bases, the left operand of products. */
__device__ __forceinline__ void soften(uint32_t (&weights)[weight_count], float (&scores)[score_count],
                                       row_state &rows, float scale) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float base = rows.base[h] == -INFINITY ? 0 : rows.base[h];
        float even = 0, odd = 0;
#pragma unroll
        for (int i = 2 * h; i < score_count; i += 4) {
            const float low = hopper::power_of_2(fmaf(scores[i], scale, -base));
            const float high = hopper::power_of_2(fmaf(scores[i + 1], scale, -base));
            even += low;
            odd += high;
            weights[i / 2] = hopper::pair(low, high);
        }
        rows.total[h] += even + odd;
    }
}

/* ---- results ---- */

/* Divides by the totals and writes the rows that are there. A thread has two neighbouring columns of every
 * eight; four threads exchange theirs so that each writes eight. `tile_row`: of the thread's first row. */
__device__ __forceinline__ void store(const ink_wide_params &p, const ink_wide_piece &piece, int tile_row,
                                      const float (&out)[pairs][64], const row_state &rows) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float factor = 1 / hopper::quad_sum(rows.total[h]);
        const int row = piece.row + tile_row + 8 * h;
        ink_bf16 *at = static_cast<ink_bf16 *>(p.out) + row * p.out_stride + (int64_t)piece.head * head_dim +
                       8 * ((int)threadIdx.x % 4);
#pragma unroll
        for (int i = 0; i < pairs * 4; i++) {
            uint32_t words[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const int first = 4 * (4 * (i % 4) + j) + 2 * h;
                words[j] = hopper::pair(out[i / 4][first] * factor, out[i / 4][first + 1] * factor);
            }
            hopper::transpose4(words);
            if (row < p.rows) {
                *reinterpret_cast<uint4 *>(at + 32 * i) = make_uint4(words[0], words[1], words[2], words[3]);
            }
        }
    }
}

/* Sums as they are, also of rows that are not there. */
__device__ __forceinline__ void store_part(const ink_wide_params &p, const ink_wide_piece &piece,
                                           int tile_row, const float (&out)[pairs][64],
                                           const row_state &rows) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float total = hopper::quad_sum(rows.total[h]);
        const int64_t row = (int64_t)piece.part * query_rows + tile_row + 8 * h;
        if (threadIdx.x % 4 == 0) p.stats[row] = {rows.base[h], total};
        float *at = p.parts + row * head_dim + 2 * ((int)threadIdx.x % 4);
#pragma unroll
        for (int i = 0; i < pairs * 16; i++) {
            const int first = 4 * (i % 16) + 2 * h;
            *reinterpret_cast<float2 *>(at + 8 * i) = make_float2(out[i / 16][first], out[i / 16][first + 1]);
        }
    }
}

/* Whose turn it is to start products: barrier 1 for the first warpgroup, 2 for the second. */
__device__ __forceinline__ void await_turn(int group) {
    hopper::turn_wait(1 + group, groups * hopper::group_threads);
}
__device__ __forceinline__ void give_turn(int group) {
    hopper::turn_arrive(2 - group, groups * hopper::group_threads);
}

[[maybe_unused]] __device__ __forceinline__ void compute(const ink_wide_params &p, shared_memory &s,
                                                         int group) {
    const uint64_t q = hopper::describe(&s.q[0][group * group_rows][0], 16);
    const uint64_t k = hopper::describe(s.k, 16), v = hopper::describe(s.v, key_slice_bytes);
    const bool loads = threadIdx.x == (groups - 1) * hopper::group_threads;
    uint32_t parity = 0, q_parity = 0;
    const int end = p.starts[blockIdx.x + 1];
    int index = p.starts[blockIdx.x];
    if (loads && index < end) load_first(p, s, index);
    if (group == 1) give_turn(group);
    for (; index < end; index++) {
        tile_place at = first_tile(p, index);
        const int end_row = p.pieces[index].end * key_rows;
        float out[pairs][64];
        row_state rows = {{-INFINITY, -INFINITY}, {0, 0}};
#pragma unroll
        for (int i = 0; i < pairs * 64; i++) {
            out[i / 64][i % 64] = 0;
        }
        hopper::barrier_wait(&s.q_full, q_parity);
        for (; at.row < end_row; at.row += key_rows) {
            float scores[score_count];
            uint32_t weights[weight_count];
            const bool last = at.row + key_rows >= end_row;
            tile_place next = {-1, 0};
            if (loads && !last) next = {at.row + key_rows, at.slice};
            if (loads && last && index + 1 < end) next = first_tile(p, index + 1);
            await_turn(group);
            start_scores(scores, s.k_full, parity, q, k);
            give_turn(group);
            finish(s.k, s.k_full, s.k_empty, parity, &p.k, next);
            hopper::keep(scores);
            if (last) {
                hopper::release(&s.q_empty);
                if (next.row >= 0) {
                    hopper::barrier_wait(&s.q_empty, q_parity);
                    load_queries(p, s, index + 1);
                }
            }
            mask(scores, p.rows - at.row);
            follow(scores, rows, out, p.scale);
            soften(weights, scores, rows, p.scale);
            await_turn(group);
            start_output(out, weights, s.v_full, parity, v);
            give_turn(group);
            finish(s.v, s.v_full, s.v_empty, parity, &p.v, next);
#pragma unroll
            for (int i = 0; i < pairs; i++) {
                hopper::keep(out[i]);
            }
            hopper::keep(weights);
            parity ^= 1;
        }
        q_parity ^= 1;
        const int thread = (int)threadIdx.x % hopper::group_threads;
        const int tile_row = group * group_rows + thread / warp_size * 16 + thread % warp_size / 4;
        const ink_wide_piece piece = p.pieces[index];
        if (piece.part < 0)
            store(p, piece, tile_row, out, rows);
        else
            store_part(p, piece, tile_row, out, rows);
    }
    if (group == 0) await_turn(group); /* the other's last gift */
}

__global__ void __launch_bounds__(thread_count, 1) attention_wide(const __grid_constant__ ink_wide_params p) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    extern __shared__ unsigned char unaligned[];
    unsigned char *aligned =
        unaligned + (shared_alignment - hopper::shared_address(unaligned) % shared_alignment);
    shared_memory &s = *reinterpret_cast<shared_memory *>(aligned);
    if (threadIdx.x == 0) {
        const int warps = thread_count / warp_size;
        hopper::barrier_init(&s.q_full, 1);
        hopper::barrier_init(&s.q_empty, warps);
        for (int i = 0; i < pairs; i++) {
            hopper::barrier_init(&s.k_full[i], 1);
            hopper::barrier_init(&s.k_empty[i], warps);
            hopper::barrier_init(&s.v_full[i], 1);
            hopper::barrier_init(&s.v_empty[i], warps);
        }
        hopper::barrier_init_done();
    }
    __syncthreads();
    /* The same for all threads of a warp, which the compiler would not know of a quotient. */
    compute(p, s, __shfl_sync(0xFFFFFFFFu, (int)threadIdx.x / hopper::group_threads, 0));
#endif
}

/* ---- joining parts ---- */

constexpr int join_columns = 4, join_threads = head_dim / join_columns, join_rows = 4;

/* A block: four rows, four columns a thread. */
__global__ void __launch_bounds__(join_threads *join_rows)
    attention_wide_join(const __grid_constant__ ink_wide_params p) {
    const ink_wide_join join = p.joins[blockIdx.x];
    const int row = (int)(blockIdx.y * join_rows + threadIdx.y), column = join_columns * (int)threadIdx.x;
    if (join.row + row >= p.rows) return;
    float base = -INFINITY;
    for (int i = 0; i < join.count; i++) {
        base = fmaxf(base, p.stats[(int64_t)(join.first + i) * query_rows + row].base);
    }
    if (base == -INFINITY) base = 0;
    float total = 0, sum[join_columns] = {0};
    for (int i = 0; i < join.count; i++) {
        const int64_t at = (int64_t)(join.first + i) * query_rows + row;
        const ink_wide_stat stat = p.stats[at];
        const float factor = hopper::power_of_2(stat.base - base);
        const float4 part = *reinterpret_cast<const float4 *>(p.parts + at * head_dim + column);
        total = fmaf(factor, stat.total, total);
        sum[0] = fmaf(factor, part.x, sum[0]);
        sum[1] = fmaf(factor, part.y, sum[1]);
        sum[2] = fmaf(factor, part.z, sum[2]);
        sum[3] = fmaf(factor, part.w, sum[3]);
    }
    const float factor = 1 / total;
    ink_bf16 *to = static_cast<ink_bf16 *>(p.out) + (join.row + row) * p.out_stride +
                   (int64_t)join.head * head_dim + column;
    *reinterpret_cast<uint2 *>(to) = make_uint2(hopper::pair(sum[0] * factor, sum[1] * factor),
                                                hopper::pair(sum[2] * factor, sum[3] * factor));
}

} // namespace

static_assert(shared_bytes <= 227 * 1024, "more than a block may have");
static_assert(hopper::slice_columns == ink_wide_slice_columns, "maps have the slices of tiles");

int ink_wide_shared_bytes(void) {
    return shared_bytes;
}

ink_status ink_wide_prepare(ink_error *error) {
    return ink_hopper_allow_shared(reinterpret_cast<const void *>(attention_wide), shared_bytes, error);
}

cudaError_t ink_wide_launch(cudaStream_t stream, int blocks, const ink_wide_params *params) {
    attention_wide<<<(unsigned)blocks, thread_count, shared_bytes, stream>>>(*params);
    return cudaGetLastError();
}

cudaError_t ink_wide_launch_joins(cudaStream_t stream, int joins, const ink_wide_params *params) {
    const dim3 blocks((unsigned)joins, query_rows / join_rows), threads(join_threads, join_rows);
    attention_wide_join<<<blocks, threads, 0, stream>>>(*params);
    return cudaGetLastError();
}
