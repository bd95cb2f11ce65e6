/*
 * Which values need no memory of their own, and which operations share a launch. An operation may move
 * forward to the launch of an earlier one, never back; what it reads must be there and still be the same.
 */
#include "backend/cuda/analysis.h"

/* How far apart operations of one launch may be recorded. */
enum { linear_reach = 12, rotary_reach = 8 };

static const ink_value_info *info_of(const ink_cuda_analysis *a, ink_value value) {
    return ink_graph_value(a->graph, value.id);
}

/* The value that a view shows, or the value itself. */
static int32_t base_of(const ink_cuda_analysis *a, int32_t id) {
    while (a->values[id].view != INK_CUDA_NO_VIEW) {
        id = ink_graph_node(a->graph, ink_graph_value(a->graph, id)->node)->inputs[0].id;
    }
    return id;
}

static bool is_store(const ink_node *node) {
    return node->op == INK_OP_STORE || node->op == INK_OP_STORE_STEP;
}

/* Does a node in [from, to) write to the slot? */
static bool is_written(const ink_cuda_analysis *a, int32_t slot, int32_t from, int32_t to) {
    for (int32_t n = from; n < to; n++) {
        const ink_node *node = ink_graph_node(a->graph, n);
        if (is_store(node) && node->inputs[0].id == slot) return true;
    }
    return false;
}

/* ---- views ---- */

static bool all_uses_are(const ink_cuda_analysis *a, int32_t id, ink_cuda_role role) {
    const ink_cuda_value *value = &a->values[id];
    for (int32_t u = value->first_use; u < value->first_use + value->n_uses; u++) {
        const ink_node *node = ink_graph_node(a->graph, a->uses[u].node);
        if (ink_cuda_role_of(node->op, a->uses[u].input) != role) return false;
        /* These go through whole pictures. */
        if (node->op == INK_OP_CONV2D || node->op == INK_OP_PACK_PATCHES || node->op == INK_OP_UNPACK_PATCHES)
            return false;
    }
    return value->n_uses > 0;
}

void ink_cuda_find_views(ink_cuda_analysis *a) {
    for (int32_t n = 0; n < a->n_nodes; n++) {
        const ink_node *node = ink_graph_node(a->graph, n);
        const bool step = node->op == INK_OP_STEP_ROW;
        if (!step && node->op != INK_OP_SLICE_COLUMNS) continue;
        const int32_t id = node->outputs[0].id, from = node->inputs[0].id, base = base_of(a, from);
        const ink_value_kind kind = ink_graph_value(a->graph, base)->kind;
        if (!all_uses_are(a, id, step ? INK_CUDA_ROLE_ROW : INK_CUDA_ROLE_MATRIX)) continue;
        if (step ? base != from : a->values[id].dtype != a->values[from].dtype) continue;
        if (step ? kind != INK_VALUE_SLOT : kind != INK_VALUE_SLOT && kind != INK_VALUE_COMPUTED) continue;
        if (kind == INK_VALUE_SLOT && is_written(a, base, n, ink_cuda_last_use(a, id))) continue;
        a->values[id].view = step ? INK_CUDA_STEP_VIEW : INK_CUDA_COLUMN_VIEW;
        a->values[from].viewed = true;
        a->leader[n] = -1;
    }
}

/* ---- moving forward ---- */

/* Could node m be computed where node `to`, which is before it, is? */
static bool can_move(const ink_cuda_analysis *a, int32_t m, int32_t to) {
    const ink_node *node = ink_graph_node(a->graph, m);
    for (int i = 0; i < node->n_inputs; i++) {
        if (!node->inputs[i].id) continue;
        const int32_t base = base_of(a, node->inputs[i].id);
        const ink_value_info *info = ink_graph_value(a->graph, base);
        if (info->kind == INK_VALUE_SLOT && is_written(a, base, to, m)) return false;
        if (info->kind == INK_VALUE_COMPUTED && a->leader[info->node] >= to) return false;
    }
    return true;
}

static bool is_free(const ink_cuda_analysis *a, int32_t n) {
    return a->leader[n] == n && a->follower[n] < 0;
}

static void join(ink_cuda_analysis *a, int32_t last, int32_t m) {
    a->follower[last] = m;
    a->leader[m] = a->leader[last];
}

static bool is_constant(const ink_value_info *info) {
    return info->kind == INK_VALUE_WEIGHT || info->kind == INK_VALUE_CONSTANT;
}

/* ---- products of the same input ---- */

static bool is_stored_alone(const ink_cuda_analysis *a, int32_t id) {
    const ink_cuda_value *value = &a->values[id];
    return value->n_uses == 1 && is_store(ink_graph_node(a->graph, a->uses[value->first_use].node));
}

static bool can_be_part(const ink_cuda_analysis *a, const ink_node *node) {
    return node->op == INK_OP_LINEAR && node->params.linear.activation == INK_ACT_NONE &&
           is_constant(info_of(a, node->inputs[1])) &&
           (!node->inputs[2].id || is_constant(info_of(a, node->inputs[2]))) &&
           !is_stored_alone(a, node->outputs[0].id);
}

static void join_linears(ink_cuda_analysis *a, int32_t n) {
    const ink_node *first = ink_graph_node(a->graph, n);
    if (!can_be_part(a, first) || !is_free(a, n)) return;
    const ink_cuda_value *x = &a->values[first->inputs[0].id];
    int32_t last = n;
    int count = 1;
    for (int32_t u = x->first_use; u < x->first_use + x->n_uses && count < 3; u++) {
        const int32_t m = a->uses[u].node;
        if (m <= n || m > n + linear_reach || a->uses[u].input != 0) continue;
        const ink_node *node = ink_graph_node(a->graph, m);
        if (!can_be_part(a, node) || !is_free(a, m) || !node->inputs[2].id != !first->inputs[2].id ||
            a->values[node->outputs[0].id].dtype != a->values[first->outputs[0].id].dtype ||
            !can_move(a, m, n)) {
            continue;
        }
        join(a, last, m);
        last = m;
        count++;
    }
}

/* ---- q and k ---- */

static bool are_alike(const ink_cuda_analysis *a, const ink_node *p, const ink_node *q) {
    const ink_value_info *x = info_of(a, p->inputs[0]), *y = info_of(a, q->inputs[0]);
    if (q->op != p->op || ink_shape_rows(&x->shape) != ink_shape_rows(&y->shape) ||
        p->params.rotary.head_dim != q->params.rotary.head_dim ||
        p->params.rotary.style != q->params.rotary.style || p->params.rotary.eps < q->params.rotary.eps ||
        p->params.rotary.eps > q->params.rotary.eps || p->inputs[2].id != q->inputs[2].id ||
        !p->inputs[1].id != !q->inputs[1].id) {
        return false;
    }
    if (p->inputs[1].id && (info_of(a, p->inputs[1])->dtype != info_of(a, q->inputs[1])->dtype ||
                            info_of(a, p->inputs[1])->kind != info_of(a, q->inputs[1])->kind))
        return false;
    return a->values[p->inputs[0].id].dtype == a->values[q->inputs[0].id].dtype &&
           a->values[p->outputs[0].id].dtype == a->values[q->outputs[0].id].dtype;
}

static void join_rotaries(ink_cuda_analysis *a, int32_t n) {
    const ink_node *first = ink_graph_node(a->graph, n);
    if (first->op != INK_OP_HEAD_NORM_ROTARY || !is_free(a, n)) return;
    for (int32_t m = n + 1; m < a->n_nodes && m <= n + rotary_reach; m++) {
        if (!is_free(a, m) || !are_alike(a, first, ink_graph_node(a->graph, m)) || !can_move(a, m, n))
            continue;
        join(a, n, m);
        return;
    }
}

/* ---- the end of one half of a block and the begin of the next ---- */

/* May the sum take the place of x? */
static bool adds_in_place(const ink_cuda_analysis *a, int32_t n) {
    const ink_node *node = ink_graph_node(a->graph, n);
    const int32_t x = node->inputs[0].id;
    return info_of(a, node->inputs[0])->kind == INK_VALUE_COMPUTED && !a->values[x].viewed &&
           a->values[x].view == INK_CUDA_NO_VIEW && ink_cuda_last_use(a, x) == n && node->inputs[2].id != x &&
           a->values[x].dtype == a->values[node->outputs[0].id].dtype;
}

static void join_norm(ink_cuda_analysis *a, int32_t n) {
    const ink_node *node = ink_graph_node(a->graph, n);
    if (node->op != INK_OP_GATED_ADD || !is_free(a, n) || !adds_in_place(a, n)) return;
    const ink_cuda_value *sum = &a->values[node->outputs[0].id];
    for (int32_t u = sum->first_use; u < sum->first_use + sum->n_uses; u++) {
        const int32_t m = a->uses[u].node;
        const ink_node *norm = ink_graph_node(a->graph, m);
        if (norm->op != INK_OP_LAYER_NORM_MODULATE || a->uses[u].input != 0 || !is_free(a, m)) continue;
        /* The sum itself comes from this launch. */
        a->leader[n] = -1;
        const bool movable = can_move(a, m, n);
        a->leader[n] = n;
        if (!movable) continue;
        join(a, n, m);
        return;
    }
}

/* ---- results that are computed where they are stored ---- */

static bool writes_anywhere(const ink_cuda_analysis *a, int32_t n, bool contiguous) {
    switch (ink_graph_node(a->graph, n)->op) {
    case INK_OP_LINEAR:
    case INK_OP_RMS_NORM:
    case INK_OP_CHANNEL_NORM:
    case INK_OP_LAYER_NORM_MODULATE:
    case INK_OP_ADD:
    case INK_OP_SILU:
    case INK_OP_SILU_MUL:
    case INK_OP_GATHER_ROWS:
    case INK_OP_EMBED_ROWS:
    case INK_OP_GUIDANCE:
    case INK_OP_EULER_STEP:
    case INK_OP_CHANNEL_AFFINE:
    case INK_OP_AFFINE_CLAMP:
    case INK_OP_TO_U8:
        return is_free(a, n);
    case INK_OP_ROTARY_TABLE:
        return contiguous;
    default:
        return false;
    }
}

/* Does node n read the slot other than element by element at the place that it writes? */
static bool reads_elsewhere(const ink_cuda_analysis *a, int32_t n, int32_t slot, bool whole) {
    const ink_node *node = ink_graph_node(a->graph, n);
    for (int i = 0; i < node->n_inputs; i++) {
        if (!node->inputs[i].id || base_of(a, node->inputs[i].id) != slot) continue;
        if (!whole || i != 0 || node->op != INK_OP_EULER_STEP || node->inputs[i].id != slot) return true;
    }
    return false;
}

static void store_directly(ink_cuda_analysis *a, int32_t s) {
    const ink_node *node = ink_graph_node(a->graph, s);
    if (node->op != INK_OP_STORE) return;
    const int32_t slot = node->inputs[0].id, id = node->inputs[1].id;
    const ink_value_info *to = ink_graph_value(a->graph, slot), *from = ink_graph_value(a->graph, id);
    ink_cuda_value *value = &a->values[id];
    if (from->kind != INK_VALUE_COMPUTED || value->view != INK_CUDA_NO_VIEW || value->viewed ||
        value->n_uses != 1 || value->dtype != to->dtype)
        return;
    const bool all_columns = ink_shape_columns(&to->shape) == ink_shape_columns(&from->shape);
    const bool whole = all_columns && ink_shape_rows(&to->shape) == ink_shape_rows(&from->shape);
    if (!writes_anywhere(a, from->node, all_columns)) return;
    if (reads_elsewhere(a, from->node, slot, whole)) return;
    for (int32_t n = from->node + 1; n < s; n++) {
        const ink_node *between = ink_graph_node(a->graph, n);
        for (int i = 0; i < between->n_inputs; i++) {
            if (between->inputs[i].id && base_of(a, between->inputs[i].id) == slot) return;
        }
    }
    value->store = s;
    a->leader[s] = -1;
}

void ink_cuda_fuse(ink_cuda_analysis *a) {
    for (int32_t n = 0; n < a->n_nodes; n++) {
        join_linears(a, n);
    }
    for (int32_t n = 0; n < a->n_nodes; n++) {
        join_rotaries(a, n);
    }
    for (int32_t n = 0; n < a->n_nodes; n++) {
        join_norm(a, n);
    }
    for (int32_t n = 0; n < a->n_nodes; n++) {
        store_directly(a, n);
    }
}
