/*
 * What is computed in one go: whether that is faster than launch by launch, and running it.
 */
#ifndef INK_BACKEND_CUDA_UNITED_H
#define INK_BACKEND_CUDA_UNITED_H

#include "backend/cuda/program.h"

/* Launches [i, i + more] of a program, if `more` is not 0: sets the choice of launch i. The first time that
 * products of these sizes come, both ways are run and timed, which overwrites results. The launches' own
 * choices must be made. */
ink_status ink_cuda_choose_united(ink_cuda_program *program, int32_t i, ink_error *error);
ink_status ink_cuda_run_united(const ink_cuda_program *program, int32_t i, cudaStream_t stream,
                               ink_error *error);
/* Frees what a context has found; NULL is allowed. */
void ink_cuda_united_destroy(struct ink_cuda_united *all);

#endif
