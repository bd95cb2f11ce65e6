#include "base/dtype.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const struct {
    const char *name;
    size_t bytes;
} dtypes[INK_DTYPE_COUNT] = {
    [INK_F32] = {"f32", 4}, [INK_BF16] = {"bf16", 2},       [INK_F16] = {"f16", 2},
    [INK_F64] = {"f64", 8}, [INK_F8_E4M3] = {"f8_e4m3", 1}, [INK_F8_E5M2] = {"f8_e5m2", 1},
    [INK_I8] = {"i8", 1},   [INK_I16] = {"i16", 2},         [INK_I32] = {"i32", 4},
    [INK_I64] = {"i64", 8}, [INK_U8] = {"u8", 1},           [INK_U16] = {"u16", 2},
    [INK_U32] = {"u32", 4}, [INK_U64] = {"u64", 8},         [INK_BOOL] = {"bool", 1},
};

size_t ink_dtype_bytes(ink_dtype dtype) {
    return dtypes[dtype].bytes;
}

const char *ink_dtype_name(ink_dtype dtype) {
    return dtypes[dtype].name;
}

int64_t ink_shape_count(const ink_shape *shape) {
    int64_t count = 1;
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dim[i] < 0 || __builtin_mul_overflow(count, shape->dim[i], &count)) return -1;
    }
    return count;
}

int64_t ink_shape_rows(const ink_shape *shape) {
    int64_t rows = 1;
    for (int i = 0; i + 1 < shape->rank; i++) {
        rows *= shape->dim[i];
    }
    return rows;
}

int64_t ink_shape_columns(const ink_shape *shape) {
    return shape->rank > 0 ? shape->dim[shape->rank - 1] : 1;
}

bool ink_shape_equal(const ink_shape *a, const ink_shape *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++) {
        if (a->dim[i] != b->dim[i]) return false;
    }
    return true;
}

ink_shape ink_shape1(int64_t a) {
    return (ink_shape){.rank = 1, .dim = {a}};
}

ink_shape ink_shape2(int64_t a, int64_t b) {
    return (ink_shape){.rank = 2, .dim = {a, b}};
}

ink_shape ink_shape3(int64_t a, int64_t b, int64_t c) {
    return (ink_shape){.rank = 3, .dim = {a, b, c}};
}

ink_shape ink_shape4(int64_t a, int64_t b, int64_t c, int64_t d) {
    return (ink_shape){.rank = 4, .dim = {a, b, c, d}};
}

const char *ink_shape_text(const ink_shape *shape, char text[INK_SHAPE_TEXT_BYTES]) {
    size_t n = 0;
    text[n++] = '[';
    for (int i = 0; i < shape->rank; i++) {
        n += (size_t)snprintf(text + n, INK_SHAPE_TEXT_BYTES - n, "%s%" PRId64, i ? ", " : "", shape->dim[i]);
    }
    snprintf(text + n, INK_SHAPE_TEXT_BYTES - n, "]");
    return text;
}

float ink_f32_from_f16(uint16_t x) {
    const uint32_t sign = (uint32_t)(x & 0x8000u) << 16;
    const uint32_t exponent = (x >> 10) & 31u;
    uint32_t mantissa = x & 1023u;
    uint32_t bits;
    if (exponent == 31) {
        bits = sign | 0x7F800000u | (mantissa << 13);
    } else if (exponent != 0) {
        bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
    } else if (mantissa == 0) {
        bits = sign;
    } else {
        uint32_t shift = 0;
        while (!(mantissa & 1024u)) {
            mantissa <<= 1;
            shift++;
        }
        bits = sign | ((113 - shift) << 23) | ((mantissa & 1023u) << 13);
    }
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

uint16_t ink_f16_from_f32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u);
    if (magnitude >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u); /* rounds to 65536 or more */
    if (magnitude < 0x38800000u) {
        /* Subnormal: let the float adder round. 0.5f has the unit 2^-24 of half subnormals as its last bit.
         */
        float y;
        memcpy(&y, &magnitude, sizeof y);
        y += 0.5f;
        uint32_t rounded;
        memcpy(&rounded, &y, sizeof rounded);
        return (uint16_t)(sign | (rounded - 0x3F000000u));
    }
    const uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
    return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

float ink_element_f32(const void *data, ink_dtype dtype, int64_t i) {
    const char *at = (const char *)data + (size_t)i * ink_dtype_bytes(dtype);
    uint16_t half;
    float single;
    double wide;
    switch (dtype) {
    case INK_F32:
        memcpy(&single, at, sizeof single);
        return single;
    case INK_BF16:
        memcpy(&half, at, sizeof half);
        return ink_f32_from_bf16(half);
    case INK_F16:
        memcpy(&half, at, sizeof half);
        return ink_f32_from_f16(half);
    case INK_F64:
        memcpy(&wide, at, sizeof wide);
        return (float)wide;
    default:
        return NAN;
    }
}
