/*
 * Makes an allocation of the process fail on purpose: malloc, calloc, realloc and their relatives, called by
 * Inkstone or by any library below it.
 */
#ifndef INK_TESTS_FAULT_ALLOCATIONS_H
#define INK_TESTS_FAULT_ALLOCATIONS_H

#include <stdbool.h>
#include <stdint.h>

/* False where the C library's functions cannot be replaced; then nothing fails and nothing is counted. */
bool allocations_can_fail(void);

/* False under a sanitizer, which allocates and frees in ways of its own; it has its own search for leaks. */
bool allocations_count_leaks(void);

/* From now on counts allocations from 0; the `first`th and those up to `last` fail. */
void allocations_arm(int64_t first, int64_t last);

typedef struct allocation_counts {
    int64_t calls; /* allocations asked for */
    int64_t alive; /* allocated, but not freed since */
} allocation_counts;

/* Ends that. */
allocation_counts allocations_disarm(void);

#endif
