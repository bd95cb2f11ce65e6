/*
 * Inside of convolution: what its implementations share. Everybody else sees kernels.h.
 *
 * An implementation ("kind") builds a state for one problem and runs it; the plan keeps the problem alive and
 * chooses the kind.
 */
#ifndef INK_BACKEND_CUDA_CONV_H
#define INK_BACKEND_CUDA_CONV_H

#include "backend/cuda/kernels.h"
#include "backend/cuda/memory.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ink_cuda_conv_kind {
    const char *name;
    bool (*can)(const ink_cuda_conv_problem *problem);
    /* The problem outlives the state. `like` is nullable: a state of this kind, of any problem, whose
     * libraries and plans may be shared. INK_ERROR_UNSUPPORTED lets the next kind try. */
    ink_status (*create)(const ink_cuda_conv_problem *problem, const void *like, cudaStream_t stream,
                         void **state, ink_error *error);
    ink_status (*run)(void *state, cudaStream_t stream, ink_error *error);
    size_t (*bytes)(const void *state);
    void (*destroy)(void *state);
} ink_cuda_conv_kind;

/* All kinds, best first; the last one can do everything. */
const ink_cuda_conv_kind *ink_cuda_conv_kinds(size_t *n);

/* A plan of this kind, or a failure: for tests and benchmarks. */
ink_status ink_cuda_conv_plan_create_kind(const ink_cuda_conv_kind *kind,
                                          const ink_cuda_conv_problem *problem,
                                          const ink_cuda_conv_plan *like, cudaStream_t stream,
                                          ink_cuda_conv_plan **plan, ink_error *error);

/* ---- conv_simple.cu: everything, on the ordinary arithmetic units, f32 inside ---- */
cudaError_t ink_cuda_conv_simple(cudaStream_t stream, const ink_cuda_conv_problem *problem);

/* ---- a convolution of a picture that is upsampled twofold (conv_fold.cu) ----
 *
 * Under a 3 x 3 kernel with a border of 1, every output pixel sees only 2 x 2 pixels of the small picture, in
 * one of four ways, by whether its row and its column are even. So the four kinds are four sets of 2 x 2
 * kernels, each of whose taps is the sum of those taps of the 3 x 3 kernel that fall on one pixel: 4/9 of the
 * arithmetic. */
bool ink_cuda_conv_can_fold(const ink_cuda_conv_problem *problem);
/* [O, 3, 3, I] -> [4, O, 2, 2, I] of the same dtype; set 2 a + b is for rows 2 y + a and columns 2 x + b. */
cudaError_t ink_cuda_conv_fold_weight(cudaStream_t stream, const ink_cuda_conv_problem *problem, void *out);
/* out[2 y + a, 2 x + b] = folded[y + a, x + b, set 2 a + b] + bias, for folded [height + 1, width + 1, 4, O]
 * of out's dtype: the results of a convolution with [4 O, 2, 2, I] and a border of 1 around the small
 * picture. */
cudaError_t ink_cuda_conv_unfold(cudaStream_t stream, const ink_cuda_conv_problem *problem,
                                 const void *folded);

#ifdef __cplusplus
}
#endif

#endif
