#include "image/sheet.h"

#include "image/caption.h"

#include <stdlib.h>
#include <string.h>

enum { max_side = 1000000 /* of a PNG */, pixels_per_scale = 256, max_scale = 8, plain_gap = 6 };

static int scale_of(const ink_sheet_layout *layout) {
    const int scale = layout->width / layout->shrink / pixels_per_scale;
    return scale < 1 ? 1 : scale > max_scale ? max_scale : scale;
}

size_t ink_sheet_caption_columns(const ink_sheet_layout *layout) {
    const int columns = layout->width / layout->shrink / (ink_caption_advance * scale_of(layout));
    return columns > 0 ? (size_t)columns : 1;
}

/* Pixels that n lines take, with a little room below them. */
static int lines_height(const ink_sheet *sheet, int n) {
    return n * ink_caption_line * sheet->scale;
}

static int header_height(const ink_sheet *sheet) {
    return sheet->layout.headers ? lines_height(sheet, 1) + sheet->gap : 0;
}

static int title_height(const ink_sheet *sheet) {
    return sheet->layout.titles ? lines_height(sheet, 1) + sheet->gap / 2 : 0;
}

static int row_height(const ink_sheet *sheet) {
    const ink_sheet_layout *l = &sheet->layout;
    return title_height(sheet) + l->height / l->shrink +
           (l->caption_lines ? sheet->gap / 2 + lines_height(sheet, l->caption_lines) : 0) + sheet->gap;
}

static int left_of(const ink_sheet *sheet, int column) {
    return sheet->gap + column * (sheet->layout.width / sheet->layout.shrink + sheet->gap);
}

static int top_of(const ink_sheet *sheet, int row) {
    return sheet->gap + header_height(sheet) + row * row_height(sheet);
}

ink_status ink_sheet_init(ink_sheet *sheet, const ink_sheet_layout *layout, ink_error *error) {
    *sheet = (ink_sheet){.layout = *layout, .scale = scale_of(layout)};
    sheet->gap = plain_gap * sheet->scale;
    if (layout->width % layout->shrink != 0 || layout->height % layout->shrink != 0) {
        return ink_fail(error, INK_ERROR_ARGUMENT,
                        "pictures of %d x %d pixels cannot be shrunk %d times: it must divide both sides",
                        layout->width, layout->height, layout->shrink);
    }
    /* In 64 bits, because the limit has not been checked yet. */
    const int64_t width =
        sheet->gap + (int64_t)layout->columns * (layout->width / layout->shrink + sheet->gap);
    const int64_t height = sheet->gap + header_height(sheet) + (int64_t)layout->rows * row_height(sheet);
    if (width > max_side || height > max_side) {
        return ink_fail(error, INK_ERROR_ARGUMENT,
                        "the sheet would have %lld x %lld pixels, and %d is the longest side of a PNG: take "
                        "fewer or smaller pictures",
                        (long long)width, (long long)height, max_side);
    }
    size_t bytes;
    if (!ink_size_mul((size_t)width, (size_t)height, &bytes) || !ink_size_mul(bytes, 3, &bytes))
        return ink_fail_memory(error, "a contact sheet", SIZE_MAX);
    sheet->image = (ink_image){.width = (int)width, .height = (int)height, .pixels = malloc(bytes)};
    if (!sheet->image.pixels) return ink_fail_memory(error, "a contact sheet", bytes);
    memset(sheet->image.pixels, 255, bytes);
    return INK_OK;
}

void ink_sheet_free(ink_sheet *sheet) {
    free(sheet->image.pixels);
    sheet->image.pixels = NULL;
}

void ink_sheet_header(ink_sheet *sheet, int column, const char *text) {
    const ink_caption_box box = {.x = left_of(sheet, column),
                                 .y = sheet->gap,
                                 .width = sheet->layout.width / sheet->layout.shrink,
                                 .max_lines = 1,
                                 .scale = sheet->scale,
                                 .centred = true};
    ink_caption_draw(&sheet->image, &box, text);
}

void ink_sheet_title(ink_sheet *sheet, int row, const char *text) {
    const ink_caption_box box = {.x = sheet->gap,
                                 .y = top_of(sheet, row),
                                 .width = sheet->image.width - 2 * sheet->gap,
                                 .max_lines = 1,
                                 .scale = sheet->scale};
    ink_caption_draw(&sheet->image, &box, text);
}

void ink_sheet_caption(ink_sheet *sheet, int row, int column, const char *text) {
    const ink_sheet_layout *l = &sheet->layout;
    const ink_caption_box box = {.x = left_of(sheet, column),
                                 .y = top_of(sheet, row) + title_height(sheet) + l->height / l->shrink +
                                      sheet->gap / 2,
                                 .width = l->width / l->shrink,
                                 .max_lines = l->caption_lines,
                                 .scale = sheet->scale,
                                 .centred = true};
    ink_caption_draw(&sheet->image, &box, text);
}

/* The mean of the shrink x shrink pixels that become one. */
static uint8_t mean_of(const ink_image *picture, int x, int y, int channel, int shrink) {
    unsigned sum = 0;
    for (int i = 0; i < shrink; i++) {
        const size_t row = (size_t)y * (size_t)shrink + (size_t)i;
        const uint8_t *at =
            picture->pixels + (row * (size_t)picture->width + (size_t)x * (size_t)shrink) * 3 + channel;
        for (int j = 0; j < shrink; j++) {
            sum += at[3 * j];
        }
    }
    const unsigned n = (unsigned)(shrink * shrink);
    return (uint8_t)((sum + n / 2) / n);
}

void ink_sheet_picture(ink_sheet *sheet, int row, int column, const ink_image *picture) {
    const int shrink = sheet->layout.shrink;
    const int width = sheet->layout.width / shrink, height = sheet->layout.height / shrink;
    const size_t left = (size_t)left_of(sheet, column);
    const int top = top_of(sheet, row) + title_height(sheet);
    for (int y = 0; y < height; y++) {
        uint8_t *out = sheet->image.pixels + ((size_t)(top + y) * (size_t)sheet->image.width + left) * 3;
        for (int x = 0; x < width; x++) {
            for (int c = 0; c < 3; c++) {
                *out++ = mean_of(picture, x, y, c, shrink);
            }
        }
    }
}
