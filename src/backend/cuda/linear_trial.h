/*
 * Which of several ways to compute the same is fastest on the device.
 */
#ifndef INK_BACKEND_CUDA_LINEAR_TRIAL_H
#define INK_BACKEND_CUDA_LINEAR_TRIAL_H

#include "backend/cuda/kernels.h"

enum { ink_cuda_most_candidates = 32 };

typedef struct ink_cuda_trial {
    /* Starts candidate i; false: it cannot. */
    bool (*run)(void *user, int i, cudaStream_t stream);
    void *user;
    int candidates;    /* at most ink_cuda_most_candidates */
    float last_counts; /* so many times: the last candidate's time */
    void *flush;       /* device memory to overwrite before each run, so that nothing is found in the caches;
                          nullable */
    size_t flush_bytes;
} ink_cuda_trial;

/* Waits for the stream. *best is 0 if none can run. */
ink_status ink_cuda_trial_run(const ink_cuda_trial *trial, cudaStream_t stream, int *best, ink_error *error);

#endif
