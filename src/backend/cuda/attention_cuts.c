#include "backend/cuda/attention_cuts.h"

#include "backend/cuda/intervals.h"

#include <stdlib.h>

/* No run of tiles is shorter than `least`, unless it is all there is; cuts are not made at fewer than `near`
 * tiles from an item's ends. */
enum { least = 4, near = 2 };
/* What it costs to leave parts and to add them, in tiles: on an H200, runs that were 2.6 and 2.9 tiles
 * shorter took as long as whole items, and 5.8 tiles less 10 % less. */
enum { joining_cost = 2 };

/* Items [whole, n) are cut into runs of about as many tiles; items before them are not. */
typedef struct plan {
    const int32_t *tiles;
    int64_t *begins; /* [n + 1]: tiles of the cut items before this one */
    int64_t n, whole, runs;
    int multiprocessors;
    ink_cuda_attention_cuts *out;
} plan;

static int64_t least_of(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t cut_tiles(const plan *p) {
    return p->begins[p->n];
}

static void sum_tiles(plan *p) {
    for (int64_t i = 0; i <= p->n; i++) {
        p->begins[i] = i <= p->whole ? 0 : p->begins[i - 1] + p->tiles[i - 1];
    }
}

/* As many rounds of whole items as there are, but for the last full one: what is cut then makes runs that are
 * no shorter than an item, so that an item has two parts and not more. */
static void choose(plan *p) {
    const int64_t m = p->multiprocessors, rounds = p->n / m;
    p->whole = rounds > 0 ? (rounds - 1) * m : 0;
    sum_tiles(p);
    p->runs = least_of(m, cut_tiles(p) / least);
    /* The items of a round are about as long as its first one. */
    const int64_t uncut = p->n % m == 0 ? 0 : p->tiles[p->whole] + (rounds > 0 ? p->tiles[p->whole + m] : 0);
    if ((uncut - joining_cost) * p->runs > cut_tiles(p)) return;
    p->whole = p->n;
    p->runs = 0;
}

/* The item that has this tile of the cut ones. */
static int64_t item_at(const plan *p, int64_t tile) {
    return (int64_t)ink_interval_of(p->begins, (size_t)p->n, tile);
}

/* Where run r begins, in tiles of all cut items. */
static int64_t run_begin(const plan *p, int64_t r) {
    const int64_t at = r * cut_tiles(p) / p->runs;
    if (at >= cut_tiles(p)) return cut_tiles(p);
    const int64_t item = item_at(p, at), before = at - p->begins[item], after = p->begins[item + 1] - at;
    if (before < near) return p->begins[item];
    return after < near ? p->begins[item + 1] : at;
}

static void add_piece(plan *p, int64_t item, int64_t first, int64_t end, int64_t part, int64_t parts) {
    ink_cuda_attention_cuts *out = p->out;
    out->pieces[out->starts[out->blocks + 1]++] = (ink_cuda_attention_piece){
        (int32_t)item, (int32_t)first, (int32_t)end, (int32_t)part, (int32_t)parts};
}

/* What run r has of an item that it does not begin: the part of that number. The tile after it. */
static int64_t add_rest(plan *p, int64_t r) {
    const int64_t begin = run_begin(p, r), end = run_begin(p, r + 1);
    if (begin >= end) return end;
    const int64_t item = item_at(p, begin), item_begin = p->begins[item],
                  stop = least_of(end, p->begins[item + 1]);
    if (begin == item_begin) return begin;
    add_piece(p, item, begin - item_begin, stop - item_begin, r, 0);
    return stop;
}

/* Items that run r begins; of the last one, later runs may have the rest. */
static void add_begun(plan *p, int64_t r, int64_t tile) {
    const int64_t end = run_begin(p, r + 1);
    while (tile < end) {
        const int64_t item = item_at(p, tile), item_end = p->begins[item + 1];
        int64_t parts = 0;
        while (r + 1 + parts < p->runs && run_begin(p, r + 1 + parts) < item_end) {
            parts++;
        }
        add_piece(p, item, 0, least_of(end, item_end) - tile, r + 1, parts);
        tile = item_end;
    }
}

/* Runs are dealt out from the last one on, as parts are to be left by blocks with lower numbers. */
static void deal(plan *p) {
    ink_cuda_attention_cuts *out = p->out;
    const int64_t blocks = p->runs > 0 && p->whole == 0 ? p->runs : least_of(p->multiprocessors, p->n);
    out->parts = (int)p->runs;
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t r = p->runs - 1 - b;
        out->starts[b + 1] = out->starts[b];
        const int64_t tile = r >= 0 ? add_rest(p, r) : 0;
        for (int64_t item = b; item < p->whole; item += blocks) {
            add_piece(p, item, 0, p->tiles[item], 0, 0);
        }
        if (r >= 0) add_begun(p, r, tile);
        out->blocks++;
    }
}

ink_status ink_cuda_attention_cut(const int32_t *tiles, size_t n, int multiprocessors,
                                  ink_cuda_attention_cuts *cuts, ink_error *error) {
    const size_t most_pieces = n + (size_t)multiprocessors;
    plan p = {.tiles = tiles,
              .begins = calloc(n + 1, sizeof *p.begins),
              .n = (int64_t)n,
              .multiprocessors = multiprocessors,
              .out = cuts};
    *cuts = (ink_cuda_attention_cuts){.pieces = calloc(most_pieces, sizeof *cuts->pieces),
                                      .starts = calloc((size_t)multiprocessors + 1, sizeof *cuts->starts)};
    if (!p.begins || !cuts->pieces || !cuts->starts) {
        free(p.begins);
        ink_cuda_attention_cuts_free(cuts);
        return ink_fail_memory(error, "the pieces of attention", most_pieces * sizeof *cuts->pieces);
    }
    choose(&p);
    deal(&p);
    free(p.begins);
    return INK_OK;
}

void ink_cuda_attention_cuts_free(ink_cuda_attention_cuts *cuts) {
    free(cuts->pieces);
    free(cuts->starts);
    *cuts = (ink_cuda_attention_cuts){0};
}
