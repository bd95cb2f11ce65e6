/*
 * A graph as a flat list of launches, with a place for everything: the arena of activations, slots, weights.
 */
#ifndef INK_BACKEND_CUDA_LOWER_H
#define INK_BACKEND_CUDA_LOWER_H

#include "backend/cuda/analysis.h"
#include "backend/cuda/weights.h"
#include "graph/plan.h"

typedef enum ink_cuda_where {
    INK_CUDA_NOWHERE, /* an input that is absent */
    INK_CUDA_IN_ARENA,
    INK_CUDA_IN_SLOT,
    INK_CUDA_IN_WEIGHT
} ink_cuda_where;

/* A matrix, and where it lies. */
typedef struct ink_cuda_operand {
    ink_cuda_where where;
    int32_t index;  /* of the storage, the slot's value id, of the wanted weight */
    int64_t offset; /* elements from there */
    ink_dtype dtype;
    int64_t rows, columns, stride;
    int64_t per_step; /* not 0: it is the row of a step, and a table has so many elements for each */
} ink_cuda_operand;

/* Are both in one storage, slot or weight? What is nowhere is in none. */
static inline bool ink_cuda_same_place(const ink_cuda_operand *a, const ink_cuda_operand *b) {
    return a->where != INK_CUDA_NOWHERE && a->where == b->where && a->index == b->index;
}

enum { ink_cuda_max_in = 6, ink_cuda_max_out = 2, ink_cuda_max_nodes = 3 };

/* Not operations of graphs: converts in[0] to the type of out[0], and in[1] to that of out[1] if it is there;
 * rounds activation(in[0]) to e4m3. */
#define INK_CUDA_CONVERT  INK_OP_COUNT
#define INK_CUDA_QUANTISE (INK_OP_COUNT + 1)

/* Inputs are those of the operation, in its order. Several operations in one launch:
 *   linear              one product with the weights of all; out[0] holds the results side by side
 *   head_norm_rotary    the second one's x and weight are in[3] and in[4], its result out[1]
 *   gated_add           and layer_norm_modulate of the sum: that one's table is in[3], its row groups in[5];
 *                       out[0] is the sum, in the place of x, and out[1] its norm
 *   attention           of two streams without in[3]: q, k, v and out[0] have the rows of both, those of the
 *                       first segment before those of the second
 * Row groups are in[4], rows of gather_rows in[1]; scratch memory of stats is out[1]. */
typedef struct ink_cuda_launch {
    ink_op op;
    int n_nodes;
    int32_t more; /* so many launches after it may be computed in one go with it; see unite.h */
    bool paired;  /* with the launch after it: one kernel computes both */
    bool beside;  /* of few rows: may run beside what has many; see beside.h */
    const ink_node *nodes[ink_cuda_max_nodes];
    ink_activation activation; /* of linear and QUANTISE */
    ink_cuda_operand in[ink_cuda_max_in], out[ink_cuda_max_out];
} ink_cuda_launch;

typedef struct ink_cuda_lowered {
    ink_cuda_launch *launches; /* [n_launches] */
    int32_t n_launches, launches_cap;
    ink_plan_storage *storages; /* [n_storages] */
    int32_t n_storages, storages_cap;
    ink_cuda_wanted *wanted; /* [n_wanted] */
    int32_t n_wanted, wanted_cap;
    size_t arena_bytes;
} ink_cuda_lowered;

ink_status ink_cuda_lower(const ink_graph *graph, const ink_cuda_rules *rules, ink_cuda_lowered *lowered,
                          ink_error *error);
void ink_cuda_lowered_free(ink_cuda_lowered *lowered);

#endif
