#include "weights/quantized.h"

#include <inttypes.h>
#include <stdio.h>

enum { name_bytes = 512, word_bits = 32 };

/* The tensor beside `name`: "x.weight" -> "x.scales". */
static const ink_weight *find_beside(const ink_weights *weights, const char *name, const char *ending) {
    static const char weight[] = ".weight";
    const size_t n = strlen(name), tail = sizeof weight - 1;
    char other[name_bytes];
    if (n <= tail || strcmp(name + n - tail, weight) != 0) return NULL;
    const int length = snprintf(other, sizeof other, "%.*s%s", (int)(n - tail), name, ending);
    return length > 0 && length < name_bytes ? ink_weights_find(weights, other) : NULL;
}

static bool is_scale(const ink_weight *w) {
    return w->dtype == INK_F32 || w->dtype == INK_BF16 || w->dtype == INK_F16;
}

/* Bits and group follow from the sizes; false if no known ones do. */
static bool find_sizes(const ink_shape *shape, ink_quantized *q) {
    const ink_shape *numbers = &q->numbers->shape, *scales = &q->scales->shape;
    if (shape->rank != 2 || numbers->rank != 2 || scales->rank != 2 ||
        !ink_shape_equal(scales, &q->biases->shape))
        return false;
    const int64_t outputs = shape->dim[0], inputs = shape->dim[1];
    if (numbers->dim[0] != outputs || scales->dim[0] != outputs || scales->dim[1] < 1) return false;
    if (numbers->dim[1] > INT64_MAX / word_bits || numbers->dim[1] * word_bits % inputs != 0) return false;
    const int64_t bits = numbers->dim[1] * word_bits / inputs, group = inputs / scales->dim[1];
    if ((bits != 4 && bits != 8) || inputs % scales->dim[1] != 0) return false;
    if (group != 32 && group != 64 && group != 128) return false;
    q->bits = (int)bits;
    q->group = group;
    return is_scale(q->scales) && q->biases->dtype == q->scales->dtype;
}

ink_status ink_quantized_find(ink_weights *weights, const char *name, const ink_shape *shape,
                              ink_quantized *q, bool *found, ink_error *error) {
    *q = (ink_quantized){.numbers = ink_weights_find(weights, name)};
    *found = q->numbers && q->numbers->dtype == INK_U32;
    if (!*found) return INK_OK;
    q->scales = find_beside(weights, name, ".scales");
    q->biases = find_beside(weights, name, ".biases");
    if (q->scales && q->biases && find_sizes(shape, q)) {
        INK_TRY(ink_weights_align(weights, &q->numbers, error));
        INK_TRY(ink_weights_align(weights, &q->scales, error));
        return ink_weights_align(weights, &q->biases, error);
    }
    char want[INK_SHAPE_TEXT_BYTES], has[INK_SHAPE_TEXT_BYTES];
    return ink_fail(
        error, INK_ERROR_FORMAT,
        "%s: '%s' is u32 %s, but with its scales and biases it is no quantised matrix %s; 4 and 8 bits in "
        "groups of 32, 64 or 128 can be read",
        ink_weights_path(weights), name, ink_shape_text(&q->numbers->shape, has),
        ink_shape_text(shape, want));
}

void ink_quantized_row(const ink_quantized *q, int64_t o, int64_t columns, float *row) {
    const int64_t per_word = word_bits / q->bits, groups = columns / q->group;
    const uint32_t *words = (const uint32_t *)q->numbers->data + o * (columns / per_word);
    const uint32_t mask = (UINT32_C(1) << q->bits) - 1;
    for (int64_t i = 0; i < columns; i++) {
        const int64_t at = o * groups + i / q->group;
        const uint32_t number = words[i / per_word] >> (i % per_word * q->bits) & mask;
        row[i] = (float)number * ink_element_f32(q->scales->data, q->scales->dtype, at) +
                 ink_element_f32(q->biases->data, q->biases->dtype, at);
    }
}

static int64_t bytes_of(const ink_weight *w) {
    return ink_shape_count(&w->shape) * (int64_t)ink_dtype_bytes(w->dtype);
}

int64_t ink_quantized_bytes(const ink_quantized *q) {
    return bytes_of(q->numbers) + bytes_of(q->scales) + bytes_of(q->biases);
}
