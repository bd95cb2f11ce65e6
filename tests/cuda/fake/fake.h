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
/* Allocation n of device or pinned memory from now, from 0, fails; negative: none does. */
void fake_fail_allocation(int n);
/* Whether it came to that. */
bool fake_allocation_failed(void);
/* Copies from pinned memory are done as late as they may be, or as early. */
void fake_delay_copies(bool yes);

/* How many kernels were started or replayed since the last call. */
int fake_launches(void);

/* Compute capability of the device from now on; it is 9.0 at first. */
void fake_set_capability(int major, int minor);
/* What is measured between two events takes half the time if this is called there. */
void fake_be_fast(void);
/* How many runs of several launches in one go were started since the last call. */
int fake_united_runs(void);
/* Products that were started beside others since the last call. */
int fake_beside_runs(void);

/* ---- elements of a matrix, whatever its type ---- */
double fake_get(const ink_cuda_matrix *m, int64_t row, int64_t column);
void fake_put(const ink_cuda_matrix *m, int64_t row, int64_t column, double value);
/* Equal types keep their bits. */
void fake_move(const ink_cuda_matrix *to, int64_t row, int64_t column, const ink_cuda_matrix *from,
               int64_t from_row, int64_t from_column);
/* Of e4m3 matrices, as fp8.h has them. */
double fake_get_fp8(const ink_cuda_matrix *m, int64_t row, int64_t column);
void fake_put_fp8_row(const ink_cuda_matrix *m, int64_t row, const float *values);
double fake_weight(const void *data, ink_dtype dtype, int64_t i);

#endif
