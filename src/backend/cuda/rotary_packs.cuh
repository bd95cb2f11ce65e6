/*
 * The rotation of q and k as transformers for pictures have it: heads of 128 bf16 numbers, a gain for each
 * matrix, pairs of neighbours. A block takes a row, and every thread three packs of it that are on their way
 * at the same time.
 */
#ifndef INK_BACKEND_CUDA_ROTARY_PACKS_CUH
#define INK_BACKEND_CUDA_ROTARY_PACKS_CUH

#include "backend/cuda/device.cuh"

constexpr int rotary_team = 16, packs_at_once = 3, most_pack_threads = 256;

struct rotary_packs_problem {
    const ink_bf16 *x[2];
    ink_bf16 *out[2];
    const ink_bf16 *weight[2];
    int64_t x_stride, out_stride; /* of both */
    int heads;                    /* of the first */
    const float *table;
    float eps;
};

/* One or two: q and k of the image's stream and of the text's, say. */
struct rotary_packs_problems {
    rotary_packs_problem first, second;
    int first_rows; /* further rows are of the second */
};

/* Norm, gain and rotation of a pack; all threads of a warp call. */
static __device__ __forceinline__ void rotate_raw_pack(float (&v)[pack_size], const uint4 &raw,
                                                       const uint4 &raw_gain,
                                                       const float (&angles)[pack_size], float eps) {
    float squares = 0, gain[pack_size];
    widen_bf16(v, raw);
#pragma unroll
    for (int k = 0; k < pack_size; k++) {
        squares = fmaf(v[k], v[k], squares);
    }
    const float factor = rsqrtf(fmaf(team_sum(squares, rotary_team), 1.0f / (rotary_team * pack_size), eps));
    widen_bf16(gain, raw_gain);
#pragma unroll
    for (int k = 0; k < pack_size; k += 2) {
        const float a = v[k] * factor * gain[k], b = v[k + 1] * factor * gain[k + 1];
        v[k] = fmaf(-b, angles[k + 1], a * angles[k]);
        v[k + 1] = fmaf(a, angles[k + 1], b * angles[k]);
    }
}

static __device__ __forceinline__ void rotate_row(const rotary_packs_problem &p, int64_t row) {
    const int member = (int)threadIdx.x % rotary_team, teams = (int)blockDim.x / rotary_team;
    uint4 raw[packs_at_once];
    int64_t at[packs_at_once];
    bool second[packs_at_once];
#pragma unroll
    for (int i = 0; i < packs_at_once; i++) {
        const int head = (int)threadIdx.x / rotary_team + i * teams;
        second[i] = head >= p.heads;
        at[i] = (second[i] ? head - p.heads : head) * (rotary_team * pack_size) + member * pack_size;
        raw[i] = load_once((second[i] ? p.x[1] : p.x[0]) + row * p.x_stride + at[i]);
    }
    float angles[pack_size];
    load_table_pack<true>(angles, p.table + (row * rotary_team + member) * pack_size, pack_size);
    const uint4 gains[2] = {__ldg(reinterpret_cast<const uint4 *>(p.weight[0]) + member),
                            __ldg(reinterpret_cast<const uint4 *>(p.weight[1]) + member)};
#pragma unroll
    for (int i = 0; i < packs_at_once; i++) {
        float v[pack_size];
        rotate_raw_pack(v, raw[i], second[i] ? gains[1] : gains[0], angles, p.eps);
        store_vector((second[i] ? p.out[1] : p.out[0]) + row * p.out_stride + at[i], v);
    }
}

/* Of heads * 16 / 3 threads for the heads of both matrices: none is without a pack. The code is there twice,
 * for what is told of a matrix is read more slowly where it has to be looked for. */
static __global__ void __launch_bounds__(most_pack_threads, 4)
    rotate_packs(const __grid_constant__ rotary_packs_problems p) {
    const int row = (int)blockIdx.x;
    if (row < p.first_rows)
        rotate_row(p.first, row);
    else
        rotate_row(p.second, row - p.first_rows);
}

#endif
