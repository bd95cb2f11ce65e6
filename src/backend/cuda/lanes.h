/*
 * Launches of few rows that run beside those of many: the text's stream beside the image's. A few
 * multiprocessors are theirs, which the products of the others leave alone; so the text's weights arrive
 * while the image's products are computed, instead of between them.
 */
#ifndef INK_BACKEND_CUDA_LANES_H
#define INK_BACKEND_CUDA_LANES_H

#include "backend/cuda/program.h"

/* How many multiprocessors launches that may run beside others should get; 0: they should run in turn. */
int ink_cuda_beside_processors(const ink_cuda_lowered *lowered, int major, int minor, int multiprocessors);

/* A stream for each lane, of which the first is the context's, and events for their ends. */
typedef struct ink_cuda_lanes {
    cudaStream_t streams[2];
    cudaEvent_t ends[2];
} ink_cuda_lanes;
/* What was opened is closed, also after a failure, when nothing is being recorded. */
ink_status ink_cuda_lanes_open(const ink_cuda_program *program, ink_cuda_lanes *lanes, ink_error *error);
void ink_cuda_lanes_close(ink_cuda_lanes *lanes);

/* Starts all launches while the context's stream records: the recording has two branches. */
ink_status ink_cuda_start_lanes(const ink_cuda_program *program, const ink_cuda_lanes *lanes,
                                ink_error *error);

#endif
