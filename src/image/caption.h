/*
 * Small text in pictures, for contact sheets.
 *
 * The letters are a table of 95 glyphs of 5 x 9 pixels. A font library would draw any script, but it brings a
 * dependency and a font of the system, with which the same command would give other pictures on other
 * machines. What the table does not hold, the caller names otherwise.
 */
#ifndef INK_IMAGE_CAPTION_H
#define INK_IMAGE_CAPTION_H

#include "inkstone.h"

enum {
    ink_caption_advance = 6 /* pixels from letter to letter */,
    ink_caption_line = 11 /* from line to line */
};

/* Whether all of `text` can be drawn: printable ASCII. */
bool ink_caption_can_show(const char *text);

/* Lines that `text` takes if a line has room for `columns` letters, at least 1; lines are broken at blanks,
 * and inside of words that are longer than a line. */
size_t ink_caption_lines(const char *text, size_t columns);

typedef struct ink_caption_box {
    int x, y;      /* upper left corner */
    int width;     /* pixels; at least one letter has room */
    int max_lines; /* text beyond them is left out, and three dots say so */
    int scale;     /* pixels per pixel of the table */
    bool centred;  /* in `width` */
} ink_caption_box;

/* Draws `text`, dark, into `canvas`. What is outside of the canvas is left out. */
void ink_caption_draw(ink_image *canvas, const ink_caption_box *box, const char *text);

#endif
