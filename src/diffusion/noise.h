/*
 * Start noise equal to torch.randn on the CPU, bit for bit (an x86 build with AVX2, which is what nearly
 * everybody runs).
 */
#ifndef INK_DIFFUSION_NOISE_H
#define INK_DIFFUSION_NOISE_H

#include <stddef.h>
#include <stdint.h>

/* out[n] = torch.randn(n, generator=torch.Generator().manual_seed(seed)), float32. Any n, also below 16
 * (torch's other path). Only the low 32 bits of the seed count. */
void ink_noise_f32(uint64_t seed, size_t n, float *out);

/* The same with dtype=torch.bfloat16, widened to float32, as torch drew it up to 2.11: 8 random bits for each
 * uniform number and every operation rounded. torch 2.15 draws other numbers: for n a multiple of 16, those
 * of ink_noise_f32 rounded. Below 16 numbers all versions agree. */
void ink_noise_bf16(uint64_t seed, size_t n, float *out);

#endif
