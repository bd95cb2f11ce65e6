/*
 * Attention for Hopper: bf16, heads of 128 columns, not causal; the rows of the two streams stay where they
 * are.
 *
 * A block has three warpgroups and stays on its multiprocessor. One thread of the first loads: 128 queries of
 * one head, then the segment's keys and values in tiles of 128 rows through two rings in shared memory. The
 * other two warpgroups take 64 queries each: scores of the next tile and output of this one run in the tensor
 * cores while the weights of the next are computed, and the two take turns so that one's products run during
 * the other's exponentials.
 *
 * A segment's keys are those of its range in each stream, one after the other. Every range is a tensor of its
 * own for the copy engine, which gives zeros for rows beyond its end: their scores are masked, and their
 * values are 0. Queries beyond the end are computed but not stored.
 *
 * ref: Shah et al., FlashAttention-3 (arXiv:2407.08608)
 */
#include "backend/cuda/attention_hopper.h"
#include "backend/cuda/device.cuh"
#include "backend/cuda/hopper.cuh"

namespace {

constexpr int head_dim = ink_hopper_head_dim, slices = head_dim / hopper::slice_columns;
constexpr int query_rows = ink_hopper_rows, group_rows = 64, key_rows = ink_hopper_rows, stages = 3;
constexpr int consumer_groups = query_rows / group_rows;
constexpr int thread_count = (1 + consumer_groups) * hopper::group_threads;
/* Products of 16 along the sum. */
constexpr int steps = head_dim / 16, key_steps = key_rows / 16;
constexpr uint32_t query_slice_bytes = query_rows * hopper::slice_row_bytes;
constexpr uint32_t key_slice_bytes = key_rows * hopper::slice_row_bytes;
constexpr uint32_t query_bytes = slices * query_slice_bytes, key_bytes = slices * key_slice_bytes;

struct shared_memory {
    ink_bf16 q[slices][query_rows][hopper::slice_columns];
    ink_bf16 k[stages][slices][key_rows][hopper::slice_columns];
    ink_bf16 v[stages][slices][key_rows][hopper::slice_columns];
    uint64_t q_full, q_empty;
    uint64_t k_full[stages], k_empty[stages], v_full[stages], v_empty[stages];
};
constexpr int shared_alignment = 1024, shared_bytes = (int)sizeof(shared_memory) + shared_alignment;

/* A place in a ring of tiles. The consumers' first phase has parity 0; producers wait for the one before. */
struct ring {
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
struct key_tiles {
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

/* ---- loading ---- */

[[maybe_unused]] __device__ __forceinline__ void produce(const ink_hopper_params &p, shared_memory &s) {
    ring keys = {0, 1}, values = {0, 1};
    uint32_t q_parity = 1;
    for (int i = (int)blockIdx.x; i < p.n_items; i += (int)gridDim.x) {
        const ink_cuda_attention_item item = p.items[i];
        const key_tiles tiles(p, item.range);
        const int slice = item.head * slices, key_slice = item.head / p.group * slices;
        /* Values come one tile later than keys: that is the order in which they are needed. */
        for (int tile = 0; tile <= tiles.count; tile++) {
            if (tile < tiles.count) {
                hopper::barrier_wait(&s.k_empty[keys.stage], keys.parity);
                hopper::barrier_expect(&s.k_full[keys.stage], key_bytes);
                hopper::load_box(s.k[keys.stage], &p.ranges[tiles.range_of(tile)].k, &s.k_full[keys.stage], 0,
                                 tiles.row_of(tile), key_slice);
                keys.next();
            }
            if (tile == 0) {
                hopper::barrier_wait(&s.q_empty, q_parity);
                hopper::barrier_expect(&s.q_full, query_bytes);
                hopper::load_box(s.q, &p.ranges[item.range].q, &s.q_full, 0, item.row, slice);
                q_parity ^= 1;
            } else {
                hopper::barrier_wait(&s.v_empty[values.stage], values.parity);
                hopper::barrier_expect(&s.v_full[values.stage], key_bytes);
                hopper::load_box(s.v[values.stage], &p.ranges[tiles.range_of(tile - 1)].v,
                                 &s.v_full[values.stage], 0, tiles.row_of(tile - 1), key_slice);
                values.next();
            }
        }
    }
}

/* ---- computing ---- */

/* A warp has read what it needs. */
__device__ __forceinline__ void release(uint64_t *empty) {
    if (threadIdx.x % warp_size == 0) hopper::barrier_arrive(empty);
}

/* scores [64, 128] = q k^T, started. */
__device__ __forceinline__ void start_scores(float (&scores)[64], uint64_t q, uint64_t k) {
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
__device__ __forceinline__ void start_output(float (&out)[64], uint32_t (&weights)[32], uint64_t v,
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

__device__ __forceinline__ float power_of_2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* Columns from `left` on are no keys. */
__device__ __forceinline__ void mask(float (&scores)[64], int left) {
    if (left >= key_rows) return;
    const int column = 2 * ((int)threadIdx.x % 4);
#pragma unroll
    for (int i = 0; i < 64; i++) {
        if (8 * (i / 4) + column + i % 2 >= left) scores[i] = -INFINITY;
    }
}

/* What is known of a thread's two rows. The totals are sums over the thread's own columns only. */
struct row_state {
    float highest[2], total[2];
};

/* Turns scores into weights relative to the rows' new maxima; what was summed before is to be multiplied by
 * `shrink`. */
__device__ __forceinline__ void soften(float (&scores)[64], row_state &rows, float (&shrink)[2],
                                       float scale) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float highest = rows.highest[h];
#pragma unroll
        for (int i = 2 * h; i < 64; i += 4) {
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
        for (int i = 2 * h; i < 64; i += 4) {
            scores[i] = power_of_2(fmaf(scores[i], scale, -base));
            scores[i + 1] = power_of_2(fmaf(scores[i + 1], scale, -base));
            even += scores[i];
            odd += scores[i + 1];
        }
        rows.total[h] = fmaf(rows.total[h], shrink[h], even + odd);
    }
}

__device__ __forceinline__ uint32_t pair(float low, float high) {
    const __nv_bfloat162 two = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t *>(&two);
}

/* Weights as the left operand of products. */
__device__ __forceinline__ void narrow_weights(uint32_t (&weights)[32], const float (&scores)[64]) {
#pragma unroll
    for (int i = 0; i < 32; i++) {
        weights[i] = pair(scores[2 * i], scores[2 * i + 1]);
    }
}

/* Among four neighbouring threads: word i of thread t goes to thread i as its word t. */
__device__ __forceinline__ void transpose4(uint32_t (&x)[4]) {
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

/* Divides by the totals and writes the rows that are there. A thread has two neighbouring columns of every
 * eight; four threads exchange theirs so that each writes eight. */
__device__ __forceinline__ void store(const ink_hopper_params &p, const ink_cuda_attention_item &item,
                                      int group_row, const float (&out)[64], const row_state &rows) {
    const ink_hopper_range &to = p.ranges[item.range];
    const int thread = (int)threadIdx.x % hopper::group_threads;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float total = rows.total[h];
        total += __shfl_xor_sync(0xFFFFFFFFu, total, 1);
        total += __shfl_xor_sync(0xFFFFFFFFu, total, 2);
        const float factor = 1 / total;
        const int row = group_row + thread / warp_size * 16 + thread % warp_size / 4 + 8 * h;
        ink_bf16 *at = static_cast<ink_bf16 *>(to.out) + (item.row + row) * to.out_stride +
                       item.head * head_dim + 8 * (thread % 4);
#pragma unroll
        for (int i = 0; i < 4; i++) {
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
__device__ __forceinline__ void await_turn(int group) {
    hopper::turn_wait(1 + group, consumer_groups * hopper::group_threads);
}
__device__ __forceinline__ void give_turn(int group) {
    hopper::turn_arrive(2 - group, consumer_groups * hopper::group_threads);
}

[[maybe_unused]] __device__ __forceinline__ void consume(const ink_hopper_params &p, shared_memory &s,
                                                         int group) {
    const uint64_t q = hopper::describe(&s.q[0][group * group_rows][0], 16);
    const uint64_t k = hopper::describe(s.k, 16), v = hopper::describe(s.v, key_slice_bytes);
    ring keys = {0, 0}, values = {0, 0};
    uint32_t q_parity = 0;
    if (group == 1) give_turn(group);
    for (int index = (int)blockIdx.x; index < p.n_items; index += (int)gridDim.x) {
        const ink_cuda_attention_item item = p.items[index];
        const key_tiles tiles(p, item.range);
        float scores[64], out[64], shrink[2];
        uint32_t weights[32];
        row_state rows = {{-INFINITY, -INFINITY}, {0, 0}};
        hopper::barrier_wait(&s.q_full, q_parity);
        q_parity ^= 1;
        hopper::barrier_wait(&s.k_full[keys.stage], keys.parity);
        start_scores(scores, q, k + keys.stage * (key_bytes / 16));
        hopper::product_wait<0>();
        hopper::keep(scores);
        release(&s.k_empty[keys.stage]);
        keys.next();
        if (tiles.count == 1) release(&s.q_empty);
        mask(scores, tiles.rows_left(0));
        soften(scores, rows, shrink, p.scale);
        narrow_weights(weights, scores);
        hopper::barrier_wait(&s.v_full[values.stage], values.parity);
        for (int tile = 1; tile < tiles.count; tile++) {
            hopper::barrier_wait(&s.k_full[keys.stage], keys.parity);
            await_turn(group);
            start_scores(scores, q, k + keys.stage * (key_bytes / 16));
            start_output(out, weights, v + values.stage * (key_bytes / 16), tile > 1);
            give_turn(group);
            hopper::product_wait<1>();
            hopper::keep(scores);
            release(&s.k_empty[keys.stage]);
            keys.next();
            if (tile == tiles.count - 1) release(&s.q_empty);
            mask(scores, tiles.rows_left(tile));
            soften(scores, rows, shrink, p.scale);
            /* Here, and not where the values are needed: the compiler moves the wait for the products to the
             * begin of the code without branches that it is in, in front of the exponentials that are to run
             * meanwhile; this wait is a branch between the two. */
            const ring used = values;
            values.next();
            hopper::barrier_wait(&s.v_full[values.stage], values.parity);
            hopper::product_wait<0>();
            hopper::keep(out);
            hopper::keep(weights);
            release(&s.v_empty[used.stage]);
#pragma unroll
            for (int i = 0; i < 64; i++) {
                out[i] *= shrink[i / 2 % 2];
            }
            narrow_weights(weights, scores);
        }
        start_output(out, weights, v + values.stage * (key_bytes / 16), tiles.count > 1);
        hopper::product_wait<0>();
        hopper::keep(out);
        release(&s.v_empty[values.stage]);
        values.next();
        store(p, item, group * group_rows, out, rows);
    }
    if (group == 0) await_turn(group); /* the other's last gift */
}

/* Not 0 in code for sm_90a; what is made for other devices lacks the instructions. */
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
__device__ int has_instructions = 1;
#else
__device__ int has_instructions = 0;
#endif

__global__ void __launch_bounds__(thread_count, 1)
    attention_hopper(const __grid_constant__ ink_hopper_params p) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    extern __shared__ unsigned char unaligned[];
    unsigned char *aligned =
        unaligned + (shared_alignment - hopper::shared_address(unaligned) % shared_alignment);
    shared_memory &s = *reinterpret_cast<shared_memory *>(aligned);
    if (threadIdx.x == 0) {
        const int consumer_warps = consumer_groups * hopper::group_threads / warp_size;
        hopper::barrier_init(&s.q_full, 1);
        hopper::barrier_init(&s.q_empty, consumer_warps);
        for (int i = 0; i < stages; i++) {
            hopper::barrier_init(&s.k_full[i], 1);
            hopper::barrier_init(&s.k_empty[i], consumer_warps);
            hopper::barrier_init(&s.v_full[i], 1);
            hopper::barrier_init(&s.v_empty[i], consumer_warps);
        }
        hopper::barrier_init_done();
    }
    __syncthreads();
    if (threadIdx.x < hopper::group_threads) {
        hopper::registers_decrease<24>();
        if (threadIdx.x == 0) produce(p, s);
    } else {
        hopper::registers_increase<240>();
        consume(p, s, (int)threadIdx.x / hopper::group_threads - 1);
    }
#endif
}

} // namespace

static_assert(sizeof(ink_hopper_params) <= 32764, "more than a kernel's parameters");
static_assert(hopper::slice_columns == ink_hopper_slice_columns, "maps have the slices of tiles");

int ink_hopper_shared_bytes(void) {
    return shared_bytes;
}

ink_status ink_hopper_prepare(ink_error *error) {
    int compiled = 0;
    const char *what = "attention's preparation";
    INK_TRY(ink_cuda_check(cudaMemcpyFromSymbol(&compiled, has_instructions, sizeof compiled), what, error));
    if (!compiled) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED,
                        "the Hopper kernels are not in this build; compile for 90a");
    }
    return ink_cuda_check(cudaFuncSetAttribute(reinterpret_cast<const void *>(attention_hopper),
                                               cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes),
                          what, error);
}

cudaError_t ink_hopper_launch(cudaStream_t stream, int blocks, const ink_hopper_params *params) {
    attention_hopper<<<(unsigned)blocks, thread_count, shared_bytes, stream>>>(*params);
    return cudaGetLastError();
}
