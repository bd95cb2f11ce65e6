#include "backend/cuda/joint.h"

static const ink_node *maker_of(const ink_cuda_analysis *a, ink_value value, int32_t *n) {
    const ink_value_info *info = ink_graph_value(a->graph, value.id);
    if (info->kind != INK_VALUE_COMPUTED) return NULL;
    *n = info->node;
    return ink_graph_node(a->graph, info->node);
}

/* Nodes of a launch from `first` up to `end`, without it; -1: all. */
static int count_before(const ink_cuda_analysis *a, int32_t first, int32_t end) {
    int count = 0;
    for (int32_t m = first; m != end; m = a->follower[m]) {
        count++;
    }
    return count;
}

/* Which part of the launch of `*first` a value is, perhaps rotated since; -1 if it is none. */
static int part_of(const ink_cuda_analysis *a, ink_value value, int32_t *first) {
    int32_t n = -1;
    const ink_node *node = maker_of(a, value, &n);
    if (node && node->op == INK_OP_HEAD_NORM_ROTARY) node = maker_of(a, node->inputs[0], &n);
    if (!node || node->op != INK_OP_LINEAR || a->leader[n] < 0) return -1;
    *first = a->leader[n];
    return count_before(a, *first, n);
}

/* Is there one product for q, k and v of each stream, with the three in the same order? */
static bool find_products(const ink_cuda_analysis *a, const ink_node *attention, ink_cuda_joint *joint) {
    for (int s = 0; s < 2; s++) {
        for (int i = 0; i < ink_cuda_joint_parts; i++) {
            int32_t first = -1, other = -1;
            const int part = part_of(a, attention->inputs[ink_cuda_joint_parts * s + i], &first);
            if (part < 0 || part != part_of(a, attention->inputs[i], &other)) return false;
            if (i > 0 && first != joint->products[s]) return false;
            joint->products[s] = first;
        }
    }
    return count_before(a, joint->products[0], -1) == ink_cuda_joint_parts &&
           count_before(a, joint->products[1], -1) == ink_cuda_joint_parts &&
           joint->products[0] != joint->products[1];
}

/* Do the segments take all rows, one after the other? */
static bool find_rows(const ink_cuda_analysis *a, const ink_node *attention, ink_cuda_joint *joint) {
    const int64_t n = attention->params.attention.n_segments;
    if (n < 1 || n > ink_cuda_joint_segments) return false;
    int64_t rows[2] = {0, 0};
    joint->n_segments = (int)n;
    for (int64_t i = 0; i < n; i++) {
        const ink_segment *segment = &attention->params.attention.segments[i];
        for (int s = 0; s < 2; s++) {
            if (segment->begin[s] != rows[s] || segment->length[s] <= 0) return false;
            joint->length[i][s] = segment->length[s];
            rows[s] += segment->length[s];
        }
    }
    for (int s = 0; s < 2; s++) {
        const ink_value q = attention->inputs[ink_cuda_joint_parts * s];
        if (ink_shape_rows(&ink_graph_value(a->graph, q.id)->shape) != rows[s]) return false;
    }
    const int longer = rows[1] >= rows[0], shorter = 1 - longer;
    joint->rows = rows[0] + rows[1];
    joint->whole[longer] = true;
    joint->whole[shorter] = n == 1;
    joint->row[0][shorter] = 0;
    joint->row[0][longer] = joint->length[0][shorter];
    if (n == 1) return true;
    joint->row[1][longer] = joint->row[0][longer] + joint->length[0][longer];
    joint->row[1][shorter] = joint->row[1][longer] + joint->length[1][longer];
    return true;
}

bool ink_cuda_joint_find(const ink_cuda_analysis *a, int32_t n, ink_cuda_joint *joint) {
    const ink_node *node = ink_graph_node(a->graph, n);
    *joint = (ink_cuda_joint){.attention = n, .storage = -1};
    return node->op == INK_OP_ATTENTION && a->leader[n] == n && node->params.attention.streams == 2 &&
           !node->params.attention.causal && find_products(a, node, joint) && find_rows(a, node, joint);
}
