/*
 * Products with few rows for Hopper that run beside other products: a few blocks, each with a multiprocessor
 * of its own, take turns with the columns of the result, 192 at a time. In a block, one thread loads boxes of
 * x and W without pause, and a warpgroup for each 64 rows multiplies.
 */
#include "backend/cuda/linear_thin.cuh"

namespace {

using namespace thin;

constexpr int width = ink_beside_width;

template <int bands> struct tile {
    /* Warpgroups that take turns with the columns, so that one multiplies while the other stores. Those of
     * two bands need the registers for one. */
    static constexpr int takers = bands == 1 ? 2 : 1, groups = bands * takers;
    static constexpr int x_bytes = bands * ink_thin_band_rows * row_bytes, w_bytes = width * row_bytes;
    static constexpr int sums = width / 2; /* of a thread: 64 x width of 128 threads */
    static constexpr int stages = (most_shared_bytes - 2 * alignment) / (x_bytes + w_bytes);
    struct memory {
        unsigned char w[stages][w_bytes], x[stages][x_bytes];
        uint64_t full[stages], empty[stages];
    };
    static constexpr int shared_bytes = (int)sizeof(memory) + alignment;
    typedef hopper::ring<stages> ring;
    static_assert(shared_bytes <= most_shared_bytes, "barriers fit");
};

static __device__ __forceinline__ int columns_apart() {
    return (int)gridDim.x * width;
}

/* By one thread. */
template <int bands>
static __device__ __forceinline__ void produce(const ink_thin_params &p, typename tile<bands>::memory &s) {
    typename tile<bands>::ring at = {0, 1};
    for (int column = (int)blockIdx.x * width; column < p.columns; column += columns_apart()) {
        for (int k = 0; k < p.boxes; k++) {
            load_stage(p, s, at, k, column);
        }
    }
}

/* Two columns of two rows, eight apart. */
template <ink_activation activation>
static __device__ __forceinline__ void finish(const ink_thin_params &p, int row, int column, float4 v) {
    if (column >= p.columns) return;
    const float2 bias = hopper::widen_pair(p.bias ? load_bias(p, column) : 0);
    v.x += bias.x, v.y += bias.y, v.z += bias.x, v.w += bias.y;
    if (activation == INK_ACT_GELU_TANH) {
        v.x = gelu_tanh(v.x), v.y = gelu_tanh(v.y);
        v.z = gelu_tanh(v.z), v.w = gelu_tanh(v.w);
    }
    ink_bf16 *out = static_cast<ink_bf16 *>(p.out) + row * p.stride + column;
    if (row < p.rows) *reinterpret_cast<uint32_t *>(out) = hopper::pair(v.x, v.y);
    if (row + 8 < p.rows) *reinterpret_cast<uint32_t *>(out + 8 * p.stride) = hopper::pair(v.z, v.w);
}

/* By a warpgroup. Places of the ring are waited for in their order, by one taker after the other. */
template <int bands, ink_activation activation>
static __device__ __forceinline__ void consume(const ink_thin_params &p, typename tile<bands>::memory &s,
                                               int group) {
    typedef tile<bands> t;
    constexpr int takers = t::takers, both = takers * hopper::group_threads;
    const int band = group % bands, taker = group / bands;
    const int thread = (int)threadIdx.x % hopper::group_threads;
    const int row = band * ink_thin_band_rows + thread / warp_size * 16 + thread % warp_size / 4;
    float d[t::sums];
    int column = (int)blockIdx.x * width + taker * columns_apart();
    for (int turn = taker; column < p.columns; turn += takers, column += takers * columns_apart()) {
        const int before = turn * p.boxes;
        typename t::ring at = {before % t::stages, (uint32_t)(before / t::stages) & 1};
        if (takers > 1 && turn > 0) hopper::turn_wait(1 + taker, both);
        const int last = multiply(s, at, band, p.boxes, d);
        hopper::release(&s.empty[last]);
        if (takers > 1 && column + columns_apart() < p.columns) hopper::turn_arrive(2 - taker, both);
#pragma unroll
        for (int j = 0; j < t::sums / 4; j++) {
            finish<activation>(p, row, column + 8 * j + thread % 4 * 2,
                               make_float4(d[4 * j], d[4 * j + 1], d[4 * j + 2], d[4 * j + 3]));
        }
    }
}

template <int bands, ink_activation activation>
__global__ void __launch_bounds__(threads_of(tile<bands>::groups), 1)
    linear_beside(const __grid_constant__ ink_thin_params p) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    extern __shared__ unsigned char unaligned[];
    typename tile<bands>::memory &s = align<typename tile<bands>::memory>(unaligned);
    const int group = (int)threadIdx.x / hopper::group_threads;
    if (threadIdx.x == 0) {
        init_stages<bands>(s);
        hopper::barrier_init_done();
    }
    __syncthreads();
    if (group < tile<bands>::groups)
        consume<bands, activation>(p, s, group);
    else if (threadIdx.x % warp_size == 0)
        produce<bands>(p, s);
#endif
}

template <int bands> static choice choice_with(ink_activation activation) {
    void (*const kernel)(ink_thin_params) = activation == INK_ACT_GELU_TANH
                                                ? linear_beside<bands, INK_ACT_GELU_TANH>
                                                : linear_beside<bands, INK_ACT_NONE>;
    return {reinterpret_cast<const void *>(kernel), threads_of(tile<bands>::groups),
            tile<bands>::shared_bytes};
}

static choice choice_of(int rows, ink_activation activation) {
    return rows > ink_thin_band_rows ? choice_with<2>(activation) : choice_with<1>(activation);
}

} // namespace

ink_status ink_beside_allow(int rows, ink_activation activation, ink_error *error) {
    const choice c = choice_of(rows, activation);
    return ink_hopper_allow_shared(c.kernel, c.shared_bytes, error);
}

/* Pairs of blocks, as others come in clusters of two, four or eight: in a processing cluster of the device
 * where an odd number of multiprocessors is left, one of them finds no partner. */
cudaError_t ink_beside_launch(cudaStream_t stream, int multiprocessors, const ink_thin_params *params) {
    enum { pair = 2 };
    const choice c = choice_of(params->rows, params->activation);
    const int tiles = (int)divide_up(params->columns, width),
              most = tiles < multiprocessors ? tiles : multiprocessors;
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {pair, 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)(divide_up(most, pair) * pair));
    config.blockDim = dim3(c.threads);
    config.dynamicSmemBytes = (size_t)c.shared_bytes;
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
    void *arguments[] = {const_cast<ink_thin_params *>(params)};
    return cudaLaunchKernelExC(&config, c.kernel, arguments);
}
