#include "backend/cuda/analysis.h"

#include <stdlib.h>

ink_cuda_role ink_cuda_role_of(ink_op op, int input) {
    switch (op) {
    case INK_OP_EMBED_ROWS:
        return input == 0 ? INK_CUDA_ROLE_WEIGHT : INK_CUDA_ROLE_TABLE;
    case INK_OP_LINEAR:
    case INK_OP_CONV2D:
    case INK_OP_RMS_NORM:
    case INK_OP_CHANNEL_NORM:
        return input == 0 ? INK_CUDA_ROLE_MATRIX : INK_CUDA_ROLE_WEIGHT;
    case INK_OP_HEAD_NORM_ROTARY:
        return input == 0 ? INK_CUDA_ROLE_MATRIX : input == 1 ? INK_CUDA_ROLE_WEIGHT : INK_CUDA_ROLE_TABLE;
    case INK_OP_LAYER_NORM_MODULATE:
    case INK_OP_GATED_ADD:
    case INK_OP_GUIDANCE:
        return input == 1 ? INK_CUDA_ROLE_ROW : INK_CUDA_ROLE_MATRIX;
    case INK_OP_EULER_STEP:
        return input == 2 ? INK_CUDA_ROLE_ROW : INK_CUDA_ROLE_MATRIX;
    case INK_OP_CHANNEL_AFFINE:
        return input == 0 ? INK_CUDA_ROLE_MATRIX : INK_CUDA_ROLE_TABLE;
    case INK_OP_ROTARY_TABLE:
    case INK_OP_TIMESTEP_EMBEDDING:
    case INK_OP_STEP_ROW:
        return INK_CUDA_ROLE_TABLE;
    case INK_OP_STORE:
    case INK_OP_STORE_STEP:
        return input == 0 ? INK_CUDA_ROLE_SLOT : INK_CUDA_ROLE_MATRIX;
    default:
        return INK_CUDA_ROLE_MATRIX;
    }
}

int32_t ink_cuda_last_use(const ink_cuda_analysis *a, int32_t id) {
    const ink_cuda_value *value = &a->values[id];
    if (value->n_uses == 0) return ink_graph_value(a->graph, id)->node;
    return a->uses[value->first_use + value->n_uses - 1].node;
}

/* ---- who uses what ---- */

static void find_uses(ink_cuda_analysis *a) {
    for (int32_t n = 0; n < a->n_nodes; n++) {
        const ink_node *node = ink_graph_node(a->graph, n);
        for (int i = 0; i < node->n_inputs; i++) {
            a->values[node->inputs[i].id].n_uses++;
        }
    }
    a->values[0].n_uses = 0; /* inputs that are absent */
    for (int32_t id = 1, at = 0; id <= a->n_values; id++) {
        a->values[id].first_use = at;
        at += a->values[id].n_uses;
        a->values[id].n_uses = 0;
    }
    for (int32_t n = 0; n < a->n_nodes; n++) {
        const ink_node *node = ink_graph_node(a->graph, n);
        for (int i = 0; i < node->n_inputs; i++) {
            ink_cuda_value *value = &a->values[node->inputs[i].id];
            if (node->inputs[i].id) a->uses[value->first_use + value->n_uses++] = (ink_cuda_use){n, i};
        }
    }
}

/* ---- types ---- */

/* Pictures are no residual streams: their sums are as long as everything else, and memory is scarce. */
static bool is_residual(const ink_cuda_analysis *a, const ink_node *node) {
    if (node->op != INK_OP_ADD && node->op != INK_OP_GATED_ADD) return false;
    return ink_value_shape(a->graph, node->outputs[0]).rank <= 2;
}

/* Does the result merely repeat, move or clamp what comes in? */
static bool keeps_type(ink_op op) {
    return op == INK_OP_GATHER_ROWS || op == INK_OP_SLICE_COLUMNS || op == INK_OP_AFFINE_CLAMP ||
           op == INK_OP_PACK_PATCHES || op == INK_OP_UNPACK_PATCHES;
}

/* Is it computed to be stored, and for nothing that goes on? */
static bool is_result(const ink_cuda_analysis *a, int32_t id) {
    const ink_cuda_value *value = &a->values[id];
    bool stored = false;
    for (int32_t u = value->first_use; u < value->first_use + value->n_uses; u++) {
        const ink_op op = ink_graph_node(a->graph, a->uses[u].node)->op;
        if (op == INK_OP_STORE || op == INK_OP_STORE_STEP)
            stored = true;
        else if (op != INK_OP_TO_U8 && op != INK_OP_STATS)
            return false;
    }
    return stored;
}

/* Must input i be f32, or is it better so? `out` says the same of the output. */
static bool wants_f32(const ink_cuda_analysis *a, const ink_node *node, int i, bool out, ink_dtype residual) {
    switch (ink_cuda_role_of(node->op, i)) {
    case INK_CUDA_ROLE_ROW:
    case INK_CUDA_ROLE_TABLE:
        return true;
    case INK_CUDA_ROLE_MATRIX:
        break;
    default:
        return false;
    }
    if (node->op == INK_OP_GUIDANCE || node->op == INK_OP_EULER_STEP) return true;
    if (i == 0 && is_residual(a, node)) return residual == INK_F32;
    return keeps_type(node->op) && out;
}

static ink_dtype type_of(const ink_cuda_analysis *a, const ink_node *node, int32_t id, bool wanted,
                         const ink_cuda_rules *rules) {
    const ink_dtype said = ink_graph_value(a->graph, id)->dtype;
    if (said != INK_F32 || wanted) return said;
    switch (node->op) {
    case INK_OP_GUIDANCE:
    case INK_OP_EULER_STEP:
    case INK_OP_ROTARY_TABLE:
    case INK_OP_STEP_ROW:
    case INK_OP_STATS:
        return INK_F32;
    default:
        break;
    }
    if (is_residual(a, node)) return rules->residual;
    if (keeps_type(node->op)) return a->values[node->inputs[0].id].dtype;
    return rules->activation;
}

/* Backwards, what wants f32; forwards, what it then is. */
static ink_status choose_types(ink_cuda_analysis *a, const ink_cuda_rules *rules, ink_error *error) {
    bool *wanted = calloc((size_t)a->n_values + 1, sizeof *wanted);
    if (!wanted) return ink_fail_memory(error, "compiling a program", (size_t)a->n_values + 1);
    for (int32_t n = a->n_nodes - 1; n >= 0; n--) {
        const ink_node *node = ink_graph_node(a->graph, n);
        for (int o = 0; o < node->n_outputs; o++) {
            if (is_result(a, node->outputs[o].id)) wanted[node->outputs[o].id] = true;
        }
        for (int i = 0; i < node->n_inputs; i++) {
            const bool out = node->n_outputs > 0 && wanted[node->outputs[0].id];
            if (wants_f32(a, node, i, out, rules->residual)) wanted[node->inputs[i].id] = true;
        }
    }
    for (int32_t id = 1; id <= a->n_values; id++) {
        a->values[id].dtype = ink_graph_value(a->graph, id)->dtype;
    }
    for (int32_t n = 0; n < a->n_nodes; n++) {
        const ink_node *node = ink_graph_node(a->graph, n);
        for (int o = 0; o < node->n_outputs; o++) {
            const int32_t id = node->outputs[o].id;
            a->values[id].dtype = type_of(a, node, id, wanted[id], rules);
        }
    }
    free(wanted);
    return INK_OK;
}

/* ---- all of it ---- */

ink_status ink_cuda_analyse(const ink_graph *graph, const ink_cuda_rules *rules, ink_cuda_analysis *a,
                            ink_error *error) {
    *a = (ink_cuda_analysis){
        .graph = graph, .n_values = ink_graph_value_count(graph), .n_nodes = ink_graph_node_count(graph)};
    const size_t values = (size_t)a->n_values + 1, nodes = (size_t)a->n_nodes + 1;
    a->values = calloc(values, sizeof *a->values);
    a->uses = calloc(nodes * INK_MAX_INPUTS, sizeof *a->uses);
    a->leader = calloc(nodes, sizeof *a->leader);
    a->follower = calloc(nodes, sizeof *a->follower);
    ink_status status = INK_OK;
    if (!a->values || !a->uses || !a->leader || !a->follower)
        status = ink_fail_memory(error, "compiling a program", nodes * INK_MAX_INPUTS * sizeof *a->uses);
    if (status == INK_OK) {
        for (int32_t n = 0; n < a->n_nodes; n++) {
            a->leader[n] = n;
            a->follower[n] = -1;
        }
        for (int32_t id = 0; id <= a->n_values; id++) {
            a->values[id].store = -1;
        }
        find_uses(a);
        status = choose_types(a, rules, error);
    }
    if (status != INK_OK) {
        ink_cuda_analysis_free(a);
        return status;
    }
    if (rules->separate) return INK_OK;
    ink_cuda_find_views(a);
    if (rules->fp8) ink_cuda_choose_fp8(a, rules);
    ink_cuda_fuse(a);
    return INK_OK;
}

void ink_cuda_analysis_free(ink_cuda_analysis *a) {
    free(a->values);
    free(a->uses);
    free(a->leader);
    free(a->follower);
    *a = (ink_cuda_analysis){0};
}
