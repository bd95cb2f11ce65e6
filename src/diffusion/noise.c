/*
 * torch's generator is MT19937; a tensor of 16 or more elements is filled in blocks of 16 by Box-Muller,
 * element j being paired with j + 8, and with polynomials for the logarithm, sine and cosine that contract to
 * fused multiply-adds on x86 with AVX2. Smaller tensors take a double-precision path that keeps the second
 * normal of every pair. ref: torch aten/src/ATen/native/cpu/DistributionTemplates.h,
 * aten/src/ATen/core/MT19937RNGEngine.h
 *
 * Every operation below is one float32 rounding (fmaf: one for two operations); the compiler must not
 * contract.
 */
#include "diffusion/noise.h"

#include "base/dtype.h"

#include <math.h>

enum { state_words = 624, middle = 397, block = 16, half = 8 };

typedef struct twister {
    uint32_t state[state_words];
    int next;
} twister;

static void twister_seed(twister *t, uint64_t seed) {
    t->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < state_words; i++) {
        const uint32_t before = t->state[i - 1];
        t->state[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    t->next = state_words;
}

static void twister_refill(twister *t) {
    for (int i = 0; i < state_words; i++) {
        const uint32_t y = (t->state[i] & 0x80000000u) | (t->state[(i + 1) % state_words] & 0x7FFFFFFFu);
        t->state[i] = t->state[(i + middle) % state_words] ^ (y >> 1) ^ (y & 1 ? 0x9908B0DFu : 0);
    }
    t->next = 0;
}

static uint32_t twister_next(twister *t) {
    if (t->next == state_words) twister_refill(t);
    uint32_t y = t->state[t->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680u;
    y ^= (y << 15) & 0xEFC60000u;
    return y ^ (y >> 18);
}

/* Natural logarithm of x in (0, 1], after Cephes. */
static float log_f32(float x) {
    static const float coefficients[8] = {-1.1514610310e-1f, 1.1676998740e-1f,  -1.2420140846e-1f,
                                          1.4249322787e-1f,  -1.6668057665e-1f, 2.0000714765e-1f,
                                          -2.4999993993e-1f, 3.3333331174e-1f};
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    float e = (float)((int32_t)(bits >> 23) - 126), m;
    bits = (bits & 0x007FFFFFu) | 0x3F000000u;
    memcpy(&m, &bits, sizeof m);
    float f = m - 1;
    if (m < 0.707106781186547524f) {
        e -= 1;
        f += m;
    }
    const float z = f * f;
    float p = 7.0376836292e-2f;
    for (int i = 0; i < 8; i++) {
        p = fmaf(p, f, coefficients[i]);
    }
    float y = p * f;
    y = fmaf(y, z, e * -2.12194440e-4f);
    y = fmaf(-z, 0.5f, y);
    return fmaf(e, 0.693359375f, f + y);
}

/* Sine and cosine of a >= 0, after Cephes. */
static void sincos_f32(float a, float *sine, float *cosine) {
    const int32_t j = ((int32_t)(a * 1.27323954473516f) + 1) & ~1;
    const float octant = (float)j;
    float x = fmaf(octant, -0.78515625f, a);
    x = fmaf(octant, -2.4187564849853515625e-4f, x);
    x = fmaf(octant, -3.77489497744594108e-8f, x);
    const float z = x * x;
    float c = fmaf(2.443315711809948e-5f, z, -1.388731625493765e-3f);
    c = fmaf(c, z, 4.166664568298827e-2f);
    c = c * z;
    c = fmaf(c, z, -(0.5f * z));
    c = c + 1;
    float s = fmaf(-1.9515295891e-4f, z, 8.3321608736e-3f);
    s = fmaf(s, z, -1.6666654611e-1f);
    s = s * z;
    s = fmaf(s, x, x);
    const bool swapped = (j & 2) != 0;
    *sine = swapped ? c : s;
    *cosine = swapped ? s : c;
    if (j & 4) *sine = -*sine;
    if (((j - 2) & 4) == 0) *cosine = -*cosine;
}

/* 16 uniform numbers to 16 normal ones. Adding 0 is torch's mean; it turns -0 into +0. */
static void block_f32(float *d) {
    for (int j = 0; j < half; j++) {
        float sine, cosine;
        const float radius = sqrtf(-2.0f * log_f32(1 - d[j]));
        sincos_f32(6.2831855f * d[j + half], &sine, &cosine);
        d[j] = radius * cosine + 0.0f;
        d[j + half] = radius * sine + 0.0f;
    }
}

static float round_bf16(float x) {
    return ink_f32_from_bf16(ink_bf16_from_f32(x));
}

static void block_bf16(float *d) {
    const double turn = 6.283185307179586476925286766559;
    for (int j = 0; j < half; j++) {
        const float u = round_bf16(1 - d[j]);
        const float logarithm = round_bf16((float)log((double)u));
        const float radius = round_bf16(sqrtf(round_bf16(-2 * logarithm)));
        const float angle = round_bf16((float)(turn * (double)d[j + half]));
        d[j] = round_bf16(radius * round_bf16((float)cos((double)angle))) + 0.0f;
        d[j + half] = round_bf16(radius * round_bf16((float)sin((double)angle))) + 0.0f;
    }
}

static float uniform_f32(twister *t) {
    return (float)(twister_next(t) & 0xFFFFFFu) * 0x1p-24f;
}

static float uniform_bf16(twister *t) {
    return (float)(twister_next(t) & 0xFFu) * 0x1p-8f;
}

static double uniform_f64(twister *t) {
    const uint64_t high = twister_next(t), low = twister_next(t);
    return (double)((high << 32 | low) & 0x1FFFFFFFFFFFFFu) * 0x1p-53;
}

/* Fewer than 16: pairs in double precision, the second of a pair kept for the next element. */
static void fill_small(twister *t, size_t n, float *out) {
    const double turn = 6.283185307179586476925286766559;
    for (size_t i = 0; i < n; i += 2) {
        const double u1 = uniform_f64(t), u2 = uniform_f64(t);
        const double radius = sqrt(-2 * log1p(-u2)), angle = turn * u1;
        out[i] = (float)(radius * cos(angle));
        if (i + 1 < n) out[i + 1] = (float)(radius * sin(angle));
    }
}

static void fill_blocks(twister *t, size_t n, float *out, float (*uniform)(twister *),
                        void (*transform)(float *)) {
    for (size_t i = 0; i < n; i++) {
        out[i] = uniform(t);
    }
    for (size_t i = 0; i + block <= n; i += block) {
        transform(out + i);
    }
    if (n % block == 0) return;
    /* What is left over is drawn again as one block with the elements before it. */
    float *last = out + n - block;
    for (int i = 0; i < block; i++) {
        last[i] = uniform(t);
    }
    transform(last);
}

void ink_noise_f32(uint64_t seed, size_t n, float *out) {
    twister t;
    twister_seed(&t, seed);
    if (n < block)
        fill_small(&t, n, out);
    else
        fill_blocks(&t, n, out, uniform_f32, block_f32);
}

void ink_noise_bf16(uint64_t seed, size_t n, float *out) {
    twister t;
    twister_seed(&t, seed);
    if (n >= block) {
        fill_blocks(&t, n, out, uniform_bf16, block_bf16);
        return;
    }
    fill_small(&t, n, out);
    for (size_t i = 0; i < n; i++) {
        out[i] = round_bf16(out[i]);
    }
}
