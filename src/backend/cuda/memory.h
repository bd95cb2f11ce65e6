/*
 * CUDA's status codes and its memory, as statuses and sentences; and how much memory is in use.
 */
#ifndef INK_BACKEND_CUDA_MEMORY_H
#define INK_BACKEND_CUDA_MEMORY_H

#include "base/status.h"

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a backend takes of the device. */
typedef struct ink_cuda_memory {
    size_t wished;      /* that it should stay below, as the user says; 0: no limit */
    size_t limit;       /* the same without what CUDA takes for itself */
    size_t used, peak;  /* bytes that are allocated; and their maximum */
    size_t device_peak; /* of all that the device had given to anybody, as it says */
    size_t asked_at;    /* `used` when the device was asked last */
} ink_cuda_memory;

/* No limit if `wished` is 0. */
void ink_cuda_memory_init(ink_cuda_memory *memory, size_t wished);
/* Notes what the device says now. */
void ink_cuda_memory_ask(ink_cuda_memory *memory);
/* Maxima count from now. */
void ink_cuda_memory_restart(ink_cuda_memory *memory);
/* How much the device has left; 0 if it does not say. */
size_t ink_cuda_memory_free(void);
/* How much more may be allocated now: of the limit, and of what the device has. */
size_t ink_cuda_memory_room(const ink_cuda_memory *memory);
/* What is allocated or freed by others than this file. */
void ink_cuda_memory_note(ink_cuda_memory *memory, size_t more, size_t less);

/* INK_OK, or a status and "CUDA could not do <what>: ...". */
ink_status ink_cuda_check(cudaError_t code, const char *what, ink_error *error);

/* Device memory with a copy of `host`, which is read before the call returns; cudaFree it. Not counted. */
ink_status ink_cuda_copy_to_device(const void *host, size_t bytes, const char *what, cudaStream_t stream,
                                   void **device, ink_error *error);

/* Device memory, aligned to 256 bytes, not cleared. Without success *out is NULL, and the sentence says how
 * much is needed and how much there is. Free it with ink_cuda_free, with the same number of bytes. */
ink_status ink_cuda_allocate(ink_cuda_memory *memory, size_t bytes, const char *what, void **out,
                             ink_error *error);
void ink_cuda_free(ink_cuda_memory *memory, void *data, size_t bytes); /* NULL is allowed */

/* "out of device memory for <what>: ...", and what would help. */
ink_status ink_cuda_fail_memory(const ink_cuda_memory *memory, ink_error *error, const char *what,
                                size_t bytes);

/* Memory of the host that the device reads by itself. Fails with a sentence if the host has not so much. */
ink_status ink_cuda_allocate_pinned(size_t bytes, const char *what, void **out, ink_error *error);
/* INK_ERROR_MEMORY if the host cannot spare so many bytes now. */
ink_status ink_cuda_check_pinned(size_t bytes, const char *what, ink_error *error);

#ifdef __cplusplus
}
#endif

#endif
