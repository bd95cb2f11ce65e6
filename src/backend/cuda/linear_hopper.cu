/*
 * Products for Hopper. A cluster of two blocks computes two neighbouring tiles of 128 x 256 at a time, and
 * each block loads one half of what both need. In a block, one thread loads: 128 bytes of every row of x and
 * W, four such stages ahead. Two warpgroups multiply, 64 rows each, and write their part of the result.
 *
 * The tensor cores wait for the epilogue of a tile, so what it needs is on its way before the products. Where
 * K is divided, the sums of its parts are left in memory and added by whoever has the first part.
 */
#include "backend/cuda/device.cuh"
#include "backend/cuda/hopper_build.h"
#include "backend/cuda/hopper_products.cuh"
#include "backend/cuda/linear_hopper.h"

namespace {

constexpr int stages = 4, consumer_groups = 2, group_rows = 64;
constexpr int thread_count = (1 + consumer_groups) * hopper::group_threads;
constexpr int consumer_warps = consumer_groups * hopper::group_threads / warp_size,
              cluster_blocks = ink_hopper_cluster;
constexpr int tile_columns = ink_hopper_tile_columns, head_columns = ink_hopper_head_columns;
constexpr int row_bytes = ink_hopper_box_bytes, x_bytes = ink_hopper_tile_rows * row_bytes,
              w_bytes = tile_columns * row_bytes;

/* Of the result, 64 columns of a warpgroup's rows at a time. */
constexpr int box_columns = ink_hopper_box_out, store_bytes = group_rows * row_bytes, store_boxes = 2;

struct shared_memory {
    unsigned char x[stages][x_bytes];
    unsigned char w[stages][w_bytes];
    unsigned char out[consumer_groups][store_boxes][store_bytes];
    uint64_t full[stages], empty[stages];
};
constexpr int shared_alignment = 1024, shared_bytes = (int)sizeof(shared_memory) + shared_alignment;

typedef hopper::ring<stages> ring;

/* ---- loading ---- */

template <int box_elements>
static __device__ __forceinline__ void produce(const ink_hopper_linear_params &p, shared_memory &s,
                                               int rank) {
    const uint64_t keep = p.keeps_x ? hopper::cache_policy_last_out() : hopper::cache_policy_normal(),
                   pass_on = p.keeps_x ? hopper::cache_policy_first_out() : hopper::cache_policy_normal();
    ring at = {0, 1};
    const int cluster = (int)blockIdx.x / cluster_blocks, last = p.starts[cluster + 1];
    for (int i = p.starts[cluster]; i < last; i++) {
        const ink_hopper_linear_item item = p.items[i];
        const CUtensorMap *x = &p.groups[item.group].x, *w = &p.groups[item.group].w;
        for (int k = item.begin; k < item.end; k++) {
            uint64_t *full = &s.full[at.stage];
            unsigned char *to_x = s.x[at.stage], *to_w = s.w[at.stage];
            const int column = k * box_elements;
            hopper::barrier_wait(&s.empty[at.stage], at.parity);
            hopper::barrier_expect(full, x_bytes + w_bytes);
            if (item.across) {
                const int part = rank * ink_hopper_box_x, w_row = item.column + rank * tile_columns;
                hopper::load_rows_for_both(to_x + part * row_bytes, x, full, column, item.row + part, keep);
#pragma unroll
                for (int i = 0; i < cluster_blocks; i++) {
                    hopper::load_rows(to_w + i * (w_bytes / cluster_blocks), w, full, column,
                                      w_row + i * ink_hopper_box_w, pass_on);
                }
            } else {
                const int part = rank * ink_hopper_box_w, x_row = item.row + rank * ink_hopper_tile_rows;
                hopper::load_rows_for_both(to_w + part * row_bytes, w, full, column, item.column + part,
                                           pass_on);
#pragma unroll
                for (int i = 0; i < cluster_blocks; i++) {
                    hopper::load_rows(to_x + i * (x_bytes / cluster_blocks), x, full, column,
                                      x_row + i * ink_hopper_box_x, keep);
                }
            }
            at.next();
        }
    }
}

/* ---- the epilogue ---- */

/* d is as product_bf16 has it: element 4 j + 2 h + i is column 8 j + 2 (t % 4) + i of row h. */

/* What a thread's elements are. */
struct tile_part {
    int row[2]; /* of the group */
    int column; /* of element 0 */
    int rows;   /* that the group has */
};

static __device__ __forceinline__ float2 load_pair(const void *bf16, int at) {
    const uint32_t two =
        __ldg(reinterpret_cast<const unsigned int *>(static_cast<const ink_bf16 *>(bf16) + at));
    return make_float2(__uint_as_float(two << 16), __uint_as_float(two & 0xFFFF0000u));
}

static __device__ __forceinline__ void scale_rows(const ink_hopper_linear_params &p,
                                                  const ink_hopper_linear_group &g, const tile_part &t,
                                                  float (&d)[128]) {
    float of_row[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        of_row[h] = t.row[h] < t.rows ? __ldg(g.x_scales + t.row[h]) : 0.0f;
    }
#pragma unroll
    for (int j = 0; j < 32; j++) {
        const int column = t.column + 8 * j;
        const float2 of_column = column < p.columns
                                     ? __ldg(reinterpret_cast<const float2 *>(g.w_scales + column))
                                     : make_float2(0, 0);
#pragma unroll
        for (int h = 0; h < 2; h++) {
            d[4 * j + 2 * h] *= of_row[h] * of_column.x;
            d[4 * j + 2 * h + 1] *= of_row[h] * of_column.y;
        }
    }
}

/* The bias of a thread's columns, started before the products: loads of this kind stay where they are
 * written. */
static __device__ __forceinline__ void load_bias(const ink_hopper_linear_params &p,
                                                 const ink_hopper_linear_group &g, int first,
                                                 uint32_t (&bias)[32]) {
#pragma unroll
    for (int j = 0; j < 32; j++) {
        const int column = first + 8 * j;
        bias[j] = 0;
        if (g.bias && column < p.columns)
            asm volatile("ld.global.nc.u32 %0, [%1];"
                         : "=r"(bias[j])
                         : "l"(static_cast<const ink_bf16 *>(g.bias) + column));
    }
}

static __device__ __forceinline__ void add_bias(const uint32_t (&bias)[32], float (&d)[128]) {
#pragma unroll
    for (int j = 0; j < 32; j++) {
        const float even = __uint_as_float(bias[j] << 16), odd = __uint_as_float(bias[j] & 0xFFFF0000u);
        d[4 * j] += even, d[4 * j + 1] += odd;
        d[4 * j + 2] += even, d[4 * j + 3] += odd;
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

/* Norm, gain and rotation of the tile's two heads, if they are of q or k. A row's columns are with four
 * threads, pairs of neighbours with one. */
static __device__ __forceinline__ void rotate(const ink_hopper_linear_params &p,
                                              const ink_hopper_linear_group &g, const tile_part &t,
                                              float (&d)[128]) {
    const int own = t.column % head_columns;
#pragma unroll
    for (int head = 0; head < tile_columns / head_columns; head++) {
        const int part = (t.column + head * head_columns) / p.part_columns;
        if (part >= 2) continue;
        const void *gain = part ? g.gains[1] : g.gains[0];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float squares = 0;
#pragma unroll
            for (int j = 16 * head; j < 16 * head + 16; j++) {
                squares = fmaf(d[4 * j + 2 * h], d[4 * j + 2 * h], squares);
                squares = fmaf(d[4 * j + 2 * h + 1], d[4 * j + 2 * h + 1], squares);
            }
            const float factor = rsqrtf(fmaf(hopper::quad_sum(squares), 1.0f / head_columns, p.eps));
            const float2 *angles = reinterpret_cast<const float2 *>(
                g.rotary + (int64_t)(t.row[h] < t.rows ? t.row[h] : 0) * head_columns + own);
#pragma unroll
            for (int j = 0; j < 16; j++) {
                const float2 times = load_pair(gain, own + 8 * j), angle = __ldg(angles + 4 * j);
                float *at = d + 64 * head + 4 * j + 2 * h;
                const float a = at[0] * factor * times.x, b = at[1] * factor * times.y;
                at[0] = fmaf(-b, angle.y, a * angle.x);
                at[1] = fmaf(a, angle.y, b * angle.x);
            }
        }
    }
}

/* A warpgroup's rows go through two boxes of shared memory: one is filled while the copy engine stores the
 * other. */
static __device__ __forceinline__ void store(const ink_hopper_linear_group &g, unsigned char *boxes,
                                             int group, int row, int column, const float (&d)[128]) {
    const int thread = (int)threadIdx.x % hopper::group_threads, lane = thread % warp_size;
    /* Of the matrices of a warp's 16 rows: the first two are its upper and lower eight, the others their
     * neighbours. */
    const int own_row = thread / warp_size * 16 + lane % 16, chunk = lane / 16;
    const uint32_t to = hopper::shared_address(boxes) + own_row * row_bytes;
#pragma unroll
    for (int box = 0; box < tile_columns / box_columns; box++) {
        const uint32_t own = to + box % store_boxes * store_bytes;
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
            hopper::store_rows(boxes + box % store_boxes * store_bytes, &g.out, column + box * box_columns,
                               row);
    }
}

/* ---- computing ---- */

/* A warp has read what it needs: both blocks must know before either loads into the stage of both. */
static __device__ __forceinline__ void release(uint64_t *empty) {
    const uint32_t lane = threadIdx.x % warp_size;
    if (lane < cluster_blocks) hopper::barrier_arrive_at(empty, lane);
}

template <bool fp8>
static __device__ __forceinline__ void multiply_stage(float (&d)[128], uint64_t x, uint64_t w, bool add) {
    hopper::keep(d);
    hopper::product_fence();
#pragma unroll
    for (int i = 0; i < row_bytes / 32; i++) {
        if (fp8)
            hopper::product_e4m3(d, x + 2 * i, w + 2 * i, add || i > 0);
        else
            hopper::product_bf16(d, x + 2 * i, w + 2 * i, add || i > 0);
    }
    hopper::product_commit();
}

/* d = the warpgroup's 64 rows of the tile. */
template <bool fp8>
static __device__ __forceinline__ void multiply(shared_memory &s, ring &at, int boxes, uint64_t x, uint64_t w,
                                                float (&d)[128]) {
    int before = 0;
    for (int k = 0; k < boxes; k++) {
        hopper::barrier_wait(&s.full[at.stage], at.parity);
        multiply_stage<fp8>(d, x + at.stage * (x_bytes / 16), w + at.stage * (w_bytes / 16), k > 0);
        if (k > 0) {
            hopper::product_wait<1>();
            release(&s.empty[before]);
        }
        before = at.stage;
        at.next();
    }
    hopper::product_wait<0>();
    hopper::keep(d);
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

/* ---- sums of a part of K ---- */

/* A warpgroup's own part of a slot. */
static __device__ __forceinline__ int slot_part(int slot, int rank, int group) {
    return (slot * cluster_blocks + rank) * consumer_groups + group;
}
static __device__ __forceinline__ float4 *own_sums(const ink_hopper_linear_params &p, int part) {
    return reinterpret_cast<float4 *>(p.slots) + (int64_t)part * (group_rows * tile_columns / 4) +
           threadIdx.x % hopper::group_threads;
}

static __device__ __forceinline__ void leave_sums(const ink_hopper_linear_params &p,
                                                  const ink_hopper_linear_item &item, int rank, int group,
                                                  const float (&d)[128]) {
    const int part = slot_part(item.slot, rank, group);
    float4 *to = own_sums(p, part);
#pragma unroll
    for (int j = 0; j < 32; j++) {
        __stcg(to + j * hopper::group_threads,
               make_float4(d[4 * j], d[4 * j + 1], d[4 * j + 2], d[4 * j + 3]));
    }
    __threadfence();
    hopper::turn_wait(1 + group, hopper::group_threads);
    if (threadIdx.x % hopper::group_threads == 0)
        asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(p.flags + part), "r"(1) : "memory");
}

/* Waits for them, which were begun before these: nobody who leaves sums waits for anything. */
static __device__ __forceinline__ void add_sums(const ink_hopper_linear_params &p, int slot, int rank,
                                                int group, float (&d)[128]) {
    const int part = slot_part(slot, rank, group);
    const bool first = threadIdx.x % hopper::group_threads == 0;
    if (first) {
        uint32_t there;
        do {
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];"
                         : "=r"(there)
                         : "l"(p.flags + part)
                         : "memory");
        } while (!there);
    }
    hopper::turn_wait(1 + group, hopper::group_threads);
    if (first) p.flags[part] = 0; /* for the next launch */
    const float4 *from = own_sums(p, part);
#pragma unroll
    for (int j = 0; j < 32; j++) {
        const float4 more = __ldcg(from + j * hopper::group_threads);
        d[4 * j] += more.x, d[4 * j + 1] += more.y;
        d[4 * j + 2] += more.z, d[4 * j + 3] += more.w;
    }
}

template <bool fp8, ink_activation activation, bool rotates>
static __device__ __forceinline__ void consume(const ink_hopper_linear_params &p, shared_memory &s, int rank,
                                               int group) {
    const uint64_t x = hopper::describe(s.x[0] + group * group_rows * row_bytes, 16),
                   w = hopper::describe(s.w[0], 16);
    const int thread = (int)threadIdx.x % hopper::group_threads;
    ring at = {0, 0};
    const int cluster = (int)blockIdx.x / cluster_blocks, last = p.starts[cluster + 1];
    int i = p.starts[cluster];
    ink_hopper_linear_item next = p.items[i];
    for (; i < last; i++) {
        const ink_hopper_linear_item item = next;
        if (i + 1 < last) next = p.items[i + 1];
        const ink_hopper_linear_group &g = p.groups[item.group];
        const int row = item.row + (item.across ? 0 : rank * ink_hopper_tile_rows) + group * group_rows,
                  column = item.column + (item.across ? rank * tile_columns : 0);
        if (row >= g.rows || column >= p.columns) {
            pass(s, at, item.end - item.begin);
            continue;
        }
        const int own = row + thread / warp_size * 16 + thread % warp_size / 4;
        const tile_part t = {{own, own + 8}, column + 2 * (thread % 4), g.rows};
        float d[128];
        uint32_t bias[32];
        load_bias(p, g, t.column, bias);
        multiply<fp8>(s, at, item.end - item.begin, x, w, d);
        if (item.begin > 0) {
            leave_sums(p, item, rank, group, d);
            continue;
        }
        for (int slot = item.slot; slot < item.slot + item.slots; slot++) {
            add_sums(p, slot, rank, group, d);
        }
        if (fp8) scale_rows(p, g, t, d);
        add_bias(bias, d);
        if (activation == INK_ACT_GELU_TANH) {
#pragma unroll
            for (int k = 0; k < 128; k++) {
                d[k] = short_gelu(d[k]);
            }
        }
        if (rotates) rotate(p, g, t, d);
        store(g, s.out[group][0], group, row, column, d);
    }
    if (thread == 0) hopper::store_wait_all();
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
        hopper::registers_decrease<40>();
        if (threadIdx.x == 0) produce<fp8 ? row_bytes : row_bytes / 2>(p, s, rank);
    } else {
        hopper::registers_increase<232>();
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
