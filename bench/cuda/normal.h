/*
 * Numbers to compute with: on zeros, or on few different ones, a card needs less power and is faster.
 */
#ifndef INK_BENCH_CUDA_NORMAL_H
#define INK_BENCH_CUDA_NORMAL_H

#include <stdint.h>

/* About normal, with a deviation of 1; the next of a sequence. */
static inline float next_normal(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    const double sum =
        (double)(*seed >> 48) + (double)(*seed >> 32 & 0xFFFF) + (double)(*seed >> 16 & 0xFFFF);
    return (float)((sum / 65536 - 1.5) * 2);
}

#endif
