#include "cuda/wide_cases.h"

#include <stdlib.h>

static int64_t draw_of(trial *t, const int64_t *choices, int64_t n) {
    return choices[draw_int(t, 0, n - 1)];
}

static void record_rms_norm(trial *t) {
    const int64_t columns = draw_of(t, (const int64_t[]){1023, 1024, 1025, 1032, 2048, 3584, 5000}, 7);
    const ink_value x = new_activation(t, ink_shape2(draw_int(t, 1, 5), columns), draw_values(t, VALUES_ANY));
    ink_rms_norm(t->graph, x, new_weight(t, ink_shape1(columns), 1), 1e-6f);
}

static void record_channel_norm(trial *t) {
    const int64_t columns = draw_of(t, (const int64_t[]){96, 192, 384, 512, 768, 1152}, 6);
    const ink_value x =
        new_activation(t, ink_shape2(draw_int(t, 1, 30), columns), draw_values(t, VALUES_ANY));
    ink_channel_norm(t->graph, x, new_weight(t, ink_shape4(columns, 1, 1, 1), 1), 1e-12f, INK_ACT_SILU);
}

static void record_layer_norm_modulate(trial *t) {
    const int64_t columns =
        draw_of(t, (const int64_t[]){768, 1160, 3072, 3080, 4096, 12288, 12296, 13001}, 8);
    const int64_t rows = draw_int(t, 1, 5), groups = draw_int(t, 1, 2);
    const ink_value x = new_activation(t, ink_shape2(rows, columns), draw_values(t, VALUES_ANY));
    const ink_value mod = new_activation(t, ink_shape2(groups, 3 * columns), VALUES_NORMAL);
    int32_t *row_groups = new_groups(t, rows, groups);
    ink_layer_norm_modulate(t->graph, x, mod, columns, 0, 1e-6f, row_groups);
    free(row_groups);
}

static void record_head_norm_rotary(trial *t) {
    const int64_t head_dim = draw_of(t, (const int64_t[]){64, 128, 128, 256}, 4);
    const int64_t heads = draw_of(t, (const int64_t[]){4, 24, 28}, 3), rows = draw_int(t, 1, 5);
    const ink_value x = new_activation(t, ink_shape2(rows, heads * head_dim), draw_values(t, VALUES_ANY));
    const ink_value weight = draw_chance(t, 4) ? INK_NO_VALUE : new_weight(t, ink_shape1(head_dim), 1);
    const ink_value table = draw_chance(t, 4)
                                ? INK_NO_VALUE
                                : new_activation(t, ink_shape3(rows, head_dim / 2, 2), VALUES_NORMAL);
    ink_head_norm_rotary(t->graph, x, head_dim, weight, 1e-6f, table,
                         draw_chance(t, 2) ? INK_ROTARY_ADJACENT : INK_ROTARY_HALF);
}

static void record_stats(trial *t) {
    ink_stats(t->graph,
              new_activation(t, ink_shape2(draw_int(t, 1, 200), draw_of(t, (const int64_t[]){4096, 9001}, 2)),
                             draw_values(t, VALUES_ANY)));
}

static const struct {
    ink_op op;
    void (*record)(trial *t);
    int trials;
} wide[] = {
    {INK_OP_RMS_NORM, record_rms_norm, 20},
    {INK_OP_CHANNEL_NORM, record_channel_norm, 20},
    {INK_OP_LAYER_NORM_MODULATE, record_layer_norm_modulate, 24},
    {INK_OP_HEAD_NORM_ROTARY, record_head_norm_rotary, 24},
    {INK_OP_STATS, record_stats, 4},
};

/* Tolerances are those of the small cases. */
const kernel_case *wide_case_at(size_t i) {
    static kernel_case made[sizeof wide / sizeof wide[0]];
    if (i >= sizeof wide / sizeof wide[0]) return NULL;
    const kernel_case *small;
    for (size_t k = 0; (small = kernel_case_at(k)); k++) {
        if (small->op == wide[i].op) made[i] = *small;
    }
    made[i].op = wide[i].op;
    made[i].record = wide[i].record;
    made[i].trials = wide[i].trials;
    return &made[i];
}
