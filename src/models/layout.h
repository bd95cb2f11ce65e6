/*
 * How the tokens of one denoising batch are packed: several pictures of one size, each with one pass (the
 * prompt) or two (prompt and negative prompt). Every (pass, picture) is a segment of its own; there is no
 * padding.
 *
 *   segments   pass 0 of picture 0, pass 0 of picture 1, ..., pass 1 of picture 0, ...
 *   text rows  of the segments one after the other: text_tokens[pass] rows each
 *   image rows of the segments one after the other: grid_height * grid_width rows each, row by row
 */
#ifndef INK_MODELS_LAYOUT_H
#define INK_MODELS_LAYOUT_H

#include "graph/ops.h"

#define INK_MAX_PASSES 2

typedef struct ink_layout {
    int64_t pictures, passes;
    int64_t text_tokens[INK_MAX_PASSES]; /* of each pass's prompt */
    int64_t grid_height, grid_width;     /* image tokens of a picture */
    /* derived */
    int64_t image_tokens;     /* grid_height * grid_width */
    int64_t prompt_rows;      /* rows of the packed prompts: sum of text_tokens */
    int64_t text_rows;        /* pictures * prompt_rows */
    int64_t image_rows;       /* passes * pictures * image_tokens */
    int64_t n_segments;       /* passes * pictures */
    ink_segment *segments;    /* [n_segments], stream 0 text, stream 1 image */
    int32_t *text_source;     /* [text_rows], row of the packed prompts that each text row begins as */
    int32_t *image_source;    /* [image_rows], row of the latents that each image row begins as */
    int32_t *text_positions;  /* [text_rows, 3]: frame, row, column */
    int32_t *image_positions; /* [image_rows, 3] */
} ink_layout;

/* Fills the layout. Positions: an image token in row r, column c is at (0, r - ceil(H/2), c - ceil(W/2));
 * text token j is at (s + j) on all axes, s = max(floor(H/2), floor(W/2)). ref: diffusers
 * transformer_qwenimage.py, QwenEmbedRope. Errors: INK_ERROR_MEMORY, INK_ERROR_ARGUMENT if there are too many
 * tokens. Free with ink_layout_fini. */
ink_status ink_layout_init(ink_layout *layout, int64_t pictures, int64_t passes, const int64_t *text_tokens,
                           int64_t grid_height, int64_t grid_width, ink_error *error);
void ink_layout_fini(ink_layout *layout);

#endif
