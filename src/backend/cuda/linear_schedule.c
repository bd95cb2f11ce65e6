#include "backend/cuda/linear_schedule.h"
#include "backend/cuda/divide.h"

#include <stdbool.h>
#include <stdlib.h>

enum { most_groups = 2, group_rows = 64, most_high = 16 };
/* A part of K has no fewer boxes; and there are no more parts. */
enum { least_boxes = 6, most_parts = 6 };
/* What it costs to leave sums, and to add them, in boxes along K. */
static const double joining_cost = 3;

typedef struct tile {
    ink_hopper_linear_item item;
    double cost; /* of a box along K, where 1 is that of a tile with all its rows */
} tile;

/* Tiles [0, first) are dealt out whole, in turn; K of a tile of group g among the others is divided into
 * parts[g]. */
typedef struct division {
    int first, parts[most_groups];
} division;

typedef struct plan {
    tile *tiles; /* [n] */
    int n, boxes, clusters;
    double *loads; /* [clusters] */
    ink_hopper_schedule *out;
    int32_t *owners; /* [out->n_items]: the cluster of each, while they are dealt out */
} plan;

static int divide_up(int64_t a, int64_t b) {
    return (int)ink_divide_up(a, b);
}

/* ---- tiles ---- */

/* Fewer rows take less arithmetic, but those of W all the same. */
static double cost_of(int64_t rows) {
    const int groups = divide_up(rows, group_rows), all = ink_hopper_tile_rows / group_rows;
    return groups >= all ? 1 : groups <= 1 ? 0.4 : groups <= 2 ? 0.6 : (double)groups / all;
}

/* Of how many rows of parts: few, but such that a part keeps nine in ten clusters busy if its height lets it.
 */
static int count_slabs(int high, int clusters) {
    int slabs = divide_up(high, clusters < most_high ? clusters : most_high);
    for (; slabs < high; slabs++) {
        const int part_high = divide_up(high, slabs);
        if (clusters / part_high * part_high * 10 >= clusters * 9) break;
    }
    return slabs;
}

/* Clusters that run at the same time work on a part of the result that is about as high as wide: they find
 * most rows of x and of W in the cache, which is worth as much as arithmetic where the card is at its power
 * limit. Parts follow one another so that each shares its rows of x with the one before; in a part, those
 * that begin together share rows of W. */
static void list_tiles(plan *p, int group, int64_t rows, int64_t columns) {
    const int high = divide_up(rows, ink_hopper_tile_rows),
              wide = divide_up(columns, ink_hopper_cluster * ink_hopper_tile_columns),
              slabs = count_slabs(high, p->clusters), part_high = divide_up(high, slabs),
              bands = divide_up(wide, p->clusters / part_high), part_wide = divide_up(wide, bands);
    for (int part = 0; part < slabs * bands; part++) {
        const int slab = part / bands, band = slab % 2 ? bands - 1 - part % bands : part % bands;
        for (int x = band * part_wide; x < wide && x < (band + 1) * part_wide; x++) {
            for (int y = slab * part_high; y < high && y < (slab + 1) * part_high; y++) {
                const int row = y * ink_hopper_tile_rows;
                const ink_hopper_linear_item item = {
                    .group = group, .row = row, .tile = x * ink_hopper_cluster};
                p->tiles[p->n++] = (tile){item, cost_of(rows - row)};
            }
        }
    }
}

/* ---- whose they are ---- */

static int least_loaded(const plan *p) {
    int least = 0;
    for (int c = 1; c < p->clusters; c++) {
        if (p->loads[c] < p->loads[least]) least = c;
    }
    return least;
}

/* Gives part `part` of a tile to whoever has least to do. */
static void give(plan *p, const tile *t, int part, int parts, int slot) {
    ink_hopper_linear_item item = t->item;
    item.begin = p->boxes * part / parts;
    item.end = p->boxes * (part + 1) / parts;
    item.slot = part > 0 ? slot + part - 1 : slot;
    item.slots = part > 0 ? 0 : parts - 1;
    const int cluster = least_loaded(p);
    p->loads[cluster] += t->cost * (item.end - item.begin) + joining_cost * (part > 0 ? 1 : item.slots);
    p->owners[p->out->n_items] = cluster;
    p->out->items[p->out->n_items++] = item;
}

/* First whole tiles; then parts whose sums are left, so that nobody waits for what has not begun; then those
 * that wait. Of parts, the last of every tile first: clusters that work at the same time are at the same part
 * of K, and find each other's rows of x and of W in the cache. The time that it takes. */
static double deal(plan *p, const division *d) {
    p->out->n_items = 0;
    for (int c = 0; c < p->clusters; c++) {
        p->loads[c] = 0;
    }
    for (int t = 0; t < d->first; t++) {
        give(p, &p->tiles[t], 0, 1, 0);
    }
    for (int part = most_parts - 1; part >= 0; part--) {
        int slot = 0;
        for (int t = d->first; t < p->n; t++) {
            const int parts = d->parts[p->tiles[t].item.group];
            if (part < parts) give(p, &p->tiles[t], part, parts, slot);
            slot += parts - 1;
        }
    }
    double longest = 0;
    for (int c = 0; c < p->clusters; c++) {
        if (p->loads[c] > longest) longest = p->loads[c];
    }
    return longest;
}

static int slots_of(const plan *p, const division *d) {
    int slots = 0;
    for (int t = d->first; t < p->n; t++) {
        slots += d->parts[p->tiles[t].item.group] - 1;
    }
    return slots;
}

/* The division that is done first. */
static division choose(plan *p, int most_slots) {
    int large = 0; /* tiles of the first group */
    while (large < p->n && p->tiles[large].item.group == 0) {
        large++;
    }
    division best = {large / p->clusters * p->clusters, {1, 1}};
    double shortest = deal(p, &best);
    division d = best;
    for (d.parts[0] = 1; d.parts[0] <= most_parts && p->boxes / d.parts[0] >= least_boxes; d.parts[0]++) {
        for (d.parts[1] = 1; d.parts[1] <= most_parts && p->boxes / d.parts[1] >= least_boxes; d.parts[1]++) {
            if (slots_of(p, &d) > most_slots) continue;
            const double time = deal(p, &d);
            if (time >= shortest) continue;
            best = d;
            shortest = time;
        }
    }
    return best;
}

/* Puts each cluster's items side by side, in their order. */
static void gather(const plan *p, ink_hopper_linear_item *items) {
    int n = 0;
    for (int c = 0; c < p->clusters; c++) {
        p->out->starts[c] = n;
        for (int i = 0; i < p->out->n_items; i++) {
            if (p->owners[i] == c) items[n++] = p->out->items[i];
        }
    }
    p->out->starts[p->clusters] = n;
}

ink_status ink_hopper_schedule_make(int n_groups, const int64_t *rows, int64_t columns, int boxes,
                                    int clusters, int most_slots, ink_hopper_schedule *schedule,
                                    ink_error *error) {
    size_t most = 0;
    for (int i = 0; i < n_groups; i++) {
        most += (size_t)divide_up(rows[i], ink_hopper_tile_rows) *
                (size_t)divide_up(columns, ink_hopper_cluster * ink_hopper_tile_columns);
    }
    const size_t most_items = most * most_parts + 1;
    *schedule = (ink_hopper_schedule){.items = calloc(most_items, sizeof *schedule->items),
                                      .starts = calloc((size_t)clusters + 1, sizeof *schedule->starts),
                                      .clusters = clusters};
    plan p = {.tiles = malloc(most * sizeof *p.tiles),
              .boxes = boxes,
              .clusters = clusters,
              .loads = malloc((size_t)clusters * sizeof *p.loads),
              .out = schedule,
              .owners = malloc(most_items * sizeof *p.owners)};
    ink_hopper_linear_item *items = calloc(most_items, sizeof *items);
    const bool there = p.tiles && p.loads && p.owners && schedule->items && schedule->starts && items;
    if (there) {
        for (int i = 0; i < n_groups; i++) {
            list_tiles(&p, i, rows[i], columns);
        }
        const division d = choose(&p, most_slots);
        (void)deal(&p, &d);
        schedule->slots = slots_of(&p, &d);
        gather(&p, items);
        free(schedule->items);
        schedule->items = items;
    }
    free(p.tiles), free(p.loads), free(p.owners);
    if (there) return INK_OK;
    free(items);
    ink_hopper_schedule_free(schedule);
    return ink_fail_memory(error, "a product's tables", most_items * sizeof *schedule->items);
}

void ink_hopper_schedule_free(ink_hopper_schedule *schedule) {
    free(schedule->items);
    free(schedule->starts);
    *schedule = (ink_hopper_schedule){0};
}
