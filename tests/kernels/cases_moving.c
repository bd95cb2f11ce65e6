/*
 * Cases: moving. Bits must arrive as they are.
 */
#include "cases.h"

#include <stdlib.h>

static ink_value draw_x(trial *t, int64_t rows, int64_t columns) {
    return new_activation(t, draw_shape(t, draw_length(t, rows), draw_length(t, columns)),
                          draw_values(t, VALUES_ANY));
}

static void record_gather_rows(trial *t) {
    const ink_value x = draw_x(t, 60, 200);
    const ink_shape shape = ink_value_shape(t->graph, x);
    const int64_t count = draw_length(t, 80);
    int32_t *rows = calloc((size_t)count, sizeof *rows);
    for (int64_t i = 0; rows && i < count; i++) {
        rows[i] = (int32_t)draw_int(t, 0, ink_shape_rows(&shape) - 1);
    }
    ink_gather_rows(t->graph, x, rows, count);
    free(rows);
}

static void record_slice_columns(trial *t) {
    const ink_value x = draw_x(t, 60, 200);
    const ink_shape shape = ink_value_shape(t->graph, x);
    const int64_t begin = draw_int(t, 0, ink_shape_columns(&shape) - 1);
    ink_slice_columns(t->graph, x, begin, draw_int(t, begin + 1, ink_shape_columns(&shape)));
}

static void record_step_row(trial *t) {
    const int64_t steps = draw_int(t, 1, 9);
    const ink_shape shape = draw_chance(t, 2) ? ink_shape2(steps, draw_length(t, 3000))
                                              : ink_shape3(steps, draw_length(t, 30), draw_length(t, 100));
    t->step = draw_int(t, 0, steps - 1);
    ink_step_row(t->graph, new_activation(t, shape, draw_values(t, VALUES_ANY)));
}

static ink_dtype draw_dtype(trial *t) {
    return (ink_dtype[]){INK_F32, INK_U8, INK_I32, INK_BF16}[draw_int(t, 0, 3)];
}

static void record_store(trial *t) {
    const ink_dtype dtype = draw_dtype(t);
    const ink_value x = new_bytes(t, dtype, draw_shape(t, draw_length(t, 40), draw_length(t, 200)));
    const ink_shape shape = ink_value_shape(t->graph, x);
    const int64_t row = draw_int(t, 0, 5), column = draw_int(t, 0, 9);
    const int64_t rows = ink_shape_rows(&shape) + row + draw_int(t, 0, 5);
    const int64_t columns = ink_shape_columns(&shape) + column + draw_int(t, 0, 9);
    const bool whole = draw_chance(t, 4);
    const ink_value slot = new_bytes(t, dtype, whole ? shape : ink_shape2(rows, columns));
    ink_store(t->graph, slot, x, whole ? 0 : row, whole ? 0 : column);
}

static void record_store_step(trial *t) {
    const ink_dtype dtype = draw_dtype(t);
    const ink_value x = new_bytes(t, dtype, draw_shape(t, draw_length(t, 40), draw_length(t, 200)));
    ink_shape slot = {.rank = ink_value_shape(t->graph, x).rank + 1, .dim = {draw_int(t, 1, 6)}};
    for (int i = 1; i < slot.rank; i++) {
        slot.dim[i] = ink_value_shape(t->graph, x).dim[i - 1];
    }
    t->step = draw_int(t, 0, slot.dim[0] - 1);
    ink_store_step(t->graph, new_bytes(t, dtype, slot), x);
}

static void record_pack_patches(trial *t) {
    const int64_t patch = draw_int(t, 1, 4);
    const ink_shape shape =
        ink_shape3(patch * draw_length(t, 20), patch * draw_length(t, 20), draw_length(t, 40));
    ink_pack_patches(t->graph, new_activation(t, shape, draw_values(t, VALUES_ANY)), patch);
}

static void record_unpack_patches(trial *t) {
    const int64_t patch = draw_int(t, 1, 4), height = draw_length(t, 20), width = draw_length(t, 20);
    const ink_shape shape = ink_shape2(height * width, draw_length(t, 40) * patch * patch);
    ink_unpack_patches(t->graph, new_activation(t, shape, draw_values(t, VALUES_ANY)), height, width, patch);
}

case_group cases_moving(void) {
    static const kernel_case cases[] = {
        {INK_OP_GATHER_ROWS, 100, record_gather_rows, NULL},
        {INK_OP_SLICE_COLUMNS, 100, record_slice_columns, NULL},
        {INK_OP_STEP_ROW, 100, record_step_row, NULL},
        {INK_OP_STORE, 100, record_store, NULL},
        {INK_OP_STORE_STEP, 100, record_store_step, NULL},
        {INK_OP_PACK_PATCHES, 100, record_pack_patches, NULL},
        {INK_OP_UNPACK_PATCHES, 100, record_unpack_patches, NULL},
    };
    return (case_group){cases, sizeof cases / sizeof cases[0]};
}
