/*
 * A program on a CUDA backend of its own, with a buffer for each slot of its graph: what tests of whole steps
 * run.
 */
#ifndef INK_TESTS_CUDA_STEP_PROGRAM_H
#define INK_TESTS_CUDA_STEP_PROGRAM_H

#include "backend/cuda/cuda.h"

typedef struct step_program {
    ink_backend *backend;
    ink_program *program;
    ink_buffer *buffers[16], *latents; /* that of the slot "latents" */
    size_t n_buffers, n_latents;       /* n_latents: elements */
} step_program;

/* Fills the n values of a slot. */
typedef void (*step_fill)(float *values, size_t n, const char *name, size_t slot);

/* All slots are f32 and hold zeros if `fill` is NULL. The graph must outlive the program. The test fails if
 * anything does. */
void step_program_open(step_program *p, const ink_graph *graph, const ink_cuda_settings *settings,
                       step_fill fill);
/* Runs steps 0, 1, ... of `steps`, `runs` in all, and returns the latents [n_latents], which the caller
 * frees. The first run goes launch by launch, the others are replayed. */
float *step_program_run(const step_program *p, int runs, int steps);
void step_program_close(step_program *p);

#endif
