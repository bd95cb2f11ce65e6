/*
 * Norms over the columns of a row. A row is read once, kept in registers, and written once.
 */
#include "backend/cuda/fp8.cuh"
#include "backend/cuda/layer_packs.cuh"

namespace {

/* ---- RMS norm and the VAE's channel norm: out = activation(weight * x * factor), factor = numerator / root
 * ---- */

struct rms_problem {
    int64_t rows, columns;
    const void *weight;
    ink_dtype weight_dtype;
    float eps;
    bool channel; /* the VAE's */
    ink_activation activation;
    int team; /* threads of a row */
};

static __device__ __forceinline__ float rms_factor(const rms_problem &p, float squares) {
    if (!p.channel) return 1.0f / sqrtf(squares / (float)p.columns + p.eps);
    float length = sqrtf(squares);
    if (length < p.eps) length = p.eps; /* a NaN compares false and stays */
    return sqrtf((float)p.columns) / length;
}

template <bool vector, typename O>
static __device__ __forceinline__ void rms_finish(const rms_problem &p, float (&v)[pack_size], float factor,
                                                  int64_t column, O *out) {
    float weight[pack_size];
    load_weight_pack<vector>(weight, p.weight, p.weight_dtype, column, p.columns - column);
#pragma unroll
    for (int i = 0; i < pack_size; i++) {
        v[i] = v[i] * factor * weight[i];
    }
    if (p.activation == INK_ACT_SILU) {
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            v[i] = silu(v[i]);
        }
    }
    store_pack<vector>(out + column, v, p.columns - column);
}

constexpr int rms_threads = 256, most_team_columns = warp_size * 4 * pack_size;

/* A team of 2^k threads of a warp for each row; `packs` packs for each of them. Teams without a row go along,
 * as the sums need whole warps. */
template <bool vector, int packs, typename X, typename O>
__global__ void __launch_bounds__(rms_threads)
    rms_teams(rms_problem p, const X *x, int64_t x_stride, O *out, int64_t out_stride) {
    const int member = (int)threadIdx.x & (p.team - 1);
    const int64_t row = (int64_t)blockIdx.x * (rms_threads / p.team) + threadIdx.x / (unsigned)p.team;
    const int64_t columns = row < p.rows ? p.columns : 0;
    x += row * x_stride;
    out += row * out_stride;
    float v[packs][pack_size], squares = 0;
#pragma unroll
    for (int i = 0; i < packs; i++) {
        const int64_t column = (i * p.team + member) * pack_size;
        load_pack<vector>(v[i], x + column, columns - column);
    }
#pragma unroll
    for (int i = 0; i < packs; i++) {
#pragma unroll
        for (int k = 0; k < pack_size; k++) {
            squares = fmaf(v[i][k], v[i][k], squares);
        }
    }
    const float factor = rms_factor(p, team_sum(squares, p.team));
#pragma unroll
    for (int i = 0; i < packs; i++) {
        const int64_t column = (i * p.team + member) * pack_size;
        if (column < columns) rms_finish<vector>(p, v[i], factor, column, out);
    }
}

/* A block for each row, of any length: the second reading finds it in the caches. */
template <bool vector, typename X, typename O>
__global__ void __launch_bounds__(rms_threads)
    rms_blocks(rms_problem p, const X *x, int64_t x_stride, O *out, int64_t out_stride) {
    __shared__ float partial[rms_threads / warp_size];
    x += blockIdx.x * x_stride;
    out += blockIdx.x * out_stride;
    float v[pack_size], squares = 0;
    for (int64_t column = threadIdx.x * pack_size; column < p.columns; column += rms_threads * pack_size) {
        load_pack<vector>(v, x + column, p.columns - column);
#pragma unroll
        for (int k = 0; k < pack_size; k++) {
            squares = fmaf(v[k], v[k], squares);
        }
    }
    const float factor = rms_factor(p, block_sum(squares, partial));
    for (int64_t column = threadIdx.x * pack_size; column < p.columns; column += rms_threads * pack_size) {
        load_pack<vector>(v, x + column, p.columns - column);
        rms_finish<vector>(p, v, factor, column, out);
    }
}

template <bool vector, typename X, typename O>
static cudaError_t launch_rms_as(cudaStream_t stream, rms_problem p, const ink_cuda_matrix *x,
                                 const ink_cuda_matrix *out) {
    const X *from = static_cast<const X *>(x->data);
    O *to = static_cast<O *>(out->data);
    if (p.columns > most_team_columns) {
        rms_blocks<vector><<<(unsigned)p.rows, rms_threads, 0, stream>>>(p, from, x->stride, to, out->stride);
        return cudaGetLastError();
    }
    const int64_t packs = ink_divide_up(p.columns, pack_size);
    for (p.team = 1; p.team < packs && p.team < warp_size; p.team *= 2) {
    }
    const unsigned blocks = (unsigned)ink_divide_up(p.rows, rms_threads / p.team);
    if (packs <= p.team)
        rms_teams<vector, 1><<<blocks, rms_threads, 0, stream>>>(p, from, x->stride, to, out->stride);
    else if (packs <= 2 * p.team)
        rms_teams<vector, 2><<<blocks, rms_threads, 0, stream>>>(p, from, x->stride, to, out->stride);
    else
        rms_teams<vector, 4><<<blocks, rms_threads, 0, stream>>>(p, from, x->stride, to, out->stride);
    return cudaGetLastError();
}

static cudaError_t launch_rms(cudaStream_t stream, const rms_problem &p, const ink_cuda_matrix *x,
                              const ink_cuda_matrix *out) {
    if (!same_size(x, out) || !is_weight(p.weight_dtype)) return cudaErrorInvalidValue;
    if (p.rows * p.columns == 0) return cudaSuccess;
    const bool vector = aligned_rows(x) && aligned_rows(out) && p.columns % pack_size == 0 &&
                        aligned(p.weight, bytes_of(p.weight_dtype));
    return with_type(x->dtype, [&](auto x_tag) {
        return with_type(out->dtype, [&](auto out_tag) {
            typedef typename decltype(x_tag)::type X;
            typedef typename decltype(out_tag)::type O;
            return vector ? launch_rms_as<true, X, O>(stream, p, x, out)
                          : launch_rms_as<false, X, O>(stream, p, x, out);
        });
    });
}

/* ---- layer norm and modulation ---- */

constexpr int layer_packs = 3;
constexpr int most_layer_columns = layer_packs * most_layer_threads * pack_size;
static_assert(most_layer_columns == ink_cuda_most_fp8_norm_columns, "longer rows are read again");

/* v += gate * a, as it will be once it is stored as an X. */
template <bool vector, typename X>
static __device__ __forceinline__ void add_gated(const float *gate, float (&v)[pack_size],
                                                 const float (&a)[pack_size], int64_t n) {
    float g[pack_size];
    load_table_pack<vector>(g, gate, n);
#pragma unroll
    for (int k = 0; k < pack_size; k++) {
        v[k] = rounded<X>(fmaf(g[k], a[k], v[k]));
    }
}

static __device__ __forceinline__ float pack_sum(const float (&v)[pack_size]) {
    return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

/* The sum of squared distances of the first n from the mean. */
static __device__ __forceinline__ float pack_variance(const float (&v)[pack_size], float mean, int64_t n) {
    float sum = 0;
#pragma unroll
    for (int k = 0; k < pack_size; k++) {
        const float distance = v[k] - mean;
        if (k < n) sum = fmaf(distance, distance, sum);
    }
    return sum;
}

template <bool vector>
static __device__ __forceinline__ void modulate(const float *shift, const float *scale, float (&v)[pack_size],
                                                float mean, float factor, int64_t column, int64_t n) {
    float s[pack_size], t[pack_size];
    load_table_pack<vector>(s, scale + column, n);
    load_table_pack<vector>(t, shift + column, n);
#pragma unroll
    for (int k = 0; k < pack_size; k++) {
        v[k] = fmaf((v[k] - mean) * factor, 1.0f + s[k], t[k]);
    }
}

/* Writes the packs of this thread, which begin at `own` and lie `step` apart. */
template <bool vector, typename O>
static __device__ __forceinline__ void
store_row(const layer_norm_problem &p, O *out, const float (&v)[layer_packs][pack_size], int own, int step) {
    const int columns = (int)p.columns;
    if constexpr (is_fp8<O>::value) {
        __shared__ float partial[most_layer_threads / warp_size];
        float largest = 0;
#pragma unroll
        for (int i = 0; i < layer_packs; i++) {
            largest = pack_largest(v[i], largest, columns - (own + i * step));
        }
        largest = block_largest(largest, partial);
        if (threadIdx.x == 0) p.scales[blockIdx.x] = fp8_scale(largest);
        const float factor = fp8_factor(largest);
#pragma unroll
        for (int i = 0; i < layer_packs; i++) {
            store_fp8_pack<vector>(out + (own + i * step), v[i], factor, columns - (own + i * step));
        }
    } else {
#pragma unroll
        for (int i = 0; i < layer_packs; i++) {
            store_pack<vector>(out + (own + i * step), v[i], columns - (own + i * step));
        }
    }
}

/* A block for each row; every thread keeps its packs of the row in registers. `add` is nullable. */
template <bool vector, typename X, typename A, typename O>
__global__ void __launch_bounds__(most_layer_threads)
    layer_norm_rows(layer_norm_problem p, X *x, int64_t x_stride, const A *add, int64_t add_stride, O *out,
                    int64_t out_stride) {
    __shared__ float partial[2][most_layer_threads / warp_size];
    const int64_t row = blockIdx.x;
    const int own = (int)threadIdx.x * pack_size, step = (int)blockDim.x * pack_size,
              columns = (int)p.columns;
    x += row * x_stride;
    float v[layer_packs][pack_size], sum = 0, squares = 0;
#pragma unroll
    for (int i = 0; i < layer_packs; i++) {
        load_pack<vector>(v[i], x + (own + i * step), columns - (own + i * step));
    }
    if (add) {
        const float *gate = modulation_of(p.gate, row) + p.gate_column;
        float a[layer_packs][pack_size];
        add += row * add_stride;
#pragma unroll
        for (int i = 0; i < layer_packs; i++) {
            load_pack<vector>(a[i], add + (own + i * step), columns - (own + i * step));
        }
#pragma unroll
        for (int i = 0; i < layer_packs; i++) {
            add_gated<vector, X>(gate + (own + i * step), v[i], a[i], columns - (own + i * step));
            store_pack<vector>(x + (own + i * step), v[i], columns - (own + i * step));
        }
    }
#pragma unroll
    for (int i = 0; i < layer_packs; i++) {
        sum += pack_sum(v[i]);
    }
    const float mean = block_sum(sum, partial[0]) / (float)columns;
#pragma unroll
    for (int i = 0; i < layer_packs; i++) {
        squares += pack_variance(v[i], mean, columns - (own + i * step));
    }
    const float factor = 1.0f / sqrtf(block_sum(squares, partial[1]) / (float)columns + p.eps);
    const float *mod = modulation_of(p.mod, row);
#pragma unroll
    for (int i = 0; i < layer_packs; i++) {
        modulate<vector>(mod + p.shift_column, mod + p.scale_column, v[i], mean, factor, own + i * step,
                         columns - (own + i * step));
    }
    store_row<vector>(p, out + row * out_stride, v, own, step);
}

/* Rows that are too long for registers are read again; a thread reads what it wrote itself. */
template <typename X, typename A, typename O>
__global__ void __launch_bounds__(most_layer_threads)
    layer_norm_long_rows(layer_norm_problem p, X *x, int64_t x_stride, const A *add, int64_t add_stride,
                         O *out, int64_t out_stride) {
    __shared__ float partial[2][most_layer_threads / warp_size];
    const int64_t row = blockIdx.x, first = (int64_t)threadIdx.x * pack_size;
    const int64_t step = (int64_t)blockDim.x * pack_size;
    const float *gate = add ? modulation_of(p.gate, row) + p.gate_column : NULL,
                *mod = modulation_of(p.mod, row);
    x += row * x_stride;
    float v[pack_size], a[pack_size], sum = 0, squares = 0;
    for (int64_t column = first; column < p.columns; column += step) {
        load_pack<false>(v, x + column, p.columns - column);
        if (add) {
            load_pack<false>(a, add + row * add_stride + column, p.columns - column);
            add_gated<false, X>(gate + column, v, a, p.columns - column);
            store_pack<false>(x + column, v, p.columns - column);
        }
        sum += pack_sum(v);
    }
    const float mean = block_sum(sum, partial[0]) / (float)p.columns;
    for (int64_t column = first; column < p.columns; column += step) {
        load_pack<false>(v, x + column, p.columns - column);
        squares += pack_variance(v, mean, p.columns - column);
    }
    const float factor = 1.0f / sqrtf(block_sum(squares, partial[1]) / (float)p.columns + p.eps);
    for (int64_t column = first; column < p.columns; column += step) {
        load_pack<false>(v, x + column, p.columns - column);
        modulate<false>(mod + p.shift_column, mod + p.scale_column, v, mean, factor, column,
                        p.columns - column);
        store_pack<false>(out + row * out_stride + column, v, p.columns - column);
    }
}

template <typename X, typename A, typename O>
static cudaError_t launch_layer_norm(cudaStream_t stream, const layer_norm_problem &p, bool vector,
                                     const ink_cuda_matrix *x, const ink_cuda_matrix *add,
                                     const ink_cuda_matrix *out) {
    const int64_t packs = ink_divide_up(p.columns, layer_packs * pack_size);
    const unsigned rows = (unsigned)x->rows;
    const unsigned threads =
        (unsigned)(ink_divide_up(packs < most_layer_threads ? packs : most_layer_threads, warp_size) *
                   warp_size);
    X *from = static_cast<X *>(x->data);
    const A *more = add ? static_cast<const A *>(add->data) : NULL;
    const int64_t more_stride = add ? add->stride : 0;
    O *to = static_cast<O *>(out->data);
    if (p.columns > most_layer_columns) {
        if constexpr (is_fp8<O>::value)
            return cudaErrorInvalidValue;
        else
            layer_norm_long_rows<<<rows, threads, 0, stream>>>(p, from, x->stride, more, more_stride, to,
                                                               out->stride);
    } else if (vector)
        layer_norm_rows<true>
            <<<rows, threads, 0, stream>>>(p, from, x->stride, more, more_stride, to, out->stride);
    else
        layer_norm_rows<false>
            <<<rows, threads, 0, stream>>>(p, from, x->stride, more, more_stride, to, out->stride);
    return cudaGetLastError();
}

/* Rows of the size, types and alignment that have a kernel of their own. */
static bool are_packs(const layer_norm_problem &p, bool vector, const ink_cuda_matrix *add,
                      const ink_cuda_matrix *out) {
    return vector && p.columns % (warp_size * pack_size) == 0 &&
           p.columns <= most_layer_threads * pack_size && (!add || add->dtype == INK_BF16) &&
           out->dtype != INK_F32;
}

/* Of one matrix or two, which are alike. */
template <typename X, typename O>
static cudaError_t launch_packs(cudaStream_t stream, int count, const layer_norm_problem *p,
                                const ink_cuda_layer_norm *norms) {
    layer_packs_problem<X, O> both = {};
    int64_t rows = 0;
    for (int i = 0; i < count; i++) {
        const ink_cuda_layer_norm &n = norms[i];
        (i ? both.second : both.first) = {p[i],
                                          static_cast<X *>(n.x.data),
                                          n.adds ? static_cast<const ink_bf16 *>(n.add.data) : NULL,
                                          static_cast<O *>(n.out.data),
                                          n.x.stride,
                                          n.add.stride,
                                          n.out.stride};
        rows += n.x.rows;
    }
    both.first_rows = (int)norms[0].x.rows;
    const unsigned threads = (unsigned)(p[0].columns / pack_size);
    if (norms[0].adds)
        layer_norm_packs<true><<<(unsigned)rows, threads, 0, stream>>>(both);
    else
        layer_norm_packs<false><<<(unsigned)rows, threads, 0, stream>>>(both);
    return cudaGetLastError();
}

static cudaError_t launch_packs_as(cudaStream_t stream, int count, const layer_norm_problem *p,
                                   const ink_cuda_layer_norm *norms) {
    return with_type(norms[0].x.dtype, [&](auto x_tag) {
        typedef typename decltype(x_tag)::type X;
        return norms[0].out.dtype == INK_F8_E4M3 ? launch_packs<X, ink_fp8>(stream, count, p, norms)
                                                 : launch_packs<X, ink_bf16>(stream, count, p, norms);
    });
}

/* What the kernels are told; false: it is not valid. */
static bool describe_norm(const ink_cuda_layer_norm &n, layer_norm_problem *p, bool *vector, bool *packs) {
    if (!same_size(&n.x, &n.out) || (n.adds && !same_size(&n.x, &n.add))) return false;
    *p = {n.x.columns,
          1.0f / (float)n.x.columns,
          n.mod,
          n.adds ? n.gate : n.mod,
          n.shift_column,
          n.scale_column,
          n.gate_column,
          n.eps,
          ink_cuda_fp8_scales_out(n.out.data, n.out.rows, n.out.columns)};
    const bool fp8 = n.out.dtype == INK_F8_E4M3;
    if (fp8 && n.out.stride != n.out.columns) return false;
    *vector = n.x.columns % pack_size == 0 && aligned_rows(&n.x) &&
              (fp8 ? aligned_fp8(&n.out) : aligned_rows(&n.out)) &&
              aligned_modulation(&n.mod, n.shift_column) && aligned_modulation(&n.mod, n.scale_column) &&
              (!n.adds || (aligned_rows(&n.add) && aligned_modulation(&n.gate, n.gate_column)));
    *packs = are_packs(*p, *vector, n.adds ? &n.add : NULL, &n.out) && n.x.rows < INT32_MAX / 2;
    return true;
}

static cudaError_t launch_one(cudaStream_t stream, const ink_cuda_layer_norm &n, const layer_norm_problem &p,
                              bool vector, bool packs) {
    if (n.x.rows * n.x.columns == 0) return cudaSuccess;
    if (packs) return launch_packs_as(stream, 1, &p, &n);
    const ink_cuda_matrix *add = n.adds ? &n.add : NULL;
    return with_type(n.x.dtype, [&](auto x_tag) {
        return with_type(add ? add->dtype : n.x.dtype, [&](auto add_tag) {
            typedef typename decltype(x_tag)::type X;
            typedef typename decltype(add_tag)::type A;
            if (n.out.dtype == INK_F8_E4M3)
                return launch_layer_norm<X, A, ink_fp8>(stream, p, vector, &n.x, add, &n.out);
            return with_type(n.out.dtype, [&](auto out_tag) {
                typedef typename decltype(out_tag)::type O;
                return launch_layer_norm<X, A, O>(stream, p, vector, &n.x, add, &n.out);
            });
        });
    });
}

} // namespace

cudaError_t ink_cuda_rms_norm(cudaStream_t stream, const ink_cuda_matrix *x, const void *weight,
                              ink_dtype weight_dtype, float eps, const ink_cuda_matrix *out) {
    return launch_rms(stream, {x->rows, x->columns, weight, weight_dtype, eps, false, INK_ACT_NONE, 0}, x,
                      out);
}

cudaError_t ink_cuda_channel_norm(cudaStream_t stream, const ink_cuda_matrix *x, const void *weight,
                                  ink_dtype weight_dtype, float eps, ink_activation activation,
                                  const ink_cuda_matrix *out) {
    if (activation == INK_ACT_GELU_TANH) return cudaErrorInvalidValue;
    return launch_rms(stream, {x->rows, x->columns, weight, weight_dtype, eps, true, activation, 0}, x, out);
}

cudaError_t ink_cuda_layer_norms(cudaStream_t stream, int count, const ink_cuda_layer_norm *norms) {
    enum { most = 2 };
    layer_norm_problem p[most];
    bool vector[most], packs[most];
    if (count < 1 || count > most) return cudaErrorInvalidValue;
    for (int i = 0; i < count; i++) {
        if (!describe_norm(norms[i], &p[i], &vector[i], &packs[i])) return cudaErrorInvalidValue;
    }
    if (count == most && packs[0] && packs[1] && norms[0].x.rows > 0 && norms[1].x.rows > 0 &&
        norms[0].x.columns == norms[1].x.columns && norms[0].adds == norms[1].adds &&
        norms[0].x.dtype == norms[1].x.dtype && norms[0].out.dtype == norms[1].out.dtype)
        return launch_packs_as(stream, count, p, norms);
    for (int i = 0; i < count; i++) {
        const cudaError_t code = launch_one(stream, norms[i], p[i], vector[i], packs[i]);
        if (code != cudaSuccess) return code;
    }
    return cudaSuccess;
}
