/*
 * Attention on the tensor cores of any device since Ampere: bf16, heads of up to 512 columns. For what the
 * libraries and the Hopper kernel do not take: causal attention and other head dims.
 *
 * A block computes 64 queries of one head with 8 warps: 4 teams of 16 queries, of which one warp takes the
 * first half of each tile of 64 keys and of the output's columns, the other one the second. They exchange the
 * rows' maxima and the weights in shared memory. Keys are loaded while the output is summed, values while
 * scores are.
 *
 * In shared memory, 16-byte chunk c of a row r is in place c ^ (r % 8), so that a matrix of 8 rows meets all
 * banks.
 */
#include "backend/cuda/attention.h"
#include "backend/cuda/device.cuh"
#include "backend/cuda/mma.cuh"

#include <stdlib.h>

namespace {

constexpr int rows = 64, keys = 64, halves = 2, team_rows = 16;
constexpr int thread_count = rows / team_rows * halves * warp_size;
constexpr int chunk = 8; /* elements of 16 bytes */
constexpr int half_keys = keys / halves, key_tiles = half_keys / 8, key_steps = keys / 16;
constexpr float log2_e = 1.44269504088896340736f;

struct operand {
    const ink_bf16 *data;
    int64_t stride;
};

struct mma_params {
    operand q[INK_MAX_STREAMS], k[INK_MAX_STREAMS], v[INK_MAX_STREAMS];
    void *out[INK_MAX_STREAMS];
    int64_t out_stride[INK_MAX_STREAMS];
    bool out_is_bf16[INK_MAX_STREAMS];
    const ink_cuda_attention_tile *tiles;
    const ink_segment *segments;
    int head_dim, group; /* group: query heads per key head */
    float scale;         /* with log2(e): weights are powers of 2 */
    bool causal;
};

/* Of a block. Totals and maxima are of one half's keys. */
template <int dim> struct shared_memory {
    ink_bf16 q[rows][dim], k[keys][dim], v[keys][dim], weights[rows][keys];
    float highest[halves][rows], total[halves][rows];
};

/* Position p of a segment: its stream and row. */
__device__ __forceinline__ int64_t locate(const ink_segment &segment, int64_t p, int *stream) {
    *stream = p < segment.length[0] ? 0 : 1;
    return *stream == 0 ? segment.begin[0] + p : segment.begin[1] + p - segment.length[0];
}

/* Where chunk c of row r is. */
template <int columns>
__device__ __forceinline__ const ink_bf16 *place(const ink_bf16 (*tile)[columns], int r, int c) {
    return &tile[r][(c ^ (r % 8)) * chunk];
}

/* Starts to copy positions [first, first + count) of a head; what is not there becomes 0. */
template <int count, int dim>
__device__ __forceinline__ void start_copy(ink_bf16 (*tile)[dim], const operand (&x)[INK_MAX_STREAMS],
                                           const ink_segment &segment, int64_t first, int64_t length,
                                           int column, int head_dim) {
    constexpr int chunks = dim / chunk;
    for (int i = (int)threadIdx.x; i < count * chunks; i += thread_count) {
        const int r = i / chunks, c = i % chunks;
        const bool there = first + r < length && c * chunk < head_dim;
        int stream;
        const int64_t row = locate(segment, there ? first + r : 0, &stream);
        const ink_bf16 *from = x[stream].data + row * x[stream].stride + column + (there ? c * chunk : 0);
        mma::copy_16(place<dim>(tile, r, c), from, there);
    }
    mma::copy_commit();
}

/* scores[j] = 16 queries x 8 keys, for the half's keys. */
template <int dim>
__device__ __forceinline__ void score(float (&scores)[key_tiles][4], const shared_memory<dim> &s, int query,
                                      int key) {
    const int lane = (int)threadIdx.x % warp_size;
#pragma unroll
    for (int j = 0; j < key_tiles; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            scores[j][i] = 0;
        }
    }
#pragma unroll 4
    for (int step = 0; step < dim / 16; step++) {
        uint32_t a[4];
        mma::load_matrices(a, place<dim>(s.q, query + lane % 16, 2 * step + lane / 16));
#pragma unroll
        for (int j = 0; j < key_tiles; j += 2) {
            uint32_t b[4]; /* of two tiles of keys */
            mma::load_matrices(
                b, place<dim>(s.k, key + 8 * j + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
            mma::product(scores[j], a, b);
            mma::product(scores[j + 1], a, b + 2);
        }
    }
}

/* out[j] += weights of 16 queries x values of 8 columns, for the half's columns. */
template <int dim>
__device__ __forceinline__ void accumulate(float (&out)[dim / 16][4], const shared_memory<dim> &s, int query,
                                           int column) {
    const int lane = (int)threadIdx.x % warp_size;
#pragma unroll
    for (int step = 0; step < key_steps; step++) {
        uint32_t a[4];
        mma::load_matrices(a, place<keys>(s.weights, query + lane % 16, 2 * step + lane / 16));
#pragma unroll
        for (int j = 0; j < dim / 16; j += 2) {
            uint32_t b[4]; /* of two tiles of columns */
            mma::load_transposed(b, place<dim>(s.v, 16 * step + lane % 16, column / chunk + j + lane / 16));
            mma::product(out[j], a, b);
            mma::product(out[j + 1], a, b + 2);
        }
    }
}

/* The largest of four neighbouring threads' numbers. */
__device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 2));
}

/* Scales and masks the scores, and tells the rows' maxima. `left`: keys of the half that are there; of the
 * block's first query, `seen` keys of the half are not later than it, and one more of every query after it. A
 * thread has row lane / 4 and the one 8 below, there columns 2 (lane % 4) and 1 more of every 8. */
__device__ __forceinline__ void tell_highest(float (&scores)[key_tiles][4], float *highest, float scale,
                                             int query, int left, int seen) {
    const int lane = (int)threadIdx.x % warp_size, column = lane % 4 * 2;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float most = -INFINITY;
        const int visible = min(left, seen + query + lane / 4 + 8 * h);
#pragma unroll
        for (int j = 0; j < key_tiles; j++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float &x = scores[j][2 * h + e];
                x = 8 * j + column + e < visible ? x * scale : -INFINITY;
                most = fmaxf(most, x);
            }
        }
        most = quad_max(most);
        if (lane % 4 == 0) highest[query + lane / 4 + 8 * h] = most;
    }
}

/* Weights relative to the rows' new maxima go to shared memory; `shrink` is for what was summed before. */
template <int dim>
__device__ __forceinline__ void soften(const float (&scores)[key_tiles][4], shared_memory<dim> &s,
                                       float (&highest)[2], float (&total)[2], float (&shrink)[2], int query,
                                       int key) {
    const int lane = (int)threadIdx.x % warp_size;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int row = query + lane / 4 + 8 * h;
        const float most = fmaxf(highest[h], fmaxf(s.highest[0][row], s.highest[1][row]));
        /* As long as all scores are -inf, the sums must stay 0 and not become NaN. */
        const float base = most == -INFINITY ? 0 : most;
        shrink[h] = exp2f(highest[h] - base);
        highest[h] = most;
        float sum = 0;
#pragma unroll
        for (int j = 0; j < key_tiles; j++) {
            const float low = exp2f(scores[j][2 * h] - base), high = exp2f(scores[j][2 * h + 1] - base);
            sum += low + high;
            ink_bf16 *to =
                const_cast<ink_bf16 *>(place<keys>(s.weights, row, key / chunk + j)) + lane % 4 * 2;
            *reinterpret_cast<__nv_bfloat162 *>(to) = __floats2bfloat162_rn(low, high);
        }
        total[h] = total[h] * shrink[h] + sum;
    }
}

template <int dim>
__device__ __forceinline__ void store(const mma_params &p, const ink_segment &segment, int64_t first,
                                      int64_t length, const float (&out)[dim / 16][4],
                                      const shared_memory<dim> &s, int query, int column) {
    const int lane = (int)threadIdx.x % warp_size;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int row = query + lane / 4 + 8 * h;
        if (first + row >= length) continue;
        const float factor = 1 / (s.total[0][row] + s.total[1][row]);
        int stream;
        const int64_t to = locate(segment, first + row, &stream);
        const int64_t at = to * p.out_stride[stream] + (int64_t)blockIdx.y * p.head_dim;
#pragma unroll
        for (int j = 0; j < dim / 16; j++) {
            const int c = column + 8 * j + lane % 4 * 2;
            if (c >= p.head_dim) continue;
            const float low = out[j][2 * h] * factor, high = out[j][2 * h + 1] * factor;
            if (p.out_is_bf16[stream])
                *reinterpret_cast<__nv_bfloat162 *>(static_cast<ink_bf16 *>(p.out[stream]) + at + c) =
                    __floats2bfloat162_rn(low, high);
            else
                *reinterpret_cast<float2 *>(static_cast<float *>(p.out[stream]) + at + c) =
                    make_float2(low, high);
        }
    }
}

template <int dim>
__global__ void __launch_bounds__(thread_count) attention_mma(const __grid_constant__ mma_params p) {
    extern __shared__ uint4 shared[];
    shared_memory<dim> &s = *reinterpret_cast<shared_memory<dim> *>(shared);
    const int warp = (int)threadIdx.x / warp_size, lane = (int)threadIdx.x % warp_size;
    const int half = warp % halves, query = warp / halves * team_rows;
    const int key = half * half_keys, column = half * (dim / halves);
    const ink_cuda_attention_tile tile = p.tiles[blockIdx.x];
    const ink_segment segment = p.segments[tile.segment];
    const int64_t length = segment.length[0] + segment.length[1], first = tile.position;
    const int head = (int)blockIdx.y * p.head_dim, kv_head = (int)blockIdx.y / p.group * p.head_dim;
    start_copy<rows, dim>(s.q, p.q, segment, first, length, head, p.head_dim);
    start_copy<keys, dim>(s.k, p.k, segment, 0, length, kv_head, p.head_dim);
    mma::copy_wait<0>();
    __syncthreads();
    start_copy<keys, dim>(s.v, p.v, segment, 0, length, kv_head, p.head_dim);

    float out[dim / 16][4], highest[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
#pragma unroll
    for (int j = 0; j < dim / 16; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            out[j][i] = 0;
        }
    }
    const int64_t end = p.causal && first + rows < length ? first + rows : length; /* of the keys */
    for (int64_t position = 0; position < end; position += keys) {
        float scores[key_tiles][4], shrink[2];
        const int64_t left = length - position - key;
        const int seen = p.causal ? (int)(first + 1 - position - key) : keys;
        score<dim>(scores, s, query, key);
        tell_highest(scores, s.highest[half], p.scale, query, left < keys ? (int)left : keys, seen);
        __syncthreads(); /* everybody is done with the keys */
        const bool more = position + keys < end;
        if (more) start_copy<keys, dim>(s.k, p.k, segment, position + keys, length, kv_head, p.head_dim);
        soften<dim>(scores, s, highest, total, shrink, query, key);
#pragma unroll
        for (int j = 0; j < dim / 16; j++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                out[j][i] *= shrink[i / 2];
            }
        }
        if (more)
            mma::copy_wait<1>(); /* the values */
        else
            mma::copy_wait<0>();
        __syncthreads();
        accumulate<dim>(out, s, query, column);
        mma::copy_wait<0>(); /* the next keys */
        __syncthreads();     /* everybody is done with the values */
        if (more) start_copy<keys, dim>(s.v, p.v, segment, position + keys, length, kv_head, p.head_dim);
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float sum = total[h];
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
        if (lane % 4 == 0) s.total[half][query + lane / 4 + 8 * h] = sum;
    }
    __syncthreads();
    store<dim>(p, segment, first, length, out, s, query, column);
}

struct mma_state {
    mma_params params;
    void *tiles, *segments; /* device */
    int64_t n_tiles, heads;
    size_t table_bytes;
    void (*kernel)(const mma_params);
    int shared_bytes;
};

struct kernel_choice {
    int dim, shared_bytes;
    void (*kernel)(const mma_params);
};

template <int dim> constexpr kernel_choice choice() {
    return {dim, (int)sizeof(shared_memory<dim>), attention_mma<dim>};
}

/* The narrowest kernel for heads of this width, or NULL. */
const kernel_choice *choose(int64_t head_dim) {
    static const kernel_choice choices[] = {choice<64>(), choice<128>(), choice<256>(), choice<384>(),
                                            choice<512>()};
    for (const kernel_choice &c : choices) {
        if (head_dim <= c.dim) return &c;
    }
    return NULL;
}

operand operand_of(const ink_cuda_matrix &x) {
    return {static_cast<const ink_bf16 *>(x.data), x.stride};
}

void set_params(mma_params *params, const ink_cuda_attention_problem *problem) {
    params->head_dim = (int)problem->head_dim;
    params->group = (int)(problem->heads / problem->kv_heads);
    params->scale = problem->scale * log2_e;
    params->causal = problem->causal;
    for (int s = 0; s < problem->streams; s++) {
        params->q[s] = operand_of(problem->q[s]);
        params->k[s] = operand_of(problem->k[s]);
        params->v[s] = operand_of(problem->v[s]);
        params->out[s] = problem->out[s].data;
        params->out_stride[s] = problem->out[s].stride;
        params->out_is_bf16[s] = problem->out[s].dtype == INK_BF16;
    }
}

ink_status make_tables(mma_state *state, const ink_cuda_attention_problem *problem, cudaStream_t stream,
                       ink_error *error) {
    ink_cuda_attention_tile *tiles = NULL;
    size_t n = 0;
    INK_TRY(ink_cuda_attention_tiles(problem, rows, &tiles, &n, error));
    const size_t tile_bytes = n * sizeof *tiles;
    const size_t segment_bytes = (size_t)problem->n_segments * sizeof *problem->segments;
    ink_status status =
        ink_cuda_copy_to_device(tiles, tile_bytes, "attention's tables", stream, &state->tiles, error);
    free(tiles);
    if (status == INK_OK) {
        status = ink_cuda_copy_to_device(problem->segments, segment_bytes, "attention's tables", stream,
                                         &state->segments, error);
    }
    state->params.tiles = static_cast<const ink_cuda_attention_tile *>(state->tiles);
    state->params.segments = static_cast<const ink_segment *>(state->segments);
    state->n_tiles = (int64_t)n;
    state->table_bytes = tile_bytes + segment_bytes;
    return status;
}

} // namespace

bool ink_cuda_attention_mma_can(const ink_cuda_attention_problem *problem,
                                const ink_cuda_attention_device *device) {
    const kernel_choice *choice = choose(problem->head_dim);
    bool can = device->major >= 8 && choice && choice->shared_bytes <= device->shared_bytes &&
               problem->head_dim % chunk == 0;
    for (int s = 0; s < problem->streams; s++) {
        const ink_cuda_matrix *inputs[] = {&problem->q[s], &problem->k[s], &problem->v[s]};
        for (const ink_cuda_matrix *x : inputs) {
            can = can && x->dtype == INK_BF16 && aligned(x->data, sizeof(ink_bf16)) && x->stride % chunk == 0;
        }
        can = can && aligned(problem->out[s].data, sizeof(ink_bf16)) && problem->out[s].stride % 2 == 0;
    }
    return can;
}

bool ink_cuda_attention_mma_worth(const ink_cuda_attention_problem *problem) {
    (void)problem;
    return true;
}

ink_status ink_cuda_attention_mma_create(const ink_cuda_attention_problem *problem,
                                         const ink_cuda_attention_device *device, const void *like,
                                         cudaStream_t stream, void **out, ink_error *error) {
    (void)device, (void)like;
    *out = NULL;
    mma_state *state = static_cast<mma_state *>(calloc(1, sizeof(mma_state)));
    if (!state) return ink_fail_memory(error, "an attention plan", sizeof *state);
    const kernel_choice *choice = choose(problem->head_dim);
    state->kernel = choice->kernel;
    state->shared_bytes = choice->shared_bytes;
    state->heads = problem->heads;
    set_params(&state->params, problem);
    ink_status status =
        ink_cuda_check(cudaFuncSetAttribute(reinterpret_cast<const void *>(state->kernel),
                                            cudaFuncAttributeMaxDynamicSharedMemorySize, state->shared_bytes),
                       "attention's preparation", error);
    if (status == INK_OK) status = make_tables(state, problem, stream, error);
    if (status != INK_OK) {
        ink_cuda_attention_mma_destroy(state);
        return status;
    }
    *out = state;
    return INK_OK;
}

ink_status ink_cuda_attention_mma_run(void *opaque, cudaStream_t stream, ink_error *error) {
    const mma_state *state = static_cast<const mma_state *>(opaque);
    const dim3 blocks((unsigned)state->n_tiles, (unsigned)state->heads);
    state->kernel<<<blocks, thread_count, (size_t)state->shared_bytes, stream>>>(state->params);
    return ink_cuda_check(cudaGetLastError(), "attention", error);
}

size_t ink_cuda_attention_mma_bytes(const void *state) {
    return static_cast<const mma_state *>(state)->table_bytes;
}

void ink_cuda_attention_mma_destroy(void *opaque) {
    mma_state *state = static_cast<mma_state *>(opaque);
    (void)cudaFree(state->tiles);
    (void)cudaFree(state->segments);
    free(state);
}
