/*
 * Products with few rows for Hopper; see linear_thin_plan.h. In a block, one thread loads boxes of x and W,
 * as many ahead as shared memory holds, and a warpgroup for each 64 rows multiplies. The two blocks of a
 * cluster have the same columns of the result and one half of the sums each; at the end each gives the other
 * one half of the columns.
 */
#include "backend/cuda/linear_thin.cuh"

namespace {

using namespace thin;

constexpr int cluster_blocks = ink_thin_cluster;

/* Of a block with a warpgroup for each band of 64 rows, and a warp that loads. */
constexpr int threads_of(int bands) {
    return bands * hopper::group_threads + warp_size;
}

template <int width, int bands> struct tile {
    static constexpr int x_bytes = bands * ink_thin_band_rows * row_bytes, w_bytes = width * row_bytes;
    static constexpr int sums = width / 2;  /* of a thread: 64 x width of 128 threads */
    static constexpr int chunks = sums / 4; /* of eight columns; a thread has two of them in two rows */
    static constexpr int half = chunks / 2; /* that a block finishes */
    struct sums_of_block {
        float4 chunk[bands][half][hopper::group_threads + 1]; /* neighbours in other banks */
    };
    static constexpr int sent_bytes =
        cluster_blocks * bands * half * hopper::group_threads * (int)sizeof(float4);
    static constexpr int stages = /* a part of memory for barriers and bias, and an alignment */
        (most_shared_bytes - 2 * alignment - cluster_blocks * (int)sizeof(sums_of_block)) /
        (x_bytes + w_bytes);
    struct memory {
        unsigned char w[stages][w_bytes], x[stages][x_bytes];
        sums_of_block sent[cluster_blocks];
        uint64_t full[stages], empty[stages], all_sent;
        uint32_t bias[half * 4]; /* of two columns */
    };
    static constexpr int shared_bytes = (int)sizeof(memory) + alignment;
    typedef hopper::ring<stages> ring;
    static_assert(shared_bytes <= most_shared_bytes, "bias and barriers fit");
    static_assert(w_bytes % alignment == 0, "slices begin at multiples of their alignment");
};

/* By one thread. What the kernel before this one wrote is x alone. */
template <int width, int bands>
static __device__ __forceinline__ void
produce(const ink_thin_params &p, typename tile<width, bands>::memory &s, int column, int first, int last) {
    typedef tile<width, bands> t;
    const int ahead = min(last, first + t::stages);
    hopper::map_prefetch(&p.x);
    hopper::map_prefetch(&p.w);
    for (int k = first; k < ahead; k++) {
        hopper::barrier_expect(&s.full[k - first], t::x_bytes + t::w_bytes);
        hopper::load_rows(s.w[k - first], &p.w, &s.full[k - first], k * box_columns, column);
    }
    cudaGridDependencySynchronize();
    for (int k = first; k < ahead; k++) {
        hopper::load_rows(s.x[k - first], &p.x, &s.full[k - first], k * box_columns, 0);
    }
    typename t::ring at = {0, 0};
    for (int k = ahead; k < last; k++) {
        load_stage(p, s, at, k, column);
    }
}

/* By a warpgroup: the sums of its band over so many stages. The last one need not be released. */
template <int width, int bands>
static __device__ __forceinline__ void multiply(typename tile<width, bands>::memory &s, int band, int boxes,
                                                float (&d)[tile<width, bands>::sums]) {
    typename tile<width, bands>::ring at = {0, 0};
    int before = 0;
    for (int k = 0; k < boxes; k++) {
        hopper::barrier_wait(&s.full[at.stage], at.parity);
        const uint64_t x = hopper::describe(s.x[at.stage] + band * ink_thin_band_rows * row_bytes, 16),
                       w = hopper::describe(s.w[at.stage], 16);
        hopper::keep(d);
        hopper::product_fence();
#pragma unroll
        for (int i = 0; i < row_bytes / 32; i++) {
            hopper::product_bf16(d, x + 2 * i, w + 2 * i, k > 0 || i > 0);
        }
        hopper::product_commit();
        if (k > 0) {
            hopper::product_wait<1>();
            hopper::release(&s.empty[before]);
        }
        before = at.stage;
        at.next();
    }
    hopper::product_wait<0>();
    hopper::keep(d);
}

/* ---- after the products: little code, for a block runs it once, and has to fetch it ---- */

/* By those who multiply: each block of the cluster gets the sums of its half of the columns. */
template <int width, int bands>
static __device__ __forceinline__ void send_sums(typename tile<width, bands>::memory &s, int rank, int band,
                                                 const float (&d)[tile<width, bands>::sums]) {
    typedef tile<width, bands> t;
    float4 *to = &s.sent[rank].chunk[band][0][threadIdx.x % hopper::group_threads];
    constexpr int apart = hopper::group_threads + 1;
#pragma unroll
    for (int block = 0; block < cluster_blocks; block++) {
        const uint32_t at = hopper::address_at(to, block), barrier = hopper::address_at(&s.all_sent, block);
#pragma unroll
        for (int j = 0; j < t::half; j++) {
            const int k = 4 * (block * t::half + j);
            hopper::send(at + j * apart * (uint32_t)sizeof(float4), barrier,
                         make_float4(d[k], d[k + 1], d[k + 2], d[k + 3]));
        }
    }
}

/* Bias of the columns that the block finishes, from `column` on. */
template <int width, int bands>
static __device__ __forceinline__ void share_bias(const ink_thin_params &p,
                                                  typename tile<width, bands>::memory &s, int column) {
    const int at = column + 2 * (int)threadIdx.x;
    if (threadIdx.x >= 4 * tile<width, bands>::half) return;
    s.bias[threadIdx.x] = p.bias && at < p.columns ? load_bias(p, at) : 0;
}

/* Eight columns of a row at a time. */
template <int width, int bands, ink_activation activation>
static __device__ __forceinline__ void finish(const ink_thin_params &p,
                                              const typename tile<width, bands>::memory &s, int column) {
    typedef tile<width, bands> t;
    constexpr int threads = bands * hopper::group_threads;
    const int n = min(p.rows, bands * ink_thin_band_rows) * t::half;
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < n; i += threads) {
        const int row = i / t::half, j = i % t::half, band = row / ink_thin_band_rows;
        /* The thread that has the first two of the columns, and which of its rows. */
        const int thread = row % ink_thin_band_rows / 16 * warp_size + row % 8 * 4, lower = row / 8 % 2;
        uint32_t packed[4];
#pragma unroll
        for (int c = 0; c < 4; c++) {
            const float2 first =
                             reinterpret_cast<const float2 *>(&s.sent[0].chunk[band][j][thread + c])[lower],
                         second =
                             reinterpret_cast<const float2 *>(&s.sent[1].chunk[band][j][thread + c])[lower];
            const float2 bias = hopper::widen_pair(s.bias[4 * j + c]);
            const float low = first.x + second.x + bias.x, high = first.y + second.y + bias.y;
            packed[c] = activation == INK_ACT_GELU_TANH ? hopper::pair(gelu_tanh(low), gelu_tanh(high))
                                                        : hopper::pair(low, high);
        }
        if (column + 8 * j < p.columns)
            *reinterpret_cast<uint4 *>(static_cast<ink_bf16 *>(p.out) + row * p.stride + column + 8 * j) =
                make_uint4(packed[0], packed[1], packed[2], packed[3]);
    }
}

template <int width, int bands, ink_activation activation>
__global__ void __cluster_dims__(cluster_blocks, 1, 1) __launch_bounds__(threads_of(bands), 1)
    linear_thin(const __grid_constant__ ink_thin_params p) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    typedef tile<width, bands> t;
    extern __shared__ unsigned char unaligned[];
    typename t::memory &s = align<typename t::memory>(unaligned);
    const int rank = (int)hopper::cluster_rank(), column = (int)blockIdx.x / cluster_blocks * width;
    const int middle = p.boxes / cluster_blocks, first = rank ? middle : 0, last = rank ? p.boxes : middle;
    const int band = (int)threadIdx.x / hopper::group_threads;
    if (threadIdx.x == 0) {
        init_stages<bands>(s);
        hopper::barrier_init(&s.all_sent, 1);
        hopper::barrier_init_done();
        hopper::barrier_expect(&s.all_sent, t::sent_bytes);
    }
    __syncthreads();
    hopper::cluster_arrive(); /* the other block may send from here on */
    if (band == bands) {
        if (threadIdx.x % warp_size == 0) produce<width, bands>(p, s, column, first, last);
        __syncwarp();
        hopper::cluster_wait();
        return;
    }
    const int own = column + 8 * rank * t::half; /* the first that the block finishes */
    share_bias<width, bands>(p, s, own);
    float d[t::sums];
    multiply<width, bands>(s, band, last - first, d);
    hopper::cluster_wait();
    send_sums<width, bands>(s, rank, band, d);
    hopper::turn_wait(1, bands * hopper::group_threads); /* the bias is there */
    hopper::barrier_wait(&s.all_sent, 0);
    finish<width, bands, activation>(p, s, own);
#endif
}

/* ---- which of them ---- */

template <int width, int bands> static choice choice_with(ink_activation activation) {
    typedef tile<width, bands> t;
    void (*const kernel)(ink_thin_params) = activation == INK_ACT_GELU_TANH
                                                ? linear_thin<width, bands, INK_ACT_GELU_TANH>
                                                : linear_thin<width, bands, INK_ACT_NONE>;
    return {reinterpret_cast<const void *>(kernel), threads_of(bands), t::shared_bytes};
}

template <int bands> static choice choice_of_bands(int width, ink_activation activation) {
    switch (width) {
    case 0:
        return choice_with<48, bands>(activation);
    case 1:
        return choice_with<96, bands>(activation);
    case 2:
        return choice_with<144, bands>(activation);
    default:
        return choice_with<192, bands>(activation);
    }
}

static choice choice_of(int width, int rows, ink_activation activation) {
    return rows > ink_thin_band_rows ? choice_of_bands<2>(width, activation)
                                     : choice_of_bands<1>(width, activation);
}

} // namespace

ink_status ink_thin_allow(int width, int rows, ink_activation activation, ink_error *error) {
    const choice c = choice_of(width, rows, activation);
    return ink_hopper_allow_shared(c.kernel, c.shared_bytes, error);
}

cudaError_t ink_thin_launch(cudaStream_t stream, int width, bool early, const ink_thin_params *params) {
    const choice c = choice_of(width, params->rows, params->activation);
    const unsigned clusters = (unsigned)ink_divide_up(params->columns, ink_thin_width[width]);
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(clusters * cluster_blocks);
    config.blockDim = dim3(c.threads);
    config.dynamicSmemBytes = (size_t)c.shared_bytes;
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = early ? 1 : 0;
    void *arguments[] = {const_cast<ink_thin_params *>(params)};
    return cudaLaunchKernelExC(&config, c.kernel, arguments);
}
