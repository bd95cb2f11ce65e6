/*
 * Products with weights, by cuBLASLt or our own kernel for few rows: out = activation(x W^T + bias). What is
 * fastest for a shape is found once.
 */
#ifndef INK_BACKEND_CUDA_LINEAR_H
#define INK_BACKEND_CUDA_LINEAR_H

#include "backend/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ink_cuda_linears ink_cuda_linears; /* the library, and what was found */
typedef struct ink_cuda_linear ink_cuda_linear;   /* how to compute one shape; owned by the linears */

typedef struct ink_cuda_linear_problem {
    ink_cuda_matrix x;  /* [M, K], f32, bf16, or e4m3 as fp8.h has it */
    const void *weight; /* [N, K] of x's type, contiguous */
    const void *bias;   /* [N] of out's type; nullable */
    ink_activation activation;
    ink_cuda_matrix out; /* [M, N], f32, or bf16 if x is not f32 */
    int beside;          /* multiprocessors that others use at the same time, and that it leaves alone */
    bool early;          /* W and bias are there before the launch before it ends */
    int32_t place;       /* which of a program's launches it is, from 1 on; 0: of none */
} ink_cuda_linear_problem;

ink_status ink_cuda_linears_create(ink_cuda_linears **linears, ink_error *error);
void ink_cuda_linears_destroy(ink_cuda_linears *linears); /* NULL is allowed */
size_t ink_cuda_linears_bytes(const ink_cuda_linears *linears);
/* Their scratch memory, for others that run between products: ink_cuda_linears_bytes of it. */
void *ink_cuda_linears_scratch(const ink_cuda_linears *linears);

/* Device memory with counters, ink_cuda_counter_bytes each: launches of a program that use one have their
 * own, and must find it 0. */
enum { ink_cuda_counter_bytes = 256 };
void *ink_cuda_linears_counters(const ink_cuda_linears *linears, size_t *bytes);
/* Of a recorded program: counters become 0 at its begin, all at once, and not one by one before each. */
ink_status ink_cuda_linears_simplify(const ink_cuda_linears *linears, cudaGraph_t graph, ink_error *error);

/* Finds how to compute a problem: only its shape, types and alignment count. The first time for a shape,
 * candidates are run on the problem's memory, and `out` is written. Waits for the stream. */
ink_status ink_cuda_linear_find(ink_cuda_linears *linears, const ink_cuda_linear_problem *problem,
                                cudaStream_t stream, const ink_cuda_linear **linear, ink_error *error);

/* Of e4m3: does our own kernel compute it, as the library cannot? */
bool ink_cuda_linear_is_plain(const ink_cuda_linear *linear);

/* Products use the same scratch memory: one after the other. */
ink_status ink_cuda_linear_run(ink_cuda_linears *linears, const ink_cuda_linear *linear,
                               const ink_cuda_linear_problem *problem, cudaStream_t stream, ink_error *error);

#ifdef __cplusplus
}
#endif

#endif
