/*
 * Products for Hopper: what a launch is told.
 *
 * A launch computes out = epilogue(x W^T + bias) for one or two groups: products of the same size [N, K] with
 * x, W, and result of their own, such as a layer of the image's stream and the same layer of the text's. The
 * text's few rows then cost what their arithmetic does, as their weights arrive during the image's products.
 */
#ifndef INK_BACKEND_CUDA_LINEAR_HOPPER_H
#define INK_BACKEND_CUDA_LINEAR_HOPPER_H

#include "backend/cuda/linear_hopper_plan.h"
#include "backend/cuda/linear_schedule.h"

#include <cuda.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ink_hopper_box_x = ink_hopper_tile_rows / ink_hopper_cluster, /* rows of a box of x */
    ink_hopper_box_columns = 64, /* rows of one of W; rows and columns of one of the result */
    ink_hopper_box_bytes = 128   /* of each row */
};

/* Maps have boxes of ink_hopper_box_x or ink_hopper_box_columns rows and 128 bytes. */
typedef struct ink_hopper_linear_group {
    CUtensorMap x, w, out; /* out: bf16 */
    const void *bias;      /* [N] bf16, nullable */
    int rows;
    const float *x_scales, *w_scales; /* of e4m3: of each row */
    /* If there is a table: the result is q, k and v side by side, each of the same width; heads of 128
     * columns of q and k are RMS-normed, multiplied by a gain [128], and their pairs of neighbours rotated.
     */
    const float *rotary;  /* [rows, 64, 2]: cos, sin; nullable */
    const void *gains[2]; /* bf16: q, k */
} ink_hopper_linear_group;

typedef struct ink_hopper_linear_params {
    ink_hopper_linear_group groups[ink_hopper_most_groups];
    const ink_hopper_linear_item *items; /* device; cluster c does those from starts[c] to starts[c + 1] */
    const int32_t *starts;               /* device */
    float *slots;                        /* device; sums */
    uint32_t *flags;  /* device; of each part of a slot: 1 if its sums are there, 0 otherwise */
    int columns;      /* N */
    int part_columns; /* of q, of k and of v, with a rotary table */
    float eps;
    ink_activation activation;
} ink_hopper_linear_params;

/* Once before launches with such an activation, and with or without a rotation: nothing else of `params`
 * counts. INK_ERROR_UNSUPPORTED if this build lacks code for the device. */
ink_status ink_hopper_linear_prepare(bool fp8, const ink_hopper_linear_params *params, ink_error *error);
cudaError_t ink_hopper_linear_launch(cudaStream_t stream, int clusters, bool fp8,
                                     const ink_hopper_linear_params *params);

#ifdef __cplusplus
}
#endif

#endif
