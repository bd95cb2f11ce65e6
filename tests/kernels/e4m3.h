/*
 * 8-bit numbers with four bits of exponent and three of fraction, plainly.
 */
#ifndef INK_TESTS_KERNELS_E4M3_H
#define INK_TESTS_KERNELS_E4M3_H

#include <stdint.h>

float e4m3_widen(uint8_t code);
/* To nearest, ties to even; what is too large becomes the largest, 448; NaN stays NaN. */
uint8_t e4m3_round(float x);

/* n numbers, divided by *scale = the largest of them / 448 (0 if that one is below 1e-30). */
void e4m3_round_row(const float *x, int64_t n, uint8_t *codes, float *scale);

#endif
