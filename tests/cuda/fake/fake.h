/*
 * How the stand-ins for kernels take part in capturing, and what tests ask.
 */
#ifndef INK_TESTS_FAKE_CUDA_FAKE_H
#define INK_TESTS_FAKE_CUDA_FAKE_H

#include "backend/cuda/kernels.h"

typedef void (*fake_kernel)(const void *arguments);

/* Computes at once or, while the stream is captured, records a copy of the arguments. */
cudaError_t fake_start(cudaStream_t stream, fake_kernel kernel, const void *arguments, size_t bytes);

/* Allocations of device and pinned memory, streams, events and graphs that are not freed. */
int fake_leaks(void);
/* From now on, so many bytes of device memory can be allocated. */
void fake_limit_memory(size_t bytes);
/* How many kernels were started or replayed since the last call. */
int fake_launches(void);

/* ---- elements of a matrix, whatever its type ---- */
double fake_get(const ink_cuda_matrix *m, int64_t row, int64_t column);
void fake_put(const ink_cuda_matrix *m, int64_t row, int64_t column, double value);
/* Equal types keep their bits. */
void fake_move(const ink_cuda_matrix *to, int64_t row, int64_t column, const ink_cuda_matrix *from,
               int64_t from_row, int64_t from_column);
double fake_weight(const void *data, ink_dtype dtype, int64_t i);

#endif
