/*
 * A step of a small transformer with synthetic weights: two passes, with a few rows of text and many of
 * image.
 */
#ifndef INK_TESTS_CUDA_SMALL_STEP_H
#define INK_TESTS_CUDA_SMALL_STEP_H

#include "models/transformer.h"

enum { small_step_blocks = 3, small_step_steps = 2 };

typedef struct small_step {
    ink_weights *weights;
    ink_layout layout;
    ink_graph *graph;
} small_step;

/* The passes have so many tokens, and one less; side * side rows of image each. The test fails if it cannot.
 */
void small_step_open(small_step *m, int64_t tokens, int64_t side);
void small_step_close(small_step *m);

/* For step_program_open: some numbers. */
void small_step_fill(float *values, size_t n, const char *name, size_t slot);

#endif
