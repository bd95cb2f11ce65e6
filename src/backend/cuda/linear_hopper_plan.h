/*
 * Products by our own kernels for Hopper: one or two of the same size in one launch, with what follows them.
 */
#ifndef INK_BACKEND_CUDA_LINEAR_HOPPER_PLAN_H
#define INK_BACKEND_CUDA_LINEAR_HOPPER_PLAN_H

#include "backend/cuda/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ink_hopper_most_groups = 2, ink_hopper_head_columns = 128 };

/* The norm and rotation of q and k, as ink_cuda_head_norm_rotaries has it, of a product that makes q, k and v
 * side by side; heads of 128 columns, pairs of neighbours. */
typedef struct ink_hopper_rotation {
    const float *table;   /* [rows, 64, 2]; NULL: there is none */
    const void *gains[2]; /* [128] bf16: of q and k */
    float eps;
} ink_hopper_rotation;

typedef struct ink_hopper_linear_problem {
    int n_groups;                                             /* 1 or 2 */
    ink_cuda_linear_problem products[ink_hopper_most_groups]; /* of the same N, K, types and activation */
    ink_hopper_rotation rotations[ink_hopper_most_groups];    /* of all or of none */
} ink_hopper_linear_problem;

/* How to compute problems of one shape: the order of the work, on the device. */
typedef struct ink_hopper_linear ink_hopper_linear;

bool ink_hopper_linear_can(const ink_hopper_linear_problem *problem, int major, int minor);
/* Only the problem's shape counts. `scratch` is device memory that whatever comes before and after a run may
 * use too; with less of it, some multiprocessors may have nothing to do at the end. Its size in bytes may be
 * 0. */
ink_status ink_hopper_linear_create(const ink_hopper_linear_problem *problem, int multiprocessors,
                                    void *scratch, size_t scratch_bytes, cudaStream_t stream,
                                    ink_hopper_linear **linear, ink_error *error);
ink_status ink_hopper_linear_run(const ink_hopper_linear *linear, const ink_hopper_linear_problem *problem,
                                 cudaStream_t stream, ink_error *error);
void ink_hopper_linear_destroy(ink_hopper_linear *linear); /* NULL is allowed */

#ifdef __cplusplus
}
#endif

#endif
