/*
 * The stop watch of the benchmark.
 */
#ifndef INK_PIPELINE_BENCH_TIMING_H
#define INK_PIPELINE_BENCH_TIMING_H

#include "backend/backend.h"

/* Something to read, because reading is how one waits for a backend: one number that no program touches. */
ink_status ink_fence_create(ink_backend *backend, ink_buffer **fence, ink_error *error);
ink_status ink_fence_wait(ink_buffer *fence, ink_error *error);

/* Seconds per run of `count` runs in a row that are waited for at the end. Run i gets the step (first + i) %
 * steps. */
ink_status ink_time_runs(ink_program *program, ink_buffer *fence, int64_t first, int count, int64_t steps,
                         const ink_run_control *control, double *seconds, ink_error *error);

/* The middle one of n > 0 values, or the mean of the two in the middle. Sorts them. */
double ink_median(double *values, size_t n);

/* Numbers that look like activations: mean 0, variance 1, always the same. */
void ink_fill_activations(float *values, size_t n);

#endif
