#include "models/layout.h"

#include <inttypes.h>
#include <stdlib.h>

static int64_t ceil_half(int64_t n) {
    return n - n / 2;
}

static void place_text(ink_layout *l, int64_t segment, int64_t pass, int64_t prompt_begin) {
    const int64_t half_height = l->grid_height / 2, half_width = l->grid_width / 2;
    const int64_t start = half_height > half_width ? half_height : half_width;
    for (int64_t j = 0; j < l->text_tokens[pass]; j++) {
        const int64_t row = l->segments[segment].begin[0] + j;
        l->text_source[row] = (int32_t)(prompt_begin + j);
        for (int axis = 0; axis < 3; axis++) {
            l->text_positions[3 * row + axis] = (int32_t)(start + j);
        }
    }
}

static void place_image(ink_layout *l, int64_t segment, int64_t picture) {
    for (int64_t i = 0; i < l->image_tokens; i++) {
        const int64_t row = l->segments[segment].begin[1] + i;
        l->image_source[row] = (int32_t)(picture * l->image_tokens + i);
        l->image_positions[3 * row] = 0;
        l->image_positions[3 * row + 1] = (int32_t)(i / l->grid_width - ceil_half(l->grid_height));
        l->image_positions[3 * row + 2] = (int32_t)(i % l->grid_width - ceil_half(l->grid_width));
    }
}

static void place_segments(ink_layout *l) {
    int64_t text_row = 0, prompt_begin = 0;
    for (int64_t pass = 0; pass < l->passes; pass++) {
        for (int64_t picture = 0; picture < l->pictures; picture++) {
            const int64_t segment = pass * l->pictures + picture;
            l->segments[segment] = (ink_segment){.begin = {text_row, segment * l->image_tokens},
                                                 .length = {l->text_tokens[pass], l->image_tokens}};
            place_text(l, segment, pass, prompt_begin);
            place_image(l, segment, picture);
            text_row += l->text_tokens[pass];
        }
        prompt_begin += l->text_tokens[pass];
    }
}

ink_status ink_layout_init(ink_layout *l, int64_t pictures, int64_t passes, const int64_t *text_tokens,
                           int64_t grid_height, int64_t grid_width, ink_error *error) {
    *l = (ink_layout){
        .pictures = pictures, .passes = passes, .grid_height = grid_height, .grid_width = grid_width};
    l->image_tokens = grid_height * grid_width;
    for (int64_t pass = 0; pass < passes; pass++) {
        l->text_tokens[pass] = text_tokens[pass];
        l->prompt_rows += text_tokens[pass];
    }
    l->text_rows = pictures * l->prompt_rows;
    l->n_segments = passes * pictures;
    l->image_rows = l->n_segments * l->image_tokens;
    if (l->image_rows > INT32_MAX / 4 || l->text_rows > INT32_MAX / 4) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "%" PRId64 " image tokens in one batch are too many",
                        l->image_rows);
    }
    const size_t text = (size_t)l->text_rows, image = (size_t)l->image_rows;
    l->segments = calloc((size_t)l->n_segments, sizeof *l->segments);
    l->text_source = calloc(text, sizeof *l->text_source);
    l->image_source = calloc(image, sizeof *l->image_source);
    l->text_positions = calloc(3 * text, sizeof *l->text_positions);
    l->image_positions = calloc(3 * image, sizeof *l->image_positions);
    if (!l->segments || !l->text_source || !l->image_source || !l->text_positions || !l->image_positions) {
        ink_layout_fini(l);
        return ink_fail_memory(error, "the token layout", (text + image) * 4 * sizeof(int32_t));
    }
    place_segments(l);
    return INK_OK;
}

void ink_layout_fini(ink_layout *l) {
    free(l->segments);
    free(l->text_source);
    free(l->image_source);
    free(l->text_positions);
    free(l->image_positions);
    *l = (ink_layout){0};
}
