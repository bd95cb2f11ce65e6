/*
 * Cases: norms.
 */
#include "cases.h"

#include <stdlib.h>

static void record_rms_norm(trial *t) {
    const int64_t columns = draw_length(t, 700);
    const ink_value x =
        new_activation(t, draw_shape(t, draw_length(t, 40), columns), draw_values(t, VALUES_ANY));
    ink_rms_norm(t->graph, x, new_weight(t, ink_shape1(columns), 1), draw_chance(t, 2) ? 1e-6f : 1e-5f);
}

static double tolerate_rms_norm(trial *t, int result, int64_t index, double want) {
    (void)result, (void)index;
    return fabs(want) * sum_units((double)columns_of(&t->in[0]));
}

static void record_channel_norm(trial *t) {
    const int64_t columns = draw_length(t, 400);
    const ink_value x =
        new_activation(t, draw_shape(t, draw_length(t, 80), columns), draw_values(t, VALUES_ANY));
    ink_shape gain = {.rank = (int)draw_int(t, 1, 4), .dim = {columns, 1, 1, 1}};
    for (int i = gain.rank; i < INK_MAX_RANK; i++) {
        gain.dim[i] = 0;
    }
    ink_channel_norm(t->graph, x, new_weight(t, gain, 1), draw_chance(t, 3) ? 1e-2f : 1e-12f,
                     draw_chance(t, 2) ? INK_ACT_SILU : INK_ACT_NONE);
}

/* Before the activation the error is relative to z; silu(z) is -0.28 at the least, where z is -1.28, and z
 * itself is what its error is relative to. */
static double tolerate_channel_norm(trial *t, int result, int64_t index, double want) {
    (void)result;
    const int64_t columns = columns_of(&t->in[0]), begin = index / columns * columns;
    if (t->node->params.norm.activation == INK_ACT_NONE) return fabs(want) * sum_units((double)columns);
    if (t->memo != begin) {
        double squares = 0;
        for (int64_t c = 0; c < columns; c++) {
            squares += x_at(t, 0, begin + c) * x_at(t, 0, begin + c);
        }
        t->memo = begin;
        t->memo_value = fmax(sqrt(squares), t->node->params.norm.eps);
    }
    const double z = w_at(t, 1, index - begin) * sqrt((double)columns) * x_at(t, 0, index) / t->memo_value;
    return fabs(z) * 1.2 * sum_units((double)columns);
}

static void record_layer_norm_modulate(trial *t) {
    const int64_t columns = draw_length(t, 600), groups = draw_int(t, 1, 4);
    const ink_value x =
        new_activation(t, draw_shape(t, draw_length(t, 40), columns), draw_values(t, VALUES_ANY));
    const int64_t width = columns + draw_int(t, 0, 2 * columns);
    const ink_shape table = groups == 1 && draw_chance(t, 2) ? ink_shape1(width) : ink_shape2(groups, width);
    const ink_value mod = new_activation(t, table, VALUES_NORMAL);
    const ink_shape shape = ink_value_shape(t->graph, x);
    int32_t *row_groups = new_groups(t, ink_shape_rows(&shape), groups);
    ink_layer_norm_modulate(t->graph, x, mod, draw_int(t, 0, width - columns),
                            draw_int(t, 0, width - columns), 1e-6f, row_groups);
    free(row_groups);
}

/* The error of the mean is relative to the magnitude of x, not to its deviation: that is what costs if x is
 * far from 0. */
static double tolerate_layer_norm_modulate(trial *t, int result, int64_t index, double want) {
    (void)result, (void)want;
    const int64_t columns = columns_of(&t->in[0]), row = index / columns, c = index % columns;
    double sum = 0, magnitude = 0, variance = 0;
    for (int64_t i = row * columns; i < (row + 1) * columns; i++) {
        sum += x_at(t, 0, i) / (double)columns;
        magnitude += fabs(x_at(t, 0, i)) / (double)columns;
    }
    for (int64_t i = row * columns; i < (row + 1) * columns; i++) {
        variance += (x_at(t, 0, i) - sum) * (x_at(t, 0, i) - sum) / (double)columns;
    }
    const int32_t *groups = t->node->params.modulate.row_groups;
    const int64_t mod = (groups ? groups[row] : 0) * columns_of(&t->in[1]) + c;
    const double gain = 1 + fabs(x_at(t, 1, mod + t->node->params.modulate.scale_column));
    const double shift = x_at(t, 1, mod + t->node->params.modulate.shift_column);
    const double size = fabs(x_at(t, 0, index) - sum) + fabs(x_at(t, 0, index)) + magnitude;
    return sum_units((double)columns) *
           (size / sqrt(variance + t->node->params.modulate.eps) * gain + fabs(shift));
}

case_group cases_norms(void) {
    static const kernel_case cases[] = {
        {INK_OP_RMS_NORM, 60, record_rms_norm, tolerate_rms_norm},
        {INK_OP_CHANNEL_NORM, 100, record_channel_norm, tolerate_channel_norm},
        {INK_OP_LAYER_NORM_MODULATE, 80, record_layer_norm_modulate, tolerate_layer_norm_modulate},
    };
    return (case_group){cases, sizeof cases / sizeof cases[0]};
}
