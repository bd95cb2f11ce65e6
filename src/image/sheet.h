/*
 * Contact sheets: pictures of one size in a grid, with words around them.
 */
#ifndef INK_IMAGE_SHEET_H
#define INK_IMAGE_SHEET_H

#include "base/status.h"

typedef struct ink_sheet_layout {
    int rows, columns;
    int width, height; /* of a picture, before it is shrunk */
    int shrink;        /* a picture is shown at 1/shrink of its sides, which it must divide */
    int caption_lines; /* below each picture */
    bool headers;      /* a line above each column */
    bool titles;       /* a line above each row, as long as the row */
} ink_sheet_layout;

typedef struct ink_sheet {
    ink_sheet_layout layout;
    int scale; /* of the letters: they grow with the pictures */
    int gap;
    ink_image image; /* the sheet; its pixels are owned */
} ink_sheet;

/* Letters that have room below a picture of the layout. */
size_t ink_sheet_caption_columns(const ink_sheet_layout *layout);

/* Makes an empty sheet; free it with ink_sheet_free, also after a failure.
 * Errors: INK_ERROR_ARGUMENT (a side that is too long for a PNG, or that shrink does not divide),
 * INK_ERROR_MEMORY. */
ink_status ink_sheet_init(ink_sheet *sheet, const ink_sheet_layout *layout, ink_error *error);
void ink_sheet_free(ink_sheet *sheet);

/* Put words and pictures in their places. Words that have no room end with three dots. */
void ink_sheet_header(ink_sheet *sheet, int column, const char *text);
void ink_sheet_title(ink_sheet *sheet, int row, const char *text);
void ink_sheet_caption(ink_sheet *sheet, int row, int column, const char *text);
void ink_sheet_picture(ink_sheet *sheet, int row, int column, const ink_image *picture);

#endif
