/*
 * The cases, by the file of the reference that they belong to, and what their tolerances share.
 *
 * A tolerance follows from the contract: sums are accumulated in float32 or wider, in any order. The error of
 * a sum of n terms then stays, with an overwhelming margin, below (8 + sqrt(n)) units in the last place of
 * the sum of the terms' magnitudes.
 */
#ifndef INK_TESTS_KERNELS_CASES_H
#define INK_TESTS_KERNELS_CASES_H

#include "harness.h"

#include <float.h>
#include <math.h>

typedef struct case_group {
    const kernel_case *cases;
    size_t n;
} case_group;

case_group cases_matrices(void);
case_group cases_norms(void);
case_group cases_elements(void);
case_group cases_attention(void);
case_group cases_tables(void);
case_group cases_moving(void);

static inline double unit(void) {
    return FLT_EPSILON;
}
static inline double sum_units(double n) {
    return FLT_EPSILON * (8 + sqrt(n));
}
/* Element i of input `input`, which is f32; of a weight, also 0 if it is absent. */
static inline double x_at(const trial *t, int input, int64_t i) {
    return ((const float *)t->in[input].data)[i];
}
static inline double w_at(const trial *t, int input, int64_t i) {
    return t->in[input].data ? (double)ink_element_f32(t->in[input].data, t->in[input].dtype, i) : 0;
}
static inline int64_t columns_of(const ink_tensor *x) {
    return ink_shape_columns(&x->shape);
}

#endif
