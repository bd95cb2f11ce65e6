/*
 * Convolution by cuDNN: bf16, f32 sums. Its functions are those of an ink_cuda_conv_kind.
 */
#ifndef INK_BACKEND_CUDA_CONV_CUDNN_H
#define INK_BACKEND_CUDA_CONV_CUDNN_H

#include "backend/cuda/conv.h"

bool ink_cuda_conv_cudnn_can(const ink_cuda_conv_problem *problem);
ink_status ink_cuda_conv_cudnn_create(const ink_cuda_conv_problem *problem, const void *like,
                                      cudaStream_t stream, void **state, ink_error *error);
ink_status ink_cuda_conv_cudnn_run(void *state, cudaStream_t stream, ink_error *error);
size_t ink_cuda_conv_cudnn_bytes(const void *state);
void ink_cuda_conv_cudnn_destroy(void *state);

#endif
