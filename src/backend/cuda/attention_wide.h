/*
 * The kernel for Hopper and heads of 384 columns: what a launch is told.
 */
#ifndef INK_BACKEND_CUDA_ATTENTION_WIDE_H
#define INK_BACKEND_CUDA_ATTENTION_WIDE_H

#include "backend/cuda/attention.h"

#include <cuda.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ink_wide_head_dim = 384,
    ink_wide_slice_columns = 64, /* of the innermost dim of maps */
    ink_wide_pair = 2,           /* slices in a box of keys or values */
    ink_wide_rows = 128,         /* of a tile of queries */
    ink_wide_keys = 64           /* of a tile of keys or values */
};

/* Queries [row, row + 128) of a head with the keys' tiles [first, end). The result is final if `part` is
 * negative; else it is the part with that number, and the parts of the same queries are to be joined. */
typedef struct ink_wide_piece {
    int32_t row, head, first, end, part;
} ink_wide_piece;

/* Queries whose parts [first, first + count) are to be joined. */
typedef struct ink_wide_join {
    int32_t row, head, first, count;
} ink_wide_join;

/* Of a part and one of its rows: weights were 2 ^ (score - base), and this is their sum. */
typedef struct ink_wide_stat {
    float base, total;
} ink_wide_stat;

/* Maps are of [columns / 64, rows, 64], with boxes of [6, 128, 64] for q, [2, 64, 64] for k and v. */
typedef struct ink_wide_params {
    CUtensorMap q, k, v;
    void *out;
    int64_t out_stride; /* elements */
    int rows, group;    /* group: query heads per key head */
    float scale;        /* with log2(e): weights are powers of 2 */
    /* On the device. Block b does the pieces [starts[b], starts[b + 1]). */
    const ink_wide_piece *pieces;
    const int32_t *starts;
    const ink_wide_join *joins;
    float *parts;         /* [parts, 128, 384]: sums of values */
    ink_wide_stat *stats; /* [parts, 128] */
} ink_wide_params;

/* Shared memory that a block needs. */
int ink_wide_shared_bytes(void);
/* Once before launches. INK_ERROR_UNSUPPORTED if this build lacks code for the device. */
ink_status ink_wide_prepare(ink_error *error);
cudaError_t ink_wide_launch(cudaStream_t stream, int blocks, const ink_wide_params *params);
/* After it, if there is something to join. */
cudaError_t ink_wide_launch_joins(cudaStream_t stream, int joins, const ink_wide_params *params);

#ifdef __cplusplus
}
#endif

#endif
