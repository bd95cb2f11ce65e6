/*
 * exp and what is made of it, on vectors. NaN and infinities behave as in the C library.
 */
#ifndef INK_BACKEND_CPU_VECTOR_MATH_H
#define INK_BACKEND_CPU_VECTOR_MATH_H

#include "backend/cpu/simd.h"
#include "graph/ops.h"

/* e^x to 1.5 units in the last place, subnormal results included.
 *
 * x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 is split so that n times its first part is exact. e^r by a
 * polynomial of degree 7 (Cephes, expf). 2^n is multiplied in two halves, because n may exceed what one float
 * can hold at both ends. */
INLINE vf vexp(vf x) {
    x = vmin(vset(89.0f), x); /* NaN is the second operand and stays */
    x = vmax(vset(-104.0f), x);
    const vf magic = vset(12582912.0f); /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */
    const vf shifted = vfma(x, vset(1.44269504f), magic);
    const vf n = shifted - magic;
    vf r = vfma(n, vset(-0.693359375f), x);
    r = vfma(n, vset(2.12194440e-4f), r);
    vf p = vfma(vset(1.9875691500e-4f), r, vset(1.3981999507e-3f));
    p = vfma(p, r, vset(8.3334519073e-3f));
    p = vfma(p, r, vset(4.1665795894e-2f));
    p = vfma(p, r, vset(1.6666665459e-1f));
    p = vfma(p, r, vset(5.0000001201e-1f));
    p = vfma(p, r * r, r) + vset(1.0f);
    const vi integer = (vi)shifted - (vi)magic;
    const vi half = integer >> 1;
    return p * (vf)((half + 127) << 23) * (vf)((integer - half + 127) << 23);
}

INLINE vf vsilu(vf x) {
    return x / (vset(1.0f) + vexp(-x));
}

/* 0.5 x (1 + tanh(u)) = x / (1 + e^(-2u)) */
INLINE vf vgelu_tanh(vf x) {
    const vf twice = vset(1.59576912f) * vfma(vset(0.044715f) * x * x, x, x); /* 2 sqrt(2 / pi) ... */
    return x / (vset(1.0f) + vexp(-twice));
}

/* activation(x) in place on n floats. */
INLINE void activate(float *x, int64_t n, ink_activation activation) {
    if (activation == INK_ACT_NONE) return;
    for (int64_t i = 0; i < n; i += VL) {
        if (n - i >= VL) {
            const vf v = vload(x + i);
            vstore(x + i, activation == INK_ACT_SILU ? vsilu(v) : vgelu_tanh(v));
        } else {
            float rest[VL] = {0};
            memcpy(rest, x + i, (size_t)(n - i) * sizeof *x);
            const vf v = vload(rest);
            vstore(rest, activation == INK_ACT_SILU ? vsilu(v) : vgelu_tanh(v));
            memcpy(x + i, rest, (size_t)(n - i) * sizeof *x);
        }
    }
}

#endif
