/*
 * What an operation costs at least, and what it is called: for benchmarks and traces.
 */
#include "graph/ops.h"

#include <stdio.h>

static double attention_flops(const ink_node *node) {
    double flops = 0;
    for (int64_t i = 0; i < node->params.attention.n_segments; i++) {
        double length = 0;
        for (int s = 0; s < node->params.attention.streams; s++) {
            length += (double)node->params.attention.segments[i].length[s];
        }
        flops +=
            4.0 * length * length * (double)(node->params.attention.heads * node->params.attention.head_dim);
    }
    return node->params.attention.causal ? flops / 2 : flops;
}

double ink_node_flops(const ink_graph *graph, const ink_node *node) {
    if (node->op == INK_OP_ATTENTION) return attention_flops(node);
    if (node->op != INK_OP_LINEAR && node->op != INK_OP_CONV2D) return 0;
    const ink_shape out = ink_value_shape(graph, node->outputs[0]);
    const ink_shape weight = ink_value_shape(graph, node->inputs[1]);
    double products = 2.0 * (double)ink_shape_count(&out) * (double)weight.dim[1];
    if (node->op == INK_OP_CONV2D) {
        products *= (double)(weight.dim[weight.rank - 1] * weight.dim[weight.rank - 2]);
    }
    return products;
}

/* Of a value as it is stored; the shape of a quantised weight is that of the matrix it stands for. */
static double value_bytes(const ink_graph *graph, ink_value value) {
    if (!value.id) return 0;
    const ink_value_info *info = ink_graph_value(graph, value.id);
    if (info->quantized) return (double)ink_quantized_bytes(info->quantized);
    return (double)ink_shape_count(&info->shape) * (double)ink_dtype_bytes(info->dtype);
}

/* Of `count` vectors of a modulation table for every group of rows. */
static double vector_bytes(const ink_graph *graph, const ink_node *node, const int32_t *row_groups,
                           double count) {
    const ink_shape x = ink_value_shape(graph, node->inputs[0]),
                    table = ink_value_shape(graph, node->inputs[1]);
    const double groups = row_groups ? (double)ink_shape_rows(&table) : 1;
    return groups * count * (double)ink_shape_columns(&x) * sizeof(float);
}

/* Of a convolution's weight only the last time slice is used. */
static double kernel_bytes(const ink_graph *graph, ink_value weight) {
    const ink_shape shape = ink_value_shape(graph, weight);
    return value_bytes(graph, weight) / (shape.rank == 5 ? (double)shape.dim[2] : 1);
}

double ink_node_bytes(const ink_graph *graph, const ink_node *node) {
    const double out = value_bytes(graph, node->outputs[0]);
    switch (node->op) {
    case INK_OP_EMBED_ROWS: { /* the rows of the table that are asked for */
        const ink_dtype dtype = ink_graph_value(graph, node->inputs[0].id)->dtype;
        const ink_shape shape = ink_value_shape(graph, node->outputs[0]);
        return out + value_bytes(graph, node->inputs[1]) +
               (double)ink_shape_count(&shape) * (double)ink_dtype_bytes(dtype);
    }
    case INK_OP_LAYER_NORM_MODULATE:
        return 2 * out + vector_bytes(graph, node, node->params.modulate.row_groups, 2);
    case INK_OP_GATED_ADD:
        return 3 * out + vector_bytes(graph, node, node->params.gated_add.row_groups, 1);
    case INK_OP_GATHER_ROWS:
    case INK_OP_SLICE_COLUMNS:
    case INK_OP_STEP_ROW:
        return 2 * out;
    case INK_OP_STORE:
    case INK_OP_STORE_STEP:
        return 2 * value_bytes(graph, node->inputs[1]);
    case INK_OP_CONV2D:
        return out + value_bytes(graph, node->inputs[0]) + kernel_bytes(graph, node->inputs[1]) +
               value_bytes(graph, node->inputs[2]);
    default:
        break;
    }
    double bytes = 0;
    for (int i = 0; i < node->n_inputs + node->n_outputs; i++) {
        bytes += value_bytes(graph, i < node->n_inputs ? node->inputs[i] : node->outputs[i - node->n_inputs]);
    }
    return bytes;
}

/* The input that was computed last, or NULL. */
static const ink_node *latest_input(const ink_graph *graph, const ink_node *node) {
    int32_t latest = -1;
    for (int i = 0; i < node->n_inputs; i++) {
        if (!node->inputs[i].id) continue;
        const ink_value_info *info = ink_graph_value(graph, node->inputs[i].id);
        if (info->kind == INK_VALUE_COMPUTED && info->node > latest) latest = info->node;
    }
    return latest < 0 ? NULL : ink_graph_node(graph, latest);
}

/* The name of the first weight among the inputs or, failing that, of the first slot; NULL if there is none.
 */
static const char *own_name(const ink_graph *graph, const ink_node *node, ink_value_kind kind) {
    for (int i = 0; i < node->n_inputs; i++) {
        if (!node->inputs[i].id) continue;
        const ink_value_info *info = ink_graph_value(graph, node->inputs[i].id);
        if (info->kind == kind) return info->name;
    }
    return NULL;
}

const char *ink_node_label(const ink_graph *graph, const ink_node *node, char text[INK_LABEL_BYTES]) {
    static const char ending[] = ".weight";
    const char *prefix = "", *name = NULL;
    const bool moves_slot =
        node->op == INK_OP_STORE || node->op == INK_OP_STORE_STEP || node->op == INK_OP_STEP_ROW;
    if (moves_slot) name = own_name(graph, node, INK_VALUE_SLOT);
    while (!name && !(name = own_name(graph, node, INK_VALUE_WEIGHT))) {
        const ink_node *before = latest_input(graph, node);
        if (!before) name = own_name(graph, node, INK_VALUE_SLOT);
        if (!before) break;
        prefix = "after ";
        node = before;
    }
    if (!name) name = "a constant";
    const size_t n = strlen(name), m = sizeof ending - 1;
    const size_t kept = n > m && strcmp(name + n - m, ending) == 0 ? n - m : n;
    snprintf(text, INK_LABEL_BYTES, "%s%.*s", prefix, (int)kept, name);
    return text;
}
