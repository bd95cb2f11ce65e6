/*
 * Attention for Hopper with heads of 384 columns: bf16, not causal. It is the autoencoder's, of one head.
 *
 * As attention_hopper.cu, but an output of 64 x 384 numbers does not fit into the registers of a warpgroup.
 * So an item of work makes one half of the columns, from all columns of queries and keys and the half of the
 * values: a third of the products is done twice. Shared memory has room for the queries, two tiles of 64 keys
 * and one of values, whose next comes while the tensor cores are busy with scores.
 */
#include "backend/cuda/attention_hopper.cuh"

namespace {

constexpr int head_dim = ink_hopper_wide_dim, slices = head_dim / hopper::slice_columns;
constexpr int halves = ink_hopper_wide_halves, half_dim = head_dim / halves,
              half_slices = half_dim / hopper::slice_columns;
constexpr int query_rows = ink_hopper_rows, group_rows = 64, key_rows = ink_hopper_wide_keys, key_stages = 2;
constexpr int consumer_groups = query_rows / group_rows;
constexpr int thread_count = (1 + consumer_groups) * hopper::group_threads;
constexpr int score_count = key_rows / 2, out_count = half_dim / 2; /* numbers in a thread */
/* Products of 16 along the sum. */
constexpr int steps = head_dim / 16, key_steps = key_rows / 16;
constexpr uint32_t query_slice_bytes = query_rows * hopper::slice_row_bytes;
constexpr uint32_t key_slice_bytes = key_rows * hopper::slice_row_bytes;
constexpr uint32_t query_bytes = slices * query_slice_bytes, key_bytes = slices * key_slice_bytes,
                   value_bytes = half_slices * key_slice_bytes;

struct shared_memory {
    ink_bf16 q[slices][query_rows][hopper::slice_columns];
    ink_bf16 k[key_stages][slices][key_rows][hopper::slice_columns];
    ink_bf16 v[half_slices][key_rows][hopper::slice_columns];
    uint64_t q_full, q_empty, v_full, v_empty;
    uint64_t k_full[key_stages], k_empty[key_stages];
};
constexpr int shared_alignment = 1024, shared_bytes = (int)sizeof(shared_memory) + shared_alignment;

using ring = hopper::ring<key_stages>;
using key_tiles = hopper::key_tiles<key_rows>;

/* ---- loading ---- */

[[maybe_unused]] __device__ __forceinline__ void produce(const ink_hopper_params &p, shared_memory &s) {
    ring keys = {0, 1};
    uint32_t q_parity = 1, v_parity = 1;
    for (int i = (int)blockIdx.x; i < p.n_items; i += (int)gridDim.x) {
        const ink_cuda_attention_item item = p.items[i];
        const key_tiles tiles(p, item.range);
        const int head = item.head / halves, half = item.head % halves;
        const int slice = head * slices, key_slice = head / p.group * slices;
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
                hopper::barrier_wait(&s.v_empty, v_parity);
                hopper::barrier_expect(&s.v_full, value_bytes);
                hopper::load_box(s.v, &p.ranges[tiles.range_of(tile - 1)].v, &s.v_full, 0,
                                 tiles.row_of(tile - 1), key_slice + half * half_slices);
                v_parity ^= 1;
            }
        }
    }
}

/* ---- computing ---- */

/* scores [64, 64] = q k^T, started. */
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

/* out [64, 192] += weights v, or = if not `add`; started. */
__device__ __forceinline__ void start_output(float (&out)[out_count], uint32_t (&weights)[score_count / 2],
                                             uint64_t v, bool add) {
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

[[maybe_unused]] __device__ __forceinline__ void consume(const ink_hopper_params &p, shared_memory &s,
                                                         int group) {
    const uint64_t q = hopper::describe(&s.q[0][group * group_rows][0], 16);
    const uint64_t k = hopper::describe(s.k, 16), v = hopper::describe(s.v, key_slice_bytes);
    ring keys = {0, 0};
    uint32_t q_parity = 0, v_parity = 0;
    if (group == 1) hopper::give_turn(group);
    for (int index = (int)blockIdx.x; index < p.n_items; index += (int)gridDim.x) {
        const ink_cuda_attention_item item = p.items[index];
        const key_tiles tiles(p, item.range);
        float scores[score_count], out[out_count], shrink[2];
        uint32_t weights[score_count / 2];
        hopper::row_state rows = {{-INFINITY, -INFINITY}, {0, 0}};
        hopper::barrier_wait(&s.q_full, q_parity);
        q_parity ^= 1;
        hopper::barrier_wait(&s.k_full[keys.stage], keys.parity);
        start_scores(scores, q, k + keys.stage * (key_bytes / 16));
        hopper::product_wait<0>();
        hopper::keep(scores);
        hopper::release(&s.k_empty[keys.stage]);
        keys.next();
        if (tiles.count == 1) hopper::release(&s.q_empty);
        hopper::mask(scores, tiles.rows_left(0));
        hopper::soften(scores, rows, shrink, p.scale);
        hopper::narrow_weights(weights, scores);
        if (tiles.count > 1) hopper::barrier_wait(&s.k_full[keys.stage], keys.parity);
        for (int tile = 1; tile < tiles.count; tile++) {
            hopper::await_turn(group);
            start_scores(scores, q, k + keys.stage * (key_bytes / 16));
            hopper::barrier_wait(&s.v_full, v_parity);
            v_parity ^= 1;
            start_output(out, weights, v, tile > 1);
            hopper::give_turn(group);
            hopper::product_wait<1>();
            hopper::keep(scores);
            hopper::release(&s.k_empty[keys.stage]);
            keys.next();
            if (tile == tiles.count - 1) hopper::release(&s.q_empty);
            hopper::mask(scores, tiles.rows_left(tile));
            hopper::soften(scores, rows, shrink, p.scale);
            /* Here, and not where the keys are needed: a branch between the exponentials and the wait for the
             * products, which the compiler would else move in front of them. */
            if (tile + 1 < tiles.count) hopper::barrier_wait(&s.k_full[keys.stage], keys.parity);
            hopper::product_wait<0>();
            hopper::keep(out);
            hopper::keep(weights);
            hopper::release(&s.v_empty);
            hopper::rescale(out, shrink);
            hopper::narrow_weights(weights, scores);
        }
        hopper::barrier_wait(&s.v_full, v_parity);
        v_parity ^= 1;
        start_output(out, weights, v, tiles.count > 1);
        hopper::product_wait<0>();
        hopper::keep(out);
        hopper::release(&s.v_empty);
        const int64_t column = (int64_t)(item.head / halves) * head_dim + item.head % halves * half_dim;
        hopper::store(p, item, group * group_rows, column, out, rows);
    }
    if (group == 0) hopper::await_turn(group); /* the other's last gift */
}

__global__ void __launch_bounds__(thread_count, 1)
    attention_wide(const __grid_constant__ ink_hopper_params p) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    extern __shared__ unsigned char unaligned[];
    unsigned char *aligned =
        unaligned + (shared_alignment - hopper::shared_address(unaligned) % shared_alignment);
    shared_memory &s = *reinterpret_cast<shared_memory *>(aligned);
    if (threadIdx.x == 0) {
        const int consumer_warps = consumer_groups * hopper::group_threads / warp_size;
        hopper::barrier_init(&s.q_full, 1);
        hopper::barrier_init(&s.q_empty, consumer_warps);
        hopper::barrier_init(&s.v_full, 1);
        hopper::barrier_init(&s.v_empty, consumer_warps);
        for (int i = 0; i < key_stages; i++) {
            hopper::barrier_init(&s.k_full[i], 1);
            hopper::barrier_init(&s.k_empty[i], consumer_warps);
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

int ink_hopper_wide_shared_bytes(void) {
    return shared_bytes;
}

ink_status ink_hopper_wide_prepare(ink_error *error) {
    return ink_cuda_attention_check(cudaFuncSetAttribute(reinterpret_cast<const void *>(attention_wide),
                                                         cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                         shared_bytes),
                                    "attention's preparation", error);
}

cudaError_t ink_hopper_wide_launch(cudaStream_t stream, int blocks, const ink_hopper_params *params) {
    attention_wide<<<(unsigned)blocks, thread_count, shared_bytes, stream>>>(*params);
    return cudaGetLastError();
}
