/*
 * Random shapes and values for the kernel tests. The same seed draws the same.
 */
#include "harness.h"

#include <math.h>
#include <stdlib.h>

/* splitmix64 */
static uint64_t draw_bits(trial *t) {
    uint64_t z = t->random += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

int64_t draw_int(trial *t, int64_t low, int64_t high) {
    return low + (int64_t)(draw_bits(t) % (uint64_t)(high - low + 1));
}

bool draw_chance(trial *t, int one_in) {
    return draw_int(t, 1, one_in) == 1;
}

static double draw_uniform(trial *t) {
    return ((double)(draw_bits(t) >> 11) + 0.5) / 9007199254740992.0;
}

float draw_float(trial *t, float low, float high) {
    return low + (high - low) * (float)draw_uniform(t);
}

static double draw_normal(trial *t) {
    const double radius = sqrt(-2 * log(draw_uniform(t)));
    return radius * cos(6.283185307179586 * draw_uniform(t));
}

int64_t draw_length(trial *t, int64_t most) {
    int64_t length = draw_int(t, 1, most < 20 ? most : 20);
    if (most > 8 && draw_chance(t, 3)) {
        length = 8;
        while (length * 2 <= most && !draw_chance(t, 3)) {
            length *= 2;
        }
        length += draw_int(t, -1, 1);
    } else if (draw_chance(t, 6)) {
        length = draw_int(t, 1, most);
    }
    return length > most ? most : length;
}

values draw_values(trial *t, unsigned allowed) {
    if (!draw_chance(t, 3) && (allowed & VALUES_NORMAL)) return VALUES_NORMAL;
    for (;;) {
        const unsigned kind = 1u << draw_int(t, 0, 5);
        if (kind & allowed) return (values)kind;
    }
}

ink_shape draw_shape(trial *t, int64_t rows, int64_t columns) {
    if (rows == 1 && draw_chance(t, 2)) return ink_shape1(columns);
    if (rows < 2 || !draw_chance(t, 3)) return ink_shape2(rows, columns);
    const int64_t first = draw_int(t, 1, rows);
    return ink_shape3(first, (rows + first - 1) / first, columns);
}

static float draw_value(trial *t, values kind) {
    switch (kind) {
    case VALUES_HUGE:
        return (float)(5e7 * draw_normal(t));
    case VALUES_TINY:
        return (float)(1e-20 * draw_normal(t));
    case VALUES_OFFSET:
        return (float)(1000 + draw_normal(t));
    case VALUES_UNIT:
        return draw_float(t, -0.25f, 1.25f);
    default:
        return (float)draw_normal(t);
    }
}

static const float specials[] = {NAN, INFINITY, -INFINITY};

void draw_floats(trial *t, float *to, int64_t count, values kind) {
    for (int64_t i = 0; i < count; i++) {
        to[i] = draw_value(t, kind);
    }
    if (kind != VALUES_SPECIAL) return;
    const int64_t n = draw_int(t, 1, 3 + count / 300);
    for (int64_t i = 0; i < n; i++) {
        to[draw_int(t, 0, count - 1)] = specials[draw_int(t, 0, 2)];
    }
}

void draw_weights(trial *t, void *to, ink_dtype dtype, int64_t count, float deviation) {
    for (int64_t i = 0; i < count; i++) {
        const float x = (float)(deviation * draw_normal(t));
        if (dtype == INK_F32) {
            memcpy((char *)to + i * 4, &x, 4);
        } else {
            const uint16_t half = dtype == INK_BF16 ? ink_bf16_from_f32(x) : ink_f16_from_f32(x);
            memcpy((char *)to + i * 2, &half, 2);
        }
    }
}

int32_t *new_groups(trial *t, int64_t rows, int64_t groups) {
    if (groups == 1 && draw_chance(t, 2)) return NULL;
    int32_t *group = malloc((size_t)rows * sizeof *group);
    for (int64_t r = 0; group && r < rows; r++) {
        group[r] = (int32_t)draw_int(t, 0, groups - 1);
    }
    return group;
}
