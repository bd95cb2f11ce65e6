/*
 * Attention for Hopper: bf16, heads of 128 columns, not causal; the rows of the two streams stay where they
 * are.
 *
 * A block has three warpgroups and stays on its multiprocessor. Threads of the first load: one 128 queries
 * of one head and the segment's keys, another the values, in tiles of 144 rows through two rings in shared
 * memory. The other two warpgroups take 64 queries each: scores of the next tile and output of this one run
 * in the tensor cores, and as soon as the scores are there they become weights, in registers of their own,
 * while the output is still being computed. The two warpgroups take turns, so that one's products run during
 * the other's exponentials. Items follow each other without a gap: the first scores of the next start with
 * the last output of this one.
 *
 * Weights are relative to a base for each row. That is the highest score of the first tile, and another one
 * is looked for only when a tile's weights are too large: the quotient of two sums does not depend on it.
 *
 * A segment's keys are those of its range in each stream, one after the other. Every range is a tensor of its
 * own for the copy engine, which gives zeros for rows beyond its end: their scores are masked, and their
 * values are 0. Queries beyond the end are computed but not stored.
 *
 * Where whole items would leave some multiprocessors idle for a while, the last ones are cut along the keys
 * (attention_cuts.h). Who has the later keys leaves sums and bases in device memory; who has the first ones
 * adds them, as the copy engine brings them, in place of tiles, while the last output is being computed.
 *
 * ref: Shah et al., FlashAttention-3 (arXiv:2407.08608)
 */
#include "backend/cuda/attention_hopper.cuh"
#include "backend/cuda/hopper_build.h"

namespace {

using namespace hopper_attention;

/* ---- computing ---- */

/* A number that is the same in all threads of a warp, which the compiler would not know. What depends on it
 * then stays in registers that the warp shares, as descriptors of operands must be: nothing is moved between
 * products. */
__device__ __forceinline__ int uniform(int x) {
    return __reduce_max_sync(0xFFFFFFFFu, x);
}

/* scores [64, 144] = q k^T, started. */
__device__ __forceinline__ void start_scores(float (&scores)[score_count], uint64_t q, uint64_t k) {
    hopper::keep(scores);
    hopper::product_fence();
#pragma unroll
    for (int i = 0; i < steps; i++) {
        /* 16 columns are 32 bytes, 4 times that a slice. */
        const uint64_t inside = 2 * (i % 4);
        hopper::product(scores, q + i / 4 * (query_slice_bytes / 16) + inside,
                        k + i / 4 * (key_slice_bytes / 16) + inside, i > 0);
    }
    hopper::product_commit();
}

/* out [64, 128] += weights v, or = if not `add`; started. */
__device__ __forceinline__ void start_output(float (&out)[64], uint32_t (&weights)[weight_count], uint64_t v,
                                             bool add) {
    hopper::keep(out);
    hopper::keep(weights);
    hopper::product_fence();
#pragma unroll
    for (int i = 0; i < key_steps; i++) {
        const uint64_t sixteen_rows = i * (16 * hopper::slice_row_bytes / 16);
        hopper::product(out, weights + 4 * i, v + sixteen_rows, add || i > 0);
    }
    hopper::product_commit();
}

/* Columns from `left` on are no keys. */
__device__ __forceinline__ void mask(float (&scores)[score_count], int left) {
    const int column = 2 * ((int)threadIdx.x % 4);
#pragma unroll
    for (int i = 0; i < score_count; i++) {
        if (8 * (i / 4) + column + i % 2 >= left) scores[i] = -INFINITY;
    }
}

/* What is known of a thread's two rows: the highest score that was looked at, the base, in powers of 2, and
 * the sum of weights over the thread's own columns. */
struct row_state {
    float highest[2] = {-INFINITY, -INFINITY}, base[2] = {0, 0}, total[2] = {0, 0};
};

/* Makes the highest score so far the base; what was summed before is to be multiplied by `shrink`. If all
 * scores are -inf, the base is so low that any other score will raise it. */
__device__ __forceinline__ void raise_base(const float (&scores)[score_count], row_state &rows,
                                           float (&shrink)[2], float scale) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float highest = rows.highest[h];
#pragma unroll
        for (int i = 2 * h; i < score_count; i += 4) {
            highest = fmaxf(highest, fmaxf(scores[i], scores[i + 1]));
        }
        highest = fmaxf(highest, __shfl_xor_sync(0xFFFFFFFFu, highest, 1));
        highest = fmaxf(highest, __shfl_xor_sync(0xFFFFFFFFu, highest, 2));
        rows.base[h] = fmaxf(highest * scale, -1e30f);
        shrink[h] = hopper::power_of_2(fmaf(rows.highest[h], scale, -rows.base[h]));
        rows.highest[h] = highest;
        rows.total[h] *= shrink[h];
    }
}

/* Weights as the left operand of products, and their sums in the two rows. */
__device__ __forceinline__ void weigh(const float (&scores)[score_count], uint32_t (&weights)[weight_count],
                                      const row_state &rows, float (&sums)[2], float scale) {
    float even[2] = {0, 0}, odd[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < weight_count; i++) {
        const int h = i % 2;
        const float low = hopper::power_of_2(fmaf(scores[2 * i], scale, -rows.base[h]));
        const float high = hopper::power_of_2(fmaf(scores[2 * i + 1], scale, -rows.base[h]));
        even[h] += low;
        odd[h] += high;
        weights[i] = hopper::pair(low, high);
    }
    sums[0] = even[0] + odd[0];
    sums[1] = even[1] + odd[1];
}

/* Turns an item's scores, the first ones if `fresh`, into weights. `out` may be the subject of products: if
 * it must be touched, they are waited for. */
__device__ __forceinline__ void soften(const float (&scores)[score_count], uint32_t (&weights)[weight_count],
                                       float (&out)[64], row_state &rows, float scale, bool fresh) {
    /* Far from what overflows in sums or in products with values, and seldom met. */
    constexpr float most = 1 << 24;
    float sums[2], shrink[2];
    if (fresh) raise_base(scores, rows, shrink, scale);
    weigh(scores, weights, rows, sums, scale);
    const bool fits = sums[0] <= most && sums[1] <= most; /* not so for NaN */
    if (__any_sync(0xFFFFFFFFu, !fits)) {
        hopper::product_wait<0>();
        hopper::keep(out);
        raise_base(scores, rows, shrink, scale);
#pragma unroll
        for (int i = 0; i < 64; i++) {
            out[i] *= shrink[i / 2 % 2];
        }
        weigh(scores, weights, rows, sums, scale);
    }
    rows.total[0] += sums[0];
    rows.total[1] += sums[1];
}

/* ---- sums of parts: a thread's vectors of four numbers lie a warpgroup apart ---- */

__device__ __forceinline__ int group_thread() {
    return (int)threadIdx.x % hopper::group_threads;
}

/* For the block that has the item's first keys. */
__device__ __forceinline__ void leave(const ink_hopper_params &p, shared_memory &s, int part, int group,
                                      const float (&out)[64], const row_state &rows) {
    float4 *to = sums_of(p, part, group) + group_thread();
#pragma unroll
    for (int i = 0; i < 64; i += 4) {
        __stcg(to, make_float4(out[i], out[i + 1], out[i + 2], out[i + 3]));
        to += hopper::group_threads;
    }
    __stcg(to, make_float4(rows.base[0], rows.base[1], rows.total[0], rows.total[1]));
    hopper::copies_fence();
    __syncwarp();
    hopper::release(&s.left);
}

/* Adds what the same warpgroup of another block left, with weights relative to the higher base. */
__device__ __forceinline__ void add_part(const float4 *from, float (&out)[64], row_state &rows) {
    from += group_thread();
    const float4 more = from[(ink_hopper_part_vectors - 1) * hopper::group_threads];
    const float base[2] = {more.x, more.y}, total[2] = {more.z, more.w};
    float own[2], other[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float highest = fmaxf(rows.base[h], base[h]);
        own[h] = hopper::power_of_2(rows.base[h] - highest);
        other[h] = hopper::power_of_2(base[h] - highest);
        rows.base[h] = highest;
        rows.total[h] = rows.total[h] * own[h] + total[h] * other[h];
    }
#pragma unroll
    for (int i = 0; i < 64; i += 4) {
        const float4 x = from[i / 4 * hopper::group_threads];
        out[i] = out[i] * own[0] + x.x * other[0];
        out[i + 1] = out[i + 1] * own[0] + x.y * other[0];
        out[i + 2] = out[i + 2] * own[1] + x.z * other[1];
        out[i + 3] = out[i + 3] * own[1] + x.w * other[1];
    }
}

/* ---- results ---- */

/* Divides by the totals and writes the rows that are there. A thread has two neighbouring columns of every
 * eight; four threads exchange theirs so that each writes eight. */
__device__ __forceinline__ void store(const work &item, int group_row, const float (&out)[64],
                                      const row_state &rows) {
    const int thread = group_thread();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float factor = 1 / hopper::quad_sum(rows.total[h]);
        const int row = group_row + thread / warp_size * 16 + thread % warp_size / 4 + 8 * h;
        ink_bf16 *at = item.out + row * item.out_stride + 8 * (thread % 4);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t words[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const int first = 4 * (4 * i + j) + 2 * h;
                words[j] = hopper::pair(out[first] * factor, out[first + 1] * factor);
            }
            hopper::transpose4(words);
            if (row < item.rows) {
                *reinterpret_cast<uint4 *>(at + 32 * i) = make_uint4(words[0], words[1], words[2], words[3]);
            }
        }
    }
}

/* What is done with an item's sums. */
__device__ __forceinline__ void conclude(const ink_hopper_params &p, shared_memory &s, const work &item,
                                         int group, const float (&out)[64], const row_state &rows) {
    if (uniform(item.leaves))
        leave(p, s, item.part, group, out, rows);
    else
        store(item, group * group_rows, out, rows);
}

/* Whose turn it is to start products: barrier 1 for the first warpgroup, 2 for the second. */
__device__ __forceinline__ void await_turn(int group) {
    hopper::turn_wait(1 + group, consumer_groups * hopper::group_threads);
}
__device__ __forceinline__ void give_turn(int group) {
    hopper::turn_arrive(2 - group, consumer_groups * hopper::group_threads);
}

/* Where a warpgroup is: the tile whose scores come next, and the values for the weights that it has. */
struct place {
    ring queries, keys, values;
    int number, tile, tiles, edge; /* edge: the last tile of the first range; like the last one, not full */
    __device__ __forceinline__ void begin_item(shared_memory &s) {
        hopper::barrier_wait(&s.q_full[queries.stage], queries.parity);
        const work &item = s.items[number % works];
        tile = 0;
        tiles = item.tiles;
        edge = item.first_tiles - 1 - item.first;
    }
};

/* What does not change. */
struct operands {
    uint64_t q, k, v;
    float scale;
    int group;
};

__device__ __forceinline__ void mask_edge(float (&scores)[score_count], const shared_memory &s,
                                          const place &at) {
    if (at.tile != at.edge && at.tile != at.tiles - 1) return;
    const work &item = s.items[at.number % works];
    const int tile = item.first + at.tile, second = tile - item.first_tiles;
    mask(scores, second < 0 ? item.first_rows - tile * key_rows : item.second_rows - second * key_rows);
}

/* The tile's scores are there: lets go of keys, and of queries if they were the last. */
__device__ __forceinline__ void release_scored(shared_memory &s, place &at) {
    hopper::release(&s.k_empty[at.keys.stage]);
    at.keys.next();
    if (at.tile == at.tiles - 1) hopper::release(&s.q_empty[at.queries.stage]);
}

/* The block's last output, with nothing beside it; then the parts of its item. `add`: `out` is begun. */
__device__ __forceinline__ void finish(const ink_hopper_params &p, shared_memory &s, const operands &x,
                                       place &at, float (&out)[64], row_state &rows,
                                       uint32_t (&weights)[weight_count], bool add) {
    const work &item = s.items[(at.number - 1) % works];
    start_output(out, weights, x.v + at.values.stage * (key_bytes / 16), add);
    hopper::product_wait<0>();
    hopper::keep(out);
    hopper::release(&s.v_empty[at.values.stage]);
    at.values.next();
    for (int i = 0; i < item.parts; i++) {
        hopper::barrier_wait(&s.k_full[at.keys.stage], at.keys.parity);
        hopper::barrier_wait(&s.v_full[at.values.stage], at.values.parity);
        add_part(reinterpret_cast<const float4 *>(x.group ? s.v[at.values.stage] : s.k[at.keys.stage]), out,
                 rows);
        __syncwarp();
        hopper::release(&s.k_empty[at.keys.stage]);
        hopper::release(&s.v_empty[at.values.stage]);
        at.keys.next();
        at.values.next();
    }
    conclude(p, s, item, x.group, out, rows);
}

/* The next tile's scores, and the output of the one before, whose weights are `now`; makes the weights
 * `next`. False after the last output of all. */
__device__ __forceinline__ bool advance(const ink_hopper_params &p, shared_memory &s, const operands &x,
                                        place &at, float (&scores)[score_count], float (&out)[64],
                                        row_state &rows, uint32_t (&now)[weight_count],
                                        uint32_t (&next)[weight_count]) {
    const bool add = at.tile > 0, fresh = ++at.tile == at.tiles;
    if (fresh) {
        at.number++;
        at.queries.next();
        at.begin_item(s);
    }
    hopper::barrier_wait(&s.v_full[at.values.stage], at.values.parity);
    if (at.tiles == 0) {
        finish(p, s, x, at, out, rows, now, add);
        return false;
    }
    hopper::barrier_wait(&s.k_full[at.keys.stage], at.keys.parity);
    await_turn(x.group);
    start_scores(scores, x.q + at.queries.stage * (query_bytes / 16), x.k + at.keys.stage * (key_bytes / 16));
    start_output(out, now, x.v + at.values.stage * (key_bytes / 16), add);
    give_turn(x.group);
    hopper::product_wait<1>();
    hopper::keep(scores);
    release_scored(s, at);
    if (fresh) {
        hopper::product_wait<0>();
        hopper::keep(out);
        conclude(p, s, s.items[(at.number - 1) % works], x.group, out, rows);
        rows = row_state();
    }
    mask_edge(scores, s, at);
    /* Its last branch depends on all weights: the compiler would move the wait for the products to the begin
     * of the code without branches that it is in, and the weights behind it. */
    soften(scores, next, out, rows, x.scale, fresh);
    hopper::product_wait<0>();
    hopper::keep(out);
    hopper::keep(now);
    hopper::release(&s.v_empty[at.values.stage]);
    at.values.next();
    return true;
}

[[maybe_unused]] __device__ __forceinline__ void consume(const ink_hopper_params &p, shared_memory &s,
                                                         int group) {
    const operands x = {hopper::describe(&s.q[0][0][group * group_rows][0], 16), hopper::describe(s.k, 16),
                        hopper::describe(s.v, key_slice_bytes), p.scale, group};
    place at = {{0, 0}, {0, 0}, {0, 0}, 0, 0, 0, 0};
    float scores[score_count], out[64];
    uint32_t weights[2][weight_count];
    row_state rows;
    if (group == 1) give_turn(group);
    at.begin_item(s);
    hopper::barrier_wait(&s.k_full[0], 0);
    start_scores(scores, x.q, x.k);
    hopper::product_wait<0>();
    hopper::keep(scores);
    mask_edge(scores, s, at);
    release_scored(s, at);
    soften(scores, weights[0], out, rows, x.scale, true);
    while (advance(p, s, x, at, scores, out, rows, weights[0], weights[1]) &&
           advance(p, s, x, at, scores, out, rows, weights[1], weights[0])) {
    }
    if (group == 0) await_turn(group); /* the other's last gift */
}

__global__ void __launch_bounds__(thread_count, 1)
    attention_hopper(const __grid_constant__ ink_hopper_params p) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    extern __shared__ unsigned char unaligned[];
    unsigned char *aligned =
        unaligned + (shared_alignment - hopper::shared_address(unaligned) % shared_alignment);
    shared_memory &s = *reinterpret_cast<shared_memory *>(aligned);
    allow_next_launch();
    if (threadIdx.x == 0) {
        const int consumer_warps = consumer_groups * hopper::group_threads / warp_size;
        for (int i = 0; i < stages; i++) {
            hopper::barrier_init(&s.q_full[i], 1);
            hopper::barrier_init(&s.q_empty[i], consumer_warps);
            hopper::barrier_init(&s.k_full[i], 1);
            hopper::barrier_init(&s.k_empty[i], consumer_warps);
            hopper::barrier_init(&s.v_full[i], 1);
            hopper::barrier_init(&s.v_empty[i], consumer_warps);
        }
        hopper::barrier_init(&s.left, consumer_warps);
        hopper::barrier_init_done();
    }
    __syncthreads();
    if (threadIdx.x < hopper::group_threads) {
        hopper::registers_decrease<24>();
        produce(p, s);
    } else {
        hopper::registers_increase<240>();
        consume(p, s, uniform((int)threadIdx.x / hopper::group_threads) - 1);
    }
#endif
}

} // namespace

static_assert(sizeof(ink_hopper_params) <= 32764, "more than a kernel's parameters");

int ink_hopper_shared_bytes(void) {
    return shared_bytes;
}

ink_status ink_hopper_prepare(ink_error *error) {
    return ink_hopper_allow_shared(reinterpret_cast<const void *>(attention_hopper), shared_bytes, error);
}

cudaError_t ink_hopper_launch(cudaStream_t stream, int blocks, const ink_hopper_params *params) {
    attention_hopper<<<(unsigned)blocks, thread_count, shared_bytes, stream>>>(*params);
    return cudaGetLastError();
}
