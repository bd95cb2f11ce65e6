/*
 * Maps: what the copy engine of Hopper must know of a matrix. Boxes have rows of 128 bytes, in the order that
 * hopper.cuh describes; what lies outside of a matrix reads as 0 and is not written.
 */
#ifndef INK_BACKEND_CUDA_HOPPER_MAPS_H
#define INK_BACKEND_CUDA_HOPPER_MAPS_H

#include "backend/cuda/kernels.h"

#include <cuda.h>

/* cuTensorMapEncodeTiled, which is the driver's: nothing of it is linked. */
typedef CUresult (*ink_hopper_encode)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                                      const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                                      const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                      CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* INK_ERROR_UNSUPPORTED if the driver has none. */
ink_status ink_hopper_find_encode(ink_hopper_encode *encode, ink_error *error);

/* Can the copy engine read or write a matrix that begins there and has so many bytes from row to row? */
static inline bool ink_hopper_can_map(const void *data, int64_t stride_bytes) {
    return (uintptr_t)data % 16 == 0 && stride_bytes % 16 == 0;
}

/* A matrix of bf16 or e4m3, [rows, columns], with boxes of so many rows and 128 bytes: of two dimensions. */
ink_status ink_hopper_map_rows(ink_hopper_encode encode, const ink_cuda_matrix *x, int box_rows,
                               CUtensorMap *map, ink_error *error);
/* A matrix of bf16 as slices of 64 columns, [columns / 64, rows, 64], with boxes of so many slices and rows:
 * of three dimensions. */
ink_status ink_hopper_map_slices(ink_hopper_encode encode, const ink_cuda_matrix *x, int box_slices,
                                 int box_rows, CUtensorMap *map, ink_error *error);

#endif
