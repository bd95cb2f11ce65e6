/*
 * Twofold upsampling folded into the convolution that follows; see conv.h.
 */
#include "backend/cuda/conv.h"
#include "backend/cuda/device.cuh"

namespace {

constexpr int fold_threads = 256;

struct fold_size {
    int64_t outputs, inputs;
    ink_dtype dtype;
};

/* A thread for every element of [4, O, 2, 2, I]. In direction y, rows 2 y see pixel y - 1 under tap 0 and
 * pixel y under taps 1 and 2; rows 2 y + 1 see pixel y under taps 0 and 1 and pixel y + 1 under tap 2. */
__global__ void __launch_bounds__(fold_threads) fold_weight(fold_size s, const void *weight, void *out) {
    const int64_t item = (int64_t)blockIdx.x * fold_threads + threadIdx.x;
    if (item >= 16 * s.outputs * s.inputs) return;
    const int64_t row = quotient(item, s.inputs), input = item - row * s.inputs; /* row of [4, O, 2, 2] */
    const int kx = (int)(row & 1), ky = (int)(row >> 1 & 1);
    const int64_t set = quotient(row >> 2, s.outputs), output = (row >> 2) - set * s.outputs;
    const int a = (int)(set >> 1), b = (int)(set & 1);
    const int first_y = ky == 0 ? 0 : 1 + a, last_y = ky == 0 ? a : 2;
    const int first_x = kx == 0 ? 0 : 1 + b, last_x = kx == 0 ? b : 2;
    float sum = 0;
    for (int y = first_y; y <= last_y; y++) {
        for (int x = first_x; x <= last_x; x++) {
            sum += load_any(weight, s.dtype, (output * 9 + y * 3 + x) * s.inputs + input);
        }
    }
    store_any(out, s.dtype, item, sum);
}

/* A thread for every pack of the output. */
template <bool vector, typename O>
__global__ void __launch_bounds__(fold_threads)
    unfold(int64_t pixels, int width, int outputs, int packs, const O *folded, const float *bias, O *out,
           int64_t out_stride) {
    const int64_t item = (int64_t)blockIdx.x * fold_threads + threadIdx.x;
    if (item >= pixels * packs) return;
    const int64_t pixel = quotient(item, packs);
    const int column = (int)(item - pixel * packs) * pack_size, left = outputs - column;
    const int y = (int)quotient(pixel, 2 * width), x = (int)(pixel - (int64_t)y * 2 * width);
    const int64_t row = (int64_t)(y / 2 + y % 2) * (width + 1) + x / 2 + x % 2;
    float v[pack_size], b[pack_size];
    load_pack<vector>(v, folded + (row * 4 + 2 * (y % 2) + x % 2) * outputs + column, left);
    if (bias) {
        load_table_pack<vector>(b, bias + column, left);
#pragma unroll
        for (int i = 0; i < pack_size; i++) {
            v[i] += b[i];
        }
    }
    store_pack<vector>(out + pixel * out_stride + column, v, left);
}

} // namespace

bool ink_cuda_conv_can_fold(const ink_cuda_conv_problem *p) {
    return p->upsample == 2 && p->stride == 1 && p->kernel_y == 3 && p->kernel_x == 3 && p->pad_top == 1 &&
           p->pad_left == 1 && p->pad_bottom == 1 && p->pad_right == 1;
}

cudaError_t ink_cuda_conv_fold_weight(cudaStream_t stream, const ink_cuda_conv_problem *p, void *out) {
    const fold_size s = {p->out.columns, p->x.columns, p->weight_dtype};
    const int64_t count = 16 * s.outputs * s.inputs;
    if (count == 0) return cudaSuccess;
    fold_weight<<<(unsigned)ink_divide_up(count, fold_threads), fold_threads, 0, stream>>>(s, p->weight, out);
    return cudaGetLastError();
}

cudaError_t ink_cuda_conv_unfold(cudaStream_t stream, const ink_cuda_conv_problem *p, const void *folded) {
    const int64_t outputs = p->out.columns, packs = ink_divide_up(outputs, pack_size);
    if (p->out.rows * outputs == 0) return cudaSuccess;
    const unsigned blocks = (unsigned)ink_divide_up(p->out.rows * packs, fold_threads);
    const bool vector = outputs % pack_size == 0 && aligned_rows(&p->out) &&
                        aligned(folded, bytes_of(p->out.dtype)) && aligned(p->bias, bytes_of(INK_F32));
    return with_type(p->out.dtype, [&](auto tag) {
        typedef typename decltype(tag)::type O;
        const O *from = static_cast<const O *>(folded);
        O *to = static_cast<O *>(p->out.data);
        const auto kernel = vector ? unfold<true, O> : unfold<false, O>;
        kernel<<<blocks, fold_threads, 0, stream>>>(p->out.rows, (int)p->width, (int)outputs, (int)packs,
                                                    from, p->bias, to, p->out.stride);
        return cudaGetLastError();
    });
}
