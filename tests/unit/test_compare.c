/*
 * PSNR and SSIM against values that tools/make_compare_golden.py computes with numpy from the definitions.
 */
#include "image/compare.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { max_side = 40 };

typedef struct picture {
    ink_image image;
    uint8_t pixels[max_side * max_side * 3];
} picture;

static int value(int x, int y, int c, int kind) {
    const int base = (x * 7 + y * 5 + c * 40) % 256;
    const int near = base + (x * y + c) % 9;
    switch (kind) {
    case 0:
        return base;
    case 1:
        return near < 255 ? near : 255;
    case 2:
        return 255 - base;
    case 3:
        return 128;
    default:
        return (x * x + 3 * y * y + x * y * c) % 251;
    }
}

static void make_picture(picture *p, int width, int height, int kind) {
    p->image = (ink_image){.width = width, .height = height, .pixels = p->pixels};
    uint8_t *at = p->pixels;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            for (int c = 0; c < 3; c++) {
                *at++ = (uint8_t)value(x, y, c, kind);
            }
        }
    }
}

static void equals_the_definitions(void **state) {
    (void)state;
    static const struct {
        int width, height, kind;
        double psnr, ssim; /* of this kind against kind 0 */
    } rows[] = {
        {11, 11, 1, 35.7475080954, 0.987236612433}, {11, 11, 2, 8.02285884228, -0.602704186362},
        {11, 11, 3, 13.9966882366, 0.247549266578}, {11, 11, 4, 11.5787761089, 0.363567496056},
        {24, 16, 1, 35.2453694069, 0.986061718688}, {24, 16, 2, 5.85905214039, -0.589607918233},
        {24, 16, 3, 11.8941191438, 0.269643545889}, {24, 16, 4, 8.71453732422, 0.0299174100842},
        {37, 29, 1, 35.3662640902, 0.990401982411}, {37, 29, 2, 4.758212245, -0.595573199011},
        {37, 29, 3, 10.7784409998, 0.172924824823}, {37, 29, 4, 7.98556586227, 0.0107953983398},
    };
    static picture a, b;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        make_picture(&a, rows[i].width, rows[i].height, 0);
        make_picture(&b, rows[i].width, rows[i].height, rows[i].kind);
        ink_similarity s;
        assert_int_equal(ink_image_compare(&a.image, &b.image, &s, NULL), INK_OK);
        if (!(fabs(s.psnr - rows[i].psnr) <= 1e-9) || !(fabs(s.ssim - rows[i].ssim) <= 1e-9))
            fail_msg("%d x %d, kind %d: PSNR %.12g, SSIM %.12g", rows[i].width, rows[i].height, rows[i].kind,
                     s.psnr, s.ssim);
        ink_similarity other;
        assert_int_equal(ink_image_compare(&b.image, &a.image, &other, NULL), INK_OK);
        assert_true(fabs(other.psnr - s.psnr) <= 1e-12 && fabs(other.ssim - s.ssim) <= 1e-12);
    }
}

static void equal_pictures(void **state) {
    (void)state;
    static picture a, b;
    for (int kind = 0; kind <= 4; kind++) {
        make_picture(&a, 24, 16, kind);
        make_picture(&b, 24, 16, kind);
        ink_similarity s;
        assert_int_equal(ink_image_compare(&a.image, &b.image, &s, NULL), INK_OK);
        assert_true(isinf(s.psnr) && s.psnr > 0);
        assert_true(fabs(s.ssim - 1) <= 1e-12);
        /* One value that is off by one is seen. */
        b.pixels[24 * 16 * 3 - 1] ^= 1;
        assert_int_equal(ink_image_compare(&a.image, &b.image, &s, NULL), INK_OK);
        assert_true(fabs(s.psnr - 10 * log10(255.0 * 255.0 * 24 * 16 * 3)) <= 1e-9);
    }
}

static void expect_refusal(const ink_image *a, const ink_image *b, const char *words) {
    ink_error error = {0};
    ink_similarity s;
    assert_int_equal(ink_image_compare(a, b, &s, &error), INK_ERROR_ARGUMENT);
    if (!strstr(error.message, words)) fail_msg("'%s' is not in: %s", words, error.message);
}

static void refuses_what_cannot_be_compared(void **state) {
    (void)state;
    static picture a, b;
    make_picture(&a, 24, 16, 0);
    make_picture(&b, 16, 24, 0);
    expect_refusal(&a.image, &b.image, "24 x 16 and 16 x 24");
    make_picture(&b, 24, 17, 0);
    expect_refusal(&a.image, &b.image, "24 x 16 and 24 x 17");
    make_picture(&a, 24, 10, 0);
    make_picture(&b, 24, 10, 0);
    expect_refusal(&a.image, &b.image, "at least 11");
    b.image.pixels = NULL;
    expect_refusal(&a.image, &b.image, "no pixels");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definitions),
        cmocka_unit_test(equal_pictures),
        cmocka_unit_test(refuses_what_cannot_be_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
