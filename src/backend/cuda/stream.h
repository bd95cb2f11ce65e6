/*
 * Programs whose weights are not all on the device. Launches that follow each other make a group, and the
 * weights of a group go to one slot of a ring, always the same: so every weight has one address.
 *
 * A program that runs often reads them from pinned host memory, by a stream of its own: slots that are free
 * are filled with what is needed next, also across runs. One that runs rarely brings them from where they are
 * stored, group by group, and holds nothing but one slot.
 */
#ifndef INK_BACKEND_CUDA_STREAM_H
#define INK_BACKEND_CUDA_STREAM_H

#include "backend/cuda/context.h"
#include "backend/cuda/lower.h"

enum { ink_cuda_most_slots = 4 };

typedef struct ink_cuda_group {
    int32_t end;      /* its last launch */
    int32_t first, n; /* in list */
} ink_cuda_group;

typedef struct ink_cuda_stream {
    bool from_source;       /* the program runs rarely */
    size_t *places;         /* [n_wanted], bytes from the ring; SIZE_MAX: where the weight itself lies */
    int32_t *group_of;      /* [n_launches]; -1: it needs no group */
    ink_cuda_group *groups; /* [n_groups] */
    ink_cuda_weight **list; /* [n_list], in the order of the groups */
    size_t *offsets;        /* [n_list], bytes from the ring */
    void **to;              /* [n_list], addresses, when there is a ring */
    int32_t n_groups, n_list;
    int n_slots;
    size_t slot_bytes;
    char *ring;
    /* while it runs */
    cudaStream_t copier;
    cudaEvent_t copied[ink_cuda_most_slots], freed[ink_cuda_most_slots];
    bool filled[ink_cuda_most_slots]; /* with a group that was not used yet */
    int32_t at, next;                 /* the group in use, -1: none; and the one to be copied next */
    bool unfinished;                  /* a run began and did not come to its end */
} ink_cuda_stream;

/* Chooses groups for the weights with streamed[i] set, and their places. `slot_bytes` is what a slot should
 * have; it gets more if a launch needs more. Free with ink_cuda_stream_free. */
ink_status ink_cuda_stream_plan(const ink_cuda_lowered *lowered, ink_cuda_weight *const *weights,
                                const bool *streamed, size_t slot_bytes, int n_slots,
                                ink_cuda_stream **stream, ink_error *error);
/* Allocates the ring. With from_source set that is all; otherwise copies in host
 * memory are made of all that is streamed, and what copies from there. */
ink_status ink_cuda_stream_fill(ink_cuda_stream *stream, ink_cuda_context *context, ink_error *error);
/* The device must be done with it. NULL is allowed. */
void ink_cuda_stream_free(ink_cuda_stream *stream, ink_cuda_context *context);

/* Around the launches of a run. */
ink_status ink_cuda_stream_begin(ink_cuda_stream *stream, ink_cuda_context *context, ink_error *error);
ink_status ink_cuda_stream_before(ink_cuda_stream *stream, ink_cuda_context *context, int32_t launch,
                                  ink_error *error);
ink_status ink_cuda_stream_after(ink_cuda_stream *stream, ink_cuda_context *context, int32_t launch,
                                 ink_error *error);
void ink_cuda_stream_end(ink_cuda_stream *stream);

#endif
