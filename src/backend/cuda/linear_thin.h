/*
 * Products with few rows for Hopper: what a launch is told.
 */
#ifndef INK_BACKEND_CUDA_LINEAR_THIN_H
#define INK_BACKEND_CUDA_LINEAR_THIN_H

#include "backend/cuda/linear_thin_plan.h"

#include <cuda.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ink_thin_widths = 4 };

/* Columns of the result that a cluster computes: one of these. */
static const int ink_thin_width[ink_thin_widths] = {48, 96, 144, 192};

/* Boxes have 128 bytes of ink_thin_box_rows(rows) rows of x, or of as many rows of W as the width says. */
typedef struct ink_thin_params {
    CUtensorMap x, w;
    const void *bias; /* [columns] bf16, nullable */
    void *out;        /* [rows, columns] bf16 */
    int64_t stride;   /* elements from one row of out to the next */
    int rows, columns;
    int boxes; /* of a row of x */
    ink_activation activation;
} ink_thin_params;

static inline int ink_thin_box_rows(int64_t rows) {
    return ink_thin_band_rows * (rows > ink_thin_band_rows ? 2 : 1);
}

/* Once before launches of that width (of ink_thin_width), and of as many rows and such an activation. */
ink_status ink_thin_allow(int width, int rows, ink_activation activation, ink_error *error);
/* `early`: it may begin before the launch before it has ended; W and bias must be there. */
cudaError_t ink_thin_launch(cudaStream_t stream, int width, bool early, const ink_thin_params *params);

ink_status ink_beside_allow(int rows, ink_activation activation, ink_error *error);
cudaError_t ink_beside_launch(cudaStream_t stream, int multiprocessors, const ink_thin_params *params);

#ifdef __cplusplus
}
#endif

#endif
