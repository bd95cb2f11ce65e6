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
#include "backend/cuda/device.cuh"
#include "backend/cuda/hopper_build.h"
#include "backend/cuda/hopper_products.cuh"
#include "backend/cuda/linear_hopper.h"

namespace {

constexpr int stages = 3, consumer_groups = 2, group_rows = 64;
constexpr int thread_count = (1 + consumer_groups) * hopper::group_threads;
constexpr int consumer_warps = consumer_groups * hopper::group_threads / warp_size,
              cluster_blocks = ink_hopper_cluster;
constexpr int tile_columns = ink_hopper_tile_columns, head_columns = ink_hopper_head_columns,
              box_columns = ink_hopper_box_columns;
constexpr int row_bytes = ink_hopper_box_bytes, x_bytes = ink_hopper_tile_rows * row_bytes,
              w_bytes = tile_columns * row_bytes;

/* A warpgroup's rows: `bands` times 64, and this far apart. */
constexpr int bands = 2, band_step = ink_hopper_tile_rows / bands;
/* What a thread has of the sums of 64 rows. */
constexpr int band_sums = group_rows * tile_columns / hopper::group_threads;

/* The result goes to memory by 64 rows and columns at a time. */
constexpr int store_bytes = group_rows * row_bytes, store_boxes = tile_columns / box_columns;

struct shared_memory {
    unsigned char x[stages][x_bytes];
    unsigned char w[stages][w_bytes];
    unsigned char out[consumer_groups][store_boxes][store_bytes];
    float2 bias[consumer_groups][tile_columns / 2], scales[consumer_groups][tile_columns / 2];
    uint64_t full[stages], empty[stages];
};
constexpr int shared_alignment = 1024, shared_bytes = (int)sizeof(shared_memory) + shared_alignment;

typedef hopper::ring<stages> ring;

/* ---- which columns ---- */

/* Of box b of a tile. A tile of q, k and v is a head of q or k, which is rotated as a whole, and half a head
 * of v: there are as many of one as of the other. */
template <bool rotates>
static __device__ __forceinline__ int column_of(const ink_hopper_linear_params &p, int tile, int b) {
    constexpr int head_boxes = head_columns / box_columns;
    if (!rotates) return tile * tile_columns + b * box_columns;
    return b < head_boxes ? tile * head_columns + b * box_columns
                          : 2 * p.part_columns + tile * box_columns + (b - head_boxes) * box_columns;
}

/* A warp has read what it needs: both blocks must know before either loads into the stage of both. */
static __device__ __forceinline__ void release(uint64_t *empty) {
    const uint32_t lane = threadIdx.x % warp_size;
    if (lane < cluster_blocks) hopper::barrier_arrive_at(empty, lane);
}

/* ---- sums of a part of K ---- */

/* A warpgroup's own part of a slot: for each of its bands, a number of chunks, in which each thread's float4
 * lie a warpgroup apart. */
constexpr int chunks = 2, chunk_sums = band_sums / chunks,
              chunk_bytes = chunk_sums * hopper::group_threads * (int)sizeof(float);
static_assert(chunk_bytes <= x_bytes && chunk_bytes <= w_bytes, "a stage holds a chunk of each warpgroup");

static __device__ __forceinline__ int slot_part(int slot, int rank, int group) {
    return (slot * cluster_blocks + rank) * consumer_groups + group;
}
static __device__ __forceinline__ float *sums_of(const ink_hopper_linear_params &p, int part) {
    return p.slots + (int64_t)part * (bands * band_sums * hopper::group_threads);
}
/* Bands of warpgroup 0, and so the most of any. */
static __device__ __forceinline__ int bands_of(const ink_hopper_linear_params &p,
                                               const ink_hopper_linear_item &item) {
    return item.row + band_step < p.groups[item.group].rows ? bands : 1;
}
/* Stages that bring sums. */
static __device__ __forceinline__ int sum_stages(const ink_hopper_linear_params &p,
                                                 const ink_hopper_linear_item &item) {
    return item.slots * bands_of(p, item) * chunks;
}

template <int count>
static __device__ __forceinline__ void leave_sums(const ink_hopper_linear_params &p, int slot, int rank,
                                                  int group, const float (&d)[bands][band_sums]) {
    const int part = slot_part(slot, rank, group), thread = (int)threadIdx.x % hopper::group_threads;
    float4 *to = reinterpret_cast<float4 *>(sums_of(p, part)) + thread;
#pragma unroll
    for (int m = 0; m < count; m++) {
#pragma unroll
        for (int j = 0; j < band_sums; j += 4) {
            __stcg(to, make_float4(d[m][j], d[m][j + 1], d[m][j + 2], d[m][j + 3]));
            to += hopper::group_threads;
        }
    }
    hopper::copies_fence();
    __threadfence();
    hopper::turn_wait(1 + group, hopper::group_threads);
    if (thread == 0)
        asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(p.flags + part), "r"(1) : "memory");
}

/* Until the sums are there. They were begun before those of this item: nobody who leaves sums waits for
 * anything. */
static __device__ __forceinline__ void wait_for_sums(const ink_hopper_linear_params &p, int part) {
    uint32_t there;
    do {
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(there) : "l"(p.flags + part) : "memory");
    } while (!there);
    p.flags[part] = 0; /* for the next launch */
}

/* By the thread that loads: a stage for each chunk, of warpgroup 0 in place of x and of warpgroup 1 in place
 * of W. Where a warpgroup has no rows or columns, nobody left anything. */
template <bool rotates>
static __device__ __forceinline__ void bring_sums(const ink_hopper_linear_params &p, shared_memory &s,
                                                  const ink_hopper_linear_item &item, int rank, ring &at) {
    const bool any = column_of<rotates>(p, item.tile + rank, 0) < p.columns,
               both = item.row + group_rows < p.groups[item.group].rows;
    for (int slot = item.slot; slot < item.slot + item.slots; slot++) {
        const int part = slot_part(slot, rank, 0);
        if (any) wait_for_sums(p, part);
        if (any && both) wait_for_sums(p, part + 1);
        hopper::copies_fence();
        for (int c = 0; c < bands_of(p, item) * chunks; c++) {
            uint64_t *full = &s.full[at.stage];
            hopper::barrier_wait(&s.empty[at.stage], at.parity);
            hopper::barrier_expect(full, any ? chunk_bytes * (both ? 2 : 1) : 0);
            const int from = c * (chunk_bytes / (int)sizeof(float));
            if (any) hopper::load_bytes(s.x[at.stage], sums_of(p, part) + from, chunk_bytes, full);
            if (any && both)
                hopper::load_bytes(s.w[at.stage], sums_of(p, part + 1) + from, chunk_bytes, full);
            at.next();
        }
    }
}

/* By those who multiply. */
template <int count>
static __device__ __forceinline__ void add_sums(shared_memory &s, int group, int most, ring &at,
                                                float (&d)[bands][band_sums]) {
#pragma unroll
    for (int m = 0; m < bands; m++) {
        if (m >= most) break;
#pragma unroll
        for (int c = 0; c < chunks; c++) {
            const float4 *from = reinterpret_cast<const float4 *>(group ? s.w[at.stage] : s.x[at.stage]) +
                                 threadIdx.x % hopper::group_threads;
            hopper::barrier_wait(&s.full[at.stage], at.parity);
            if (m < count) {
#pragma unroll
                for (int j = c * chunk_sums; j < (c + 1) * chunk_sums; j += 4) {
                    const float4 more = from[(j - c * chunk_sums) / 4 * hopper::group_threads];
                    d[m][j] += more.x, d[m][j + 1] += more.y;
                    d[m][j + 2] += more.z, d[m][j + 3] += more.w;
                }
            }
            __syncwarp();
            /* By one thread at both: racecheck does not see that of a thread which arrives elsewhere only. */
            for (uint32_t block = 0; block < cluster_blocks && threadIdx.x % warp_size == 0; block++) {
                hopper::barrier_arrive_at(&s.empty[at.stage], block);
            }
            at.next();
        }
    }
}

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

/* ---- the epilogue, of 64 rows ---- */

/* d is as product_bf16 has it: element 4 j + 2 h + i is column 8 j + 2 (t % 4) + i of row h. */

static __device__ __forceinline__ float2 widen_pair(uint32_t two) {
    return make_float2(__uint_as_float(two << 16), __uint_as_float(two & 0xFFFF0000u));
}

/* Bias, and scales of rows of W, of two columns of the tile: those that a thread brings. They are on their
 * way during the products. */
struct column_pair {
    uint32_t bias;
    float2 scales;
};

template <bool fp8, bool rotates>
static __device__ __forceinline__ column_pair load_columns(const ink_hopper_linear_params &p,
                                                           const ink_hopper_linear_group &g, int tile) {
    const int pair = (int)threadIdx.x % hopper::group_threads, box = 2 * pair / box_columns;
    const int column = column_of<rotates>(p, tile, box) + 2 * pair % box_columns;
    column_pair own = {0, {0, 0}};
    if (pair >= tile_columns / 2 || column >= p.columns) return own;
    if (g.bias)
        asm volatile("ld.global.nc.u32 %0, [%1];"
                     : "=r"(own.bias)
                     : "l"(static_cast<const ink_bf16 *>(g.bias) + column));
    if (fp8) own.scales = __ldg(reinterpret_cast<const float2 *>(g.w_scales + column));
    return own;
}

/* To the threads of the warpgroup. */
template <bool fp8>
static __device__ __forceinline__ void share_columns(shared_memory &s, int group, const column_pair &own) {
    const int pair = (int)threadIdx.x % hopper::group_threads;
    if (pair < tile_columns / 2) {
        s.bias[group][pair] = widen_pair(own.bias);
        if (fp8) s.scales[group][pair] = own.scales;
    }
    hopper::turn_wait(1 + group, hopper::group_threads);
}

/* Of a thread. */
struct row_pair {
    int row[2]; /* of the group */
    int rows;   /* that the group has */
};

static __device__ __forceinline__ void scale(const ink_hopper_linear_group &g, const row_pair &r,
                                             const float2 *scales, float (&d)[band_sums]) {
    float of_row[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        of_row[h] = r.row[h] < r.rows ? __ldg(g.x_scales + r.row[h]) : 0.0f;
    }
#pragma unroll
    for (int j = 0; j < tile_columns / 8; j++) {
        const float2 of_column = scales[4 * j + threadIdx.x % 4];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            d[4 * j + 2 * h] *= of_row[h] * of_column.x;
            d[4 * j + 2 * h + 1] *= of_row[h] * of_column.y;
        }
    }
}

static __device__ __forceinline__ void add_bias(const float2 *bias, float (&d)[band_sums]) {
#pragma unroll
    for (int j = 0; j < tile_columns / 8; j++) {
        const float2 of_column = bias[4 * j + threadIdx.x % 4];
        d[4 * j] += of_column.x, d[4 * j + 1] += of_column.y;
        d[4 * j + 2] += of_column.x, d[4 * j + 3] += of_column.y;
    }
}

/* 0.5 z (1 + tanh(u)) with one slow instruction, whose error is 2^-11: that of the result is |z| 2^-12, an
 * eighth of what it is rounded to where GELU is about z. */
static __device__ __forceinline__ float short_gelu(float z) {
    const float half = 0.5f * z;
    float t;
    asm("tanh.approx.f32 %0, %1;" : "=f"(t) : "f"(z * fmaf(z * z, 0.7978845608f * 0.044715f, 0.7978845608f)));
    return fmaf(half, t, half);
}

/* Norm, gain and rotation of the tile's head of q or k. A row's columns are with four threads, pairs of
 * neighbours with one. */
static __device__ __forceinline__ void rotate(const ink_hopper_linear_params &p,
                                              const ink_hopper_linear_group &g, const row_pair &r, int tile,
                                              float (&d)[band_sums]) {
    const int own = 2 * ((int)threadIdx.x % 4);
    const ink_bf16 *gain =
        static_cast<const ink_bf16 *>(tile * head_columns < p.part_columns ? g.gains[0] : g.gains[1]) + own;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float squares = 0;
#pragma unroll
        for (int j = 0; j < head_columns / 8; j++) {
            squares = fmaf(d[4 * j + 2 * h], d[4 * j + 2 * h], squares);
            squares = fmaf(d[4 * j + 2 * h + 1], d[4 * j + 2 * h + 1], squares);
        }
        const float factor = rsqrtf(fmaf(hopper::quad_sum(squares), 1.0f / head_columns, p.eps));
        const float2 *angles = reinterpret_cast<const float2 *>(
            g.rotary + (int64_t)(r.row[h] < r.rows ? r.row[h] : 0) * head_columns + own);
#pragma unroll
        for (int j = 0; j < head_columns / 8; j++) {
            const float2 times = widen_pair(__ldg(reinterpret_cast<const unsigned int *>(gain + 8 * j))),
                         angle = __ldg(angles + 4 * j);
            float *at = d + 4 * j + 2 * h;
            const float a = at[0] * factor * times.x, b = at[1] * factor * times.y;
            at[0] = fmaf(-b, angle.y, a * angle.x);
            at[1] = fmaf(a, angle.y, b * angle.x);
        }
    }
}

/* The copy engine stores one box of shared memory while the next is filled. */
template <bool rotates>
static __device__ __forceinline__ void store(const ink_hopper_linear_params &p,
                                             const ink_hopper_linear_group &g, unsigned char *boxes,
                                             int group, int row, int tile, const float (&d)[band_sums]) {
    const int thread = (int)threadIdx.x % hopper::group_threads, lane = thread % warp_size;
    /* Of the matrices of a warp's 16 rows: the first two are its upper and lower eight, the others their
     * neighbours. */
    const int own_row = thread / warp_size * 16 + lane % 16, chunk = lane / 16;
    const uint32_t to = hopper::shared_address(boxes) + own_row * row_bytes;
#pragma unroll
    for (int box = 0; box < store_boxes; box++) {
        const uint32_t own = to + box * store_bytes;
        if (thread == 0) hopper::store_wait_read<store_boxes - 1>();
        hopper::turn_wait(1 + group, hopper::group_threads);
#pragma unroll
        for (int i = 0; i < box_columns / 16; i++) {
            const float *at = d + 4 * (box * box_columns / 8 + 2 * i);
            hopper::store_matrices(own + ((2 * i + chunk) ^ own_row % 8) * 16, hopper::pair(at[0], at[1]),
                                   hopper::pair(at[2], at[3]), hopper::pair(at[4], at[5]),
                                   hopper::pair(at[6], at[7]));
        }
        hopper::store_fence();
        hopper::turn_wait(1 + group, hopper::group_threads);
        if (thread == 0)
            hopper::store_rows(boxes + box * store_bytes, &g.out, column_of<rotates>(p, tile, box), row);
    }
}

/* ---- computing ---- */

/* The rows of the first `count` bands. */
template <bool fp8, int count>
static __device__ __forceinline__ void multiply_stage(float (&d)[bands][band_sums], uint64_t x, uint64_t w,
                                                      bool add) {
    constexpr int band_bytes = band_step * row_bytes;
#pragma unroll
    for (int m = 0; m < count; m++) {
        hopper::keep(d[m]);
    }
    hopper::product_fence();
#pragma unroll
    for (int i = 0; i < row_bytes / 32; i++) {
#pragma unroll
        for (int m = 0; m < count; m++) {
            const uint64_t rows = x + m * (band_bytes / 16) + 2 * i;
            if (fp8)
                hopper::product_e4m3(d[m], rows, w + 2 * i, add || i > 0);
            else
                hopper::product_bf16(d[m], rows, w + 2 * i, add || i > 0);
        }
    }
    hopper::product_commit();
}

template <bool fp8, int count>
static __device__ __forceinline__ void multiply(shared_memory &s, ring &at, int boxes, uint64_t x, uint64_t w,
                                                float (&d)[bands][band_sums]) {
    int before = 0;
    for (int k = 0; k < boxes; k++) {
        hopper::barrier_wait(&s.full[at.stage], at.parity);
        multiply_stage<fp8, count>(d, x + at.stage * (x_bytes / 16), w + at.stage * (w_bytes / 16), k > 0);
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
