#include "backend/cuda/unite.h"

static bool same_place(const ink_cuda_operand *a, const ink_cuda_operand *b) {
    return a->where == b->where && a->index == b->index;
}

static bool same_matrix(const ink_cuda_operand *a, const ink_cuda_operand *b) {
    return same_place(a, b) && a->offset == b->offset && a->columns == b->columns && a->stride == b->stride &&
           a->dtype == b->dtype;
}

/* Does the launch rotate q and k of this product where they are? */
static bool rotates(const ink_cuda_launch *l, const ink_cuda_launch *product) {
    if (l->op != INK_OP_HEAD_NORM_ROTARY || l->n_nodes != 2 || product->n_nodes != 3 ||
        !same_matrix(&l->in[0], &l->out[0]) || !same_matrix(&l->in[3], &l->out[1]))
        return false;
    ink_cuda_operand q = product->out[0], k;
    q.columns /= 3;
    k = q;
    k.offset += q.columns;
    return same_matrix(&l->in[0], &q) && same_matrix(&l->in[3], &k);
}

/* Launches of one product and what follows it there. */
static int32_t length_of(const ink_cuda_lowered *l, int32_t i) {
    return i + 1 < l->n_launches && rotates(&l->launches[i + 1], &l->launches[i]) ? 2 : 1;
}

static bool are_alike(const ink_cuda_launch *a, const ink_cuda_launch *b) {
    return a->n_nodes == b->n_nodes && a->activation == b->activation && a->in[0].dtype == b->in[0].dtype &&
           a->in[0].columns == b->in[0].columns && a->out[0].dtype == b->out[0].dtype &&
           a->out[0].columns == b->out[0].columns && !same_place(&a->out[0], &b->out[0]) &&
           !same_place(&a->out[0], &b->in[0]) && !same_place(&a->in[0], &b->out[0]);
}

void ink_cuda_unite(ink_cuda_lowered *l) {
    for (int32_t i = 0; i < l->n_launches; i += 1 + l->launches[i].more) {
        if (l->launches[i].op != INK_OP_LINEAR) continue;
        const int32_t first = length_of(l, i), other = i + first;
        int32_t all = first;
        if (other < l->n_launches && l->launches[other].op == INK_OP_LINEAR &&
            are_alike(&l->launches[i], &l->launches[other]) && length_of(l, other) == first)
            all += first;
        l->launches[i].more = all - 1;
    }
}
