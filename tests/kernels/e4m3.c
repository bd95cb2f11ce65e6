#include "e4m3.h"

#include <math.h>

enum { bias = 7, fraction_bits = 3, not_a_number = 0x7F, sign = 0x80 };
static const float largest = 448;

float e4m3_widen(uint8_t code) {
    const int exponent = code >> fraction_bits & 15, fraction = code & 7;
    float x = exponent ? ldexpf((float)(8 + fraction), exponent - bias - fraction_bits)
                       : ldexpf((float)fraction, 1 - bias - fraction_bits);
    if ((code & not_a_number) == not_a_number) x = NAN;
    return code & sign ? -x : x;
}

uint8_t e4m3_round(float x) {
    if (isnan(x)) return not_a_number;
    const uint8_t negative = signbit(x) ? sign : 0;
    const float size = fabsf(x) < largest ? fabsf(x) : largest;
    int exponent = size > 0 ? ilogbf(size) : 1 - bias;
    if (exponent < 1 - bias) exponent = 1 - bias;
    /* In units of the last place: 8 to 16, or less for the smallest. A 16 carries into the exponent. */
    const int units = (int)rintf(ldexpf(size, fraction_bits - exponent));
    return (uint8_t)(negative | ((exponent + bias - 1) * 8 + units));
}

void e4m3_round_row(const float *x, int64_t n, uint8_t *codes, float *scale) {
    float high = 0;
    for (int64_t i = 0; i < n; i++) {
        if (fabsf(x[i]) > high) high = fabsf(x[i]);
    }
    const float factor = high < 1e-30f ? 0 : largest / high;
    *scale = high < 1e-30f ? 0 : high / largest;
    for (int64_t i = 0; i < n; i++) {
        codes[i] = e4m3_round(x[i] * factor);
    }
}
