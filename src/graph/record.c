#include "graph/record.h"

#include <inttypes.h>
#include <stdio.h>

void ink_record_fail(ink_graph *g, ink_op op, const char *format, ...) {
    if (g->error.status != INK_OK) return;
    char message[INK_MESSAGE_BYTES / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    ink_graph_fail(g, INK_ERROR_FORMAT, "%s: %s", ink_op_name(op), message);
}

bool ink_record_ready(ink_graph *g, ink_op op, int n, const ink_value *values) {
    if (g->error.status != INK_OK) return false;
    for (int i = 0; i < n; i++) {
        if (values[i].id < 1 || values[i].id > g->n_values) {
            ink_graph_fail(g, INK_ERROR_INTERNAL, "%s: input %d is not a value of this graph",
                           ink_op_name(op), i);
            return false;
        }
    }
    return true;
}

ink_value ink_record_output(ink_graph *g, ink_node *node, ink_dtype dtype, ink_shape shape) {
    if (ink_shape_count(&shape) <= 0) {
        char text[INK_SHAPE_TEXT_BYTES];
        ink_record_fail(g, node->op, "the result would have the impossible shape %s",
                        ink_shape_text(&shape, text));
        return INK_NO_VALUE;
    }
    const ink_value out = ink_record_value(
        g, &(ink_value_info){.kind = INK_VALUE_COMPUTED, .dtype = dtype, .shape = shape, .node = g->n_nodes});
    if (!out.id) return INK_NO_VALUE;
    node->n_outputs = 1;
    node->outputs[0] = out;
    return ink_record_node(g, node) ? out : INK_NO_VALUE;
}

const char *ink_value_text(const ink_graph *g, ink_value value, char text[INK_VALUE_TEXT_BYTES]) {
    const ink_value_info *info = ink_graph_value(g, value.id);
    char shape[INK_SHAPE_TEXT_BYTES];
    ink_shape_text(&info->shape, shape);
    if (info->name)
        snprintf(text, INK_VALUE_TEXT_BYTES, "'%.120s' %s", info->name, shape);
    else
        snprintf(text, INK_VALUE_TEXT_BYTES, "value %" PRId32 " %s", value.id, shape);
    return text;
}

bool ink_expect_f32(ink_graph *g, ink_op op, ink_value value) {
    const ink_dtype dtype = ink_graph_value(g, value.id)->dtype;
    if (dtype == INK_F32) return true;
    char text[INK_VALUE_TEXT_BYTES];
    ink_record_fail(g, op, "%s is %s, f32 is needed", ink_value_text(g, value, text), ink_dtype_name(dtype));
    return false;
}

bool ink_expect_weight_type(ink_graph *g, ink_op op, ink_value value) {
    const ink_dtype dtype = ink_graph_value(g, value.id)->dtype;
    if (dtype == INK_F32 || dtype == INK_BF16 || dtype == INK_F16) return true;
    char text[INK_VALUE_TEXT_BYTES];
    ink_record_fail(g, op, "%s is %s; f32, bf16 and f16 weights are supported",
                    ink_value_text(g, value, text), ink_dtype_name(dtype));
    return false;
}

bool ink_expect_matrix_type(ink_graph *g, ink_op op, ink_value value) {
    return ink_graph_value(g, value.id)->quantized || ink_expect_weight_type(g, op, value);
}

bool ink_expect_same_shape(ink_graph *g, ink_op op, ink_value a, ink_value b) {
    if (ink_shape_equal(&g->values[a.id - 1].shape, &g->values[b.id - 1].shape)) return true;
    char left[INK_VALUE_TEXT_BYTES], right[INK_VALUE_TEXT_BYTES];
    ink_record_fail(g, op, "%s and %s must have the same shape", ink_value_text(g, a, left),
                    ink_value_text(g, b, right));
    return false;
}

bool ink_expect_count(ink_graph *g, ink_op op, ink_value value, int64_t count, const char *what) {
    if (ink_shape_count(&g->values[value.id - 1].shape) == count) return true;
    char text[INK_VALUE_TEXT_BYTES];
    ink_record_fail(g, op, "%s must have %" PRId64 " elements (%s)", ink_value_text(g, value, text), count,
                    what);
    return false;
}

bool ink_expect_groups(ink_graph *g, ink_op op, const int32_t *groups, int64_t rows, int64_t n_groups) {
    if (!groups) return true;
    for (int64_t r = 0; r < rows; r++) {
        if (groups[r] < 0 || groups[r] >= n_groups) {
            ink_record_fail(g, op, "row %" PRId64 " belongs to group %" PRId32 ", there are %" PRId64, r,
                            groups[r], n_groups);
            return false;
        }
    }
    return true;
}
