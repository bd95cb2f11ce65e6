/*
 * The denoising loop's own arithmetic, and the statistics of a picture.
 */
#include "backend/cuda/each.cuh"

namespace {

/* ---- guidance, and the step that follows ---- */

constexpr int guidance_threads = 256;

struct guidance_problem {
    ink_cuda_matrix v;
    ink_cuda_row scale;
    bool rescale;
    bool step; /* out = x + dt * guided, otherwise out = guided */
    ink_cuda_matrix x, out;
    ink_cuda_row dt;
};

static __device__ __forceinline__ double warp_sum(double x) {
    for (int offset = warp_size / 2; offset > 0; offset /= 2) {
        x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
    }
    return x;
}

/* A warp for each row. Rows are short and few, so double precision costs nothing: the squares of a row of
 * tiny or huge numbers stay numbers. */
__global__ void __launch_bounds__(guidance_threads) guide_rows(guidance_problem p) {
    const int64_t row = (int64_t)blockIdx.x * (guidance_threads / warp_size) + threadIdx.x / warp_size;
    if (row >= p.out.rows) return; /* whole warps */
    const double scale = *row_of(p.scale);
    const int64_t conditional = row * p.v.stride, unconditional = (row + p.out.rows) * p.v.stride;
    double p_squares = 0, c_squares = 0, factor = 1;
    for (int64_t i = threadIdx.x % warp_size; p.rescale && i < p.out.columns; i += warp_size) {
        const double with = load_any(p.v.data, p.v.dtype, conditional + i);
        const double without = load_any(p.v.data, p.v.dtype, unconditional + i);
        const double combined = without + scale * (with - without);
        p_squares += with * with;
        c_squares += combined * combined;
    }
    p_squares = warp_sum(p_squares);
    c_squares = warp_sum(c_squares);
    if (p.rescale && c_squares != 0) factor = sqrt(p_squares / c_squares);
    const float dt = p.step ? *row_of(p.dt) : 0.0f;
    for (int64_t i = threadIdx.x % warp_size; i < p.out.columns; i += warp_size) {
        const double with = load_any(p.v.data, p.v.dtype, conditional + i);
        const double without = load_any(p.v.data, p.v.dtype, unconditional + i);
        float guided = (float)(factor * (without + scale * (with - without)));
        if (p.step) guided = fmaf(dt, guided, load_any(p.x.data, p.x.dtype, row * p.x.stride + i));
        store_any(p.out.data, p.out.dtype, row * p.out.stride + i, guided);
    }
}

static cudaError_t launch_guidance(cudaStream_t stream, const guidance_problem &p) {
    if (!is_activation(&p.v) || !is_activation(&p.out) || p.v.rows != 2 * p.out.rows ||
        p.v.columns != p.out.columns) {
        return cudaErrorInvalidValue;
    }
    if (p.out.rows * p.out.columns == 0) return cudaSuccess;
    const int64_t blocks = ink_divide_up(p.out.rows, guidance_threads / warp_size);
    guide_rows<<<(unsigned)blocks, guidance_threads, 0, stream>>>(p);
    return cudaGetLastError();
}

struct euler_operation : binary_operation {
    ink_cuda_row dt;

    template <bool vector>
    __device__ void apply(float (&x)[pack_size], const float (&v)[pack_size], int64_t, int64_t,
                          int64_t) const {
        const float scale = *row_of(dt);
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            x[i] = fmaf(scale, v[i], x[i]);
        }
    }
};

/* ---- statistics ---- */

constexpr int stats_threads = 256, stats_chunk = 4096;

struct stats_part {
    double squares;
    int64_t finite;
    float low, high;
};

static __device__ __forceinline__ stats_part join(const stats_part &a, const stats_part &b) {
    return {a.squares + b.squares, a.finite + b.finite, fminf(a.low, b.low), fmaxf(a.high, b.high)};
}

/* The parts of all threads of a block, always joined in the same order; the result is thread 0's. */
static __device__ stats_part join_block(const stats_part &own) {
    __shared__ stats_part part[stats_threads];
    part[threadIdx.x] = own;
    __syncthreads();
    for (int half = stats_threads / 2; half > 0; half /= 2) {
        if ((int)threadIdx.x < half) part[threadIdx.x] = join(part[threadIdx.x], part[threadIdx.x + half]);
        __syncthreads();
    }
    return part[0];
}

static __device__ __forceinline__ stats_part nothing() {
    return {0, 0, INFINITY, -INFINITY};
}

/* A block for each chunk. */
__global__ void __launch_bounds__(stats_threads) stats_of_chunks(ink_cuda_matrix x, stats_part *parts) {
    const int64_t begin = (int64_t)blockIdx.x * stats_chunk, count = x.rows * x.columns;
    stats_part own = nothing();
    for (int i = (int)threadIdx.x; i < stats_chunk && begin + i < count; i += stats_threads) {
        const int64_t row = quotient(begin + i, x.columns), column = begin + i - row * x.columns;
        const float value = load_any(x.data, x.dtype, row * x.stride + column);
        if (isfinite(value)) own = join(own, {(double)value * (double)value, 1, value, value});
    }
    own = join_block(own);
    if (threadIdx.x == 0) parts[blockIdx.x] = own;
}

__global__ void __launch_bounds__(stats_threads)
    stats_of_all(const stats_part *parts, int64_t chunks, int64_t count, float *out) {
    stats_part all = nothing();
    for (int64_t i = threadIdx.x; i < chunks; i += stats_threads) {
        all = join(all, parts[i]);
    }
    all = join_block(all);
    if (threadIdx.x != 0) return;
    out[0] = all.finite ? all.low : 0.0f;
    out[1] = all.finite ? all.high : 0.0f;
    out[2] = all.finite ? (float)sqrt(all.squares / (double)all.finite) : 0.0f;
    out[3] = (float)(count - all.finite);
}

} // namespace

cudaError_t ink_cuda_guidance(cudaStream_t stream, const ink_cuda_matrix *v, const ink_cuda_row *scale,
                              bool rescale, const ink_cuda_matrix *out) {
    guidance_problem p = {};
    p.v = *v;
    p.scale = *scale;
    p.rescale = rescale;
    p.out = *out;
    return launch_guidance(stream, p);
}

cudaError_t ink_cuda_guided_step(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_matrix *v,
                                 const ink_cuda_row *scale, bool rescale, const ink_cuda_row *dt,
                                 const ink_cuda_matrix *out) {
    if (!is_activation(x) || !same_size(x, out)) return cudaErrorInvalidValue;
    return launch_guidance(stream, {*v, *scale, rescale, true, *x, *out, *dt});
}

cudaError_t ink_cuda_euler_step(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_matrix *v,
                                const ink_cuda_row *dt, const ink_cuda_matrix *out) {
    euler_operation op;
    op.dt = *dt;
    return launch_each(stream, op, true, true, x, v, out);
}

size_t ink_cuda_stats_scratch(int64_t elements) {
    return (size_t)ink_divide_up(elements, stats_chunk) * sizeof(stats_part);
}

cudaError_t ink_cuda_stats(cudaStream_t stream, const ink_cuda_matrix *x, void *scratch, float *out) {
    if (!is_activation(x)) return cudaErrorInvalidValue;
    const int64_t count = x->rows * x->columns, chunks = ink_divide_up(count, stats_chunk);
    stats_part *parts = static_cast<stats_part *>(scratch);
    if (chunks > 0) stats_of_chunks<<<(unsigned)chunks, stats_threads, 0, stream>>>(*x, parts);
    stats_of_all<<<1, stats_threads, 0, stream>>>(parts, chunks, count, out);
    return cudaGetLastError();
}
