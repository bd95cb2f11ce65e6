/*
 * Attention by the kernel for Hopper: describes the rows to the copy engine and lists the work.
 */
#include "backend/cuda/attention_hopper.h"
#include "backend/cuda/hopper_maps.h"

#include <stdlib.h>
#include <string.h>

typedef struct hopper_launch {
    ink_hopper_params params;
    void *items; /* device */
    int blocks;
} hopper_launch;

typedef struct hopper_state {
    hopper_launch *launches;
    size_t n_launches, bytes;
} hopper_state;

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

static ink_status make_launches(hopper_state *state, const ink_cuda_attention_problem *problem,
                                int multiprocessors, cudaStream_t stream, ink_error *error) {
    ink_hopper_encode encode = NULL;
    INK_TRY(ink_hopper_find_encode(&encode, error));
    for (size_t i = 0; i < state->n_launches; i++) {
        hopper_launch *launch = &state->launches[i];
        const int64_t first = (int64_t)i * ink_hopper_most_segments, left = problem->n_segments - first;
        const int64_t count = left < ink_hopper_most_segments ? left : ink_hopper_most_segments;
        ink_cuda_attention_item *items = NULL;
        size_t n = 0;
        INK_TRY(set_params(&launch->params, problem, first, count, encode, error));
        INK_TRY(ink_cuda_attention_items(problem, first, count, ink_hopper_query_rows, &items, &n, error));
        const ink_status status = ink_cuda_copy_to_device(items, n * sizeof *items, "attention's tables",
                                                          stream, &launch->items, error);
        free(items);
        if (status != INK_OK) return status;
        launch->params.items = launch->items;
        launch->params.n_items = (int)n;
        launch->blocks = (int)n < multiprocessors ? (int)n : multiprocessors;
        state->bytes += n * sizeof *items;
    }
    return INK_OK;
}

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
    (void)like;
    *out = NULL;
    const size_t n =
        (size_t)((problem->n_segments + ink_hopper_most_segments - 1) / ink_hopper_most_segments);
    const size_t bytes = (n > 0 ? n : 1) * sizeof(hopper_launch);
    hopper_state *state = calloc(1, sizeof *state);
    hopper_launch *launches = aligned_alloc(_Alignof(hopper_launch), bytes);
    if (!state || !launches) {
        free(state), free(launches);
        return ink_fail_memory(error, "an attention plan", sizeof *state + bytes);
    }
    memset(launches, 0, bytes);
    state->launches = launches;
    state->n_launches = n;
    ink_status status = ink_hopper_prepare(error);
    if (status == INK_OK) status = make_launches(state, problem, device->multiprocessors, stream, error);
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
        const hopper_launch *launch = &state->launches[i];
        INK_TRY(
            ink_cuda_check(ink_hopper_launch(stream, launch->blocks, &launch->params), "attention", error));
    }
    return INK_OK;
}

size_t ink_cuda_attention_hopper_bytes(const void *state) {
    return ((const hopper_state *)state)->bytes;
}

void ink_cuda_attention_hopper_destroy(void *opaque) {
    hopper_state *state = opaque;
    for (size_t i = 0; i < state->n_launches; i++) {
        (void)cudaFree(state->launches[i].items);
    }
    free(state->launches);
    free(state);
}
