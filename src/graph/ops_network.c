/*
 * Recording: matrices, norms, element by element, attention and rotary embedding.
 */
#include "graph/record.h"

#include <inttypes.h>
#include <math.h>

/* Rank of a weight without its trailing dims of 1. */
static int effective_rank(const ink_shape *shape) {
    int rank = shape->rank;
    while (rank > 2 && shape->dim[rank - 1] == 1) {
        rank--;
    }
    return rank;
}

static ink_shape with_columns(ink_shape shape, int64_t columns) {
    shape.dim[shape.rank - 1] = columns;
    return shape;
}

ink_value ink_embed_rows(ink_graph *g, ink_value table, ink_value ids) {
    const ink_op op = INK_OP_EMBED_ROWS;
    if (!ink_record_ready(g, op, 2, (ink_value[]){table, ids}) || !ink_expect_matrix_type(g, op, table)) {
        return INK_NO_VALUE;
    }
    const ink_shape table_shape = ink_value_shape(g, table), ids_shape = ink_value_shape(g, ids);
    if (table_shape.rank != 2 || ids_shape.rank != 1 || ink_graph_value(g, ids.id)->dtype != INK_I32) {
        char a[INK_VALUE_TEXT_BYTES], b[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op, "table %s and ids %s must be [V, D] and i32 [S]", ink_value_text(g, table, a),
                        ink_value_text(g, ids, b));
        return INK_NO_VALUE;
    }
    ink_node node = {.op = op, .n_inputs = 2, .inputs = {table, ids}};
    return ink_record_output(g, &node, INK_F32, ink_shape2(ids_shape.dim[0], table_shape.dim[1]));
}

ink_value ink_linear(ink_graph *g, ink_value x, ink_value weight, ink_value bias, ink_activation activation) {
    const ink_op op = INK_OP_LINEAR;
    if (!ink_record_ready(g, op, 2, (ink_value[]){x, weight}) || !ink_expect_f32(g, op, x) ||
        !ink_expect_matrix_type(g, op, weight)) {
        return INK_NO_VALUE;
    }
    const ink_shape x_shape = ink_value_shape(g, x), w_shape = ink_value_shape(g, weight);
    if (x_shape.rank < 1 || effective_rank(&w_shape) != 2 || w_shape.dim[1] != ink_shape_columns(&x_shape)) {
        char a[INK_VALUE_TEXT_BYTES], b[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op, "%s does not fit weight %s, which must be [outputs, %" PRId64 "]",
                        ink_value_text(g, x, a), ink_value_text(g, weight, b), ink_shape_columns(&x_shape));
        return INK_NO_VALUE;
    }
    if (bias.id && (!ink_record_ready(g, op, 1, &bias) || !ink_expect_weight_type(g, op, bias) ||
                    !ink_expect_count(g, op, bias, w_shape.dim[0], "one per output"))) {
        return INK_NO_VALUE;
    }
    ink_node node = {
        .op = op, .n_inputs = 3, .inputs = {x, weight, bias}, .params.linear = {.activation = activation}};
    return ink_record_output(g, &node, INK_F32, with_columns(x_shape, w_shape.dim[0]));
}

/* The two norms that have a gain per column. */
static ink_value record_norm(ink_graph *g, ink_op op, ink_value x, ink_value weight, float eps,
                             ink_activation activation) {
    if (!ink_record_ready(g, op, 2, (ink_value[]){x, weight}) || !ink_expect_f32(g, op, x) ||
        !ink_expect_weight_type(g, op, weight)) {
        return INK_NO_VALUE;
    }
    const ink_shape shape = ink_value_shape(g, x);
    if (!ink_expect_count(g, op, weight, ink_shape_columns(&shape), "one per column")) return INK_NO_VALUE;
    ink_node node = {.op = op,
                     .n_inputs = 2,
                     .inputs = {x, weight},
                     .params.norm = {.eps = eps, .activation = activation}};
    return ink_record_output(g, &node, INK_F32, shape);
}

ink_value ink_rms_norm(ink_graph *g, ink_value x, ink_value weight, float eps) {
    return record_norm(g, INK_OP_RMS_NORM, x, weight, eps, INK_ACT_NONE);
}

ink_value ink_channel_norm(ink_graph *g, ink_value x, ink_value weight, float eps,
                           ink_activation activation) {
    if (activation != INK_ACT_NONE && activation != INK_ACT_SILU) {
        ink_record_fail(g, INK_OP_CHANNEL_NORM, "the activation must be none or silu");
        return INK_NO_VALUE;
    }
    return record_norm(g, INK_OP_CHANNEL_NORM, x, weight, eps, activation);
}

/* Checks that columns [column, column + width) exist in the modulation table, and the groups; copies the
 * groups. False on failure. */
static bool modulation_groups(ink_graph *g, ink_op op, ink_value x, ink_value mod, int64_t column,
                              const int32_t *row_groups, const int32_t **copy) {
    const ink_shape shape = ink_value_shape(g, x), table = ink_value_shape(g, mod);
    const int64_t width = ink_shape_columns(&shape), rows = ink_shape_rows(&shape);
    if (table.rank < 1 || table.rank > 2 || column < 0 || column > ink_shape_columns(&table) - width) {
        char a[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op, "modulation %s has no columns %" PRId64 " to %" PRId64,
                        ink_value_text(g, mod, a), column, column + width);
        return false;
    }
    const int64_t n_groups = table.rank == 2 ? table.dim[0] : 1;
    if (!ink_expect_groups(g, op, row_groups, rows, n_groups)) return false;
    *copy = row_groups ? ink_record_copy(g, row_groups, (size_t)rows * sizeof *row_groups) : NULL;
    return !row_groups || *copy;
}

ink_value ink_layer_norm_modulate(ink_graph *g, ink_value x, ink_value mod, int64_t shift_column,
                                  int64_t scale_column, float eps, const int32_t *row_groups) {
    const ink_op op = INK_OP_LAYER_NORM_MODULATE;
    const int32_t *groups = NULL, *same_groups = NULL;
    if (!ink_record_ready(g, op, 2, (ink_value[]){x, mod}) || !ink_expect_f32(g, op, x) ||
        !ink_expect_f32(g, op, mod) || !modulation_groups(g, op, x, mod, shift_column, row_groups, &groups) ||
        !modulation_groups(g, op, x, mod, scale_column, NULL, &same_groups)) {
        return INK_NO_VALUE;
    }
    ink_node node = {
        .op = op,
        .n_inputs = 2,
        .inputs = {x, mod},
        .params.modulate = {
            .eps = eps, .shift_column = shift_column, .scale_column = scale_column, .row_groups = groups}};
    return ink_record_output(g, &node, INK_F32, ink_value_shape(g, x));
}

ink_value ink_gated_add(ink_graph *g, ink_value x, ink_value mod, int64_t gate_column, ink_value y,
                        const int32_t *row_groups) {
    const ink_op op = INK_OP_GATED_ADD;
    const int32_t *groups = NULL;
    if (!ink_record_ready(g, op, 3, (ink_value[]){x, mod, y}) || !ink_expect_f32(g, op, x) ||
        !ink_expect_f32(g, op, mod) || !ink_expect_f32(g, op, y) || !ink_expect_same_shape(g, op, x, y) ||
        !modulation_groups(g, op, x, mod, gate_column, row_groups, &groups)) {
        return INK_NO_VALUE;
    }
    ink_node node = {.op = op,
                     .n_inputs = 3,
                     .inputs = {x, mod, y},
                     .params.gated_add = {.gate_column = gate_column, .row_groups = groups}};
    return ink_record_output(g, &node, INK_F32, ink_value_shape(g, x));
}

/* Operations on one or two equal tensors that have no parameters. */
static ink_value record_elementwise(ink_graph *g, ink_op op, int n, const ink_value *inputs) {
    if (!ink_record_ready(g, op, n, inputs)) return INK_NO_VALUE;
    ink_node node = {.op = op, .n_inputs = n};
    for (int i = 0; i < n; i++) {
        if (!ink_expect_f32(g, op, inputs[i]) || !ink_expect_same_shape(g, op, inputs[0], inputs[i])) {
            return INK_NO_VALUE;
        }
        node.inputs[i] = inputs[i];
    }
    return ink_record_output(g, &node, INK_F32, ink_value_shape(g, inputs[0]));
}

ink_value ink_add(ink_graph *g, ink_value x, ink_value y) {
    return record_elementwise(g, INK_OP_ADD, 2, (ink_value[]){x, y});
}

ink_value ink_silu(ink_graph *g, ink_value x) {
    return record_elementwise(g, INK_OP_SILU, 1, &x);
}

ink_value ink_silu_mul(ink_graph *g, ink_value x, ink_value y) {
    return record_elementwise(g, INK_OP_SILU_MUL, 2, (ink_value[]){x, y});
}

ink_value ink_head_norm_rotary(ink_graph *g, ink_value x, int64_t head_dim, ink_value weight, float eps,
                               ink_value table, ink_rotary_style style) {
    const ink_op op = INK_OP_HEAD_NORM_ROTARY;
    if (!ink_record_ready(g, op, 1, &x) || !ink_expect_f32(g, op, x)) return INK_NO_VALUE;
    const ink_shape shape = ink_value_shape(g, x);
    if (head_dim < 2 || head_dim % 2 != 0 || ink_shape_columns(&shape) % head_dim != 0) {
        char a[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op, "%s cannot be cut into heads of %" PRId64 " columns (an even number)",
                        ink_value_text(g, x, a), head_dim);
        return INK_NO_VALUE;
    }
    if (weight.id && (!ink_record_ready(g, op, 1, &weight) || !ink_expect_weight_type(g, op, weight) ||
                      !ink_expect_count(g, op, weight, head_dim, "one per column of a head"))) {
        return INK_NO_VALUE;
    }
    if (table.id && (!ink_record_ready(g, op, 1, &table) || !ink_expect_f32(g, op, table) ||
                     !ink_expect_count(g, op, table, ink_shape_rows(&shape) * head_dim,
                                       "rows x head_dim/2 pairs of cosine and sine"))) {
        return INK_NO_VALUE;
    }
    ink_node node = {.op = op,
                     .n_inputs = 3,
                     .inputs = {x, weight, table},
                     .params.rotary = {.head_dim = head_dim, .eps = eps, .style = style}};
    return ink_record_output(g, &node, INK_F32, shape);
}

/* Segments must lie inside their streams, be in order in every stream, and not be empty. */
static bool segments_fit(ink_graph *g, int streams, const int64_t *rows, const ink_segment *segments,
                         int64_t n) {
    const ink_op op = INK_OP_ATTENTION;
    int64_t end[INK_MAX_STREAMS] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t total = 0;
        for (int s = 0; s < INK_MAX_STREAMS; s++) {
            const int64_t begin = segments[i].begin[s], length = segments[i].length[s];
            const int64_t limit = s < streams ? rows[s] : 0;
            if (length < 0 || length > limit || (length > 0 && (begin < end[s] || begin > limit - length))) {
                ink_record_fail(g, op,
                                "segment %" PRId64 " is rows %" PRId64 " to %" PRId64
                                " of stream %d, which has %" PRId64
                                " rows; segments must be in order and not overlap",
                                i, begin, begin + length, s, limit);
                return false;
            }
            if (length > 0) end[s] = begin + length;
            total += length;
        }
        if (total == 0) {
            ink_record_fail(g, op, "segment %" PRId64 " is empty", i);
            return false;
        }
    }
    return true;
}

/* Checks one stream's q, k, v against the head counts; sets *rows and *head_dim (0 at first). */
static bool stream_fits(ink_graph *g, const ink_attention_stream *stream,
                        const ink_attention_options *options, int64_t *rows, int64_t *head_dim) {
    const ink_op op = INK_OP_ATTENTION;
    const ink_value qkv[3] = {stream->q, stream->k, stream->v};
    if (!ink_record_ready(g, op, 3, qkv)) return false;
    for (int i = 0; i < 3; i++) {
        if (!ink_expect_f32(g, op, qkv[i])) return false;
        const ink_shape shape = ink_value_shape(g, qkv[i]);
        const int64_t columns = ink_shape_columns(&shape),
                      heads = i == 0 ? options->heads : options->kv_heads;
        if (i == 0) *rows = ink_shape_rows(&shape);
        if (*head_dim == 0) *head_dim = columns / heads;
        if (shape.rank < 2 || ink_shape_rows(&shape) != *rows || columns != heads * *head_dim) {
            char a[INK_VALUE_TEXT_BYTES];
            ink_record_fail(g, op,
                            "%s must have %" PRId64 " rows of %" PRId64 " heads of %" PRId64 " columns",
                            ink_value_text(g, qkv[i], a), *rows, heads, *head_dim);
            return false;
        }
    }
    return true;
}

void ink_attention(ink_graph *g, int streams, const ink_attention_stream *stream, const ink_segment *segments,
                   int64_t n_segments, const ink_attention_options *options, ink_value *out) {
    const ink_op op = INK_OP_ATTENTION;
    for (int s = 0; s < streams; s++) {
        out[s] = INK_NO_VALUE;
    }
    if (streams < 1 || streams > INK_MAX_STREAMS || n_segments < 1 || options->kv_heads < 1 ||
        options->heads % options->kv_heads != 0 || options->heads < 1 || (options->causal && streams != 1)) {
        ink_record_fail(
            g, op,
            "%d streams, %" PRId64 " segments, %" PRId64 " heads and %" PRId64 " key/value heads%s "
            "do not go together",
            streams, n_segments, options->heads, options->kv_heads, options->causal ? ", causal," : "");
        return;
    }
    ink_node node = {.op = op, .n_inputs = 3 * streams, .n_outputs = streams};
    int64_t rows[INK_MAX_STREAMS] = {0}, head_dim = 0;
    for (int s = 0; s < streams; s++) {
        if (!stream_fits(g, &stream[s], options, &rows[s], &head_dim)) return;
        node.inputs[3 * s] = stream[s].q;
        node.inputs[3 * s + 1] = stream[s].k;
        node.inputs[3 * s + 2] = stream[s].v;
    }
    if (!segments_fit(g, streams, rows, segments, n_segments)) return;
    const ink_segment *copy = ink_record_copy(g, segments, (size_t)n_segments * sizeof *segments);
    if (!copy) return;
    for (int s = 0; s < streams; s++) {
        node.outputs[s] = ink_record_value(g, &(ink_value_info){.kind = INK_VALUE_COMPUTED,
                                                                .dtype = INK_F32,
                                                                .shape = ink_value_shape(g, stream[s].q),
                                                                .node = g->n_nodes});
        if (!node.outputs[s].id) return;
    }
    node.params.attention.streams = streams;
    node.params.attention.heads = options->heads;
    node.params.attention.kv_heads = options->kv_heads;
    node.params.attention.head_dim = head_dim;
    node.params.attention.causal = options->causal;
    node.params.attention.scale = options->scale != 0 ? options->scale : (float)(1 / sqrt((double)head_dim));
    node.params.attention.n_segments = n_segments;
    node.params.attention.segments = copy;
    if (!ink_record_node(g, &node)) return;
    for (int s = 0; s < streams; s++) {
        out[s] = node.outputs[s];
    }
}

ink_value ink_rotary_table(ink_graph *g, ink_value positions, int axes, const int64_t *axis_dim,
                           double theta) {
    const ink_op op = INK_OP_ROTARY_TABLE;
    if (!ink_record_ready(g, op, 1, &positions)) return INK_NO_VALUE;
    const ink_shape shape = ink_value_shape(g, positions);
    if (axes < 1 || axes > INK_MAX_AXES || shape.rank != 2 || shape.dim[1] != axes ||
        ink_graph_value(g, positions.id)->dtype != INK_I32 || !(theta > 0)) {
        char a[INK_VALUE_TEXT_BYTES];
        ink_record_fail(g, op, "positions %s must be i32 [rows, %d] and theta %g positive",
                        ink_value_text(g, positions, a), axes, theta);
        return INK_NO_VALUE;
    }
    ink_node node = {.op = op, .n_inputs = 1, .inputs = {positions}};
    int64_t pairs = 0;
    for (int i = 0; i < axes; i++) {
        if (axis_dim[i] < 0 || axis_dim[i] % 2 != 0 || axis_dim[i] > 65536) {
            ink_record_fail(g, op, "axis %d has dim %" PRId64 ", an even number is needed", i, axis_dim[i]);
            return INK_NO_VALUE;
        }
        node.params.rotary_table.axis_dim[i] = axis_dim[i];
        pairs += axis_dim[i] / 2;
    }
    node.params.rotary_table.axes = axes;
    node.params.rotary_table.theta = theta;
    return ink_record_output(g, &node, INK_F32, ink_shape3(shape.dim[0], pairs, 2));
}

ink_value ink_timestep_embedding(ink_graph *g, ink_value t, int64_t dim, float scale, float max_period) {
    const ink_op op = INK_OP_TIMESTEP_EMBEDDING;
    if (!ink_record_ready(g, op, 1, &t) || !ink_expect_f32(g, op, t)) return INK_NO_VALUE;
    const ink_shape shape = ink_value_shape(g, t);
    if (shape.rank != 1 || dim < 2 || dim % 2 != 0) {
        ink_record_fail(g, op, "times must have rank 1 and the dim, %" PRId64 ", be even", dim);
        return INK_NO_VALUE;
    }
    ink_node node = {.op = op,
                     .n_inputs = 1,
                     .inputs = {t},
                     .params.timestep = {.dim = dim, .scale = scale, .max_period = max_period}};
    return ink_record_output(g, &node, INK_F32, ink_shape2(shape.dim[0], dim));
}
