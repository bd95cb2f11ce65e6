/*
 * The kernel for Hopper: what a launch is told.
 */
#ifndef INK_BACKEND_CUDA_ATTENTION_HOPPER_H
#define INK_BACKEND_CUDA_ATTENTION_HOPPER_H

#include "backend/cuda/attention.h"

#include <cuda.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ink_hopper_head_dim = 128,
    ink_hopper_slice_columns = 64, /* of the innermost dim of maps */
    ink_hopper_query_rows = 128,   /* of a tile: of the box of maps */
    ink_hopper_key_rows = 144,     /* of a tile of keys or values */
    ink_hopper_most_segments = 8,  /* of a launch */
    ink_hopper_most_ranges = INK_MAX_STREAMS * ink_hopper_most_segments
};

/* The rows of one segment in one stream. Maps are of [columns / 64, rows, 64], with boxes of a tile's rows.
 */
typedef struct ink_hopper_range {
    CUtensorMap q, k, v;
    void *out;          /* row 0 of the range */
    int64_t out_stride; /* elements */
    int rows;
} ink_hopper_range;

/* Queries of an item, and which tiles of its keys: see attention_cuts.h. */
typedef struct ink_hopper_piece {
    ink_cuda_attention_item item;
    int32_t first, end, part, parts;
} ink_hopper_piece;

enum {
    /* Of a part, each thread of a warpgroup leaves its sums, and at last base and total of its two rows. */
    ink_hopper_part_groups = ink_hopper_query_rows / 64,
    ink_hopper_part_vectors = 64 / 4 + 1, /* of four numbers */
    ink_hopper_part_bytes = ink_hopper_part_groups * ink_hopper_part_vectors * 128 * 16
};

/* Kernels take up to 32 KB of parameters. */
typedef struct ink_hopper_params {
    ink_hopper_range ranges[ink_hopper_most_ranges];
    /* On the device. Block b does the pieces [starts[b], starts[b + 1]). */
    const ink_hopper_piece *pieces;
    const int32_t *starts;
    void *parts;     /* [parts] of ink_hopper_part_bytes */
    uint32_t *flags; /* [parts, ink_hopper_part_groups]: it is there; 0 before and after */
    int group;       /* query heads per key head */
    float scale;     /* with log2(e): weights are powers of 2 */
} ink_hopper_params;

/* Shared memory that a block needs. */
int ink_hopper_shared_bytes(void);
/* Once before launches. INK_ERROR_UNSUPPORTED if this build lacks code for the device. */
ink_status ink_hopper_prepare(ink_error *error);
cudaError_t ink_hopper_launch(cudaStream_t stream, int blocks, const ink_hopper_params *params);

#ifdef __cplusplus
}
#endif

#endif
