/*
 * Launches added up by their kind, over several runs of one program.
 */
#ifndef INK_PIPELINE_BENCH_KINDS_H
#define INK_PIPELINE_BENCH_KINDS_H

#include "pipeline/bench_roof.h"

typedef struct ink_kinds {
    const ink_roof *roof;
    int runs;             /* that will be added */
    ink_bench_kind *list; /* [count], in the order in which they came */
    double *seconds;      /* [count][runs] */
    size_t count, capacity;
    bool out_of_memory;
} ink_kinds;

/* For `runs` runs. `roof` is kept. Free with ink_kinds_fini. */
void ink_kinds_init(ink_kinds *kinds, int runs, const ink_roof *roof);

/* Adds a launch of run `run` (0 ... runs - 1). How many launches there are, and what they move and compute,
 * is counted in run 0. */
void ink_kinds_add(ink_kinds *kinds, int run, const ink_launch *launch);

/* Hands the kinds out, the slowest first. *list is the caller's: free it with ink_kinds_free. */
ink_status ink_kinds_finish(ink_kinds *kinds, ink_bench_kind **list, size_t *count, ink_error *error);
void ink_kinds_fini(ink_kinds *kinds);

void ink_kinds_free(ink_bench_kind *list, size_t count);

#endif
