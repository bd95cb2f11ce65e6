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

/* A piece of an arena that is in use from one operation to another. */
typedef struct ink_plan_storage {
    size_t bytes, offset; /* multiples of 64, if the bytes are */
    int32_t first, last;  /* operations between which it is in use, both included */
} ink_plan_storage;

/* Chooses the offsets of `count` storages, so that none overlap that are in use at the same time. *bytes is
 * the size of the arena. */
ink_status ink_plan_place(ink_plan_storage *storages, int32_t count, size_t *bytes, ink_error *error);

ink_status ink_plan_create(const ink_graph *graph, ink_plan *plan, ink_error *error);
void ink_plan_destroy(ink_plan *plan);

#endif
