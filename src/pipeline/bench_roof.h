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

/* A product of square matrices, larger ones until one takes longer than a second or has a side of 8192, and
 * a copy of 256 MiB; the best of some runs. Takes a few seconds. */
ink_status ink_roof_measure(ink_backend *backend, ink_buffer *fence, const ink_run_control *control,
                            ink_roof *roof, ink_error *error);

/* The time that an operation needs at least; 0 if the roof was not measured. */
double ink_roof_seconds(const ink_roof *roof, double flops, double bytes);

#endif
