/*
 * Memory planning: where each computed value lives in one arena, so that values whose lifetimes do not
 * overlap share bytes, and an output takes over a dying input's place where the operation allows it.
 */
#ifndef INK_GRAPH_PLAN_H
#define INK_GRAPH_PLAN_H

#include "graph/graph.h"

typedef struct ink_plan {
    size_t arena_bytes; /* size of the arena, a multiple of 64 */
    size_t *offsets;    /* [value id], offset in bytes, a multiple of 64; SIZE_MAX for values that are not
                           computed */
    int32_t *last_use;  /* [value id], index of the last node that reads the value; its own node if none */
} ink_plan;

ink_status ink_plan_create(const ink_graph *graph, ink_plan *plan, ink_error *error);
void ink_plan_destroy(ink_plan *plan);

#endif
