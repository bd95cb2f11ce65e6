/*
 * Attention by the kernel for Hopper: describes the rows to the copy engine and lists the work.
 */
#include "backend/cuda/attention_hopper.h"

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

typedef CUresult (*encode_function)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                                    const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                                    const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                    CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static ink_status find_encode(encode_function *encode, ink_error *error) {
    enum { since = 12000 };
    enum cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    void *symbol = NULL;
    const cudaError_t code = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &symbol, since,
                                                              cudaEnableDefault, &result);
    if (code != cudaSuccess || result != cudaDriverEntryPointSuccess || !symbol) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED,
                        "the driver is too old for the Hopper kernels; install one for CUDA 12 or newer");
    }
    memcpy(encode, &symbol, sizeof symbol); /* POSIX promises that a function's address fits */
    return INK_OK;
}

/* Rows [row, row + rows) as slices of 64 columns, for tiles of `tile_rows`. What is beyond the last row reads
 * as 0. */
static ink_status encode_rows(encode_function encode, const ink_cuda_matrix *x, int64_t row, int64_t rows,
                              cuuint32_t tile_rows, CUtensorMap *map, ink_error *error) {
    enum {
        rank = 3,
        slice_bytes = ink_hopper_slice_columns * 2,
        slices = ink_hopper_head_dim / ink_hopper_slice_columns
    };
    const cuuint64_t dims[rank] = {ink_hopper_slice_columns, (cuuint64_t)rows,
                                   (cuuint64_t)(x->columns / ink_hopper_slice_columns)};
    const cuuint64_t strides[rank - 1] = {(cuuint64_t)x->stride * sizeof(uint16_t), slice_bytes};
    const cuuint32_t box[rank] = {ink_hopper_slice_columns, tile_rows, slices}, every[rank] = {1, 1, 1};
    const CUresult result =
        encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank, ink_cuda_attention_row(x, row), dims, strides,
               box, every, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
               CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result == CUDA_SUCCESS) return INK_OK;
    return ink_fail(error, INK_ERROR_INTERNAL, "CUDA could not describe rows of attention: error %d",
                    (int)result);
}

/* The segments [first, first + count). */
static ink_status set_params(ink_hopper_params *p, const ink_cuda_attention_problem *problem, int64_t first,
                             int64_t count, encode_function encode, ink_error *error) {
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
        INK_TRY(encode_rows(encode, &problem->q[s], row, rows, ink_hopper_query_rows, &range->q, error));
        INK_TRY(encode_rows(encode, &problem->k[s], row, rows, ink_hopper_key_rows, &range->k, error));
        INK_TRY(encode_rows(encode, &problem->v[s], row, rows, ink_hopper_key_rows, &range->v, error));
    }
    return INK_OK;
}

static ink_status make_launches(hopper_state *state, const ink_cuda_attention_problem *problem,
                                int multiprocessors, cudaStream_t stream, ink_error *error) {
    encode_function encode = NULL;
    INK_TRY(find_encode(&encode, error));
    for (size_t i = 0; i < state->n_launches; i++) {
        hopper_launch *launch = &state->launches[i];
        const int64_t first = (int64_t)i * ink_hopper_most_segments, left = problem->n_segments - first;
        const int64_t count = left < ink_hopper_most_segments ? left : ink_hopper_most_segments;
        ink_cuda_attention_item *items = NULL;
        size_t n = 0;
        INK_TRY(set_params(&launch->params, problem, first, count, encode, error));
        INK_TRY(ink_cuda_attention_items(problem, first, count, ink_hopper_query_rows, &items, &n, error));
        const ink_status status =
            ink_cuda_attention_upload(items, n * sizeof *items, stream, &launch->items, error);
        free(items);
        if (status != INK_OK) return status;
        launch->params.items = launch->items;
        launch->params.n_items = (int)n;
        launch->blocks = (int)n < multiprocessors ? (int)n : multiprocessors;
        state->bytes += n * sizeof *items;
    }
    return INK_OK;
}

static bool is_aligned(const ink_cuda_matrix *x) {
    enum { unit = 8 }; /* elements of 16 bytes */
    return x->dtype == INK_BF16 && x->stride % unit == 0 && (uintptr_t)x->data % 16 == 0;
}

bool ink_cuda_attention_hopper_can(const ink_cuda_attention_problem *problem,
                                   const ink_cuda_attention_device *device) {
    bool can = device->major == 9 && device->minor == 0 &&
               device->shared_bytes >= ink_hopper_shared_bytes() && !problem->causal &&
               problem->head_dim == ink_hopper_head_dim && problem->scale > 0;
    for (int s = 0; s < problem->streams; s++) {
        can = can && is_aligned(&problem->q[s]) && is_aligned(&problem->k[s]) && is_aligned(&problem->v[s]) &&
              is_aligned(&problem->out[s]);
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
