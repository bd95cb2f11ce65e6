#include "backend/cuda/lowering.h"

#include <stdlib.h>

ink_cuda_operand ink_cuda_joint_result(ink_cuda_lowering *l, int32_t n, ink_dtype dtype, int64_t rows,
                                       int64_t columns) {
    for (int32_t i = 0; i < l->n_joints; i++) {
        ink_cuda_joint *joint = &l->joints[i];
        for (int s = 0; s < 2; s++) {
            if (joint->products[s] != n || !joint->whole[s]) continue;
            if (joint->storage < 0)
                joint->storage =
                    ink_cuda_add_storage(l, (size_t)(joint->rows * columns) * ink_dtype_bytes(dtype));
            ink_cuda_operand result =
                ink_cuda_operand_of(INK_CUDA_IN_ARENA, joint->storage, dtype, rows, columns);
            result.offset = joint->row[0][s] * columns;
            return result;
        }
    }
    return ink_cuda_fresh_matrix(l, dtype, rows, columns);
}

/* The rows of a stream in a segment, of a matrix with the rows of both streams. */
static ink_cuda_operand joint_rows(const ink_cuda_joint *joint, ink_cuda_operand both, int segment, int s) {
    both.offset += joint->row[segment][s] * both.stride;
    both.rows = joint->length[segment][s];
    return both;
}

/* Copies the stream that is in pieces into the joint matrix, or out of it. */
static void copy_pieces(ink_cuda_lowering *l, const ink_cuda_joint *joint, int s, ink_cuda_operand both,
                        ink_cuda_operand apart, bool out) {
    ink_cuda_launch launch = {
        .op = INK_CUDA_CONVERT, .n_nodes = 1, .nodes = {ink_graph_node(l->graph, joint->attention)}};
    for (int i = 0; i < joint->n_segments; i++) {
        const ink_cuda_operand piece = joint_rows(joint, both, i, s);
        apart.rows = piece.rows;
        launch.in[i] = out ? piece : apart;
        launch.out[i] = out ? apart : piece;
        apart.offset += apart.rows * apart.stride;
    }
    ink_cuda_add_launch(l, &launch);
}

/* Are q, k and v of each stream where they were planned, in the same columns? Then `both` are those columns
 * of the joint matrix. */
static bool are_joint(const ink_cuda_lowering *l, const ink_cuda_joint *joint, ink_cuda_operand *both) {
    const ink_node *node = ink_graph_node(l->graph, joint->attention);
    if (joint->storage < 0) return false;
    for (int i = 0; i < ink_cuda_joint_parts; i++) {
        for (int s = 0; s < 2; s++) {
            const int32_t id = node->inputs[ink_cuda_joint_parts * s + i].id;
            const ink_cuda_operand *home = &l->home[id];
            const ink_cuda_operand *first = &l->home[node->inputs[ink_cuda_joint_parts * s].id];
            const int64_t column = home->offset - (joint->whole[s] ? joint->row[0][s] * home->stride : 0);
            if (s == 0) {
                both[i] = *home;
                both[i].index = joint->storage;
                both[i].offset = column;
                both[i].rows = joint->rows;
            }
            if (home->where != INK_CUDA_IN_ARENA || home->dtype != both[0].dtype ||
                home->index != (joint->whole[s] ? joint->storage : first->index) ||
                home->stride != both[0].stride || column != both[i].offset ||
                home->columns != both[i].columns)
                return false;
        }
    }
    return true;
}

bool ink_cuda_lower_joint(ink_cuda_lowering *l, int32_t n, ink_cuda_launch *launch) {
    ink_cuda_joint *joint = l->joints, *end = l->joints + l->n_joints;
    while (joint < end && joint->attention != n) {
        joint++;
    }
    const ink_node *node = launch->nodes[0];
    ink_cuda_operand both[ink_cuda_joint_parts];
    if (joint == end || !are_joint(l, joint, both) ||
        l->a.values[node->outputs[0].id].dtype != l->a.values[node->outputs[1].id].dtype)
        return false;
    const ink_cuda_operand out =
        ink_cuda_fresh_matrix(l, l->a.values[node->outputs[0].id].dtype, joint->rows, both[0].columns);
    for (int s = 0; s < 2; s++) {
        ink_cuda_operand *home = &l->home[node->outputs[s].id];
        const int64_t rows = ink_shape_rows(&ink_graph_value(l->graph, node->outputs[s].id)->shape);
        if (joint->whole[s]) {
            *home = joint_rows(joint, out, 0, s);
            home->rows = rows;
            continue;
        }
        ink_cuda_operand all = both[0], apart = l->home[node->inputs[ink_cuda_joint_parts * s].id];
        all.offset = apart.offset = 0;
        all.columns = apart.columns = all.stride;
        copy_pieces(l, joint, s, all, apart, false);
        if (l->a.values[node->outputs[s].id].n_uses > 0)
            *home = ink_cuda_fresh_matrix(l, out.dtype, rows, out.columns);
    }
    for (int i = 0; i < ink_cuda_joint_parts; i++) {
        launch->in[i] = both[i];
    }
    launch->out[0] = out;
    ink_cuda_add_launch(l, launch);
    for (int s = 0; s < 2; s++) {
        const ink_cuda_operand *home = &l->home[node->outputs[s].id];
        if (!joint->whole[s] && home->where != INK_CUDA_NOWHERE) copy_pieces(l, joint, s, out, *home, true);
    }
    return true;
}

void ink_cuda_find_joints(ink_cuda_lowering *l) {
    if (l->rules->separate || l->rules->apart) return;
    l->joints = calloc((size_t)l->a.n_nodes + 1, sizeof *l->joints);
    if (!l->joints) l->out_of_memory = true;
    for (int32_t n = 0; n < l->a.n_nodes && l->joints; n++) {
        if (ink_cuda_joint_find(&l->a, n, &l->joints[l->n_joints])) l->n_joints++;
    }
}
