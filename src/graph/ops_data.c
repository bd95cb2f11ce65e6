/*
 * Recording: moving rows and columns, the loop's own operations, and pictures.
 */
#include "graph/record.h"

#include <inttypes.h>

ink_value ink_gather_rows(ink_graph *g, ink_value x, const int32_t *rows, int64_t count) {
    const ink_op op = INK_OP_GATHER_ROWS;
    if (!ink_record_ready(g, op, 1, &x) || !ink_expect_f32(g, op, x)) return INK_NO_VALUE;
    const ink_shape shape = ink_value_shape(g, x);
    if (count < 1 || !ink_expect_groups(g, op, rows, count, ink_shape_rows(&shape))) {
        ink_record_fail(g, op, "%" PRId64 " rows cannot be gathered", count);
        return INK_NO_VALUE;
    }
    const int32_t *copy = ink_record_copy(g, rows, (size_t)count * sizeof *rows);
    if (!copy) return INK_NO_VALUE;
    ink_node node = {.op = op, .n_inputs = 1, .inputs = {x}, .params.gather = {.count = count, .rows = copy}};
    return ink_record_output(g, &node, INK_F32, ink_shape2(count, ink_shape_columns(&shape)));
}

ink_value ink_slice_columns(ink_graph *g, ink_value x, int64_t begin, int64_t end) {
    const ink_op op = INK_OP_SLICE_COLUMNS;
    if (!ink_record_ready(g, op, 1, &x) || !ink_expect_f32(g, op, x)) return INK_NO_VALUE;
    ink_shape shape = ink_value_shape(g, x);
    if (shape.rank < 1 || begin < 0 || begin >= end || end > ink_shape_columns(&shape)) {
        char a[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op, "%s has no columns %" PRId64 " to %" PRId64, ink_value_text(g, x, a), begin,
                        end);
        return INK_NO_VALUE;
    }
    shape.dim[shape.rank - 1] = end - begin;
    ink_node node = {.op = op, .n_inputs = 1, .inputs = {x}, .params.slice = {.begin = begin, .end = end}};
    return ink_record_output(g, &node, INK_F32, shape);
}

/* Shape without its first dim. */
static ink_shape drop_first(const ink_shape *shape) {
    ink_shape rest = {.rank = shape->rank - 1};
    for (int i = 0; i < rest.rank; i++) {
        rest.dim[i] = shape->dim[i + 1];
    }
    return rest;
}

ink_value ink_step_row(ink_graph *g, ink_value table) {
    const ink_op op = INK_OP_STEP_ROW;
    if (!ink_record_ready(g, op, 1, &table) || !ink_expect_f32(g, op, table)) return INK_NO_VALUE;
    const ink_shape shape = ink_value_shape(g, table);
    if (shape.rank < 2) {
        char a[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op, "%s must have a dim for the steps and others", ink_value_text(g, table, a));
        return INK_NO_VALUE;
    }
    ink_node node = {.op = op, .n_inputs = 1, .inputs = {table}};
    return ink_record_output(g, &node, INK_F32, drop_first(&shape));
}

/* Checks what both store operations need: a slot and a value of the same dtype. */
static bool storable(ink_graph *g, ink_op op, ink_value slot, ink_value x) {
    if (!ink_record_ready(g, op, 2, (ink_value[]){slot, x})) return false;
    const ink_value_info *to = ink_graph_value(g, slot.id), *from = ink_graph_value(g, x.id);
    if (to->kind == INK_VALUE_SLOT && to->dtype == from->dtype) return true;
    char a[INK_VALUE_TEXT_BYTES], b[INK_VALUE_TEXT_BYTES];
    ink_record_fail(g, op, "%s (%s) cannot be stored to %s (%s), which must be a slot of the same type",
                    ink_value_text(g, x, a), ink_dtype_name(from->dtype), ink_value_text(g, slot, b),
                    ink_dtype_name(to->dtype));
    return false;
}

void ink_store(ink_graph *g, ink_value slot, ink_value x, int64_t row, int64_t column) {
    const ink_op op = INK_OP_STORE;
    if (!storable(g, op, slot, x)) return;
    const ink_shape to = ink_value_shape(g, slot), from = ink_value_shape(g, x);
    if (row < 0 || column < 0 || row > ink_shape_rows(&to) - ink_shape_rows(&from) ||
        column > ink_shape_columns(&to) - ink_shape_columns(&from)) {
        char a[INK_VALUE_TEXT_BYTES], b[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op, "%s does not fit into %s at row %" PRId64 ", column %" PRId64,
                        ink_value_text(g, x, a), ink_value_text(g, slot, b), row, column);
        return;
    }
    ink_record_node(
        g, &(ink_node){
               .op = op, .n_inputs = 2, .inputs = {slot, x}, .params.store = {.row = row, .column = column}});
}

void ink_store_step(ink_graph *g, ink_value slot, ink_value x) {
    const ink_op op = INK_OP_STORE_STEP;
    if (!storable(g, op, slot, x)) return;
    const ink_shape to = ink_value_shape(g, slot), from = ink_value_shape(g, x);
    const ink_shape row = drop_first(&to);
    if (to.rank < 1 || !ink_shape_equal(&row, &from)) {
        char a[INK_VALUE_TEXT_BYTES], b[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op, "%s is not one step of %s", ink_value_text(g, x, a),
                        ink_value_text(g, slot, b));
        return;
    }
    ink_record_node(g, &(ink_node){.op = op, .n_inputs = 2, .inputs = {slot, x}});
}

ink_value ink_guidance(ink_graph *g, ink_value v, ink_value scale, bool rescale) {
    const ink_op op = INK_OP_GUIDANCE;
    if (!ink_record_ready(g, op, 2, (ink_value[]){v, scale}) || !ink_expect_f32(g, op, v) ||
        !ink_expect_f32(g, op, scale) || !ink_expect_count(g, op, scale, 1, "the scale")) {
        return INK_NO_VALUE;
    }
    const ink_shape shape = ink_value_shape(g, v);
    if (shape.rank != 2 || shape.dim[0] % 2 != 0) {
        char a[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op, "%s must hold conditional and unconditional rows", ink_value_text(g, v, a));
        return INK_NO_VALUE;
    }
    ink_node node = {.op = op, .n_inputs = 2, .inputs = {v, scale}, .params.guidance = {.rescale = rescale}};
    return ink_record_output(g, &node, INK_F32, ink_shape2(shape.dim[0] / 2, shape.dim[1]));
}

ink_value ink_euler_step(ink_graph *g, ink_value x, ink_value v, ink_value dt) {
    const ink_op op = INK_OP_EULER_STEP;
    if (!ink_record_ready(g, op, 3, (ink_value[]){x, v, dt}) || !ink_expect_f32(g, op, x) ||
        !ink_expect_f32(g, op, v) || !ink_expect_f32(g, op, dt) ||
        !ink_expect_count(g, op, dt, 1, "the step")) {
        return INK_NO_VALUE;
    }
    const ink_shape shape = ink_value_shape(g, x), change = ink_value_shape(g, v);
    if (ink_shape_rows(&shape) != ink_shape_rows(&change) ||
        ink_shape_columns(&shape) != ink_shape_columns(&change)) {
        ink_expect_same_shape(g, op, x, v);
        return INK_NO_VALUE;
    }
    ink_node node = {.op = op, .n_inputs = 3, .inputs = {x, v, dt}};
    return ink_record_output(g, &node, INK_F32, shape);
}

ink_value ink_pack_patches(ink_graph *g, ink_value x, int64_t patch) {
    const ink_op op = INK_OP_PACK_PATCHES;
    if (!ink_record_ready(g, op, 1, &x) || !ink_expect_f32(g, op, x)) return INK_NO_VALUE;
    const ink_shape shape = ink_value_shape(g, x);
    if (patch < 1 || shape.rank != 3 || shape.dim[0] % patch != 0 || shape.dim[1] % patch != 0) {
        char a[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op, "%s cannot be cut into patches of %" PRId64 " x %" PRId64,
                        ink_value_text(g, x, a), patch, patch);
        return INK_NO_VALUE;
    }
    const int64_t grid_height = shape.dim[0] / patch, grid_width = shape.dim[1] / patch;
    ink_node node = {
        .op = op,
        .n_inputs = 1,
        .inputs = {x},
        .params.patches = {.grid_height = grid_height, .grid_width = grid_width, .patch = patch}};
    return ink_record_output(g, &node, INK_F32,
                             ink_shape2(grid_height * grid_width, shape.dim[2] * patch * patch));
}

ink_value ink_unpack_patches(ink_graph *g, ink_value x, int64_t grid_height, int64_t grid_width,
                             int64_t patch) {
    const ink_op op = INK_OP_UNPACK_PATCHES;
    if (!ink_record_ready(g, op, 1, &x) || !ink_expect_f32(g, op, x)) return INK_NO_VALUE;
    const ink_shape shape = ink_value_shape(g, x);
    if (patch < 1 || shape.rank != 2 || grid_height < 1 || grid_width < 1 ||
        shape.dim[0] != grid_height * grid_width || shape.dim[1] % (patch * patch) != 0) {
        char a[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op, "%s is not a grid of %" PRId64 " x %" PRId64 " patches",
                        ink_value_text(g, x, a), grid_height, grid_width);
        return INK_NO_VALUE;
    }
    ink_node node = {
        .op = op,
        .n_inputs = 1,
        .inputs = {x},
        .params.patches = {.grid_height = grid_height, .grid_width = grid_width, .patch = patch}};
    return ink_record_output(
        g, &node, INK_F32,
        ink_shape3(grid_height * patch, grid_width * patch, shape.dim[1] / (patch * patch)));
}

ink_value ink_channel_affine(ink_graph *g, ink_value x, ink_value scale, ink_value offset) {
    const ink_op op = INK_OP_CHANNEL_AFFINE;
    if (!ink_record_ready(g, op, 3, (ink_value[]){x, scale, offset}) || !ink_expect_f32(g, op, x) ||
        !ink_expect_f32(g, op, scale) || !ink_expect_f32(g, op, offset)) {
        return INK_NO_VALUE;
    }
    const ink_shape shape = ink_value_shape(g, x);
    const int64_t channels = ink_shape_columns(&shape);
    if (!ink_expect_count(g, op, scale, channels, "one per channel") ||
        !ink_expect_count(g, op, offset, channels, "one per channel")) {
        return INK_NO_VALUE;
    }
    ink_node node = {.op = op, .n_inputs = 3, .inputs = {x, scale, offset}};
    return ink_record_output(g, &node, INK_F32, shape);
}

ink_value ink_affine_clamp(ink_graph *g, ink_value x, float scale, float offset, float low, float high) {
    const ink_op op = INK_OP_AFFINE_CLAMP;
    if (!ink_record_ready(g, op, 1, &x) || !ink_expect_f32(g, op, x)) return INK_NO_VALUE;
    ink_node node = {.op = op,
                     .n_inputs = 1,
                     .inputs = {x},
                     .params.affine = {.scale = scale, .offset = offset, .low = low, .high = high}};
    return ink_record_output(g, &node, INK_F32, ink_value_shape(g, x));
}

ink_value ink_conv2d(ink_graph *g, ink_value x, ink_value weight, ink_value bias,
                     const ink_conv_options *options) {
    const ink_op op = INK_OP_CONV2D;
    if (!ink_record_ready(g, op, 2, (ink_value[]){x, weight}) || !ink_expect_f32(g, op, x) ||
        !ink_expect_weight_type(g, op, weight)) {
        return INK_NO_VALUE;
    }
    const ink_shape in = ink_value_shape(g, x), w = ink_value_shape(g, weight);
    const int64_t kernel_y = w.rank >= 4 ? w.dim[w.rank - 2] : 0,
                  kernel_x = w.rank >= 4 ? w.dim[w.rank - 1] : 0;
    if (in.rank != 3 || w.rank < 4 || w.dim[1] != in.dim[2] || kernel_y > 7 || kernel_x > 7) {
        char a[INK_VALUE_TEXT_BYTES], b[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op,
                        "%s does not fit kernel %s, which must be [outputs, %" PRId64
                        ", (time,) y, x] with y, x <= 7",
                        ink_value_text(g, x, a), ink_value_text(g, weight, b), ink_shape_columns(&in));
        return INK_NO_VALUE;
    }
    const ink_conv_options o = *options;
    if (o.stride < 1 || o.stride > 2 || o.upsample < 1 || o.upsample > 2 || o.pad_top < 0 || o.pad_left < 0 ||
        o.pad_bottom < 0 || o.pad_right < 0 || o.pad_top >= kernel_y || o.pad_left >= kernel_x ||
        o.pad_bottom >= kernel_y || o.pad_right >= kernel_x) {
        ink_record_fail(g, op, "stride %" PRId64 ", upsample %" PRId64 " or the padding is out of range",
                        o.stride, o.upsample);
        return INK_NO_VALUE;
    }
    if (bias.id && (!ink_record_ready(g, op, 1, &bias) || !ink_expect_weight_type(g, op, bias) ||
                    !ink_expect_count(g, op, bias, w.dim[0], "one per output channel"))) {
        return INK_NO_VALUE;
    }
    const int64_t span_y = in.dim[0] * o.upsample + o.pad_top + o.pad_bottom - kernel_y;
    const int64_t span_x = in.dim[1] * o.upsample + o.pad_left + o.pad_right - kernel_x;
    if (span_y < 0 || span_x < 0) {
        char a[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op, "%s is smaller than the kernel", ink_value_text(g, x, a));
        return INK_NO_VALUE;
    }
    ink_node node = {.op = op,
                     .n_inputs = 3,
                     .inputs = {x, weight, bias},
                     .params.conv = {.stride = o.stride,
                                     .upsample = o.upsample,
                                     .pad_top = o.pad_top,
                                     .pad_left = o.pad_left,
                                     .pad_bottom = o.pad_bottom,
                                     .pad_right = o.pad_right}};
    return ink_record_output(g, &node, INK_F32,
                             ink_shape3(span_y / o.stride + 1, span_x / o.stride + 1, w.dim[0]));
}

ink_value ink_to_u8(ink_graph *g, ink_value x) {
    const ink_op op = INK_OP_TO_U8;
    if (!ink_record_ready(g, op, 1, &x) || !ink_expect_f32(g, op, x)) return INK_NO_VALUE;
    ink_node node = {.op = op, .n_inputs = 1, .inputs = {x}};
    return ink_record_output(g, &node, INK_U8, ink_value_shape(g, x));
}

ink_value ink_stats(ink_graph *g, ink_value x) {
    const ink_op op = INK_OP_STATS;
    if (!ink_record_ready(g, op, 1, &x) || !ink_expect_f32(g, op, x)) return INK_NO_VALUE;
    ink_node node = {.op = op, .n_inputs = 1, .inputs = {x}};
    return ink_record_output(g, &node, INK_F32, ink_shape1(4));
}
