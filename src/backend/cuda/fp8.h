/*
 * Products of 8-bit numbers, e4m3: three bits of fraction, up to 448. A row of a matrix has a scale of its
 * own, so that its largest number becomes 448; the rows of a weight are its outputs.
 *
 * Such a matrix is one piece of memory, aligned to 256 bytes: the numbers without gaps between rows, and from
 * the next multiple of 256 bytes on a f32 for each row, which its numbers are multiplied by. Rows whose
 * largest number is below 1e-30 are zero.
 */
#ifndef INK_BACKEND_CUDA_FP8_H
#define INK_BACKEND_CUDA_FP8_H

#include "backend/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows that ink_cuda_layer_norms can write as e4m3 are no longer than this. */
enum { ink_cuda_most_fp8_norm_columns = 12288 };

static inline size_t ink_cuda_fp8_scales_at(int64_t rows, int64_t columns) {
    return ((size_t)rows * (size_t)columns + 255) & ~(size_t)255;
}
static inline size_t ink_cuda_fp8_bytes(int64_t rows, int64_t columns) {
    return ink_cuda_fp8_scales_at(rows, columns) + (size_t)rows * sizeof(float);
}
/* Where a matrix has its scales: to read, and to write. */
static inline const float *ink_cuda_fp8_scales(const void *data, int64_t rows, int64_t columns) {
    return (const float *)((const char *)data + ink_cuda_fp8_scales_at(rows, columns));
}
static inline float *ink_cuda_fp8_scales_out(void *data, int64_t rows, int64_t columns) {
    return (float *)((char *)data + ink_cuda_fp8_scales_at(rows, columns));
}

/* out (e4m3) = activation(x); x is f32 or bf16. */
cudaError_t ink_cuda_quantise_rows(cudaStream_t, const ink_cuda_matrix *x, ink_activation activation,
                                   const ink_cuda_matrix *out);

/* out = activation(x W^T + bias) of e4m3 matrices x [M, K] and W [N, K], plainly: for shapes that libraries
 * do not know. The bias is nullable and has the type of out, f32 or bf16. */
cudaError_t ink_cuda_fp8_linear(cudaStream_t, const ink_cuda_matrix *x, const void *weight, const void *bias,
                                ink_activation activation, const ink_cuda_matrix *out);

#ifdef __cplusplus
}
#endif

#endif
