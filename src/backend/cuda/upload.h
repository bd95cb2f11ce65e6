/*
 * Host memory to the device at the speed of the link: several threads convert pieces into a ring of pinned
 * memory, from where they are copied.
 */
#ifndef INK_BACKEND_CUDA_UPLOAD_H
#define INK_BACKEND_CUDA_UPLOAD_H

#include "backend/cuda/weights.h"

typedef struct ink_cuda_upload ink_cuda_upload;

/* A tensor and where it goes, in `dtype`. */
typedef struct ink_cuda_transfer {
    ink_cuda_source source;
    ink_dtype dtype;
    void *to;
} ink_cuda_transfer;

ink_status ink_cuda_upload_create(int device, int threads, ink_cuda_upload **upload, ink_error *error);
void ink_cuda_upload_destroy(ink_cuda_upload *upload); /* NULL is allowed */

/* Copies all of them; `stream` waits for that, the host does not. */
ink_status ink_cuda_upload_run(ink_cuda_upload *upload, const ink_cuda_transfer *transfers, size_t n,
                               cudaStream_t stream, ink_error *error);

#endif
