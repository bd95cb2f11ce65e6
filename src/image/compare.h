/*
 * How alike two pictures are: PSNR over all channels and SSIM of the luma.
 */
#ifndef INK_IMAGE_COMPARE_H
#define INK_IMAGE_COMPARE_H

#include "base/status.h"

typedef struct ink_similarity {
    double psnr; /* 10 log10(255^2 / mean squared error) in dB; infinite if the pictures are equal */
    double ssim; /* 1 if the pictures are equal */
} ink_similarity;

/* SSIM as Wang, Bovik, Sheikh and Simoncelli (2004) define it: a Gaussian window of 11 x 11 pixels with sigma
 * 1.5, K1 = 0.01, K2 = 0.03, L = 255, the mean over all windows that lie wholly in the picture. It is taken
 * of the luma of Rec. 601, 0.299 R + 0.587 G + 0.114 B, which is not rounded.
 * Memory: 16 bytes per pixel. Errors: INK_ERROR_ARGUMENT (no pixels, sizes that differ, a side below 11),
 * INK_ERROR_MEMORY. */
ink_status ink_image_compare(const ink_image *a, const ink_image *b, ink_similarity *similarity,
                             ink_error *error);

#endif
