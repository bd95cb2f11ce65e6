/*
 * Element types and shapes, shared by every room.
 */
#ifndef INK_BASE_DTYPE_H
#define INK_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum ink_dtype {
    INK_F32 = 0,
    INK_BF16,
    INK_F16,
    INK_F64,
    INK_F8_E4M3,
    INK_F8_E5M2,
    INK_I8,
    INK_I16,
    INK_I32,
    INK_I64,
    INK_U8,
    INK_U16,
    INK_U32,
    INK_U64,
    INK_BOOL,
    INK_DTYPE_COUNT
} ink_dtype;

#define INK_MAX_RANK 5

/* dim[0] is the slowest. A scalar has rank 0. Unused dims are 0. */
typedef struct ink_shape {
    int rank;
    int64_t dim[INK_MAX_RANK];
} ink_shape;

/* Bytes of one element. */
size_t ink_dtype_bytes(ink_dtype dtype);

/* "f32", "bf16", ... Static storage. */
const char *ink_dtype_name(ink_dtype dtype);

/* Number of elements; -1 if a dim is negative or the product does not fit in int64_t. */
int64_t ink_shape_count(const ink_shape *shape);

/* All dims but the last, multiplied: the number of rows when a tensor is read as a matrix. 1 for rank 0
 * and 1. */
int64_t ink_shape_rows(const ink_shape *shape);
/* The last dim; 1 for rank 0. */
int64_t ink_shape_columns(const ink_shape *shape);

bool ink_shape_equal(const ink_shape *a, const ink_shape *b);

ink_shape ink_shape1(int64_t a);
ink_shape ink_shape2(int64_t a, int64_t b);
ink_shape ink_shape3(int64_t a, int64_t b, int64_t c);
ink_shape ink_shape4(int64_t a, int64_t b, int64_t c, int64_t d);

/* Text such as "[20, 96]" for messages; cut to `size` bytes. Returns `text`. */
#define INK_SHAPE_TEXT_BYTES 112
const char *ink_shape_text(const ink_shape *shape, char text[INK_SHAPE_TEXT_BYTES]);

/* Widening is exact; narrowing rounds to nearest, ties to even (NaN stays NaN). */
static inline float ink_f32_from_bf16(uint16_t x) {
    const uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

static inline uint16_t ink_bf16_from_f32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

float ink_f32_from_f16(uint16_t x);
uint16_t ink_f16_from_f32(float x);

/* Widens element i of an array of f32, bf16, f16 or f64; other types give NaN. `data` needs no alignment. */
float ink_element_f32(const void *data, ink_dtype dtype, int64_t i);

#endif
