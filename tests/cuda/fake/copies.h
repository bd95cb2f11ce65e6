/*
 * Copies from pinned memory that are done as late as they may be: when somebody waits for them, or when the
 * same stream does something else.
 */
#ifndef INK_TESTS_FAKE_CUDA_COPIES_H
#define INK_TESTS_FAKE_CUDA_COPIES_H

#include "cuda_runtime_api.h"

#include <stdbool.h>

/* Pinned memory that exists. */
void fake_copies_pin(void *memory, size_t bytes);
void fake_copies_unpin(void *memory);

/* False if the copy must be done at once. */
bool fake_copies_put_off(cudaStream_t stream, void *to, const void *from, size_t bytes);
/* The number of the last copy that was put off. */
long fake_copies_last(void);
/* Does those of a stream (NULL: of all) up to a number. */
void fake_copies_do(cudaStream_t stream, long last);

#endif
