/*
 * Intervals that follow one another, by where each begins.
 */
#ifndef INK_BACKEND_CUDA_INTERVALS_H
#define INK_BACKEND_CUDA_INTERVALS_H

#include <stddef.h>
#include <stdint.h>

/* The last of n > 0 that begins at x or before it; begins is ascending, and begins[0] <= x. */
static inline size_t ink_interval_of(const int64_t *begins, size_t n, int64_t x) {
    size_t low = 0, high = n;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (begins[middle] <= x)
            low = middle;
        else
            high = middle;
    }
    return low;
}

#endif
