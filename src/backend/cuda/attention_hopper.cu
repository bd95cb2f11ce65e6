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
#include "backend/cuda/attention.h"
#include "backend/cuda/device.cuh"
#include "backend/cuda/hopper.cuh"

#include <stdlib.h>

namespace {

constexpr int head_dim = 128, slices = head_dim / hopper::slice_columns;
constexpr int query_rows = 128, group_rows = 64, key_rows = 128, stages = 3;
constexpr int consumer_groups = query_rows / group_rows;
constexpr int thread_count = (1 + consumer_groups) * hopper::group_threads;
constexpr int consumer_warps = consumer_groups * hopper::group_threads / warp_size;
constexpr int producer_registers = 24, consumer_registers = 240;
constexpr int most_segments = 8, most_ranges = INK_MAX_STREAMS * most_segments; /* of one launch */
constexpr float log2_e = 1.44269504088896340736f;

/* Products of 16 along the sum. */
constexpr int steps = head_dim / 16, key_steps = key_rows / 16;
constexpr uint32_t query_slice_bytes = query_rows * hopper::slice_row_bytes;
constexpr uint32_t key_slice_bytes = key_rows * hopper::slice_row_bytes;
constexpr uint32_t query_bytes = slices * query_slice_bytes, key_bytes = slices * key_slice_bytes;

/* Rows of one segment in one stream. */
struct range {
    CUtensorMap q, k, v; /* [2 * heads, rows, 64] */
    ink_bf16 *out;       /* row 0 of the range */
    int64_t out_stride;
    int rows;
};

/* Kernels take up to 32 KB of parameters. */
struct hopper_params {
    range ranges[most_ranges];
    const ink_cuda_attention_item *items;
    int n_items, group; /* group: query heads per key head */
    float scale;        /* with log2(e): weights are powers of 2 */
};

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
    __device__ __forceinline__ key_tiles(const hopper_params &p, int any_range) {
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

__device__ __forceinline__ void produce(const hopper_params &p, shared_memory &s) {
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
__device__ __forceinline__ void store(const hopper_params &p, const ink_cuda_attention_item &item,
                                      int group_row, const float (&out)[64], const row_state &rows) {
    const range &to = p.ranges[item.range];
    const int thread = (int)threadIdx.x % hopper::group_threads;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float total = rows.total[h];
        total += __shfl_xor_sync(0xFFFFFFFFu, total, 1);
        total += __shfl_xor_sync(0xFFFFFFFFu, total, 2);
        const float factor = 1 / total;
        const int row = group_row + thread / warp_size * 16 + thread % warp_size / 4 + 8 * h;
        ink_bf16 *at = to.out + (item.row + row) * to.out_stride + item.head * head_dim + 8 * (thread % 4);
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

__device__ __forceinline__ void consume(const hopper_params &p, shared_memory &s, int group) {
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

__global__ void __launch_bounds__(thread_count, 1) attention_hopper(const __grid_constant__ hopper_params p) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    extern __shared__ unsigned char unaligned[];
    unsigned char *aligned =
        unaligned + (shared_alignment - hopper::shared_address(unaligned) % shared_alignment);
    shared_memory &s = *reinterpret_cast<shared_memory *>(aligned);
    if (threadIdx.x == 0) {
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
        hopper::registers_decrease<producer_registers>();
        if (threadIdx.x == 0) produce(p, s);
    } else {
        hopper::registers_increase<consumer_registers>();
        consume(p, s, (int)threadIdx.x / hopper::group_threads - 1);
    }
#endif
}

/* ---- on the host ---- */

struct launch {
    hopper_params params;
    void *items; /* device */
    int blocks;
};

struct hopper_state {
    launch *launches;
    size_t n_launches, bytes;
};

typedef CUresult (*encode_function)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                                    const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                                    const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                    CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

ink_status find_encode(encode_function *encode, ink_error *error) {
    cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    void *symbol = NULL;
    const cudaError_t code = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &symbol, 12000,
                                                              cudaEnableDefault, &result);
    if (code != cudaSuccess || result != cudaDriverEntryPointSuccess || !symbol) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED,
                        "the driver is too old for the Hopper kernels: it lacks "
                        "cuTensorMapEncodeTiled; install a driver for CUDA 12");
    }
    *encode = reinterpret_cast<encode_function>(symbol);
    return INK_OK;
}

/* Rows [row, row + rows) as a tensor of 64-column slices, of which boxes have box_rows rows of a head. */
ink_status encode_rows(encode_function encode, const ink_cuda_matrix *x, int64_t row, int64_t rows,
                       int box_rows, CUtensorMap *map, ink_error *error) {
    const cuuint64_t dims[] = {(cuuint64_t)hopper::slice_columns, (cuuint64_t)rows,
                               (cuuint64_t)(x->columns / hopper::slice_columns)};
    const cuuint64_t strides[] = {(cuuint64_t)x->stride * sizeof(ink_bf16),
                                  (cuuint64_t)hopper::slice_row_bytes};
    const cuuint32_t box[] = {(cuuint32_t)hopper::slice_columns, (cuuint32_t)box_rows, (cuuint32_t)slices};
    const cuuint32_t steps_between[] = {1, 1, 1};
    const CUresult result =
        encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, ink_cuda_attention_row(x, row), dims, strides, box,
               steps_between, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
               CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result == CUDA_SUCCESS) return INK_OK;
    return ink_fail(error, INK_ERROR_INTERNAL, "CUDA could not describe rows of attention: error %d",
                    (int)result);
}

/* The segments [first, first + count) in one launch. */
ink_status fill_launch(launch *made, const ink_cuda_attention_problem *problem, int64_t first, int64_t count,
                       encode_function encode, ink_error *error) {
    hopper_params *p = &made->params;
    p->group = (int)(problem->heads / problem->kv_heads);
    p->scale = problem->scale * log2_e;
    for (int64_t i = 0; i < count * INK_MAX_STREAMS; i++) {
        const int s = (int)(i % INK_MAX_STREAMS);
        const ink_segment *segment = &problem->segments[first + i / INK_MAX_STREAMS];
        const int64_t row = segment->begin[s], rows = segment->length[s];
        range *to = &p->ranges[i];
        if (rows == 0) continue;
        to->rows = (int)rows;
        to->out = static_cast<ink_bf16 *>(ink_cuda_attention_row(&problem->out[s], row));
        to->out_stride = problem->out[s].stride;
        INK_TRY(encode_rows(encode, &problem->q[s], row, rows, query_rows, &to->q, error));
        INK_TRY(encode_rows(encode, &problem->k[s], row, rows, key_rows, &to->k, error));
        INK_TRY(encode_rows(encode, &problem->v[s], row, rows, key_rows, &to->v, error));
    }
    return INK_OK;
}

ink_status make_launches(hopper_state *state, const ink_cuda_attention_problem *problem, int multiprocessors,
                         cudaStream_t stream, ink_error *error) {
    encode_function encode = NULL;
    INK_TRY(find_encode(&encode, error));
    for (size_t i = 0; i < state->n_launches; i++) {
        launch *made = &state->launches[i];
        const int64_t first = (int64_t)i * most_segments, left = problem->n_segments - first;
        const int64_t count = left < most_segments ? left : most_segments;
        ink_cuda_attention_item *items = NULL;
        size_t n = 0;
        INK_TRY(fill_launch(made, problem, first, count, encode, error));
        INK_TRY(ink_cuda_attention_items(problem, first, count, query_rows, &items, &n, error));
        const ink_status status =
            ink_cuda_attention_upload(items, n * sizeof *items, stream, &made->items, error);
        free(items);
        if (status != INK_OK) return status;
        made->params.items = static_cast<const ink_cuda_attention_item *>(made->items);
        made->params.n_items = (int)n;
        made->blocks = (int)n < multiprocessors ? (int)n : multiprocessors;
        state->bytes += n * sizeof *items;
    }
    return INK_OK;
}

} // namespace

static_assert(sizeof(hopper_params) <= 32764, "more than a kernel's parameters");
static_assert(query_rows == key_rows, "tiles of queries and keys have the same box");

bool ink_cuda_attention_hopper_can(const ink_cuda_attention_problem *problem,
                                   const ink_cuda_attention_device *device) {
    bool can = device->major == 9 && device->minor == 0 && device->shared_bytes >= shared_bytes &&
               !problem->causal && problem->head_dim == head_dim && problem->scale > 0;
    for (int s = 0; s < problem->streams; s++) {
        const ink_cuda_matrix *matrices[] = {&problem->q[s], &problem->k[s], &problem->v[s],
                                             &problem->out[s]};
        for (const ink_cuda_matrix *x : matrices) {
            can = can && x->dtype == INK_BF16 && aligned(x->data, sizeof(ink_bf16)) &&
                  x->stride % pack_size == 0;
        }
    }
    return can;
}

bool ink_cuda_attention_hopper_worth(const ink_cuda_attention_problem *problem) {
    (void)problem;
    return true;
}

ink_status ink_cuda_attention_hopper_create(const ink_cuda_attention_problem *problem,
                                            const ink_cuda_attention_device *device, const void *like,
                                            cudaStream_t stream, void **out, ink_error *error) {
    (void)like;
    *out = NULL;
    const size_t n = (size_t)divide_up(problem->n_segments, most_segments);
    hopper_state *state = static_cast<hopper_state *>(calloc(1, sizeof(hopper_state)));
    launch *launches = static_cast<launch *>(aligned_alloc(alignof(launch), (n + !n) * sizeof(launch)));
    if (!state || !launches) {
        free(state), free(launches);
        return ink_fail_memory(error, "an attention plan", sizeof *state + n * sizeof *launches);
    }
    memset(launches, 0, (n + !n) * sizeof *launches);
    state->launches = launches;
    state->n_launches = n;
    ink_status status = ink_cuda_attention_check(
        cudaFuncSetAttribute(reinterpret_cast<const void *>(attention_hopper),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes),
        "attention's preparation", error);
    if (status == INK_OK) status = make_launches(state, problem, device->multiprocessors, stream, error);
    if (status != INK_OK) {
        ink_cuda_attention_hopper_destroy(state);
        return status;
    }
    *out = state;
    return INK_OK;
}

ink_status ink_cuda_attention_hopper_run(void *opaque, cudaStream_t stream, ink_error *error) {
    const hopper_state *state = static_cast<const hopper_state *>(opaque);
    for (size_t i = 0; i < state->n_launches; i++) {
        const launch *l = &state->launches[i];
        attention_hopper<<<(unsigned)l->blocks, thread_count, shared_bytes, stream>>>(l->params);
    }
    return ink_cuda_attention_check(cudaGetLastError(), "attention", error);
}

size_t ink_cuda_attention_hopper_bytes(const void *state) {
    return static_cast<const hopper_state *>(state)->bytes;
}

void ink_cuda_attention_hopper_destroy(void *opaque) {
    hopper_state *state = static_cast<hopper_state *>(opaque);
    for (size_t i = 0; i < state->n_launches; i++) {
        (void)cudaFree(state->launches[i].items);
    }
    free(state->launches);
    free(state);
}
