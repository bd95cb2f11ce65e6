/*
 * Inside of the kernel for large products on Hopper (linear_hopper.cu): what becomes of sums before they are
 * stored, 64 rows at a time.
 */
#ifndef INK_BACKEND_CUDA_LINEAR_EPILOGUE_CUH
#define INK_BACKEND_CUDA_LINEAR_EPILOGUE_CUH

#include "backend/cuda/linear_tiles.cuh"

namespace hopper_linear {

/* d is as product_bf16 has it: element 4 j + 2 h + i is column 8 j + 2 (t % 4) + i of row h. */

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
        s.bias[group][pair] = hopper::widen_pair(own.bias);
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
            const float2 times =
                             hopper::widen_pair(__ldg(reinterpret_cast<const unsigned int *>(gain + 8 * j))),
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

} // namespace hopper_linear

#endif
