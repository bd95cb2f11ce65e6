#include "image/compare.h"

#include <math.h>
#include <stdlib.h>

enum { window = 11, moments = 5 /* of a, b, a^2, b^2, ab */ };

static const double sigma = 1.5;
static const double c1 = (0.01 * 255) * (0.01 * 255), c2 = (0.03 * 255) * (0.03 * 255);

/* The weights of one dimension: the window of two is their product, so rows and columns can be summed apart.
 */
static void fill_weights(double weights[window]) {
    double sum = 0;
    for (int i = 0; i < window; i++) {
        const int d = i - window / 2;
        weights[i] = exp(-(d * d) / (2 * sigma * sigma));
        sum += weights[i];
    }
    for (int i = 0; i < window; i++) {
        weights[i] /= sum;
    }
}

static void fill_luma(const ink_image *image, double *luma) {
    const size_t n = (size_t)image->width * (size_t)image->height;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = image->pixels + 3 * i;
        luma[i] = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
    }
}

static double psnr(const ink_image *a, const ink_image *b) {
    const size_t n = (size_t)a->width * (size_t)a->height * 3;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)a->pixels[i] - b->pixels[i];
        sum += d * d;
    }
    return sum > 0 ? 10 * log10(255.0 * 255.0 * (double)n / sum) : INFINITY;
}

/* Weighted sums down the columns of the `window` rows that begin at `a` and `b`; columns[moment][x]. */
static void sum_columns(const double *a, const double *b, size_t width, const double *weights,
                        double *columns) {
    for (size_t x = 0; x < width; x++) {
        double sums[moments] = {0};
        for (size_t i = 0; i < window; i++) {
            const double p = a[i * width + x], q = b[i * width + x], w = weights[i];
            sums[0] += w * p;
            sums[1] += w * q;
            sums[2] += w * p * p;
            sums[3] += w * q * q;
            sums[4] += w * p * q;
        }
        for (size_t m = 0; m < moments; m++) {
            columns[m * width + x] = sums[m];
        }
    }
}

/* The index of the one window whose columns begin at x. */
static double window_ssim(const double *columns, size_t width, size_t x, const double *weights) {
    double s[moments] = {0};
    for (size_t m = 0; m < moments; m++) {
        for (size_t i = 0; i < window; i++) {
            s[m] += weights[i] * columns[m * width + x + i];
        }
    }
    const double var_a = s[2] - s[0] * s[0], var_b = s[3] - s[1] * s[1], cov = s[4] - s[0] * s[1];
    return (2 * s[0] * s[1] + c1) * (2 * cov + c2) /
           ((s[0] * s[0] + s[1] * s[1] + c1) * (var_a + var_b + c2));
}

static double ssim(const double *a, const double *b, size_t width, size_t height, double *columns) {
    double weights[window], sum = 0;
    fill_weights(weights);
    for (size_t y = 0; y + window <= height; y++) {
        sum_columns(a + y * width, b + y * width, width, weights, columns);
        for (size_t x = 0; x + window <= width; x++) {
            sum += window_ssim(columns, width, x, weights);
        }
    }
    return sum / ((double)(width - window + 1) * (double)(height - window + 1));
}

ink_status ink_image_compare(const ink_image *a, const ink_image *b, ink_similarity *similarity,
                             ink_error *error) {
    *similarity = (ink_similarity){0};
    if (!a->pixels || !b->pixels)
        return ink_fail(error, INK_ERROR_ARGUMENT, "a picture to compare has no pixels");
    if (a->width != b->width || a->height != b->height) {
        return ink_fail(error, INK_ERROR_ARGUMENT,
                        "pictures of %d x %d and %d x %d pixels cannot be compared: make them of one size",
                        a->width, a->height, b->width, b->height);
    }
    if (a->width < window || a->height < window) {
        return ink_fail(error, INK_ERROR_ARGUMENT,
                        "pictures of %d x %d pixels cannot be compared: each side must be at least %d",
                        a->width, a->height, window);
    }
    const size_t width = (size_t)a->width, height = (size_t)a->height;
    size_t doubles;
    if (!ink_size_mul(width, height, &doubles) || !ink_size_mul(doubles, 2, &doubles) ||
        !ink_size_add(doubles, moments * width, &doubles) || doubles > SIZE_MAX / sizeof(double))
        return ink_fail_memory(error, "comparing pictures", SIZE_MAX);
    double *luma = malloc(doubles * sizeof *luma);
    if (!luma) return ink_fail_memory(error, "comparing pictures", doubles * sizeof *luma);
    double *second = luma + width * height;
    fill_luma(a, luma);
    fill_luma(b, second);
    similarity->psnr = psnr(a, b);
    similarity->ssim = ssim(luma, second, width, height, second + width * height);
    free(luma);
    return INK_OK;
}
