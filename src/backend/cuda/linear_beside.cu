/*
 * Products with few rows for Hopper that run beside other products: a few blocks, each with a multiprocessor
 * of its own, take turns with the columns of the result, 192 at a time. In a block, one thread loads boxes of
 * x and W without pause, and two warpgroups take turns, so that one multiplies while the other stores.
 */
#include "backend/cuda/linear_thin.cuh"

namespace {

using namespace thin;

constexpr int width = ink_beside_width, takers = 2, both = takers * hopper::group_threads;
constexpr int thread_count = both + hopper::group_threads; /* of the last group, one loads */
constexpr int sums = width / 2;                            /* of a thread: 64 x width of 128 threads */

template <int bands> struct tile {
    static constexpr int x_bytes = bands * ink_thin_band_rows * row_bytes, w_bytes = width * row_bytes;
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

/* By a warpgroup: the sums of all rows. `give`: the other's products may follow the last of these. */
template <int bands>
static __device__ __forceinline__ void multiply_all(typename tile<bands>::memory &s,
                                                    typename tile<bands>::ring at, int boxes, int give,
                                                    float (&d)[bands][sums]) {
    int before = 0;
    for (int k = 0; k < boxes; k++) {
        hopper::barrier_wait(&s.full[at.stage], at.parity);
        hopper::start_stage<false, bands, ink_thin_band_rows * row_bytes>(
            d, hopper::describe(s.x[at.stage], 16), hopper::describe(s.w[at.stage], 16), k > 0);
        if (k > 0) {
            hopper::product_wait<1>();
            hopper::release(&s.empty[before]);
        }
        before = at.stage;
        at.next();
    }
    if (give > 0) hopper::turn_arrive(give, both);
    hopper::product_wait<0>();
#pragma unroll
    for (int m = 0; m < bands; m++) {
        hopper::keep(d[m]);
    }
    hopper::release(&s.empty[before]);
}

/* Of 32 columns from `column` on: adds the bias to the sums of two rows, eight apart, which begin at d[0],
 * and stores them. A thread has two neighbouring columns of every eight; four threads exchange theirs so that
 * each writes eight. */
template <ink_activation activation>
static __device__ __forceinline__ void finish(const ink_thin_params &p, int row, int column,
                                              const float2 (&bias)[4], const float *d) {
    const int own = column + 8 * ((int)threadIdx.x % 4);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        uint32_t words[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float low = d[4 * j + 2 * h] + bias[j].x, high = d[4 * j + 2 * h + 1] + bias[j].y;
            words[j] = activation == INK_ACT_GELU_TANH ? hopper::pair(gelu_tanh(low), gelu_tanh(high))
                                                       : hopper::pair(low, high);
        }
        hopper::transpose4(words);
        ink_bf16 *out = static_cast<ink_bf16 *>(p.out) + (row + 8 * h) * p.stride + own;
        if (row + 8 * h < p.rows && own < p.columns)
            *reinterpret_cast<uint4 *>(out) = make_uint4(words[0], words[1], words[2], words[3]);
    }
}

template <int bands, ink_activation activation>
static __device__ __forceinline__ void store(const ink_thin_params &p, int column,
                                             const float (&d)[bands][sums]) {
    constexpr int columns = 32;
    const int thread = (int)threadIdx.x % hopper::group_threads,
              row = thread / warp_size * 16 + thread % warp_size / 4;
#pragma unroll
    for (int i = 0; i < width / columns; i++) {
        float2 bias[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int at = column + columns * i + 8 * j + thread % 4 * 2;
            bias[j] = hopper::widen_pair(p.bias && at < p.columns ? load_bias(p, at) : 0);
        }
#pragma unroll
        for (int m = 0; m < bands; m++) {
            finish<activation>(p, m * ink_thin_band_rows + row, column + columns * i, bias, &d[m][16 * i]);
        }
    }
}

/* By a warpgroup. Places of the ring are waited for in their order, by one taker after the other. */
template <int bands, ink_activation activation>
static __device__ __forceinline__ void consume(const ink_thin_params &p, typename tile<bands>::memory &s,
                                               int taker) {
    typedef tile<bands> t;
    float d[bands][sums];
    int column = (int)blockIdx.x * width + taker * columns_apart();
    for (int turn = taker; column < p.columns; turn += takers, column += takers * columns_apart()) {
        const int before = turn * p.boxes;
        const bool more = column + columns_apart() < p.columns;
        if (turn > 0) hopper::turn_wait(1 + taker, both);
        multiply_all<bands>(s, {before % t::stages, (uint32_t)(before / t::stages) & 1}, p.boxes,
                            more ? 2 - taker : 0, d);
        store<bands, activation>(p, column, d);
    }
}

template <int bands, ink_activation activation>
__global__ void __launch_bounds__(thread_count, 1) linear_beside(const __grid_constant__ ink_thin_params p) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    extern __shared__ unsigned char unaligned[];
    typename tile<bands>::memory &s = align<typename tile<bands>::memory>(unaligned);
    const int group = (int)threadIdx.x / hopper::group_threads;
    if (threadIdx.x == 0) {
        init_stages<1>(s); /* one taker reads a stage */
        hopper::barrier_init_done();
    }
    __syncthreads();
    if (group < takers) {
        hopper::registers_increase<240>();
        consume<bands, activation>(p, s, group);
    } else {
        hopper::registers_decrease<24>();
        if (threadIdx.x == both) produce<bands>(p, s);
    }
#endif
}

template <int bands> static choice choice_with(ink_activation activation) {
    void (*const kernel)(ink_thin_params) = activation == INK_ACT_GELU_TANH
                                                ? linear_beside<bands, INK_ACT_GELU_TANH>
                                                : linear_beside<bands, INK_ACT_NONE>;
    return {reinterpret_cast<const void *>(kernel), thread_count, tile<bands>::shared_bytes};
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
    const int tiles = (int)ink_divide_up(params->columns, width),
              most = tiles < multiprocessors ? tiles : multiprocessors;
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {pair, 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)(ink_divide_up(most, pair) * pair));
    config.blockDim = dim3(c.threads);
    config.dynamicSmemBytes = (size_t)c.shared_bytes;
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
    void *arguments[] = {const_cast<ink_thin_params *>(params)};
    return cudaLaunchKernelExC(&config, c.kernel, arguments);
}
