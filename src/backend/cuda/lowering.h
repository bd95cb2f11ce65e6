/*
 * Inside of lowering: what its files share. Everybody else sees lower.h.
 */
#ifndef INK_BACKEND_CUDA_LOWERING_H
#define INK_BACKEND_CUDA_LOWERING_H

#include "backend/cuda/joint.h"
#include "backend/cuda/lower.h"

/* While launches are made. Memory that runs out is found at the end. */
typedef struct ink_cuda_lowering {
    const ink_graph *graph;
    const ink_cuda_rules *rules;
    ink_cuda_analysis a;
    ink_cuda_lowered *out;
    ink_cuda_operand *home; /* [id] of computed values */
    ink_cuda_joint *joints; /* [n_joints] */
    int32_t n_joints;
    bool out_of_memory;
    const ink_node *unsupported; /* the first one that cannot be lowered */
} ink_cuda_lowering;

/* Appends; does nothing without memory. */
void ink_cuda_add_launch(ink_cuda_lowering *l, const ink_cuda_launch *launch);
int32_t ink_cuda_add_storage(ink_cuda_lowering *l, size_t bytes);
ink_cuda_operand ink_cuda_operand_of(ink_cuda_where where, int32_t index, ink_dtype dtype, int64_t rows,
                                     int64_t columns);
ink_cuda_operand ink_cuda_fresh_matrix(ink_cuda_lowering *l, ink_dtype dtype, int64_t rows, int64_t columns);

/* ---- lower_joint.c: attention over rows that are adjacent ---- */
void ink_cuda_find_joints(ink_cuda_lowering *l);
/* Where the products of node n go, side by side: among the rows of an attention if all of them can. */
ink_cuda_operand ink_cuda_joint_result(ink_cuda_lowering *l, int32_t n, ink_dtype dtype, int64_t rows,
                                       int64_t columns);
/* Makes the launches of attention n; false: its rows are apart. */
bool ink_cuda_lower_joint(ink_cuda_lowering *l, int32_t n, ink_cuda_launch *launch);

#endif
