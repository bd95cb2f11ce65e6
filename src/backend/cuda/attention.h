/*
 * Inside of attention: what its implementations share. Everybody else sees kernels.h.
 *
 * An implementation ("kind") builds a state for one problem and runs it. The plan keeps the problem alive,
 * chooses the kind and writes the zeros of rows in no segment; a kind writes the rows of segments and nothing
 * else.
 */
#ifndef INK_BACKEND_CUDA_ATTENTION_H
#define INK_BACKEND_CUDA_ATTENTION_H

#include "backend/cuda/kernels.h"
#include "backend/cuda/memory.h"

#ifdef __cplusplus
extern "C" {
#endif

#define INK_CUDA_ATTENTION_MAX_HEAD_DIM 512

typedef struct ink_cuda_attention_device {
    int major, minor; /* compute capability */
    int multiprocessors;
    int shared_bytes; /* that a block may ask for */
} ink_cuda_attention_device;

typedef struct ink_cuda_attention_kind {
    const char *name;
    ink_cuda_attention_layout layout; /* preferred */
    /* Can it do this at all, and is it expected to be faster than the kinds after it? */
    bool (*can)(const ink_cuda_attention_problem *problem, const ink_cuda_attention_device *device);
    bool (*worth)(const ink_cuda_attention_problem *problem);
    /* The problem outlives the state. `like` is nullable: a state of this kind whose problem differs in
     * pointers only. INK_ERROR_UNSUPPORTED lets the next kind try. */
    ink_status (*create)(const ink_cuda_attention_problem *problem, const ink_cuda_attention_device *device,
                         const void *like, cudaStream_t stream, void **state, ink_error *error);
    ink_status (*run)(void *state, cudaStream_t stream, ink_error *error);
    size_t (*bytes)(const void *state);
    void (*destroy)(void *state);
} ink_cuda_attention_kind;

/* All kinds, best first; the last one can do everything. */
const ink_cuda_attention_kind *ink_cuda_attention_kinds(size_t *n);

/* A plan of this kind, or a failure: for tests and benchmarks. */
ink_status ink_cuda_attention_plan_create_kind(const ink_cuda_attention_kind *kind,
                                               const ink_cuda_attention_problem *problem,
                                               const ink_cuda_attention_plan *like, cudaStream_t stream,
                                               ink_cuda_attention_plan **plan, ink_error *error);

/* ---- what a problem consists of (attention_tiles.c: no CUDA) ---- */

/* Rows in no segment, in runs. */
typedef struct ink_cuda_attention_gap {
    int stream;
    int64_t row, rows;
} ink_cuda_attention_gap;
ink_status ink_cuda_attention_gaps(const ink_cuda_attention_problem *problem, ink_cuda_attention_gap **gaps,
                                   size_t *n, ink_error *error);

/* The queries [position, position + rows per tile) of a segment's sequence. */
typedef struct ink_cuda_attention_tile {
    int32_t segment, position;
} ink_cuda_attention_tile;
/* In the order in which they should start: the longest first. */
ink_status ink_cuda_attention_tiles(const ink_cuda_attention_problem *problem, int rows_per_tile,
                                    ink_cuda_attention_tile **tiles, size_t *n, ink_error *error);

/* A range is the rows of one segment in one stream, with the number 2 * segment + stream. An item is at most
 * rows_per_item queries of a range for one head. */
typedef struct ink_cuda_attention_item {
    int32_t range, row, rows, head; /* row: of the range */
} ink_cuda_attention_item;
/* Items of the segments [first, first + count), numbered from 0, longest first; a head's items follow one
 * another, so that those running at the same time share its keys and values in the cache. */
ink_status ink_cuda_attention_items(const ink_cuda_attention_problem *problem, int64_t first, int64_t count,
                                    int rows_per_item, ink_cuda_attention_item **items, size_t *n,
                                    ink_error *error);

static inline int64_t ink_cuda_attention_length(const ink_segment *segment) {
    int64_t length = 0;
    for (int s = 0; s < INK_MAX_STREAMS; s++) {
        length += segment->length[s];
    }
    return length;
}

static inline void *ink_cuda_attention_row(const ink_cuda_matrix *x, int64_t row) {
    return (char *)x->data + row * x->stride * (int64_t)ink_dtype_bytes(x->dtype);
}

/* Can the copy engine read it, and can eight elements be written at once? */
static inline bool ink_cuda_attention_is_aligned(const ink_cuda_matrix *x) {
    enum { unit = 8 }; /* elements of 16 bytes */
    return x->dtype == INK_BF16 && x->stride % unit == 0 && (uintptr_t)x->data % 16 == 0;
}

/* Rows [row, row + rows) of a matrix. */
static inline ink_cuda_matrix ink_cuda_attention_rows(const ink_cuda_matrix *x, int64_t row, int64_t rows) {
    ink_cuda_matrix part = *x;
    part.data = ink_cuda_attention_row(x, row);
    part.rows = rows;
    return part;
}

/* ---- kinds ---- */

/* Everything, on the ordinary arithmetic units, f32 inside. */
bool ink_cuda_attention_simple_can(const ink_cuda_attention_problem *, const ink_cuda_attention_device *);
bool ink_cuda_attention_simple_worth(const ink_cuda_attention_problem *);
ink_status ink_cuda_attention_simple_create(const ink_cuda_attention_problem *,
                                            const ink_cuda_attention_device *, const void *like, cudaStream_t,
                                            void **state, ink_error *);
ink_status ink_cuda_attention_simple_run(void *state, cudaStream_t, ink_error *);
size_t ink_cuda_attention_simple_bytes(const void *state);
void ink_cuda_attention_simple_destroy(void *state);

/* cuDNN's fused kernels: bf16, head_dim a multiple of 8 up to 128, not causal. */
bool ink_cuda_attention_cudnn_can(const ink_cuda_attention_problem *, const ink_cuda_attention_device *);
bool ink_cuda_attention_cudnn_worth(const ink_cuda_attention_problem *);
ink_status ink_cuda_attention_cudnn_create(const ink_cuda_attention_problem *,
                                           const ink_cuda_attention_device *, const void *like, cudaStream_t,
                                           void **state, ink_error *);
ink_status ink_cuda_attention_cudnn_run(void *state, cudaStream_t, ink_error *);
size_t ink_cuda_attention_cudnn_bytes(const void *state);
void ink_cuda_attention_cudnn_destroy(void *state);

/* A kernel for compute capability 9.0: bf16, head_dim 128, not causal, rows where they are. */
bool ink_cuda_attention_hopper_can(const ink_cuda_attention_problem *, const ink_cuda_attention_device *);
bool ink_cuda_attention_hopper_worth(const ink_cuda_attention_problem *);
ink_status ink_cuda_attention_hopper_create(const ink_cuda_attention_problem *,
                                            const ink_cuda_attention_device *, const void *like, cudaStream_t,
                                            void **state, ink_error *);
ink_status ink_cuda_attention_hopper_run(void *state, cudaStream_t, ink_error *);
size_t ink_cuda_attention_hopper_bytes(const void *state);
void ink_cuda_attention_hopper_destroy(void *state);

/* One for heads of 384 columns, of compute capability 9.0 too: bf16, one segment of one stream, not causal.
 */
bool ink_cuda_attention_wide_can(const ink_cuda_attention_problem *, const ink_cuda_attention_device *);
bool ink_cuda_attention_wide_worth(const ink_cuda_attention_problem *);
ink_status ink_cuda_attention_wide_create(const ink_cuda_attention_problem *,
                                          const ink_cuda_attention_device *, const void *like, cudaStream_t,
                                          void **state, ink_error *);
ink_status ink_cuda_attention_wide_run(void *state, cudaStream_t, ink_error *);
size_t ink_cuda_attention_wide_bytes(const void *state);
void ink_cuda_attention_wide_destroy(void *state);

/* Tensor cores of any device since Ampere: q, k and v bf16, head_dim a multiple of 8 up to 512. */
bool ink_cuda_attention_mma_can(const ink_cuda_attention_problem *, const ink_cuda_attention_device *);
bool ink_cuda_attention_mma_worth(const ink_cuda_attention_problem *);
ink_status ink_cuda_attention_mma_create(const ink_cuda_attention_problem *,
                                         const ink_cuda_attention_device *, const void *like, cudaStream_t,
                                         void **state, ink_error *);
ink_status ink_cuda_attention_mma_run(void *state, cudaStream_t, ink_error *);
size_t ink_cuda_attention_mma_bytes(const void *state);
void ink_cuda_attention_mma_destroy(void *state);

#ifdef __cplusplus
}
#endif

#endif
