/*
 * Golden tensors through the CUDA backend on the stand-in for a device.
 */
#ifndef INK_TESTS_FAKE_CUDA_VERIFY_H
#define INK_TESTS_FAKE_CUDA_VERIFY_H

#include "backend/cuda/cuda.h"

#define TINY        INK_SOURCE_DIR "/tests/golden/tiny-random"
#define TINY_GOLDEN TINY "/golden.safetensors"
#define ODD         INK_SOURCE_DIR "/tests/golden/tiny-odd"
#define ODD_GOLDEN  ODD "/golden.safetensors"

/* How many of the comparisons fail; prints them unless `quiet`. The test fails if there are few comparisons
 * at all, or if anything is left behind. */
size_t fake_verify(const char *model, const char *golden, double tolerance, bool quiet,
                   const ink_cuda_settings *settings);

#endif
