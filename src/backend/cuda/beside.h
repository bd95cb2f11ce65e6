/*
 * Whether products of few rows run beside those of many, on multiprocessors that these can spare: the text's
 * beside the image's. Their weights then arrive while others compute, instead of between them.
 */
#ifndef INK_BACKEND_CUDA_BESIDE_H
#define INK_BACKEND_CUDA_BESIDE_H

#include "backend/cuda/lower.h"

typedef struct ink_cuda_beside {
    int processors; /* multiprocessors for what runs beside others; 0: everything runs in turn */
    bool divided;   /* of products, some columns run beside others, as many as there is time for, and the rest
                       in turn; otherwise all of them do, with the norms and rotations of their stream */
} ink_cuda_beside;

/* What pays for a program on such a device. */
ink_cuda_beside ink_cuda_beside_find(const ink_cuda_lowered *lowered, int major, int minor,
                                     int multiprocessors);

/* How many columns of the result of launch i, a product that may run beside others, do so if it is divided:
 * as many as so many processors compute while others have the rest, from when its factor is there until its
 * result is needed. They are the first ones. */
int64_t ink_cuda_beside_columns(const ink_cuda_lowered *lowered, int32_t i, int processors,
                                int multiprocessors);

#endif
