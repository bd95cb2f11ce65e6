/*
 * Cases: sines and cosines. The angles must have exactly the reference's roundings: a wrong one of 1000
 * radians is 3e-5 off, far outside of the tolerance.
 */
#include "cases.h"

static void record_rotary_table(trial *t) {
    const int axes = (int)draw_int(t, 1, INK_MAX_AXES);
    int64_t axis_dim[INK_MAX_AXES] = {0};
    for (int a = 0; a < axes; a++) {
        axis_dim[a] = 2 * draw_int(t, a == 0, 64);
    }
    const ink_value positions = new_ints(t, ink_shape2(draw_length(t, 60), axes), -5000, 5000);
    ink_rotary_table(t->graph, positions, axes, axis_dim, (double[]){1e4, 1e6, 256, 5e5}[draw_int(t, 0, 3)]);
}

static void record_timestep_embedding(trial *t) {
    const ink_value times = new_activation(t, ink_shape1(draw_length(t, 40)), VALUES_UNIT);
    const bool wide = draw_chance(t, 3);
    float *data = (float *)(void *)t->inputs[times.id].data;
    const ink_shape shape = ink_value_shape(t->graph, times);
    for (int64_t i = 0; wide && i < shape.dim[0]; i++) {
        data[i] *= 1000;
    }
    ink_timestep_embedding(t->graph, times, 2 * draw_length(t, 140), wide ? 1 : 1000,
                           draw_chance(t, 4) ? 1e5f : 1e4f);
}

static double tolerate_sines(trial *t, int result, int64_t index, double want) {
    (void)t, (void)result, (void)index, (void)want;
    return 4 * unit();
}

case_group cases_tables(void) {
    static const kernel_case cases[] = {
        {INK_OP_ROTARY_TABLE, 40, record_rotary_table, tolerate_sines},
        {INK_OP_TIMESTEP_EMBEDDING, 40, record_timestep_embedding, tolerate_sines},
    };
    return (case_group){cases, sizeof cases / sizeof cases[0]};
}
