/*
 * Whether this build has code for Hopper.
 */
#ifndef INK_BACKEND_CUDA_HOPPER_BUILD_H
#define INK_BACKEND_CUDA_HOPPER_BUILD_H

#include "backend/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Lets a kernel that uses Hopper's own instructions have so much shared memory; once before its launches.
 * INK_ERROR_UNSUPPORTED if this build has no code with these instructions for the device. */
ink_status ink_hopper_allow_shared(const void *kernel, int bytes, ink_error *error);

#ifdef __cplusplus
}
#endif

#endif
