/*
 * Attention for everything: any head_dim up to 512, f32 and bf16 mixed, grouped heads, causal or not,
 * segments over two streams. The definition in f32 on the ordinary arithmetic units: the fallback, and what
 * small models and checks in f32 use.
 *
 * A block of 256 threads computes a tile of 16 * row_count queries of one head. It walks over the segment's
 * keys in tiles of 16 * key_count: scores, softmax so far (kept as maximum, sum and unscaled output, all
 * rescaled when the maximum grows), output. The threads form a grid of 16 x 16: thread (y, x) owns queries y
 * + 16 i and keys x + 16 j, so that a row's maximum and sum need a shuffle among 16 neighbours only, and row
 * y + 16 i of the weights is written and read by the same half of a warp.
 *
 * Rows of a segment beyond its end are 0 in shared memory, for a weight of 0 must not meet a NaN.
 */
#include "backend/cuda/attention.h"
#include "backend/cuda/device.cuh"

#include <stdlib.h>

namespace {

constexpr int grid_side = 16, thread_count = grid_side * grid_side;
constexpr float log2_e = 1.44269504088896340736f;

struct operand {
    const void *data;
    int64_t stride;
    ink_dtype dtype;
};

struct stream_operands {
    operand q, k, v, out;
};

struct simple_params {
    stream_operands stream[INK_MAX_STREAMS];
    const ink_cuda_attention_tile *tiles;
    const ink_segment *segments;
    int head_dim, group; /* group: query heads per key head */
    bool causal, vector; /* vector: all rows of all heads are made of aligned packs */
    float scale;         /* with log2(e): weights are powers of 2 */
};

/* The operand and row of position p of a segment. */
__device__ __forceinline__ int64_t locate(const ink_segment &segment, int64_t p, int *stream) {
    *stream = p < segment.length[0] ? 0 : 1;
    return *stream == 0 ? segment.begin[0] + p : segment.begin[1] + p - segment.length[0];
}

template <int which> __device__ __forceinline__ const operand &select(const stream_operands &s) {
    if constexpr (which == 0) return s.q;
    if constexpr (which == 1) return s.k;
    return s.v;
}

/* Eight elements from a row's element `at` on, of which n are there. */
__device__ __forceinline__ void load_any_pack(float (&v)[pack_size], const operand &x, int64_t at, int n,
                                              bool vector) {
    if (x.dtype == INK_F32) {
        const float *from = static_cast<const float *>(x.data) + at;
        if (vector)
            load_pack<true>(v, from, n);
        else
            load_pack<false>(v, from, n);
    } else {
        const ink_bf16 *from = static_cast<const ink_bf16 *>(x.data) + at;
        if (vector)
            load_pack<true>(v, from, n);
        else
            load_pack<false>(v, from, n);
    }
}

/* Positions [first, first + rows) of a head into shared memory, as f32; what is not there becomes 0. */
template <int which, int rows, int dim>
__device__ __forceinline__ void fill(float *tile, const simple_params &p, const ink_segment &segment,
                                     int64_t first, int64_t length, int head) {
    constexpr int packs = dim / pack_size;
    for (int i = (int)threadIdx.x; i < rows * packs; i += thread_count) {
        const int row = i / packs, column = i % packs * pack_size;
        const int64_t position = first + row;
        float v[pack_size];
        if (position < length && column < p.head_dim) {
            int stream;
            const int64_t at = locate(segment, position, &stream);
            const operand &x = select<which>(p.stream[stream]);
            load_any_pack(v, x, at * x.stride + (int64_t)head * p.head_dim + column, p.head_dim - column,
                          p.vector);
        } else {
            clear(v);
        }
        store_vector(tile + row * (dim + 4) + column, v);
    }
}

__device__ __forceinline__ float half_warp_max(float x) {
#pragma unroll
    for (int offset = grid_side / 2; offset > 0; offset /= 2) {
        x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, offset));
    }
    return x;
}

/* A thread's columns of the output: `wide` neighbours, again and again. */
template <int dim> struct columns {
    static constexpr int count = dim / grid_side, wide = count < 4 ? count : 4, groups = count / wide;
};

template <int wide> __device__ __forceinline__ void load_columns(float (&v)[wide], const float *from) {
    if constexpr (wide == 4) {
        const float4 x = *reinterpret_cast<const float4 *>(from);
        v[0] = x.x, v[1] = x.y, v[2] = x.z, v[3] = x.w;
    } else {
        const float2 x = *reinterpret_cast<const float2 *>(from);
        v[0] = x.x, v[1] = x.y;
    }
}

/* scores[i][j] = q_i . k_j */
template <int row_count, int key_count, int dim>
__device__ __forceinline__ void score(float (&scores)[row_count][key_count], const float *q, const float *k,
                                      int y, int x) {
#pragma unroll
    for (int i = 0; i < row_count; i++) {
#pragma unroll
        for (int j = 0; j < key_count; j++) {
            scores[i][j] = 0;
        }
    }
#pragma unroll 4
    for (int d = 0; d < dim; d += 4) {
        float4 a[row_count], b[key_count];
#pragma unroll
        for (int i = 0; i < row_count; i++) {
            a[i] = *reinterpret_cast<const float4 *>(q + (y + grid_side * i) * (dim + 4) + d);
        }
#pragma unroll
        for (int j = 0; j < key_count; j++) {
            b[j] = *reinterpret_cast<const float4 *>(k + (x + grid_side * j) * (dim + 4) + d);
        }
#pragma unroll
        for (int i = 0; i < row_count; i++) {
#pragma unroll
            for (int j = 0; j < key_count; j++) {
                float s = scores[i][j];
                s = fmaf(a[i].x, b[j].x, s);
                s = fmaf(a[i].y, b[j].y, s);
                s = fmaf(a[i].z, b[j].z, s);
                scores[i][j] = fmaf(a[i].w, b[j].w, s);
            }
        }
    }
}

/* out_i += sum of weights_ij v_j. With `guarded`, keys that row i does not see (j >= seen[i]) are left out
 * even if their values are not finite. */
template <int row_count, int key_count, int dim, bool guarded>
__device__ __forceinline__ void accumulate(float (&out)[row_count][columns<dim>::count], const float *weights,
                                           const float *v, int y, int x, const int (&seen)[row_count]) {
    using cols = columns<dim>;
    constexpr int keys = grid_side * key_count;
#pragma unroll 2
    for (int j = 0; j < keys; j += 4) {
        float w[row_count][4];
#pragma unroll
        for (int i = 0; i < row_count; i++) {
            load_columns<4>(w[i], weights + (y + grid_side * i) * (keys + 4) + j);
        }
#pragma unroll
        for (int jj = 0; jj < 4; jj++) {
#pragma unroll
            for (int g = 0; g < cols::groups; g++) {
                float b[cols::wide];
                load_columns<cols::wide>(b, v + (j + jj) * (dim + 4) + (g * grid_side + x) * cols::wide);
#pragma unroll
                for (int i = 0; i < row_count; i++) {
#pragma unroll
                    for (int c = 0; c < cols::wide; c++) {
                        float &sum = out[i][g * cols::wide + c];
                        if (!guarded || j + jj < seen[i]) sum = fmaf(w[i][jj], b[c], sum);
                    }
                }
            }
        }
    }
}

/* Turns scores into weights relative to the row's new maximum, and rescales what was summed with the old one.
 */
template <int row_count, int key_count, int dim>
__device__ __forceinline__ void soften(float (&scores)[row_count][key_count], float (&highest)[row_count],
                                       float (&total)[row_count],
                                       float (&out)[row_count][columns<dim>::count], float *weights,
                                       float scale, int y, int x, const int (&seen)[row_count]) {
#pragma unroll
    for (int i = 0; i < row_count; i++) {
        float most = highest[i];
#pragma unroll
        for (int j = 0; j < key_count; j++) {
            scores[i][j] = x + grid_side * j < seen[i] ? scores[i][j] * scale : -INFINITY;
            most = fmaxf(most, scores[i][j]);
        }
        most = half_warp_max(most);
        /* As long as all scores are -inf, the sums must stay 0 and not become NaN. */
        const float base = most == -INFINITY ? 0 : most;
        const float shrink = exp2f(highest[i] - base);
        highest[i] = most;
        float sum = 0;
#pragma unroll
        for (int j = 0; j < key_count; j++) {
            const float w = exp2f(scores[i][j] - base);
            sum += w;
            weights[(y + grid_side * i) * (grid_side * key_count + 4) + x + grid_side * j] = w;
        }
        total[i] = total[i] * shrink + sum;
#pragma unroll
        for (int c = 0; c < columns<dim>::count; c++) {
            out[i][c] *= shrink;
        }
    }
}

template <int row_count, int dim>
__device__ __forceinline__ void store(const simple_params &p, const ink_segment &segment, int64_t first,
                                      int64_t length, const float (&out)[row_count][columns<dim>::count],
                                      float (&total)[row_count], int y, int x) {
    using cols = columns<dim>;
#pragma unroll
    for (int i = 0; i < row_count; i++) {
        float sum = total[i];
#pragma unroll
        for (int offset = grid_side / 2; offset > 0; offset /= 2) {
            sum += __shfl_xor_sync(0xFFFFFFFFu, sum, offset);
        }
        const int64_t position = first + y + grid_side * i;
        if (position >= length) continue;
        int stream;
        const int64_t row = locate(segment, position, &stream);
        const operand &to = p.stream[stream].out;
        const int64_t at = row * to.stride + (int64_t)blockIdx.y * p.head_dim;
#pragma unroll
        for (int g = 0; g < cols::groups; g++) {
#pragma unroll
            for (int c = 0; c < cols::wide; c++) {
                const int column = (g * grid_side + x) * cols::wide + c;
                if (column < p.head_dim) {
                    store_any(const_cast<void *>(to.data), to.dtype, at + column,
                              out[i][g * cols::wide + c] / sum);
                }
            }
        }
    }
}

template <int row_count, int key_count, int dim>
__global__ void __launch_bounds__(thread_count) attention_simple(const simple_params p) {
    constexpr int rows = grid_side * row_count, keys = grid_side * key_count;
    extern __shared__ float4 shared[];
    float *q = reinterpret_cast<float *>(shared), *kv = q + rows * (dim + 4),
          *weights = kv + keys * (dim + 4);
    const int x = (int)threadIdx.x % grid_side, y = (int)threadIdx.x / grid_side;
    const ink_cuda_attention_tile tile = p.tiles[blockIdx.x];
    const ink_segment segment = p.segments[tile.segment];
    const int64_t length = segment.length[0] + segment.length[1], first = tile.position;
    const int head = (int)blockIdx.y, kv_head = head / p.group;
    fill<0, rows, dim>(q, p, segment, first, length, head);

    float out[row_count][columns<dim>::count], highest[row_count], total[row_count];
#pragma unroll
    for (int i = 0; i < row_count; i++) {
        highest[i] = -INFINITY;
        total[i] = 0;
#pragma unroll
        for (int c = 0; c < columns<dim>::count; c++) {
            out[i][c] = 0;
        }
    }
    const int64_t end = p.causal && first + rows < length ? first + rows : length;
    for (int64_t key = 0; key < end; key += keys) {
        float scores[row_count][key_count];
        int seen[row_count]; /* of this tile's keys, by each of the thread's rows */
#pragma unroll
        for (int i = 0; i < row_count; i++) {
            const int64_t visible = p.causal ? first + y + grid_side * i + 1 : length;
            const int64_t left = (visible < length ? visible : length) - key;
            seen[i] = left < keys ? (int)left : keys;
        }
        fill<1, keys, dim>(kv, p, segment, key, length, kv_head);
        __syncthreads();
        score<row_count, key_count, dim>(scores, q, kv, y, x);
        __syncthreads();
        fill<2, keys, dim>(kv, p, segment, key, length, kv_head);
        soften<row_count, key_count, dim>(scores, highest, total, out, weights, p.scale, y, x, seen);
        __syncthreads();
        if (p.causal && key + keys > first + 1)
            accumulate<row_count, key_count, dim, true>(out, weights, kv, y, x, seen);
        else
            accumulate<row_count, key_count, dim, false>(out, weights, kv, y, x, seen);
        __syncthreads();
    }
    store<row_count, dim>(p, segment, first, length, out, total, y, x);
}

struct simple_state {
    simple_params params;
    void *tiles, *segments; /* device */
    int64_t n_tiles, heads;
    size_t table_bytes;
    void (*kernel)(const simple_params);
    int shared_bytes;
};

template <int row_count, int key_count, int dim> int choose(simple_state *state) {
    constexpr int rows = grid_side * row_count, keys = grid_side * key_count;
    state->kernel = attention_simple<row_count, key_count, dim>;
    state->shared_bytes = (int)sizeof(float) * ((rows + keys) * (dim + 4) + rows * (keys + 4));
    return rows;
}

/* Wide tiles read keys and values less often; narrow ones keep the device busy when there is little to do.
 * Returns the rows of a tile. */
int choose_kernel(simple_state *state, int64_t head_dim, bool narrow) {
    if (head_dim <= 32) return narrow ? choose<1, 4, 32>(state) : choose<4, 4, 32>(state);
    if (head_dim <= 64) return narrow ? choose<1, 4, 64>(state) : choose<4, 4, 64>(state);
    if (head_dim <= 128) return narrow ? choose<1, 4, 128>(state) : choose<4, 4, 128>(state);
    if (head_dim <= 256) return narrow ? choose<1, 2, 256>(state) : choose<2, 2, 256>(state);
    return narrow ? choose<1, 1, 512>(state) : choose<2, 2, 512>(state);
}

operand operand_of(const ink_cuda_matrix &x) {
    return {x.data, x.stride, x.dtype};
}

void set_params(simple_params *params, const ink_cuda_attention_problem *problem) {
    params->head_dim = (int)problem->head_dim;
    params->group = (int)(problem->heads / problem->kv_heads);
    params->causal = problem->causal;
    params->scale = problem->scale * log2_e;
    params->vector = problem->head_dim % pack_size == 0;
    for (int s = 0; s < problem->streams; s++) {
        params->vector = params->vector && aligned_rows(&problem->q[s]) && aligned_rows(&problem->k[s]) &&
                         aligned_rows(&problem->v[s]);
        params->stream[s] = {operand_of(problem->q[s]), operand_of(problem->k[s]), operand_of(problem->v[s]),
                             operand_of(problem->out[s])};
    }
}

int64_t total_rows(const ink_cuda_attention_problem *problem) {
    int64_t rows = 0;
    for (int64_t i = 0; i < problem->n_segments; i++) {
        rows += ink_cuda_attention_length(&problem->segments[i]);
    }
    return rows;
}

ink_status make_tables(simple_state *state, const ink_cuda_attention_problem *problem, int rows_per_tile,
                       cudaStream_t stream, ink_error *error) {
    ink_cuda_attention_tile *tiles = NULL;
    size_t n = 0;
    INK_TRY(ink_cuda_attention_tiles(problem, rows_per_tile, &tiles, &n, error));
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

bool ink_cuda_attention_simple_can(const ink_cuda_attention_problem *problem,
                                   const ink_cuda_attention_device *device) {
    (void)device;
    return problem->head_dim <= INK_CUDA_ATTENTION_MAX_HEAD_DIM;
}

bool ink_cuda_attention_simple_worth(const ink_cuda_attention_problem *problem) {
    (void)problem;
    return true;
}

ink_status ink_cuda_attention_simple_create(const ink_cuda_attention_problem *problem,
                                            const ink_cuda_attention_device *device, const void *like,
                                            cudaStream_t stream, void **out, ink_error *error) {
    (void)like;
    *out = NULL;
    simple_state *state = static_cast<simple_state *>(calloc(1, sizeof(simple_state)));
    if (!state) return ink_fail_memory(error, "an attention plan", sizeof *state);
    set_params(&state->params, problem);
    state->heads = problem->heads;
    const bool narrow =
        ink_divide_up(total_rows(problem), 4 * grid_side) * problem->heads < device->multiprocessors;
    int rows_per_tile = choose_kernel(state, problem->head_dim, narrow);
    if (state->shared_bytes > device->shared_bytes) {
        rows_per_tile = choose_kernel(state, problem->head_dim, true);
    }
    ink_status status =
        ink_cuda_check(cudaFuncSetAttribute(reinterpret_cast<const void *>(state->kernel),
                                            cudaFuncAttributeMaxDynamicSharedMemorySize, state->shared_bytes),
                       "attention's preparation", error);
    if (status == INK_OK) status = make_tables(state, problem, rows_per_tile, stream, error);
    if (status != INK_OK) {
        ink_cuda_attention_simple_destroy(state);
        return status;
    }
    *out = state;
    return INK_OK;
}

ink_status ink_cuda_attention_simple_run(void *opaque, cudaStream_t stream, ink_error *error) {
    const simple_state *state = static_cast<const simple_state *>(opaque);
    const dim3 blocks((unsigned)state->n_tiles, (unsigned)state->heads);
    state->kernel<<<blocks, thread_count, (size_t)state->shared_bytes, stream>>>(state->params);
    return ink_cuda_check(cudaGetLastError(), "attention", error);
}

size_t ink_cuda_attention_simple_bytes(const void *state) {
    return static_cast<const simple_state *>(state)->table_bytes;
}

void ink_cuda_attention_simple_destroy(void *opaque) {
    simple_state *state = static_cast<simple_state *>(opaque);
    (void)cudaFree(state->tiles);
    (void)cudaFree(state->segments);
    free(state);
}
