/*
 * Weights on the device: each once, in the type and the order that kernels want, shared by all programs that
 * ask for the same, and freed with the last of them.
 */
#ifndef INK_BACKEND_CUDA_WEIGHTS_H
#define INK_BACKEND_CUDA_WEIGHTS_H

#include "backend/cuda/memory.h"
#include "graph/graph.h"
#include "weights/synthetic.h"

#include <cuda_runtime_api.h>

/* A tensor as it is stored: in host memory (a mapped file, mostly), or as a recipe. */
typedef struct ink_cuda_source {
    uint64_t key;                       /* its address or, of a recipe, a hash of its name */
    const void *data;                   /* NULL with a recipe or as small integers */
    const ink_synthetic_recipe *recipe; /* nullable */
    ink_quantized quantized;            /* small integers, if there are bits */
    ink_dtype dtype;                    /* as it is stored; of small integers: INK_U32 */
    int64_t rows, columns;
} ink_cuda_source;

/* Of a weight or constant of a graph. */
ink_cuda_source ink_cuda_source_of(const ink_value_info *info);
/* Of memory that the graph owns. */
ink_cuda_source ink_cuda_source_of_ints(const int32_t *data, int64_t count);

enum { ink_cuda_max_parts = 3 };

/* What is wanted: parts that follow each other, in one type. */
typedef struct ink_cuda_wanted {
    int n_parts;
    ink_cuda_source parts[ink_cuda_max_parts];
    ink_dtype dtype; /* e4m3 with a scale for every row, as fp8.h has it: made of bf16, on the device */
    /* A convolution's weight [outputs, inputs, time, y, x], one part, to be packed; zeros: as it is. */
    int64_t kernel[5];
} ink_cuda_wanted;

typedef struct ink_cuda_weight ink_cuda_weight;
typedef struct ink_cuda_weights ink_cuda_weights;

/* `threads` copy from the files, 0: as many as are good. Everything is in order on `stream`, and memory is
 * taken from `memory`, which must outlive the weights. */
ink_status ink_cuda_weights_create(int device, cudaStream_t stream, int threads, ink_cuda_memory *memory,
                                   ink_cuda_weights **weights, ink_error *error);
/* NULL is allowed. All weights must have been released. */
void ink_cuda_weights_destroy(ink_cuda_weights *weights);

/* Finds or makes the entry for `wanted`, without its data. What the sources point to must stay until the
 * entry is released. */
ink_status ink_cuda_weight_acquire(ink_cuda_weights *weights, const ink_cuda_wanted *wanted,
                                   ink_cuda_weight **weight, ink_error *error);
/* Frees the memory if nobody else has the entry. The device must be done with it. */
void ink_cuda_weight_release(ink_cuda_weights *weights, ink_cuda_weight *weight);

/* Counts those who need what is on the device. */
void ink_cuda_weight_hold(ink_cuda_weight *weight, bool hold);
/* Frees what nobody holds; entries stay. The device must be done with it. */
void ink_cuda_weights_trim(ink_cuda_weights *weights);

/* Brings the data of `list` to the device, where they are not there yet. What comes later on the stream finds
 * them. Entries of the list may be equal. */
ink_status ink_cuda_weights_load(ink_cuda_weights *weights, ink_cuda_weight *const *list, size_t n,
                                 ink_error *error);
/* Brings the data of list[i] to to[i], memory of the device that is not the entry's; in order on the stream,
 * with what was started before and what is later. */
ink_status ink_cuda_weights_fetch(ink_cuda_weights *weights, ink_cuda_weight *const *list, size_t n,
                                  void *const *to, ink_error *error);

/* A copy in pinned memory of what lies at `from`, which is this weight; there when the stream is done. */
ink_status ink_cuda_weight_copy_down(ink_cuda_weights *weights, ink_cuda_weight *weight, const void *from,
                                     ink_error *error);
/* If making it failed. The stream must be done with it. */
void ink_cuda_weight_forget_host(ink_cuda_weight *weight);
/* That copy; NULL: there is none. */
void *ink_cuda_weight_host(const ink_cuda_weight *weight);

/* On the device; NULL before it was loaded. */
void *ink_cuda_weight_memory(const ink_cuda_weight *weight);
size_t ink_cuda_weight_bytes(const ink_cuda_weight *weight);
size_t ink_cuda_weight_padded(const ink_cuda_weight *weight); /* what it takes of the device's memory */
/* Bytes of all entries that are on the device. */
size_t ink_cuda_weights_resident(const ink_cuda_weights *weights);
/* What was read from host memory since the last question, and the time it took. */
void ink_cuda_weights_speed(ink_cuda_weights *weights, double *bytes, double *seconds);

#endif
