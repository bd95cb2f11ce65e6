/*
 * Rows are rounded to e4m3, and multiplied where no library does it.
 */
#include "backend/cuda/fp8.cuh"
#include "backend/cuda/layer_packs.cuh"

namespace {

/* ---- rounding; a block for each row ---- */

constexpr int quantise_packs = 3, most_quantise_threads = 512;
constexpr int most_quantise_columns = quantise_packs * most_quantise_threads * pack_size;

struct quantise_problem {
    int64_t columns;
    ink_activation activation;
};

template <bool vector, typename X>
static __device__ __forceinline__ void load_activated(float (&v)[pack_size], ink_activation activation,
                                                      const X *x, int64_t n) {
    load_pack<vector>(v, x, n);
    if (activation == INK_ACT_NONE) return;
#pragma unroll
    for (int k = 0; k < pack_size; k++) {
        v[k] = activate(activation, v[k]);
    }
}

/* Every thread keeps its packs of the row in registers. */
template <bool vector, typename X>
__global__ void __launch_bounds__(most_quantise_threads)
    quantise_short_rows(quantise_problem p, const X *x, int64_t x_stride, ink_fp8 *out, float *scales) {
    __shared__ float partial[most_quantise_threads / warp_size];
    const int64_t row = blockIdx.x;
    const int own = (int)threadIdx.x * pack_size, step = (int)blockDim.x * pack_size,
              columns = (int)p.columns;
    x += row * x_stride;
    out += row * p.columns;
    float v[quantise_packs][pack_size], largest = 0;
#pragma unroll
    for (int i = 0; i < quantise_packs; i++) {
        load_activated<vector>(v[i], p.activation, x + (own + i * step), columns - (own + i * step));
    }
#pragma unroll
    for (int i = 0; i < quantise_packs; i++) {
        largest = pack_largest(v[i], largest, columns - (own + i * step));
    }
    largest = block_largest(largest, partial);
    const float factor = fp8_factor(largest);
    if (threadIdx.x == 0) scales[row] = fp8_scale(largest);
#pragma unroll
    for (int i = 0; i < quantise_packs; i++) {
        store_fp8_pack<vector>(out + (own + i * step), v[i], factor, columns - (own + i * step));
    }
}

/* Rows of any length are read twice. */
template <typename X>
__global__ void __launch_bounds__(most_quantise_threads)
    quantise_long_rows(quantise_problem p, const X *x, int64_t x_stride, ink_fp8 *out, float *scales) {
    __shared__ float partial[most_quantise_threads / warp_size];
    const int64_t row = blockIdx.x, first = (int64_t)threadIdx.x * pack_size;
    const int64_t step = (int64_t)blockDim.x * pack_size;
    x += row * x_stride;
    out += row * p.columns;
    float v[pack_size], largest = 0;
    for (int64_t column = first; column < p.columns; column += step) {
        load_activated<false>(v, p.activation, x + column, p.columns - column);
        largest = pack_largest(v, largest, p.columns - column);
    }
    largest = block_largest(largest, partial);
    const float factor = fp8_factor(largest);
    if (threadIdx.x == 0) scales[row] = fp8_scale(largest);
    for (int64_t column = first; column < p.columns; column += step) {
        load_activated<false>(v, p.activation, x + column, p.columns - column);
        store_fp8_pack<false>(out + column, v, factor, p.columns - column);
    }
}

constexpr int most_whole_threads = 768, rows_in_turn = 4;

/* GELU with as few instructions as there can be: z / (1 + e^-2u) as in device.cuh, with 2^x for e^x. Where
 * 2^x overflows the quotient is 0, as it should be. */
static __device__ __forceinline__ float short_gelu(float z) {
    const float x = z * fmaf(z * z, -2.302208199e0f * 0.044715f, -2.302208199e0f);
    float power, inverse;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(1.0f + power));
    return z * inverse;
}

/* The packs of a thread as they lie in memory. */
template <int packs, typename X> struct raw_row {
    typename pack_of<X>::type first, last; /* the same if there is only one */
    __device__ __forceinline__ raw_row(const X *x, int step) : first(x), last(x + (packs - 1) * step) {}
};
template <typename X> struct raw_row<1, X> {
    typename pack_of<X>::type first;
    __device__ __forceinline__ raw_row(const X *x, int) : first(x) {}
};

/* Rows of columns = 8 * packs * threads, of whole warps. A block does some rows in turn, and the next one is
 * on its way while one is rounded. */
template <int packs, bool gelu, typename X>
__global__ void __launch_bounds__(most_whole_threads, 2)
    quantise_whole_rows(int columns, int64_t rows, const X *x, int64_t x_stride, ink_fp8 *out,
                        float *scales) {
    __shared__ float partial[2][most_whole_threads / warp_size];
    const int own = (int)threadIdx.x * pack_size, step = (int)blockDim.x * pack_size;
    const int64_t row = (int64_t)blockIdx.x * rows_in_turn;
    const int count = rows - row < rows_in_turn ? (int)(rows - row) : rows_in_turn;
    x += row * x_stride + own;
    out += row * columns + own;
    scales += row;
    raw_row<packs, X> raw(x, step);
#pragma unroll 1
    for (int turn = 0; turn < count; turn++) {
        float v[packs][pack_size], largest = 0;
        raw.first.widen_to(v[0]);
        if constexpr (packs == 2) raw.last.widen_to(v[packs - 1]);
        x += x_stride;
        if (turn + 1 < count) raw = raw_row<packs, X>(x, step);
#pragma unroll
        for (int i = 0; i < packs; i++) {
#pragma unroll
            for (int k = 0; gelu && k < pack_size; k++) {
                v[i][k] = short_gelu(v[i][k]);
            }
            largest = pack_largest(v[i], largest, pack_size);
        }
        /* Two in turn: a warp may be at the next row while another still reads this one's. */
        largest = block_largest(largest, partial[turn % 2]);
        const float factor = fp8_factor(largest);
        if (threadIdx.x == 0) scales[turn] = fp8_scale(largest);
#pragma unroll
        for (int i = 0; i < packs; i++) {
            store_fp8_pack<true>(out + i * step, v[i], factor, pack_size);
        }
        out += columns;
    }
}

/* False if it is not for such rows. */
template <typename X>
static bool launch_whole(cudaStream_t stream, const quantise_problem &p, const ink_cuda_matrix *x,
                         ink_fp8 *to, float *scales) {
    const int64_t packs = p.columns > most_whole_threads * pack_size ? 2 : 1,
                  threads = p.columns / (packs * pack_size);
    if (p.columns % (packs * pack_size * warp_size) != 0 || threads > most_whole_threads ||
        (p.activation != INK_ACT_NONE && p.activation != INK_ACT_GELU_TANH))
        return false;
    const bool gelu = p.activation == INK_ACT_GELU_TANH;
    const dim3 grid((unsigned)ink_divide_up(x->rows, rows_in_turn)), block((unsigned)threads);
    const X *from = static_cast<const X *>(x->data);
    const int columns = (int)p.columns;
    if (packs == 1 && gelu)
        quantise_whole_rows<1, true>
            <<<grid, block, 0, stream>>>(columns, x->rows, from, x->stride, to, scales);
    else if (packs == 1)
        quantise_whole_rows<1, false>
            <<<grid, block, 0, stream>>>(columns, x->rows, from, x->stride, to, scales);
    else if (gelu)
        quantise_whole_rows<2, true>
            <<<grid, block, 0, stream>>>(columns, x->rows, from, x->stride, to, scales);
    else
        quantise_whole_rows<2, false>
            <<<grid, block, 0, stream>>>(columns, x->rows, from, x->stride, to, scales);
    return true;
}

template <typename X>
static cudaError_t launch_quantise(cudaStream_t stream, const quantise_problem &p, bool vector,
                                   const ink_cuda_matrix *x, const ink_cuda_matrix *out) {
    const int64_t packs = ink_divide_up(p.columns, quantise_packs * pack_size);
    const unsigned rows = (unsigned)x->rows;
    const unsigned threads =
        (unsigned)(ink_divide_up(packs < most_quantise_threads ? packs : most_quantise_threads, warp_size) *
                   warp_size);
    const X *from = static_cast<const X *>(x->data);
    ink_fp8 *to = static_cast<ink_fp8 *>(out->data);
    float *scales = ink_cuda_fp8_scales_out(out->data, out->rows, out->columns);
    if (vector && launch_whole<X>(stream, p, x, to, scales)) return cudaGetLastError();
    if (p.columns > most_quantise_columns)
        quantise_long_rows<<<rows, threads, 0, stream>>>(p, from, x->stride, to, scales);
    else if (vector)
        quantise_short_rows<true><<<rows, threads, 0, stream>>>(p, from, x->stride, to, scales);
    else
        quantise_short_rows<false><<<rows, threads, 0, stream>>>(p, from, x->stride, to, scales);
    return cudaGetLastError();
}

/* ---- products ---- */

constexpr int tile = 16;

struct linear_problem {
    int64_t rows, inputs, outputs, out_stride;
    ink_activation activation;
    const ink_fp8 *x, *weight;
    const float *x_scales, *weight_scales;
    const void *bias; /* nullable */
};

/* A block for a tile of the result, a thread for an element. */
template <typename O> __global__ void __launch_bounds__(tile *tile) multiply_tiles(linear_problem p, O *out) {
    __shared__ float x[tile][tile + 1], w[tile][tile + 1];
    const int across = (int)threadIdx.x % tile, down = (int)threadIdx.x / tile;
    const int64_t row = (int64_t)blockIdx.y * tile + down, column = (int64_t)blockIdx.x * tile + across;
    const int64_t w_row = (int64_t)blockIdx.x * tile + down;
    float sum = 0;
    for (int64_t k = 0; k < p.inputs; k += tile) {
        const bool inside = k + across < p.inputs;
        x[down][across] = inside && row < p.rows ? widen(p.x[row * p.inputs + k + across]) : 0.0f;
        w[down][across] = inside && w_row < p.outputs ? widen(p.weight[w_row * p.inputs + k + across]) : 0.0f;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < tile; i++) {
            sum = fmaf(x[down][i], w[across][i], sum);
        }
        __syncthreads();
    }
    if (row >= p.rows || column >= p.outputs) return;
    sum *= p.x_scales[row] * p.weight_scales[column];
    if (p.bias) sum += widen(static_cast<const O *>(p.bias)[column]);
    narrow(out + row * p.out_stride + column, activate(p.activation, sum));
}

} // namespace

cudaError_t ink_cuda_quantise_rows(cudaStream_t stream, const ink_cuda_matrix *x, ink_activation activation,
                                   const ink_cuda_matrix *out) {
    if (!same_size(x, out) || out->dtype != INK_F8_E4M3 || out->stride != out->columns)
        return cudaErrorInvalidValue;
    if (x->rows * x->columns == 0) return cudaSuccess;
    const bool vector = aligned_rows(x) && aligned_fp8(out);
    return with_type(x->dtype, [&](auto tag) {
        return launch_quantise<typename decltype(tag)::type>(stream, {x->columns, activation}, vector, x,
                                                             out);
    });
}

cudaError_t ink_cuda_fp8_linear(cudaStream_t stream, const ink_cuda_matrix *x, const void *weight,
                                const void *bias, ink_activation activation, const ink_cuda_matrix *out) {
    if (x->rows != out->rows || x->dtype != INK_F8_E4M3 || x->stride != x->columns)
        return cudaErrorInvalidValue;
    if (out->rows * out->columns == 0) return cudaSuccess;
    const linear_problem p = {x->rows,
                              x->columns,
                              out->columns,
                              out->stride,
                              activation,
                              static_cast<const ink_fp8 *>(x->data),
                              static_cast<const ink_fp8 *>(weight),
                              ink_cuda_fp8_scales(x->data, x->rows, x->columns),
                              ink_cuda_fp8_scales(weight, out->columns, x->columns),
                              bias};
    const dim3 grid((unsigned)ink_divide_up(out->columns, tile), (unsigned)ink_divide_up(out->rows, tile));
    if (grid.y > 65535) return cudaErrorInvalidValue;
    return with_type(out->dtype, [&](auto tag) {
        typedef typename decltype(tag)::type O;
        multiply_tiles<<<grid, tile * tile, 0, stream>>>(p, static_cast<O *>(out->data));
        return cudaGetLastError();
    });
}
