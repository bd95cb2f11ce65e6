/*
 * What the machine can do at most, measured: the roof that kernels are compared with.
 */
#ifndef INK_BENCH_PEAKS_H
#define INK_BENCH_PEAKS_H

#include "base/threads.h"

typedef struct peaks {
    ink_pool *pool;
    char *memory; /* what is read: larger than the caches */
    size_t next;  /* where the next measurement of reading begins */
} peaks;

/* `threads` as for ink_pool_create. */
ink_status peaks_open(peaks *p, int threads, ink_error *error);
void peaks_close(peaks *p);

/* The clock of the benchmarks: processor time if there is one thread, otherwise the time on the wall. */
double peaks_seconds(const peaks *p);

/* Multiply-adds in registers on all threads, in the widest vectors of the processor: operations per second, 2
 * per multiply-add. Takes some milliseconds. */
double peaks_flops(const peaks *p);

/* Sums over memory on all threads: bytes read per second. Takes some milliseconds. */
double peaks_read(peaks *p);

#endif
