/*
 * Attention by the kernel for Hopper: describes the rows to the copy engine and deals out the work.
 */
#include "backend/cuda/attention_cuts.h"
#include "backend/cuda/attention_hopper.h"
#include "backend/cuda/divide.h"
#include "backend/cuda/hopper_maps.h"

#include <stdlib.h>
#include <string.h>

/* What a launch is to do, on the device. */
typedef struct hopper_list {
    void *pieces, *starts;
    int blocks;
} hopper_list;

/* The work of all states that differ in pointers only. They run one after the other, and share memory for
 * parts. */
typedef struct hopper_work {
    int users;
    size_t n_lists, bytes;
    hopper_list *lists;
    void *parts, *flags;
} hopper_work;

typedef struct hopper_state {
    hopper_work *work;
    bool shares; /* it was made for another state */
    size_t n_launches;
    ink_hopper_params *launches;
} hopper_state;

/* ---- rows ---- */

static ink_status map_rows(ink_hopper_encode encode, const ink_cuda_matrix *x, int64_t row, int64_t rows,
                           int tile_rows, CUtensorMap *map, ink_error *error) {
    const ink_cuda_matrix part = ink_cuda_attention_rows(x, row, rows);
    const int slices = ink_hopper_head_dim / ink_hopper_slice_columns;
    return ink_hopper_map_slices(encode, &part, slices, tile_rows, map, error);
}

/* The segments [first, first + count). */
static ink_status set_params(ink_hopper_params *p, const ink_cuda_attention_problem *problem, int64_t first,
                             int64_t count, ink_hopper_encode encode, ink_error *error) {
    const float log2_e = 1.44269504088896340736f;
    p->group = (int)(problem->heads / problem->kv_heads);
    p->scale = problem->scale * log2_e;
    for (int64_t i = 0; i < count * INK_MAX_STREAMS; i++) {
        const int s = (int)(i % INK_MAX_STREAMS);
        const ink_segment *segment = &problem->segments[first + i / INK_MAX_STREAMS];
        const int64_t row = segment->begin[s], rows = segment->length[s];
        ink_hopper_range *range = &p->ranges[i];
        if (rows == 0) continue;
        range->rows = (int)rows;
        range->out = ink_cuda_attention_row(&problem->out[s], row);
        range->out_stride = problem->out[s].stride;
        INK_TRY(map_rows(encode, &problem->q[s], row, rows, ink_hopper_query_rows, &range->q, error));
        INK_TRY(map_rows(encode, &problem->k[s], row, rows, ink_hopper_key_rows, &range->k, error));
        INK_TRY(map_rows(encode, &problem->v[s], row, rows, ink_hopper_key_rows, &range->v, error));
    }
    return INK_OK;
}

/* Tiles of keys: as the kernel has it, of one range and then of the other. */
static int32_t tiles_of(const ink_hopper_params *p, int segment) {
    int64_t tiles = 0;
    for (int s = 0; s < INK_MAX_STREAMS; s++) {
        tiles += ink_divide_up(p->ranges[INK_MAX_STREAMS * segment + s].rows, ink_hopper_key_rows);
    }
    return (int32_t)tiles;
}

/* ---- work ---- */

static ink_status upload_list(hopper_work *work, hopper_list *list, const ink_cuda_attention_item *items,
                              const ink_cuda_attention_cuts *cuts, cudaStream_t stream, ink_error *error) {
    const size_t n = (size_t)cuts->starts[cuts->blocks], bytes = n * sizeof(ink_hopper_piece),
                 start_bytes = ((size_t)cuts->blocks + 1) * sizeof *cuts->starts;
    ink_hopper_piece *pieces = malloc(bytes);
    if (!pieces) return ink_fail_memory(error, "attention's tables", bytes);
    for (size_t i = 0; i < n; i++) {
        const ink_cuda_attention_piece *c = &cuts->pieces[i];
        pieces[i] = (ink_hopper_piece){items[c->item], c->first, c->end, c->part, c->parts};
    }
    const ink_status status =
        ink_cuda_copy_to_device(pieces, bytes, "attention's tables", stream, &list->pieces, error);
    free(pieces);
    if (status != INK_OK) return status;
    list->blocks = cuts->blocks;
    work->bytes += bytes + start_bytes;
    return ink_cuda_copy_to_device(cuts->starts, start_bytes, "attention's tables", stream, &list->starts,
                                   error);
}

/* Of the segments [first, first + count), whose keys are known. */
static ink_status make_list(hopper_work *work, hopper_list *list, const ink_cuda_attention_problem *problem,
                            int64_t first, int64_t count, const ink_hopper_params *params,
                            int multiprocessors, cudaStream_t stream, int *parts, ink_error *error) {
    ink_cuda_attention_item *items = NULL;
    ink_cuda_attention_cuts cuts = {0};
    size_t n = 0;
    INK_TRY(ink_cuda_attention_items(problem, first, count, ink_hopper_query_rows, &items, &n, error));
    int32_t *tiles = malloc((n + 1) * sizeof *tiles);
    ink_status status = tiles ? INK_OK : ink_fail_memory(error, "attention's tables", n * sizeof *tiles);
    for (size_t i = 0; tiles && i < n; i++) {
        tiles[i] = tiles_of(params, items[i].range / INK_MAX_STREAMS);
    }
    if (status == INK_OK) status = ink_cuda_attention_cut(tiles, n, multiprocessors, &cuts, error);
    if (status == INK_OK) status = upload_list(work, list, items, &cuts, stream, error);
    if (cuts.parts > *parts) *parts = cuts.parts;
    ink_cuda_attention_cuts_free(&cuts);
    free(tiles), free(items);
    return status;
}

static ink_status allocate_parts(hopper_work *work, int parts, cudaStream_t stream, ink_error *error) {
    const size_t bytes = (size_t)parts * ink_hopper_part_bytes,
                 flag_bytes = (size_t)parts * ink_hopper_part_groups * sizeof(uint32_t);
    if (parts == 0) return INK_OK;
    INK_TRY(ink_cuda_check(cudaMalloc(&work->parts, bytes), "attention's parts", error));
    INK_TRY(ink_cuda_check(cudaMalloc(&work->flags, flag_bytes), "attention's parts", error));
    work->bytes += bytes + flag_bytes;
    return ink_cuda_check(cudaMemsetAsync(work->flags, 0, flag_bytes, stream), "attention's parts", error);
}

static void release_work(hopper_work *work) {
    if (!work || --work->users > 0) return;
    for (size_t i = 0; work->lists && i < work->n_lists; i++) {
        (void)cudaFree(work->lists[i].pieces);
        (void)cudaFree(work->lists[i].starts);
    }
    (void)cudaFree(work->parts);
    (void)cudaFree(work->flags);
    free(work->lists);
    free(work);
}

/* The segments of launch i. */
static int64_t segments_of(const ink_cuda_attention_problem *problem, size_t i, int64_t *first) {
    *first = (int64_t)i * ink_hopper_most_segments;
    const int64_t left = problem->n_segments - *first;
    return left < ink_hopper_most_segments ? left : ink_hopper_most_segments;
}

static ink_status make_work(hopper_state *state, const ink_cuda_attention_problem *problem,
                            int multiprocessors, cudaStream_t stream, ink_error *error) {
    hopper_work *work = calloc(1, sizeof *work);
    if (!work) return ink_fail_memory(error, "an attention plan", sizeof *work);
    state->work = work;
    *work = (hopper_work){.users = 1,
                          .n_lists = state->n_launches,
                          .lists = calloc(state->n_launches + 1, sizeof *work->lists)};
    if (!work->lists) return ink_fail_memory(error, "an attention plan", sizeof *work->lists);
    int parts = 0;
    for (size_t i = 0; i < state->n_launches; i++) {
        int64_t first;
        const int64_t count = segments_of(problem, i, &first);
        INK_TRY(make_list(work, &work->lists[i], problem, first, count, &state->launches[i], multiprocessors,
                          stream, &parts, error));
    }
    return allocate_parts(work, parts, stream, error);
}

static ink_status make_launches(hopper_state *state, const ink_cuda_attention_problem *problem,
                                const ink_cuda_attention_device *device, const hopper_state *like,
                                cudaStream_t stream, ink_error *error) {
    ink_hopper_encode encode = NULL;
    INK_TRY(ink_hopper_find_encode(&encode, error));
    for (size_t i = 0; i < state->n_launches; i++) {
        int64_t first;
        const int64_t count = segments_of(problem, i, &first);
        INK_TRY(set_params(&state->launches[i], problem, first, count, encode, error));
    }
    if (like) {
        state->work = like->work;
        state->work->users++;
        state->shares = true;
    } else {
        INK_TRY(make_work(state, problem, device->multiprocessors, stream, error));
    }
    for (size_t i = 0; i < state->n_launches; i++) {
        ink_hopper_params *p = &state->launches[i];
        p->pieces = state->work->lists[i].pieces;
        p->starts = state->work->lists[i].starts;
        p->parts = state->work->parts;
        p->flags = state->work->flags;
    }
    return INK_OK;
}

/* ---- the kind ---- */

bool ink_cuda_attention_hopper_can(const ink_cuda_attention_problem *problem,
                                   const ink_cuda_attention_device *device) {
    bool can = device->major == 9 && device->minor == 0 &&
               device->shared_bytes >= ink_hopper_shared_bytes() && !problem->causal &&
               problem->head_dim == ink_hopper_head_dim && problem->scale > 0;
    for (int s = 0; s < problem->streams; s++) {
        can = can && ink_cuda_attention_is_aligned(&problem->q[s]) &&
              ink_cuda_attention_is_aligned(&problem->k[s]) &&
              ink_cuda_attention_is_aligned(&problem->v[s]) &&
              ink_cuda_attention_is_aligned(&problem->out[s]);
    }
    return can;
}

bool ink_cuda_attention_hopper_worth(const ink_cuda_attention_problem *problem) {
    (void)problem;
    return true;
}

ink_status ink_cuda_attention_hopper_create(const ink_cuda_attention_problem *problem,
                                            const ink_cuda_attention_device *device, const void *like,
                                            cudaStream_t stream, void **out, ink_error *error) {
    *out = NULL;
    const size_t n =
        (size_t)((problem->n_segments + ink_hopper_most_segments - 1) / ink_hopper_most_segments);
    const size_t bytes = (n > 0 ? n : 1) * sizeof(ink_hopper_params);
    hopper_state *state = calloc(1, sizeof *state);
    ink_hopper_params *launches = aligned_alloc(_Alignof(ink_hopper_params), bytes);
    if (!state || !launches) {
        free(state), free(launches);
        return ink_fail_memory(error, "an attention plan", sizeof *state + bytes);
    }
    memset(launches, 0, bytes);
    state->launches = launches;
    state->n_launches = n;
    ink_status status = ink_hopper_prepare(error);
    if (status == INK_OK) status = make_launches(state, problem, device, like, stream, error);
    if (status != INK_OK) {
        ink_cuda_attention_hopper_destroy(state);
        return status;
    }
    *out = state;
    return INK_OK;
}

ink_status ink_cuda_attention_hopper_run(void *opaque, cudaStream_t stream, ink_error *error) {
    const hopper_state *state = opaque;
    for (size_t i = 0; i < state->n_launches; i++) {
        INK_TRY(ink_cuda_check(ink_hopper_launch(stream, state->work->lists[i].blocks, &state->launches[i]),
                               "attention", error));
    }
    return INK_OK;
}

/* What is shared counts once. */
size_t ink_cuda_attention_hopper_bytes(const void *opaque) {
    const hopper_state *state = opaque;
    return state->shares ? 0 : state->work->bytes;
}

void ink_cuda_attention_hopper_destroy(void *opaque) {
    hopper_state *state = opaque;
    release_work(state->work);
    free(state->launches);
    free(state);
}
