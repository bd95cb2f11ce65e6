/*
 * Convolution on the ordinary arithmetic units: every case, f32 inside. And the weights in the order that all
 * convolutions want.
 *
 * A convolution is a product of a matrix with a row for every output pixel and a column for every tap and
 * input channel, which is never written anywhere, and the weights. A block computes a tile of it.
 */
#include "backend/cuda/conv.h"
#include "backend/cuda/device.cuh"

namespace {

constexpr int conv_threads = 256, depth = 16,
              group = 4; /* channels of a round; that a thread loads together */

struct conv_size {
    int height, width, out_width, kernel_y, kernel_x, inputs, outputs;
    int stride, upsample, pad_top, pad_left;
    int64_t pixels; /* of the output */
    int64_t x_stride, out_stride;
};

/* Loads `group` channels from `from`, zeros past the last one. */
template <typename T>
static __device__ __forceinline__ void load_group(float (&v)[group], const T *from, int left) {
#pragma unroll
    for (int i = 0; i < group; i++) {
        v[i] = i < left ? widen(from[i]) : 0.0f;
    }
}

/* The input pixel under a tap of an output pixel; NULL outside of the picture. */
template <typename X>
static __device__ __forceinline__ const X *pixel_under(const conv_size &s, const X *x, int64_t pixel, int ky,
                                                       int kx) {
    if (pixel >= s.pixels) return NULL;
    const int row = (int)quotient(pixel, s.out_width), column = (int)(pixel - (int64_t)row * s.out_width);
    const int y = row * s.stride + ky - s.pad_top, at = column * s.stride + kx - s.pad_left;
    if (y < 0 || at < 0 || y >= s.height * s.upsample || at >= s.width * s.upsample) return NULL;
    return x + ((int64_t)(y / s.upsample) * s.width + at / s.upsample) * s.x_stride;
}

/* A tile of `pixels` x `outputs`, of which a thread has own_pixels x own_outputs. */
template <int pixels, int outputs, int own_pixels, int own_outputs, typename X, typename W, typename O>
__global__ void __launch_bounds__(conv_threads)
    convolve(conv_size s, const X *x, const W *weight, const float *bias, O *out) {
    static_assert((pixels / own_pixels) * (outputs / own_outputs) == conv_threads, "a thread for every part");
    constexpr int groups = depth / group, columns = outputs / own_outputs;
    __shared__ float x_tile[depth][pixels + 4], w_tile[depth][outputs + 4];
    const int64_t first_pixel = (int64_t)blockIdx.x * pixels;
    const int first_output = (int)blockIdx.y * outputs;
    const int own_row = (int)threadIdx.x / columns * own_pixels,
              own_column = (int)threadIdx.x % columns * own_outputs;
    float sum[own_pixels][own_outputs] = {};
    for (int tap = 0; tap < s.kernel_y * s.kernel_x; tap++) {
        const int ky = tap / s.kernel_x, kx = tap - ky * s.kernel_x;
        for (int begin = 0; begin < s.inputs; begin += depth) {
            float v[group];
            for (int i = (int)threadIdx.x; i < pixels * groups; i += conv_threads) {
                const int row = i / groups, channel = i % groups * group;
                const X *from = pixel_under(s, x, first_pixel + row, ky, kx);
                load_group(v, from + begin + channel, from ? s.inputs - begin - channel : 0);
#pragma unroll
                for (int k = 0; k < group; k++) {
                    x_tile[channel + k][row] = v[k];
                }
            }
            for (int i = (int)threadIdx.x; i < outputs * groups; i += conv_threads) {
                const int row = i / groups, channel = i % groups * group;
                const int64_t tap_of_output = (int64_t)(first_output + row) * s.kernel_y * s.kernel_x + tap;
                load_group(v, weight + tap_of_output * s.inputs + begin + channel,
                           first_output + row < s.outputs ? s.inputs - begin - channel : 0);
#pragma unroll
                for (int k = 0; k < group; k++) {
                    w_tile[channel + k][row] = v[k];
                }
            }
            __syncthreads();
#pragma unroll
            for (int k = 0; k < depth; k++) {
#pragma unroll
                for (int p = 0; p < own_pixels; p++) {
#pragma unroll
                    for (int o = 0; o < own_outputs; o++) {
                        sum[p][o] = fmaf(x_tile[k][own_row + p], w_tile[k][own_column + o], sum[p][o]);
                    }
                }
            }
            __syncthreads();
        }
    }
#pragma unroll
    for (int p = 0; p < own_pixels; p++) {
        const int64_t pixel = first_pixel + own_row + p;
#pragma unroll
        for (int o = 0; o < own_outputs; o++) {
            const int output = first_output + own_column + o;
            if (pixel >= s.pixels || output >= s.outputs) continue;
            narrow(out + pixel * s.out_stride + output, sum[p][o] + (bias ? bias[output] : 0.0f));
        }
    }
}

template <int pixels, int outputs, int own_pixels, int own_outputs, typename X, typename W, typename O>
static cudaError_t launch_tiles(cudaStream_t stream, const conv_size &s, const ink_cuda_conv_problem *p) {
    const dim3 blocks((unsigned)ink_divide_up(s.pixels, pixels), (unsigned)ink_divide_up(s.outputs, outputs));
    convolve<pixels, outputs, own_pixels, own_outputs><<<blocks, conv_threads, 0, stream>>>(
        s, static_cast<const X *>(p->x.data), static_cast<const W *>(p->weight), p->bias,
        static_cast<O *>(p->out.data));
    return cudaGetLastError();
}

/* ---- weights ---- */

struct weight_size {
    int64_t outputs, inputs, time, area;
    ink_dtype from, to;
};

/* A thread for every element of the result, [O, KY * KX, I]. */
__global__ void __launch_bounds__(conv_threads) pack_weight(weight_size s, const void *weight, void *out) {
    const int64_t item = (int64_t)blockIdx.x * conv_threads + threadIdx.x;
    if (item >= s.outputs * s.area * s.inputs) return;
    const int64_t row = quotient(item, s.inputs), input = item - row * s.inputs;
    const int64_t output = quotient(row, s.area), tap = row - output * s.area;
    const int64_t from = ((output * s.inputs + input) * s.time + s.time - 1) * s.area + tap;
    store_any(out, s.to, item, load_any(weight, s.from, from));
}

} // namespace

cudaError_t ink_cuda_conv_pack_weight(cudaStream_t stream, const void *weight, ink_dtype dtype,
                                      int64_t outputs, int64_t inputs, int64_t time, int64_t kernel_y,
                                      int64_t kernel_x, ink_dtype out_dtype, void *out) {
    if (!is_weight(dtype) || (out_dtype != INK_F32 && out_dtype != INK_BF16)) return cudaErrorInvalidValue;
    const weight_size s = {outputs, inputs, time, kernel_y * kernel_x, dtype, out_dtype};
    const int64_t count = s.outputs * s.area * s.inputs;
    if (count == 0) return cudaSuccess;
    pack_weight<<<(unsigned)ink_divide_up(count, conv_threads), conv_threads, 0, stream>>>(s, weight, out);
    return cudaGetLastError();
}

cudaError_t ink_cuda_conv_simple(cudaStream_t stream, const ink_cuda_conv_problem *p) {
    const conv_size s = {(int)p->height,   (int)p->width,     (int)p->out_width,   (int)p->kernel_y,
                         (int)p->kernel_x, (int)p->x.columns, (int)p->out.columns, (int)p->stride,
                         (int)p->upsample, (int)p->pad_top,   (int)p->pad_left,    p->out.rows,
                         p->x.stride,      p->out.stride};
    if (s.pixels * s.outputs == 0) return cudaSuccess;
    return with_type(p->x.dtype, [&](auto x_tag) {
        return with_type(p->weight_dtype, [&](auto weight_tag) {
            return with_type(p->out.dtype, [&](auto out_tag) {
                typedef typename decltype(x_tag)::type X;
                typedef typename decltype(weight_tag)::type W;
                typedef typename decltype(out_tag)::type O;
                return s.outputs <= 8 ? launch_tiles<256, 8, 4, 2, X, W, O>(stream, s, p)
                                      : launch_tiles<64, 64, 4, 4, X, W, O>(stream, s, p);
            });
        });
    });
}
