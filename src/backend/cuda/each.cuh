/*
 * Operations that take every element for itself: one kernel for all of them, given the operation as a type.
 *
 * An operation has `binary`, whether there is a second input, and
 *   template <bool vector> __device__ void apply(float (&v)[8], const float (&y)[8], row, column, n) const
 * which turns v, the n elements of a row from `column`, into the result.
 */
#ifndef INK_BACKEND_CUDA_EACH_CUH
#define INK_BACKEND_CUDA_EACH_CUH

#include "backend/cuda/device.cuh"

constexpr int each_threads = 256;

struct each_grid {
    int64_t rows, columns;
    int64_t packs; /* of a row */
    bool vector;
};

template <bool vector, typename Op, typename X, typename Y, typename O>
static __device__ __forceinline__ void each_pack(const Op &op, int64_t row, int64_t column, int64_t n,
                                                 const X *x, const Y *y, O *out) {
    float v[pack_size], other[pack_size];
    load_pack<vector>(v, x, n);
    if (Op::binary) load_pack<vector>(other, y, n);
    op.template apply<vector>(v, other, row, column, n);
    store_pack<vector>(out, v, n);
}

/* Inputs and output may be the same memory: a thread reads and writes only its own pack. */
template <typename Op, typename X, typename Y, typename O>
__global__ void __launch_bounds__(each_threads)
    each_kernel(Op op, each_grid grid, const X *x, int64_t x_stride, const Y *y, int64_t y_stride, O *out,
                int64_t out_stride) {
    const int64_t item = (int64_t)blockIdx.x * each_threads + threadIdx.x;
    if (item >= grid.rows * grid.packs) return;
    const int64_t row = grid.rows == 1 ? 0 : quotient(item, grid.packs);
    const int64_t column = (item - row * grid.packs) * pack_size, n = grid.columns - column;
    x += row * x_stride + column;
    y += row * y_stride + column;
    out += row * out_stride + column;
    if (grid.vector && n >= pack_size)
        each_pack<true>(op, row, column, n, x, y, out);
    else
        each_pack<false>(op, row, column, n, x, y, out);
}

/* Rows that follow each other without a gap are one row. */
static inline bool contiguous(const ink_cuda_matrix *x) {
    return x->rows == 1 || x->stride == x->columns;
}

/* `y` is nullable. `flat`: the operation knows neither rows nor columns. `tables_aligned`: what it reads
 * besides can be read in packs. */
template <typename Op>
static cudaError_t launch_each(cudaStream_t stream, const Op &op, bool flat, bool tables_aligned,
                               const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                               const ink_cuda_matrix *out) {
    if (!same_size(x, out) || (y && !same_size(x, y))) return cudaErrorInvalidValue;
    if (!y) y = x;
    each_grid grid = {x->rows, x->columns, 0, tables_aligned};
    if (flat && contiguous(x) && contiguous(y) && contiguous(out)) grid = {1, x->rows * x->columns, 0, true};
    if (grid.rows * grid.columns == 0) return cudaSuccess;
    const ink_cuda_matrix *all[] = {x, y, out};
    for (int i = 0; i < 3; i++) {
        grid.vector = grid.vector && (grid.rows == 1 ? aligned(all[i]->data, bytes_of(all[i]->dtype))
                                                     : aligned_rows(all[i]));
    }
    grid.packs = ink_divide_up(grid.columns, pack_size);
    const int64_t blocks = ink_divide_up(grid.rows * grid.packs, each_threads);
    return with_type(x->dtype, [&](auto x_tag) {
        return with_type(y->dtype, [&](auto y_tag) {
            return Op::with_result(out->dtype, [&](auto out_tag) {
                typedef typename decltype(x_tag)::type X;
                typedef typename decltype(y_tag)::type Y;
                typedef typename decltype(out_tag)::type O;
                typedef typename Op::template second<X, Y>::type second;
                each_kernel<Op, X, second, O><<<(unsigned)blocks, each_threads, 0, stream>>>(
                    op, grid, static_cast<const X *>(x->data), x->stride,
                    static_cast<const second *>(y->data), y->stride, static_cast<O *>(out->data),
                    out->stride);
                return cudaGetLastError();
            });
        });
    });
}

/* What operations inherit: one input or two, activations out. With one, the second is said to have the type
 * of the first, so that no kernel is made twice. */
struct unary {
    static constexpr bool binary = false;
    template <typename X, typename Y> using second = type_tag<X>;
    template <typename F> static cudaError_t with_result(ink_dtype dtype, F launch) {
        return with_type(dtype, launch);
    }
};

struct binary_operation : unary {
    static constexpr bool binary = true;
    template <typename X, typename Y> using second = type_tag<Y>;
};

#endif
