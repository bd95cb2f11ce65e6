/*
 * Attention by the kernel for heads of 384 columns: describes the rows to the copy engine, and cuts the work
 * so that all multiprocessors have as much of it.
 */
#include "backend/cuda/attention_wide.h"
#include "backend/cuda/divide.h"
#include "backend/cuda/hopper_maps.h"

#include <stdlib.h>
#include <string.h>

typedef struct wide_state {
    ink_wide_params params;
    void *pieces, *starts, *joins, *parts, *stats; /* device */
    int blocks, n_joins;
    size_t bytes;
} wide_state;

static ink_status set_params(ink_wide_params *p, const ink_cuda_attention_problem *problem,
                             ink_error *error) {
    const float log2_e = 1.44269504088896340736f;
    const int slices = ink_wide_head_dim / ink_wide_slice_columns;
    const int64_t row = problem->segments[0].begin[0], rows = problem->segments[0].length[0];
    ink_hopper_encode encode = NULL;
    INK_TRY(ink_hopper_find_encode(&encode, error));
    p->out = ink_cuda_attention_row(&problem->out[0], row);
    p->out_stride = problem->out[0].stride;
    p->rows = (int)rows;
    p->group = (int)(problem->heads / problem->kv_heads);
    p->scale = problem->scale * log2_e;
    const ink_cuda_matrix q = ink_cuda_attention_rows(&problem->q[0], row, rows),
                          k = ink_cuda_attention_rows(&problem->k[0], row, rows),
                          v = ink_cuda_attention_rows(&problem->v[0], row, rows);
    INK_TRY(ink_hopper_map_slices(encode, &q, slices, ink_wide_rows, &p->q, error));
    INK_TRY(ink_hopper_map_slices(encode, &k, ink_wide_pair, ink_wide_keys, &p->k, error));
    return ink_hopper_map_slices(encode, &v, ink_wide_pair, ink_wide_keys, &p->v, error);
}

/* ---- cutting the work ---- */

/* An item is 128 queries of a head. Every block gets as many whole items as there are for all of them; what
 * is left is cut into equal runs of tiles, one for a block, of at least `least`. Cuts are not made at fewer
 * than `near` tiles from an item's ends. */
enum { near = 4, least = 8 };

typedef struct work {
    int64_t row_items, items, tiles, blocks;
    int64_t whole, runs; /* items that are not cut; runs of the others */
    ink_wide_piece *pieces;
    ink_wide_join *joins;
    int32_t *starts;
    int64_t n_pieces, n_joins, n_parts;
} work;

static int64_t least_of(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Runs of `left` items: as many as there can be, or somewhat fewer if that spares a block two parts. */
static int64_t count_runs(const work *w, int64_t left, int multiprocessors) {
    const int64_t most = least_of(multiprocessors, left * w->tiles / least);
    const int64_t even = most - most % left;
    return 8 * even >= 7 * most ? even : most;
}

/* Does the longest run get shorter by more than it takes to write and join the parts? On an H200, a tile took
 * 2.2 us; the other kernel cost about three such, and a part the 13th of one. */
static bool is_gain(const work *w, int64_t left, int64_t runs) {
    const int64_t parts = runs % left == 0 ? runs : runs + left;
    return w->tiles - ink_divide_up(left * w->tiles, runs) > 3 + parts / 13;
}

static void plan_work(work *w, const ink_cuda_attention_problem *problem, int multiprocessors) {
    const int64_t rows = problem->segments[0].length[0];
    w->row_items = ink_divide_up(rows, ink_wide_rows);
    w->items = w->row_items * problem->heads;
    w->tiles = ink_divide_up(rows, ink_wide_keys);
    const int64_t left = w->items % multiprocessors;
    w->runs = left > 0 ? count_runs(w, left, multiprocessors) : 0;
    if (w->runs > 0 && !is_gain(w, left, w->runs)) w->runs = 0;
    w->whole = w->runs > 0 ? w->items - left : w->items;
    w->blocks = least_of(multiprocessors, w->whole > w->runs ? w->whole : w->runs);
}

static ink_wide_piece piece_of(const work *w, int64_t item, int64_t first, int64_t end) {
    return (ink_wide_piece){(int32_t)(item % w->row_items * ink_wide_rows), (int32_t)(item / w->row_items),
                            (int32_t)first, (int32_t)end, -1};
}

/* Where run r begins, in tiles of all cut items. */
static int64_t run_begin(const work *w, int64_t r) {
    const int64_t at = r * (w->items - w->whole) * w->tiles / w->runs, inside = at % w->tiles;
    if (inside < near) return at - inside;
    return w->tiles - inside < near ? at + w->tiles - inside : at;
}

/* Adds the tiles [begin, end) of cut items. */
static void add_run(work *w, int64_t begin, int64_t end) {
    while (begin < end) {
        const int64_t item = begin / w->tiles, item_end = (item + 1) * w->tiles;
        const int64_t stop = end < item_end ? end : item_end;
        ink_wide_piece piece = piece_of(w, w->whole + item, begin - item * w->tiles, stop - item * w->tiles);
        if (stop - begin < w->tiles) {
            if (piece.first == 0)
                w->joins[w->n_joins++] = (ink_wide_join){piece.row, piece.head, (int32_t)w->n_parts, 0};
            w->joins[w->n_joins - 1].count++;
            piece.part = (int32_t)w->n_parts++;
        }
        w->pieces[w->n_pieces++] = piece;
        begin = stop;
    }
}

static ink_status list_work(work *w, ink_error *error) {
    const size_t cut = (size_t)(w->items - w->whole);
    const size_t most = (size_t)(w->items + w->blocks);
    w->pieces = calloc(most, sizeof *w->pieces);
    w->joins = calloc(cut + 1, sizeof *w->joins);
    w->starts = calloc((size_t)w->blocks + 1, sizeof *w->starts);
    if (!w->pieces || !w->joins || !w->starts) {
        return ink_fail_memory(error, "the pieces of attention", most * sizeof *w->pieces);
    }
    for (int64_t b = 0; b < w->blocks; b++) {
        w->starts[b] = (int32_t)w->n_pieces;
        for (int64_t item = b; item < w->whole; item += w->blocks) {
            w->pieces[w->n_pieces++] = piece_of(w, item, 0, w->tiles);
        }
        if (b < w->runs) add_run(w, run_begin(w, b), run_begin(w, b + 1));
    }
    w->starts[w->blocks] = (int32_t)w->n_pieces;
    return INK_OK;
}

static ink_status upload_work(wide_state *state, const work *w, cudaStream_t stream, ink_error *error) {
    const size_t pieces = (size_t)w->n_pieces * sizeof *w->pieces;
    const size_t starts = ((size_t)w->blocks + 1) * sizeof *w->starts;
    const size_t joins = (size_t)w->n_joins * sizeof *w->joins;
    const size_t rows = (size_t)w->n_parts * ink_wide_rows;
    const size_t parts = rows * ink_wide_head_dim * sizeof(float), stats = rows * sizeof(ink_wide_stat);
    INK_TRY(ink_cuda_copy_to_device(w->pieces, pieces, "attention's tables", stream, &state->pieces, error));
    INK_TRY(ink_cuda_copy_to_device(w->starts, starts, "attention's tables", stream, &state->starts, error));
    INK_TRY(ink_cuda_copy_to_device(w->joins, joins, "attention's tables", stream, &state->joins, error));
    if (rows > 0) {
        INK_TRY(ink_cuda_check(cudaMalloc(&state->parts, parts), "attention's parts", error));
        INK_TRY(ink_cuda_check(cudaMalloc(&state->stats, stats), "attention's parts", error));
    }
    state->params.pieces = state->pieces;
    state->params.starts = state->starts;
    state->params.joins = state->joins;
    state->params.parts = state->parts;
    state->params.stats = state->stats;
    state->blocks = (int)w->blocks;
    state->n_joins = (int)w->n_joins;
    state->bytes = pieces + starts + joins + parts + stats;
    return INK_OK;
}

static ink_status make_work(wide_state *state, const ink_cuda_attention_problem *problem, int multiprocessors,
                            cudaStream_t stream, ink_error *error) {
    work w = {0};
    plan_work(&w, problem, multiprocessors);
    ink_status status = list_work(&w, error);
    if (status == INK_OK) status = upload_work(state, &w, stream, error);
    free(w.pieces), free(w.joins), free(w.starts);
    return status;
}

/* ---- the kind ---- */

bool ink_cuda_attention_wide_can(const ink_cuda_attention_problem *problem,
                                 const ink_cuda_attention_device *device) {
    return device->major == 9 && device->minor == 0 && device->shared_bytes >= ink_wide_shared_bytes() &&
           !problem->causal && problem->head_dim == ink_wide_head_dim && problem->scale > 0 &&
           problem->streams == 1 && problem->n_segments == 1 &&
           ink_cuda_attention_is_aligned(&problem->q[0]) && ink_cuda_attention_is_aligned(&problem->k[0]) &&
           ink_cuda_attention_is_aligned(&problem->v[0]) && ink_cuda_attention_is_aligned(&problem->out[0]);
}

bool ink_cuda_attention_wide_worth(const ink_cuda_attention_problem *problem) {
    (void)problem;
    return true;
}

ink_status ink_cuda_attention_wide_create(const ink_cuda_attention_problem *problem,
                                          const ink_cuda_attention_device *device, const void *like,
                                          cudaStream_t stream, void **out, ink_error *error) {
    (void)like;
    *out = NULL;
    wide_state *state = aligned_alloc(_Alignof(wide_state), sizeof *state);
    if (!state) return ink_fail_memory(error, "an attention plan", sizeof *state);
    memset(state, 0, sizeof *state);
    ink_status status = ink_wide_prepare(error);
    if (status == INK_OK) status = set_params(&state->params, problem, error);
    if (status == INK_OK) status = make_work(state, problem, device->multiprocessors, stream, error);
    if (status != INK_OK) {
        ink_cuda_attention_wide_destroy(state);
        return status;
    }
    *out = state;
    return INK_OK;
}

ink_status ink_cuda_attention_wide_run(void *opaque, cudaStream_t stream, ink_error *error) {
    const wide_state *state = opaque;
    INK_TRY(ink_cuda_check(ink_wide_launch(stream, state->blocks, &state->params), "attention", error));
    if (state->n_joins == 0) return INK_OK;
    return ink_cuda_check(ink_wide_launch_joins(stream, state->n_joins, &state->params), "attention", error);
}

size_t ink_cuda_attention_wide_bytes(const void *state) {
    return ((const wide_state *)state)->bytes;
}

void ink_cuda_attention_wide_destroy(void *opaque) {
    wide_state *state = opaque;
    void *const memory[] = {state->pieces, state->starts, state->joins, state->parts, state->stats};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++) {
        (void)cudaFree(memory[i]);
    }
    free(state);
}
