/*
 * Maps: what the copy engine of Hopper must know of a matrix.
 */
#ifndef INK_BACKEND_CUDA_HOPPER_MAPS_H
#define INK_BACKEND_CUDA_HOPPER_MAPS_H

#include "base/status.h"

#include <cuda.h>

/* cuTensorMapEncodeTiled, which is the driver's: nothing of it is linked. */
typedef CUresult (*ink_hopper_encode)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                                      const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                                      const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                      CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* INK_ERROR_UNSUPPORTED if the driver has none. */
ink_status ink_hopper_find_encode(ink_hopper_encode *encode, ink_error *error);

#endif
