/*
 * Products for Hopper. A cluster of two blocks computes two neighbouring tiles of 256 x 192 at a time: both
 * need the same rows of x, of which each block loads one half for both, and W's rows are each block's own. In
 * a block, one thread loads: 128 bytes of every row of x and W, three such stages ahead. Two warpgroups
 * multiply, 64 rows of each half of the tile, and write their part of the result.
 *
 * Where the card is at its power limit, time is energy, and a sixth of that is for bringing x and W to the
 * multiprocessors: hence tiles as large as registers allow. The tensor cores wait for the epilogue of a tile.
 * Where K is divided, the sums of its parts are left in memory and added by whoever has the first part.
 */
#include "backend/cuda/hopper_build.h"
#include "backend/cuda/linear_epilogue.cuh"

namespace {

using namespace hopper_linear;

/* ---- loading ---- */

/* Rows of W that no other cluster reads come from far: they set out for the cache as many boxes ahead. */
constexpr int far_ahead = 12;

template <int box_elements, bool rotates>
static __device__ __forceinline__ void produce(const ink_hopper_linear_params &p, shared_memory &s,
                                               int rank) {
    ring at = {0, 1};
    const int cluster = (int)blockIdx.x / cluster_blocks, last = p.starts[cluster + 1];
    const int half = rank * ink_hopper_box_x;
    for (int i = p.starts[cluster]; i < last; i++) {
        const ink_hopper_linear_item item = p.items[i];
        const CUtensorMap *x = &p.groups[item.group].x, *w = &p.groups[item.group].w;
        int fetched = p.groups[item.group].rows <= ink_hopper_tile_rows ? item.begin : item.end;
        for (int k = item.begin; k < item.end; k++) {
            for (; fetched < item.end && fetched < k + far_ahead; fetched++) {
#pragma unroll
                for (int b = 0; b < tile_columns / box_columns; b++) {
                    hopper::fetch_rows(w, fetched * box_elements, column_of<rotates>(p, item.tile + rank, b));
                }
            }
            uint64_t *full = &s.full[at.stage];
            unsigned char *to_w = s.w[at.stage];
            hopper::barrier_wait(&s.empty[at.stage], at.parity);
            hopper::barrier_expect(full, x_bytes + w_bytes);
            hopper::load_rows_for_both(s.x[at.stage] + half * row_bytes, x, full, k * box_elements,
                                       item.row + half);
#pragma unroll
            for (int b = 0; b < tile_columns / box_columns; b++) {
                hopper::load_rows(to_w + b * box_columns * row_bytes, w, full, k * box_elements,
                                  column_of<rotates>(p, item.tile + rank, b));
            }
            at.next();
        }
        bring_sums<rotates>(p, s, item, rank, at);
    }
}

/* ---- computing ---- */

/* The rows of the first `count` bands. */
template <bool fp8, int count>
static __device__ __forceinline__ void multiply(shared_memory &s, ring &at, int boxes, uint64_t x, uint64_t w,
                                                float (&d)[bands][band_sums]) {
    int before = 0;
    for (int k = 0; k < boxes; k++) {
        hopper::barrier_wait(&s.full[at.stage], at.parity);
        hopper::start_stage<fp8, count, band_step * row_bytes>(d, x + at.stage * (x_bytes / 16),
                                                               w + at.stage * (w_bytes / 16), k > 0);
        if (k > 0) {
            hopper::product_wait<1>();
            release(&s.empty[before]);
        }
        before = at.stage;
        at.next();
    }
    hopper::product_wait<0>();
#pragma unroll
    for (int m = 0; m < count; m++) {
        hopper::keep(d[m]);
    }
    release(&s.empty[before]);
}

/* Rows that are not there: only the stages are passed on. */
static __device__ __forceinline__ void pass(shared_memory &s, ring &at, int boxes) {
    for (int k = 0; k < boxes; k++) {
        hopper::barrier_wait(&s.full[at.stage], at.parity);
        release(&s.empty[at.stage]);
        at.next();
    }
}

/* ---- items ---- */

/* What the threads of a warpgroup know. */
struct worker {
    int rank, group;
    uint64_t x, w; /* in stage 0: the group's first rows; all of W's */
};

template <bool fp8, ink_activation activation, bool rotates>
static __device__ __forceinline__ void finish(const ink_hopper_linear_params &p,
                                              const ink_hopper_linear_group &g, shared_memory &s, int group,
                                              int row, int tile, float (&d)[band_sums]) {
    const int thread = (int)threadIdx.x % hopper::group_threads,
              own = row + thread / warp_size * 16 + thread % warp_size / 4;
    const row_pair r = {{own, own + 8}, g.rows};
    if (fp8) scale(g, r, s.scales[group], d);
    add_bias(s.bias[group], d);
    if (activation == INK_ACT_GELU_TANH) {
#pragma unroll
        for (int k = 0; k < band_sums; k++) {
            d[k] = short_gelu(d[k]);
        }
    }
    if (rotates) rotate(p, g, r, tile, d);
    store<rotates>(p, g, s.out[group][0], group, row, tile, d);
}

/* `count` of the group's bands have rows, the first of which is `row`. */
template <bool fp8, ink_activation activation, bool rotates, int count>
static __device__ __forceinline__ void compute(const ink_hopper_linear_params &p, shared_memory &s,
                                               const worker &me, const ink_hopper_linear_item &item, int row,
                                               ring &at) {
    const ink_hopper_linear_group &g = p.groups[item.group];
    const int tile = item.tile + me.rank;
    const column_pair own = load_columns<fp8, rotates>(p, g, tile);
    float d[bands][band_sums];
    multiply<fp8, count>(s, at, item.end - item.begin, me.x, me.w, d);
    if (item.begin > 0) {
        leave_sums<count>(p, item.slot, me.rank, me.group, d);
        return;
    }
    for (int i = 0; i < item.slots; i++) {
        add_sums<count>(s, me.group, bands_of(p, item), at, d);
    }
    share_columns<fp8>(s, me.group, own);
#pragma unroll
    for (int m = 0; m < count; m++) {
        finish<fp8, activation, rotates>(p, g, s, me.group, row + m * band_step, tile, d[m]);
    }
}

template <bool fp8, ink_activation activation, bool rotates>
static __device__ __forceinline__ void consume(const ink_hopper_linear_params &p, shared_memory &s, int rank,
                                               int group) {
    const worker me = {rank, group, hopper::describe(s.x[0] + group * group_rows * row_bytes, 16),
                       hopper::describe(s.w[0], 16)};
    ring at = {0, 0};
    const int cluster = (int)blockIdx.x / cluster_blocks, last = p.starts[cluster + 1];
    int i = p.starts[cluster];
    ink_hopper_linear_item next = p.items[i];
    for (; i < last; i++) {
        const ink_hopper_linear_item item = next;
        if (i + 1 < last) next = p.items[i + 1];
        const int row = item.row + group * group_rows, rows = p.groups[item.group].rows;
        if (row >= rows || column_of<rotates>(p, item.tile + rank, 0) >= p.columns)
            pass(s, at, item.end - item.begin + sum_stages(p, item));
        else if (row + band_step >= rows)
            compute<fp8, activation, rotates, 1>(p, s, me, item, row, at);
        else
            compute<fp8, activation, rotates, bands>(p, s, me, item, row, at);
    }
    if (threadIdx.x % hopper::group_threads == 0) hopper::store_wait_all();
}

template <bool fp8, ink_activation activation, bool rotates>
__global__ void __cluster_dims__(cluster_blocks, 1, 1) __launch_bounds__(thread_count, 1)
    linear_hopper(const __grid_constant__ ink_hopper_linear_params p) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    extern __shared__ unsigned char unaligned[];
    unsigned char *aligned =
        unaligned +
        (shared_alignment - hopper::shared_address(unaligned) % shared_alignment) % shared_alignment;
    shared_memory &s = *reinterpret_cast<shared_memory *>(aligned);
    const int rank = (int)hopper::cluster_rank(), group = (int)threadIdx.x / hopper::group_threads - 1;
    if (threadIdx.x == 0) {
        for (int i = 0; i < stages; i++) {
            hopper::barrier_init(&s.full[i], 1);
            hopper::barrier_init(&s.empty[i], cluster_blocks * consumer_warps);
        }
        hopper::barrier_init_done();
    }
    hopper::cluster_sync();
    if (group < 0) {
        hopper::registers_decrease<24>();
        if (threadIdx.x == 0) produce<fp8 ? row_bytes : row_bytes / 2, rotates>(p, s, rank);
    } else {
        hopper::registers_increase<240>();
        consume<fp8, activation, rotates>(p, s, rank, group);
    }
    hopper::cluster_sync(); /* the other block may still arrive at barriers of this one */
#endif
}

typedef void (*kernel)(ink_hopper_linear_params);

/* [fp8][0: plain, 1: gelu, 2: rotation] */
static const kernel kernels[2][3] = {
    {linear_hopper<false, INK_ACT_NONE, false>, linear_hopper<false, INK_ACT_GELU_TANH, false>,
     linear_hopper<false, INK_ACT_NONE, true>},
    {linear_hopper<true, INK_ACT_NONE, false>, linear_hopper<true, INK_ACT_GELU_TANH, false>,
     linear_hopper<true, INK_ACT_NONE, true>}};

static kernel kernel_of(bool fp8, const ink_hopper_linear_params *p) {
    return kernels[fp8][p->groups[0].rotary ? 2 : p->activation == INK_ACT_GELU_TANH ? 1 : 0];
}

} // namespace

ink_status ink_hopper_linear_prepare(bool fp8, const ink_hopper_linear_params *params, ink_error *error) {
    return ink_hopper_allow_shared(reinterpret_cast<const void *>(kernel_of(fp8, params)), shared_bytes,
                                   error);
}

cudaError_t ink_hopper_linear_launch(cudaStream_t stream, int clusters, bool fp8,
                                     const ink_hopper_linear_params *params) {
    kernel_of(fp8,
              params)<<<(unsigned)(cluster_blocks * clusters), thread_count, shared_bytes, stream>>>(*params);
    return cudaGetLastError();
}
