/*
 * Products with few rows for Hopper: out = activation(x W^T + bias), of bf16 numbers. What they cost is to
 * read W.
 *
 *   thin     all multiprocessors: a cluster of two blocks reads some rows of W once, each block one half of
 *            every row, and adds up. Where the kernel before it allows it, W sets out while that one still
 *            runs; x is waited for.
 *   beside   a few multiprocessors only, while other kernels have the rest: an even number, as blocks come in
 *            pairs
 */
#ifndef INK_BACKEND_CUDA_LINEAR_THIN_PLAN_H
#define INK_BACKEND_CUDA_LINEAR_THIN_PLAN_H

#include "backend/cuda/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ink_thin_most_rows = 128,
    ink_thin_band_rows = 64, /* of a product of tensor cores: one or two of them */
    ink_thin_cluster = 2,    /* blocks */
    ink_beside_width = 192   /* columns of the result that a block computes at a time, beside others */
};

/* Which of ink_thin_width: the narrowest with which one round of clusters is enough; -1: there is none, or
 * the problem is of another kind. */
int ink_thin_width_of(const ink_cuda_linear_problem *problem, int major, int minor, int multiprocessors);
/* Once before runs of such a problem. INK_ERROR_UNSUPPORTED if this build lacks code for the device, or the
 * driver what it takes. */
ink_status ink_thin_linear_prepare(const ink_cuda_linear_problem *problem, int width, ink_error *error);
ink_status ink_thin_linear_run(const ink_cuda_linear_problem *problem, int width, cudaStream_t stream,
                               ink_error *error);

/* Once before runs of such a problem. INK_ERROR_UNSUPPORTED also if it is of another kind. */
ink_status ink_beside_linear_prepare(const ink_cuda_linear_problem *problem, ink_error *error);
ink_status ink_beside_linear_run(const ink_cuda_linear_problem *problem, int multiprocessors,
                                 cudaStream_t stream, ink_error *error);

#ifdef __cplusplus
}
#endif

#endif
