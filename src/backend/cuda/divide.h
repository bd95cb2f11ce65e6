/*
 * Rounding up: how many tiles, blocks or boxes it takes.
 */
#ifndef INK_BACKEND_CUDA_DIVIDE_H
#define INK_BACKEND_CUDA_DIVIDE_H

#include <stdint.h>

/* a / b, and one more if something is left; a >= 0, b > 0. */
static inline int64_t ink_divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

#endif
