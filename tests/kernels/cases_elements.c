/*
 * Cases: element by element, and the operations of the denoising loop.
 */
#include "cases.h"

#include <stdlib.h>

static ink_value draw_x(trial *t, int64_t rows, int64_t columns) {
    return new_activation(t, draw_shape(t, draw_length(t, rows), draw_length(t, columns)),
                          draw_values(t, VALUES_ANY));
}

static ink_value like(trial *t, ink_value x) {
    return new_activation(t, ink_value_shape(t->graph, x), draw_values(t, VALUES_ANY));
}

/* Now and then both inputs are the same value: in place, all three are then the same memory. */
static void record_add(trial *t) {
    const ink_value x = draw_x(t, 60, 300);
    ink_add(t->graph, x, draw_chance(t, 5) ? x : like(t, x));
}

static void record_gated_add(trial *t) {
    const int64_t groups = draw_int(t, 1, 4);
    const ink_value x = draw_x(t, 40, 300);
    const ink_shape shape = ink_value_shape(t->graph, x);
    const int64_t columns = ink_shape_columns(&shape), width = columns + draw_int(t, 0, 2 * columns);
    const ink_shape table = groups == 1 && draw_chance(t, 2) ? ink_shape1(width) : ink_shape2(groups, width);
    const ink_value mod = new_activation(t, table, VALUES_NORMAL);
    int32_t *row_groups = new_groups(t, ink_shape_rows(&shape), groups);
    const ink_value y = like(t, x);
    ink_gated_add(t->graph, x, mod, draw_int(t, 0, width - columns), y, row_groups);
    free(row_groups);
}

static double tolerate_gated_add(trial *t, int result, int64_t index, double want) {
    (void)result;
    return unit() * (fabs(x_at(t, 0, index)) + 2 * fabs(want - x_at(t, 0, index)));
}

static void record_silu(trial *t) {
    ink_silu(t->graph, draw_x(t, 60, 300));
}

static double tolerate_silu(trial *t, int result, int64_t index, double want) {
    (void)result, (void)want;
    return 4 * unit() * fabs(x_at(t, 0, index));
}

static void record_silu_mul(trial *t) {
    const ink_value x = draw_x(t, 60, 300);
    ink_silu_mul(t->graph, x, draw_chance(t, 5) ? x : like(t, x));
}

static double tolerate_silu_mul(trial *t, int result, int64_t index, double want) {
    (void)result, (void)want;
    return 5 * unit() * fabs(x_at(t, 0, index) * x_at(t, 1, index));
}

static void record_channel_affine(trial *t) {
    const ink_value x = draw_x(t, 60, 200);
    const ink_shape shape = ink_value_shape(t->graph, x);
    const ink_shape channels = ink_shape1(ink_shape_columns(&shape));
    const ink_value scale = new_activation(t, channels, VALUES_NORMAL);
    ink_channel_affine(t->graph, x, scale, new_activation(t, channels, VALUES_NORMAL));
}

static double tolerate_channel_affine(trial *t, int result, int64_t index, double want) {
    (void)result, (void)want;
    const int64_t c = index % columns_of(&t->in[0]);
    return unit() * (fabs(x_at(t, 0, index) * x_at(t, 1, c)) + fabs(x_at(t, 2, c)));
}

static void record_affine_clamp(trial *t) {
    const float low = draw_float(t, -3, 0);
    ink_affine_clamp(t->graph, draw_x(t, 60, 200), draw_float(t, -2, 2), draw_float(t, -1, 1), low,
                     low + draw_float(t, 0, 3));
}

static double tolerate_affine_clamp(trial *t, int result, int64_t index, double want) {
    (void)result, (void)want;
    return unit() * (fabs(x_at(t, 0, index) * t->node->params.affine.scale) +
                     fabs((double)t->node->params.affine.offset));
}

/* Exactly half of a level, and other values where a wrong rounding shows. */
static void record_to_u8(trial *t) {
    const ink_value x = new_activation(t, draw_shape(t, draw_length(t, 60), draw_length(t, 200)),
                                       draw_chance(t, 3) ? VALUES_SPECIAL : VALUES_UNIT);
    const ink_shape shape = ink_value_shape(t->graph, x);
    float *data = (float *)(void *)t->inputs[x.id].data;
    for (int64_t i = 0; i < ink_shape_count(&shape); i += 3) {
        data[i] = ((float)draw_int(t, 0, 255) + 0.5f) / 255.0f;
    }
    ink_to_u8(t->graph, x);
}

static void record_stats(trial *t) {
    const ink_shape shape = draw_shape(t, draw_length(t, 100), draw_length(t, 300));
    const ink_value x = new_activation(t, shape, draw_values(t, VALUES_ANY));
    float *data = (float *)(void *)t->inputs[x.id].data;
    const bool nothing_finite = draw_chance(t, 8);
    for (int64_t i = 0; nothing_finite && i < ink_shape_count(&shape); i++) {
        data[i] = draw_chance(t, 2) ? NAN : INFINITY;
    }
    ink_stats(t->graph, x);
}

static double tolerate_stats(trial *t, int result, int64_t index, double want) {
    (void)t, (void)result;
    return index == 2 ? 2 * unit() * fabs(want) : 0; /* minimum, maximum and count are exact */
}

static void record_guidance(trial *t) {
    const int64_t rows = draw_length(t, 40), columns = draw_length(t, 200);
    const ink_value v = new_activation(t, ink_shape2(2 * rows, columns),
                                       draw_values(t, VALUES_NORMAL | VALUES_OFFSET | VALUES_SPECIAL));
    float *data = (float *)(void *)t->inputs[v.id].data;
    if (draw_chance(t, 4)) memset(data, 0, (size_t)columns * sizeof *data); /* a row of zeros, */
    if (draw_chance(t, 4)) memset(data + rows * columns, 0, (size_t)columns * sizeof *data);
    const ink_value scale = new_activation(t, ink_shape1(1), VALUES_NORMAL);
    *(float *)(void *)t->inputs[scale.id].data = draw_chance(t, 4) ? 0 : draw_float(t, 0, 8);
    ink_guidance(t->graph, v, scale, draw_chance(t, 2));
}

/* The scaled difference is what loses digits; the factor brings the error of two norms. */
static double tolerate_guidance(trial *t, int result, int64_t index, double want) {
    (void)result;
    const int64_t columns = columns_of(&t->out[0]), count = ink_shape_count(&t->out[0].shape);
    const int64_t row = index / columns * columns;
    const double scale = x_at(t, 1, 0);
    double p_squares = 0, c_squares = 0, errors = 0;
    for (int64_t i = row; i < row + columns; i++) {
        const double p = x_at(t, 0, i), u = x_at(t, 0, count + i), c = u + scale * (p - u);
        const double error = 2 * (fabs(u) + fabs(scale) * (fabs(p) + fabs(u)));
        p_squares += p * p;
        c_squares += c * c;
        errors += error * error;
    }
    const double p = x_at(t, 0, index), u = x_at(t, 0, count + index);
    const double own = 2 * (fabs(u) + fabs(scale) * (fabs(p) + fabs(u)));
    if (!t->node->params.guidance.rescale || c_squares == 0) return unit() * own;
    return sqrt(p_squares / c_squares) * unit() * own +
           fabs(want) * (sum_units((double)columns) + unit() * sqrt(errors / c_squares));
}

static void record_euler_step(trial *t) {
    const ink_value x = draw_x(t, 60, 200), v = like(t, x);
    const ink_value dt = new_activation(t, ink_shape1(1), VALUES_NORMAL);
    *(float *)(void *)t->inputs[dt.id].data = draw_float(t, -1, 0.1f);
    ink_euler_step(t->graph, x, v, dt);
}

case_group cases_elements(void) {
    static const kernel_case cases[] = {
        {INK_OP_ADD, 40, record_add, NULL},
        {INK_OP_GATED_ADD, 60, record_gated_add, tolerate_gated_add},
        {INK_OP_SILU, 40, record_silu, tolerate_silu},
        {INK_OP_SILU_MUL, 40, record_silu_mul, tolerate_silu_mul},
        {INK_OP_CHANNEL_AFFINE, 40, record_channel_affine, tolerate_channel_affine},
        {INK_OP_AFFINE_CLAMP, 40, record_affine_clamp, tolerate_affine_clamp},
        {INK_OP_TO_U8, 40, record_to_u8, NULL},
        {INK_OP_STATS, 60, record_stats, tolerate_stats},
        {INK_OP_GUIDANCE, 80, record_guidance, tolerate_guidance},
        {INK_OP_EULER_STEP, 40, record_euler_step, tolerate_gated_add},
    };
    return (case_group){cases, sizeof cases / sizeof cases[0]};
}
