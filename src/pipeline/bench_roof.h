/*
 * What a backend does at most, measured through its own operations: the rates that others are compared with.
 */
#ifndef INK_PIPELINE_BENCH_ROOF_H
#define INK_PIPELINE_BENCH_ROOF_H

#include "backend/backend.h"

/* Zeroed: not measured. */
typedef struct ink_roof {
    double flops, bytes; /* per second */
    int side;            /* of the square matrices */
    double copied;       /* bytes read, and as many written */
} ink_roof;

/* Products of square matrices, up to a side of 8192 if that takes no longer than a second: the best rate of
 * all. Copies of 32 MiB, and up to 512 MiB where such an amount is nothing: the rate of the largest. */
ink_status ink_roof_measure(ink_backend *backend, ink_buffer *fence, const ink_run_control *control,
                            ink_roof *roof, ink_error *error);

/* The time that an operation needs at least; 0 if the roof was not measured. */
double ink_roof_seconds(const ink_roof *roof, double flops, double bytes);

#endif
