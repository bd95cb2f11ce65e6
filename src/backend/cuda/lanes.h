/*
 * A recording of two branches: what runs beside others (beside.h) has a lane of its own, and the lanes wait
 * for each other only where one writes what the other reads or writes.
 */
#ifndef INK_BACKEND_CUDA_LANES_H
#define INK_BACKEND_CUDA_LANES_H

#include "backend/cuda/program.h"

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
