/*
 * Cases at the sizes of the networks, where kernels take other paths than at the small sizes of
 * tests/kernels.
 */
#ifndef INK_TESTS_CUDA_WIDE_CASES_H
#define INK_TESTS_CUDA_WIDE_CASES_H

#include "kernels/harness.h"

/* All cases, NULL past the end. */
const kernel_case *wide_case_at(size_t i);

#endif
