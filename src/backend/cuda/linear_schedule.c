#include "backend/cuda/linear_schedule.h"

#include <stdlib.h>

enum { cluster_rows = ink_hopper_cluster * ink_hopper_tile_rows, warpgroup_rows = 64 };
/* A part of K has no fewer boxes; and there are no more parts. */
enum { least_boxes = 6, most_parts = 6 };
/* What it costs to leave sums and to add them, where a tile costs 2. */
static const double joining_cost = 0.1;

/* What a tile takes: half if there are rows for one of a block's two warpgroups only. */
typedef struct tile {
    ink_hopper_linear_item item;
    int cost; /* 1 or 2 */
} tile;

typedef struct plan {
    tile *tiles; /* [n] */
    int n, boxes, clusters;
    ink_hopper_schedule *out;
} plan;

static int divide_up(int64_t a, int64_t b) {
    return (int)((a + b - 1) / b);
}

/* ---- tiles ---- */

/* Clusters that run at the same time work on a part of the result that is about as high as wide: they find
 * most rows of x and of W in the cache, which is worth as much as the arithmetic where the card is at its
 * power limit. Parts follow one another so that each shares its rows of x, or of W, with the one before. */
static void list_down(plan *p, int group, int64_t rows, int64_t columns) {
    const int high = divide_up(rows, cluster_rows), wide = divide_up(columns, ink_hopper_tile_columns);
    int side = 1;
    while ((side + 1) * (side + 1) <= p->clusters) {
        side++;
    }
    const int slabs = divide_up(high, side), part_high = divide_up(high, slabs),
              bands = divide_up(wide, divide_up(p->clusters, part_high)), part_wide = divide_up(wide, bands);
    for (int part = 0; part < slabs * bands; part++) {
        const int slab = part / bands, band = slab % 2 ? bands - 1 - part % bands : part % bands;
        for (int y = slab * part_high; y < high && y < (slab + 1) * part_high; y++) {
            for (int x = band * part_wide; x < wide && x < (band + 1) * part_wide; x++) {
                const ink_hopper_linear_item item = {
                    .group = group, .row = y * cluster_rows, .column = x * ink_hopper_tile_columns};
                p->tiles[p->n++] = (tile){item, 2};
            }
        }
    }
}

/* Few rows: tiles in a row share them. */
static void list_across(plan *p, int group, int64_t rows, int64_t columns) {
    const int wide = divide_up(columns, ink_hopper_cluster * ink_hopper_tile_columns);
    for (int x = 0; x < wide; x++) {
        const ink_hopper_linear_item item = {
            .group = group, .across = 1, .column = x * ink_hopper_cluster * ink_hopper_tile_columns};
        p->tiles[p->n++] = (tile){item, rows <= warpgroup_rows ? 1 : 2};
    }
}

/* ---- whose they are ---- */

/* Tiles [0, first) are dealt out whole, in turn; K of the others is divided into `parts`, which are dealt out
 * next: the last part of every tile, then the one before. So clusters that work at the same time are at the
 * same part of K, and find each other's rows of x and of W in the cache; and the first parts, which wait for
 * the others, come last. */
typedef struct division {
    int first, parts;
} division;

static void add(plan *p, int t, int begin, int end) {
    ink_hopper_linear_item *item = &p->out->items[p->out->n_items++];
    *item = p->tiles[t].item;
    item->begin = begin;
    item->end = end;
}

static void add_part(plan *p, division d, int unit) {
    const int tail = p->n - d.first, t = unit % tail, part = d.parts - 1 - unit / tail, others = d.parts - 1;
    add(p, d.first + t, p->boxes * part / d.parts, p->boxes * (part + 1) / d.parts);
    ink_hopper_linear_item *item = &p->out->items[p->out->n_items - 1];
    item->slot = t * others + (part > 0 ? part - 1 : 0);
    item->slots = part > 0 ? 0 : others;
}

static void deal(plan *p, division d) {
    const int tail = p->n - d.first;
    for (int c = 0; c < p->clusters; c++) {
        p->out->starts[c] = p->out->n_items;
        for (int t = c; t < d.first; t += p->clusters) {
            add(p, t, 0, p->boxes);
        }
        for (int unit = c; unit < tail * d.parts; unit += p->clusters) {
            add_part(p, d, unit);
        }
    }
    p->out->starts[p->clusters] = p->out->n_items;
    p->out->slots = tail * (d.parts - 1);
}

/* What the busiest cluster takes. */
static double time_of(const plan *p, division d) {
    const int tail = p->n - d.first;
    double longest = 0;
    for (int c = 0; c < p->clusters; c++) {
        double own = 0;
        for (int t = c; t < d.first; t += p->clusters) {
            own += p->tiles[t].cost;
        }
        for (int unit = c; unit < tail * d.parts; unit += p->clusters) {
            own += (double)p->tiles[d.first + unit % tail].cost / d.parts;
        }
        if (own > longest) longest = own;
    }
    return longest + (d.parts > 1 ? joining_cost : 0);
}

/* The division that is done first. */
static division choose(const plan *p, int most_slots) {
    const int first = p->n / p->clusters * p->clusters, tail = p->n - first;
    division best = {p->n, 1};
    double shortest = time_of(p, best);
    for (int parts = 2; parts <= most_parts && p->boxes / parts >= least_boxes; parts++) {
        const division d = {first, parts};
        if (tail * (parts - 1) > most_slots || tail == 0 || time_of(p, d) >= shortest) continue;
        best = d;
        shortest = time_of(p, d);
    }
    return best;
}

ink_status ink_hopper_schedule_make(int n_groups, const int64_t *rows, int64_t columns, int boxes,
                                    int clusters, int most_slots, ink_hopper_schedule *schedule,
                                    ink_error *error) {
    size_t most = 0;
    for (int i = 0; i < n_groups; i++) {
        most += (size_t)divide_up(rows[i], ink_hopper_tile_rows) *
                (size_t)divide_up(columns, ink_hopper_tile_columns);
    }
    plan p = {.boxes = boxes, .clusters = clusters, .out = schedule};
    const size_t most_items = most + (size_t)(most_parts - 1) * (size_t)clusters + 1;
    p.tiles = malloc(most * sizeof *p.tiles);
    *schedule = (ink_hopper_schedule){.items = calloc(most_items, sizeof *schedule->items),
                                      .starts = calloc((size_t)clusters + 1, sizeof *schedule->starts)};
    if (!p.tiles || !schedule->items || !schedule->starts) {
        free(p.tiles);
        ink_hopper_schedule_free(schedule);
        return ink_fail_memory(error, "a product's tables", most_items * sizeof *schedule->items);
    }
    for (int i = 0; i < n_groups; i++) {
        if (rows[i] <= ink_hopper_tile_rows)
            list_across(&p, i, rows[i], columns);
        else
            list_down(&p, i, rows[i], columns);
    }
    schedule->clusters = clusters;
    deal(&p, choose(&p, most_slots));
    free(p.tiles);
    return INK_OK;
}

void ink_hopper_schedule_free(ink_hopper_schedule *schedule) {
    free(schedule->items);
    free(schedule->starts);
    *schedule = (ink_hopper_schedule){0};
}
