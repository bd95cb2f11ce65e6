/*
 * Backends whose memory is the host's: the plain-C reference and the CPU backend share this executor and
 * differ in their table of kernels.
 */
#ifndef INK_BACKEND_HOST_HOST_H
#define INK_BACKEND_HOST_HOST_H

#include "backend/backend.h"
#include "base/threads.h"
#include "graph/ops.h"

/* A tensor in memory: row-major, contiguous. */
typedef struct ink_tensor {
    void *data;
    ink_dtype dtype;
    ink_shape shape;
} ink_tensor;

/* What a kernel gets. Absent optional inputs have data == NULL. Nothing overlaps, except that out[0].data may
 * be equal to the data of input ink_op_inplace(op). */
typedef struct ink_kernel_args {
    const ink_node *node;
    const ink_tensor *in; /* [node->n_inputs] */
    const ink_tensor
        *out; /* [node->n_outputs]; for the store operations the slot is input 0 and is written */
    int64_t step;
    ink_pool *pool;       /* nullable */
    void *scratch;        /* scratch_bytes() bytes aligned to 64, uninitialised; NULL if 0 */
    const void *prepared; /* what prepare() made; NULL if none */
} ink_kernel_args;

typedef struct ink_kernel {
    /* Cannot fail: everything was checked when the graph was recorded. */
    void (*run)(const ink_kernel_args *args);
    /* Nullable. Scratch memory for one run with `threads` threads. */
    size_t (*scratch_bytes)(const ink_node *node, const ink_tensor *in, const ink_tensor *out, int threads);
    /* Nullable. Called once at compile time with the weights in place (`in[i].data` is NULL for computed
     * values); *prepared is freed with free(). *bytes is its size. */
    ink_status (*prepare)(const ink_node *node, const ink_tensor *in, void **prepared, size_t *bytes,
                          ink_error *error);
} ink_kernel;

typedef struct ink_kernel_table {
    ink_kernel kernel[INK_OP_COUNT];
} ink_kernel_table;

/* A host backend called `api_name` (static storage) with its own copy of `table`. `description` is copied.
 * The pool is owned by the backend afterwards, also on failure; it may be NULL. */
ink_status ink_host_backend_create(const char *api_name, const char *description,
                                   const ink_kernel_table *table, ink_pool *pool, ink_backend **backend,
                                   ink_error *error);

#endif
