/*
 * cuDNN, opened when it is there: nothing of it is linked. What attention and convolution share: one library
 * handle, building a graph of operations out of descriptors, and the plans that can run it.
 *
 * Building keeps the first error, as recording does: later calls do nothing, ink_cudnn_build reports it.
 */
#ifndef INK_BACKEND_CUDA_CUDNN_H
#define INK_BACKEND_CUDA_CUDNN_H

#include "base/dtype.h"
#include "base/status.h"

#include <cudnn_graph.h>

/* Not for two threads at the same time. */
typedef struct ink_cudnn ink_cudnn;

/* INK_ERROR_UNSUPPORTED if the library is not there, or too old. */
ink_status ink_cudnn_open(ink_cudnn **cudnn, ink_error *error);
/* After all graphs. */
void ink_cudnn_close(ink_cudnn *cudnn);
/* Such as 91900 for 9.19.0. */
size_t ink_cudnn_version(const ink_cudnn *cudnn);

/* ---- a graph, and the plans for it ---- */
typedef struct ink_cudnn_graph ink_cudnn_graph;

ink_status ink_cudnn_graph_create(ink_cudnn *cudnn, ink_cudnn_graph **graph, ink_error *error);
void ink_cudnn_graph_destroy(ink_cudnn_graph *graph);

/* A descriptor that the graph owns; NULL after an error. Then its attributes, then ink_cudnn_finalize. */
cudnnBackendDescriptor_t ink_cudnn_descriptor(ink_cudnn_graph *graph, cudnnBackendDescriptorType_t type);
void ink_cudnn_set(ink_cudnn_graph *graph, cudnnBackendDescriptor_t descriptor,
                   cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                   const void *values);
void ink_cudnn_set_descriptor(ink_cudnn_graph *graph, cudnnBackendDescriptor_t descriptor,
                              cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value);
void ink_cudnn_finalize(ink_cudnn_graph *graph, cudnnBackendDescriptor_t descriptor);

/* Where a tensor is: in memory, between operations only, or a number handed to each run. */
typedef enum ink_cudnn_place { INK_CUDNN_MEMORY, INK_CUDNN_VIRTUAL, INK_CUDNN_BY_VALUE } ink_cudnn_place;

/* A finalised tensor; `id` names it in ink_cudnn_pack. Memory is aligned to 16 bytes. */
cudnnBackendDescriptor_t ink_cudnn_tensor(ink_cudnn_graph *graph, int64_t id, cudnnDataType_t type, int rank,
                                          const int64_t *dims, const int64_t *strides, ink_cudnn_place place);

/* y = mode(x, b) in f32; b is nullable. A finalised operation. */
cudnnBackendDescriptor_t ink_cudnn_pointwise(ink_cudnn_graph *graph, cudnnPointwiseMode_t mode,
                                             cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t b,
                                             cudnnBackendDescriptor_t y);

/* Builds at most `most` plans (at least one) that need no more than `workspace` bytes, best first as the
 * library guesses. INK_ERROR_UNSUPPORTED if there are none. */
ink_status ink_cudnn_build(ink_cudnn_graph *graph, const cudnnBackendDescriptor_t *operations,
                           int64_t n_operations, size_t workspace, int most, ink_error *error);
int ink_cudnn_plan_count(const ink_cudnn_graph *graph);
size_t ink_cudnn_plan_workspace(const ink_cudnn_graph *graph, int plan);
/* Drops all plans but this one, which is plan 0 afterwards. */
void ink_cudnn_keep_plan(ink_cudnn_graph *graph, int plan);

/* ---- running ---- */

/* The memory that a run works with. */
typedef struct ink_cudnn_pack ink_cudnn_pack;
/* `pointers[i]` is the tensor ids[i]: device memory, or host memory for a number by value, which must stay.
 */
ink_status ink_cudnn_pack_create(ink_cudnn *cudnn, int64_t n, const int64_t *ids, void *const *pointers,
                                 void *workspace, ink_cudnn_pack **pack, ink_error *error);
void ink_cudnn_pack_destroy(ink_cudnn_pack *pack);

ink_status ink_cudnn_run(ink_cudnn_graph *graph, int plan, const ink_cudnn_pack *pack, cudaStream_t stream,
                         ink_error *error);

#endif
