/*
 * Contact sheets: letters, line breaks, and pictures and words in their places.
 */
#include "image/caption.h"
#include "image/sheet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { side = 64 };

typedef struct canvas {
    ink_image image;
    uint8_t pixels[side * side * 3];
} canvas;

static void clear(canvas *c) {
    c->image = (ink_image){.width = side, .height = side, .pixels = c->pixels};
    memset(c->pixels, 255, sizeof c->pixels);
}

static bool dark(const ink_image *image, int x, int y) {
    return image->pixels[(y * image->width + x) * 3] < 128;
}

/* Dark pixels of the rectangle from x, y up to, without, right, bottom. */
static int count_dark(const ink_image *image, int x, int y, int right, int bottom) {
    int n = 0;
    for (int row = y; row < bottom; row++) {
        for (int column = x; column < right; column++) {
            n += dark(image, column, row);
        }
    }
    return n;
}

/* "Lg": one letter without and one with a tail below the baseline. */
static const char *const shape[] = {
    "#..........", "#..........", "#......####", "#.....#...#", "#.....#...#",
    "#.....#...#", "#####..####", "..........#", ".......###.",
};
enum { shape_width = 11, shape_height = 9 };

/* The canvas shows the shape at x, y and nothing else. */
static void expect_shape(const canvas *c, int x, int y, int scale) {
    int n = 0;
    for (int row = 0; row < shape_height * scale; row++) {
        for (int column = 0; column < shape_width * scale; column++) {
            const bool wanted = shape[row / scale][column / scale] == '#';
            if (dark(&c->image, x + column, y + row) != wanted) fail_msg("row %d, column %d", row, column);
            n += wanted;
        }
    }
    assert_int_equal(count_dark(&c->image, 0, 0, side, side), n);
}

static void letters_have_their_shape(void **state) {
    (void)state;
    static canvas c;
    clear(&c);
    ink_caption_draw(&c.image, &(ink_caption_box){.x = 3, .y = 5, .width = 30, .max_lines = 1, .scale = 1},
                     "Lg");
    expect_shape(&c, 3, 5, 1);
    clear(&c);
    ink_caption_draw(&c.image, &(ink_caption_box){.x = 3, .y = 5, .width = 60, .max_lines = 1, .scale = 3},
                     "Lg");
    expect_shape(&c, 3, 5, 3);
    clear(&c);
    ink_caption_draw(
        &c.image,
        &(ink_caption_box){.x = 2, .y = 1, .width = 31, .max_lines = 1, .scale = 1, .centred = true}, " Lg");
    expect_shape(&c, 12, 1, 1);
}

static void what_is_outside_is_left_out(void **state) {
    (void)state;
    static canvas c;
    clear(&c);
    /* The canvas is the middle of the pixels: what is written above and below it shows. */
    const int margin = 16;
    ink_image middle = {
        .width = side, .height = side - 2 * margin, .pixels = c.pixels + (size_t)margin * side * 3};
    const ink_caption_box low = {.x = side - 9, .y = 26, .width = 60, .max_lines = 3, .scale = 2};
    ink_caption_draw(&middle, &low, "HHHHHH HHHHHH HHHHHH");
    assert_true(count_dark(&middle, side - 9, 26, side, middle.height) > 0);
    assert_int_equal(count_dark(&middle, 0, 0, side - 9, middle.height), 0);
    const ink_caption_box high = {.x = -7, .y = -3, .width = 60, .max_lines = 1, .scale = 2};
    ink_caption_draw(&middle, &high, "HH");
    assert_true(count_dark(&middle, 0, 0, 9, 9) > 0);
    assert_int_equal(count_dark(&c.image, 0, 0, side, margin), 0);
    assert_int_equal(count_dark(&c.image, 0, side - margin, side, side), 0);
}

static void every_letter_is_there(void **state) {
    (void)state;
    static canvas c;
    char text[2] = "";
    for (int letter = ' ' + 1; letter <= '~'; letter++) {
        text[0] = (char)letter;
        clear(&c);
        ink_caption_draw(&c.image, &(ink_caption_box){.width = 6, .max_lines = 1, .scale = 1}, text);
        if (count_dark(&c.image, 0, 0, 5, 9) == 0) fail_msg("'%c' is blank", letter);
        assert_true(ink_caption_can_show(text));
    }
    assert_true(ink_caption_can_show(""));
    assert_false(ink_caption_can_show("a\tb"));
    assert_false(ink_caption_can_show("\x7F"));
    assert_false(ink_caption_can_show("caf\xC3\xA9"));
}

static void lines_are_broken_at_blanks(void **state) {
    (void)state;
    assert_int_equal(ink_caption_lines("", 10), 0);
    assert_int_equal(ink_caption_lines("a red", 5), 1);
    assert_int_equal(ink_caption_lines("a red apple", 5), 2);
    assert_int_equal(ink_caption_lines("a red apple", 4), 4); /* a / red / appl / e */
    assert_int_equal(ink_caption_lines("a  red  ", 3), 2);
    assert_int_equal(ink_caption_lines("abcdef", 1), 6);
    assert_int_equal(ink_caption_lines("abcdef g", 6), 2);
}

static void what_has_no_room_ends_with_dots(void **state) {
    (void)state;
    static canvas cut, dots;
    clear(&cut);
    clear(&dots);
    const ink_caption_box box = {.width = 6 * 7, .max_lines = 2, .scale = 1};
    ink_caption_draw(&cut.image, &box, "a red apple and a pear");
    ink_caption_draw(&dots.image, &box, "a red appl...");
    assert_memory_equal(cut.pixels, dots.pixels, sizeof cut.pixels);
    clear(&dots);
    ink_caption_draw(&dots.image, &box, "a red apple"); /* and what has room does not */
    assert_memory_not_equal(cut.pixels, dots.pixels, sizeof cut.pixels);
}

/* ------------------------------------------------------------------------------------------------------------
 * Sheets
 */

/* How many pixels of the sheet have this red and a green of 200, and where the first of them is. */
static void find_colour(const ink_image *image, uint8_t red, int *x, int *y, int *pixels) {
    *pixels = 0;
    for (int row = 0; row < image->height; row++) {
        for (int column = 0; column < image->width; column++) {
            const uint8_t *at = image->pixels + (row * image->width + column) * 3;
            if (at[0] != red || at[1] != 200) continue;
            if ((*pixels)++ == 0) {
                *x = column;
                *y = row;
            }
        }
    }
}

/* 2 x 3 pictures of 32 x 16 pixels at half their sides, each of one colour, with all words. */
static void pictures_and_words_have_their_places(void **state) {
    (void)state;
    static uint8_t pixels[32 * 16 * 3];
    const ink_image picture = {.width = 32, .height = 16, .pixels = pixels};
    const ink_sheet_layout layout = {.rows = 2,
                                     .columns = 3,
                                     .width = 32,
                                     .height = 16,
                                     .shrink = 2,
                                     .caption_lines = 2,
                                     .headers = true,
                                     .titles = true};
    ink_sheet sheet;
    assert_int_equal(ink_sheet_init(&sheet, &layout, NULL), INK_OK);
    assert_int_equal(ink_sheet_caption_columns(&layout), 2);
    int last_x = 0, last_y = 0;
    for (int i = 0; i < 6; i++) {
        for (int p = 0; p < 32 * 16; p++) {
            /* The mean of each square of four is 100 + i, 200, 50. */
            pixels[3 * p] = (uint8_t)(100 + i + (p % 2 ? 3 : -3));
            pixels[3 * p + 1] = (uint8_t)(p / 32 % 2 ? 190 : 210);
            pixels[3 * p + 2] = 50;
        }
        ink_sheet_picture(&sheet, i / 3, i % 3, &picture);
        int x = 0, y = 0, n;
        find_colour(&sheet.image, (uint8_t)(100 + i), &x, &y, &n);
        assert_int_equal(n, 16 * 8);
        assert_true(i % 3 == 0 ? y > last_y + 8 : y == last_y && x >= last_x + 16);
        /* Words are drawn above and below the pictures and leave them whole. */
        const int before = count_dark(&sheet.image, 0, 0, sheet.image.width, sheet.image.height);
        ink_sheet_caption(&sheet, i / 3, i % 3, "L L");
        assert_true(count_dark(&sheet.image, x, y + 8, x + 16, sheet.image.height) > 10);
        if (i % 3 == 0) {
            ink_sheet_title(&sheet, i / 3, "L");
            assert_true(count_dark(&sheet.image, 0, last_y, sheet.image.width, y) > 5);
        }
        if (i < 3) ink_sheet_header(&sheet, i, "L");
        assert_true(count_dark(&sheet.image, 0, 0, sheet.image.width, sheet.image.height) > before);
        find_colour(&sheet.image, (uint8_t)(100 + i), &x, &y, &n);
        assert_int_equal(n, 16 * 8);
        last_x = x;
        last_y = y;
    }
    ink_sheet_free(&sheet);
}

static void refuses_what_no_png_can_hold(void **state) {
    (void)state;
    const struct {
        ink_sheet_layout layout;
        const char *words;
    } cases[] = {
        {{.rows = 1, .columns = 30000, .width = 64, .height = 64, .shrink = 1}, "longest side of a PNG"},
        {{.rows = INT32_MAX, .columns = 1, .width = 8192, .height = 8192, .shrink = 1}, "longest side"},
        {{.rows = 1, .columns = 1, .width = 16, .height = 32, .shrink = 3},
         "16 x 32 pixels cannot be shrunk 3"},
        {{.rows = 1, .columns = 1, .width = 32, .height = 16, .shrink = 32}, "cannot be shrunk 32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ink_error error = {0};
        ink_sheet sheet;
        assert_int_equal(ink_sheet_init(&sheet, &cases[i].layout, &error), INK_ERROR_ARGUMENT);
        if (!strstr(error.message, cases[i].words)) fail_msg("'%s': %s", cases[i].words, error.message);
        ink_sheet_free(&sheet);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_have_their_shape),
        cmocka_unit_test(what_is_outside_is_left_out),
        cmocka_unit_test(every_letter_is_there),
        cmocka_unit_test(lines_are_broken_at_blanks),
        cmocka_unit_test(what_has_no_room_ends_with_dots),
        cmocka_unit_test(pictures_and_words_have_their_places),
        cmocka_unit_test(refuses_what_no_png_can_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
