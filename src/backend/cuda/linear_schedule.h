/*
 * Who computes what of a product for Hopper: every cluster of two multiprocessors gets a list of tiles.
 */
#ifndef INK_BACKEND_CUDA_LINEAR_SCHEDULE_H
#define INK_BACKEND_CUDA_LINEAR_SCHEDULE_H

#include "base/status.h"

#include <stdint.h>

enum {
    ink_hopper_tile_rows = 256,    /* of x and the result, of a block */
    ink_hopper_tile_columns = 192, /* of the result: rows of W */
    ink_hopper_cluster = 2         /* blocks: neighbouring tiles in a row, which share rows of x */
};

/* Work of a cluster: all of K, or a part. Whoever has the first part of K adds the others' sums and has the
 * epilogue; the others leave their sums in a slot of the workspace. */
typedef struct ink_hopper_linear_item {
    int32_t group;
    int32_t row;        /* of the tiles' first */
    int32_t tile;       /* of the two in a row of tiles, the first */
    int32_t begin, end; /* boxes along K */
    int32_t slot;       /* begin > 0: where the sums go; else the first of those to be added */
    int32_t slots;      /* how many are to be added */
} ink_hopper_linear_item;

enum {
    ink_hopper_slot_groups = 4, /* warpgroups of a cluster: each has a part of a slot, and a flag */
    ink_hopper_slot_bytes = ink_hopper_cluster * ink_hopper_tile_rows * ink_hopper_tile_columns * 4
};

typedef struct ink_hopper_schedule {
    ink_hopper_linear_item *items; /* [n_items] */
    int32_t *starts; /* [clusters + 1]; cluster c does the items from starts[c] to starts[c + 1] */
    int n_items, clusters, slots;
} ink_hopper_schedule;

/* Of one or two groups with so many rows each (rows [n_groups], at least 1), N columns and K of so many
 * boxes, on so many clusters. With no more than `most_slots` slots. Free it with ink_hopper_schedule_free.
 * INK_ERROR_MEMORY: there is nothing to free. */
ink_status ink_hopper_schedule_make(int n_groups, const int64_t *rows, int64_t columns, int boxes,
                                    int clusters, int most_slots, ink_hopper_schedule *schedule,
                                    ink_error *error);
void ink_hopper_schedule_free(ink_hopper_schedule *schedule);

#endif
