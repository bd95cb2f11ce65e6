#include "backend/cuda/unite.h"

#include "backend/cuda/linear_thin_plan.h"

static bool same_matrix(const ink_cuda_operand *a, const ink_cuda_operand *b) {
    return ink_cuda_same_place(a, b) && a->offset == b->offset && a->columns == b->columns &&
           a->stride == b->stride && a->dtype == b->dtype;
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
           a->out[0].columns == b->out[0].columns && !ink_cuda_same_place(&a->out[0], &b->out[0]) &&
           !ink_cuda_same_place(&a->out[0], &b->in[0]) && !ink_cuda_same_place(&a->in[0], &b->out[0]);
}

/* [product, rotation, product, rotation] from i on: both products first. The second product does not need the
 * first rotation, which changes the first product's result where it is. */
static void rotate_last(ink_cuda_lowered *l, int32_t i) {
    const ink_cuda_launch rotation = l->launches[i + 1];
    l->launches[i + 1] = l->launches[i + 2];
    l->launches[i + 2] = rotation;
}

static void unite_products(ink_cuda_lowered *l) {
    for (int32_t i = 0; i < l->n_launches; i += 1 + l->launches[i].more) {
        if (l->launches[i].op != INK_OP_LINEAR) continue;
        const int32_t first = length_of(l, i), other = i + first;
        int32_t all = first;
        if (other < l->n_launches && l->launches[other].op == INK_OP_LINEAR &&
            are_alike(&l->launches[i], &l->launches[other]) && length_of(l, other) == first)
            all += first;
        if (all == 4) rotate_last(l, i);
        l->launches[i].more = all - 1;
    }
}

/* ---- pairs ---- */

static bool can_be_paired(const ink_cuda_launch *l) {
    return l->op == INK_OP_LAYER_NORM_MODULATE ||
           ((l->op == INK_OP_GATED_ADD || l->op == INK_OP_HEAD_NORM_ROTARY) && l->n_nodes == 2);
}

/* Does `a` write what `b` reads or writes? */
static bool writes_for(const ink_cuda_launch *a, const ink_cuda_launch *b) {
    for (int o = 0; o < ink_cuda_max_out; o++) {
        for (int i = 0; i < ink_cuda_max_in; i++) {
            if (ink_cuda_same_place(&a->out[o], &b->in[i])) return true;
        }
        for (int i = 0; i < ink_cuda_max_out; i++) {
            if (ink_cuda_same_place(&a->out[o], &b->out[i])) return true;
        }
    }
    return false;
}

static void pair(ink_cuda_lowered *l) {
    for (int32_t i = 0; i + 1 < l->n_launches; i++) {
        ink_cuda_launch *a = &l->launches[i], *b = a + 1;
        if (a->op != b->op || !can_be_paired(a) || !can_be_paired(b) || writes_for(a, b) || writes_for(b, a))
            continue;
        a->paired = true;
        i++;
    }
}

/* ---- few rows beside many ---- */

/* What a stream consists of between two attentions. */
static bool is_of_stream(const ink_cuda_launch *l) {
    return l->op == INK_OP_LINEAR || l->op == INK_OP_LAYER_NORM_MODULATE || l->op == INK_OP_GATED_ADD ||
           l->op == INK_OP_HEAD_NORM_ROTARY;
}

int32_t ink_cuda_next_attention(const ink_cuda_lowered *l, int32_t i) {
    do {
        i++;
    } while (i < l->n_launches && l->launches[i].op != INK_OP_ATTENTION);
    return i;
}

/* From one attention to the next, what has few rows beside a product of many. */
static void mark_few(ink_cuda_lowered *l, int32_t first, int32_t end) {
    enum { few = ink_thin_most_rows, times = 8 };
    int64_t most = 0;
    for (int32_t i = first; i < end; i++) {
        const ink_cuda_launch *launch = &l->launches[i];
        if (launch->op == INK_OP_LINEAR && launch->in[0].rows > most) most = launch->in[0].rows;
    }
    for (int32_t i = first; i < end; i++) {
        ink_cuda_launch *launch = &l->launches[i];
        const int64_t rows = launch->in[0].rows;
        launch->beside = is_of_stream(launch) && rows <= few && rows * times <= most;
    }
}

void ink_cuda_unite(ink_cuda_lowered *l) {
    unite_products(l);
    pair(l);
    for (int32_t first = 0, end = 0; first < l->n_launches; first = end) {
        end = ink_cuda_next_attention(l, first);
        mark_few(l, first, end);
    }
}
