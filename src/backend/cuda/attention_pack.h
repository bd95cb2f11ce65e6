/*
 * Rows of two streams copied into one matrix and back.
 */
#ifndef INK_BACKEND_CUDA_ATTENTION_PACK_H
#define INK_BACKEND_CUDA_ATTENTION_PACK_H

#include "backend/cuda/attention.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ink_cuda_attention_packed_row {
    int32_t stream, row;
} ink_cuda_attention_packed_row;

/* Addresses, distances and lengths are multiples of 16 bytes. */
typedef struct ink_cuda_attention_packed_part {
    char *apart[INK_MAX_STREAMS], *packed;
    int64_t apart_bytes[INK_MAX_STREAMS]; /* from one row to the next */
    int64_t row_bytes;
} ink_cuda_attention_packed_part;

typedef struct ink_cuda_attention_pack {
    ink_cuda_attention_packed_part part[3];
    int parts;
    bool scatter;                              /* from packed to apart */
    const ink_cuda_attention_packed_row *rows; /* device: where packed row i belongs */
    int64_t n_rows;
} ink_cuda_attention_pack;

cudaError_t ink_cuda_attention_pack_run(cudaStream_t stream, const ink_cuda_attention_pack *pack);

#ifdef __cplusplus
}
#endif

#endif
