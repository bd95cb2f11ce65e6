/*
 * What lowering must know about a graph before it makes launches: who uses a value, in which type it is kept,
 * which values are views of others, and which operations become one launch.
 */
#ifndef INK_BACKEND_CUDA_ANALYSIS_H
#define INK_BACKEND_CUDA_ANALYSIS_H

#include "graph/ops.h"

/* Groups of layers whose products may be of e4m3 numbers; see quantise.c. */
enum {
    INK_CUDA_FP8_ATTENTION = 1, /* of the image: q, k, v and the output projection */
    INK_CUDA_FP8_WIDEN = 2,     /* the first matrix of the image's MLP */
    INK_CUDA_FP8_NARROW = 4,    /* the second one */
    INK_CUDA_FP8_TEXT = 8,      /* all of the text's */
    INK_CUDA_FP8_ALL = 15,
    /* The text's few rows are read in little time anyhow, and make two fifths of the error. */
    INK_CUDA_FP8_DEFAULT = INK_CUDA_FP8_ATTENTION | INK_CUDA_FP8_WIDEN | INK_CUDA_FP8_NARROW
};

/* What is decided by the backend's options. */
typedef struct ink_cuda_rules {
    ink_dtype activation, residual; /* INK_BF16 or INK_F32 */
    bool separate;                  /* fuse nothing */
    unsigned fp8;                   /* groups of layers; only with activations of bf16 */
    bool apart;                     /* attention wants the rows of its streams where they are */
} ink_cuda_rules;

/* How an operation reads an input. */
typedef enum ink_cuda_role {
    INK_CUDA_ROLE_MATRIX, /* as a matrix of any type, with any distance between its rows */
    INK_CUDA_ROLE_WEIGHT, /* as a weight */
    INK_CUDA_ROLE_ROW,    /* as a row of f32 numbers that may be a step's */
    INK_CUDA_ROLE_TABLE,  /* contiguous f32 or i32 */
    INK_CUDA_ROLE_SLOT    /* as the slot that it is */
} ink_cuda_role;
ink_cuda_role ink_cuda_role_of(ink_op op, int input);

typedef struct ink_cuda_use {
    int32_t node;
    int input;
} ink_cuda_use;

typedef enum ink_cuda_view { INK_CUDA_NO_VIEW, INK_CUDA_STEP_VIEW, INK_CUDA_COLUMN_VIEW } ink_cuda_view;

typedef struct ink_cuda_value {
    int32_t first_use, n_uses; /* into uses; in order of nodes */
    ink_dtype dtype;           /* as it is kept */
    ink_cuda_view view;        /* of its node's input 0, without memory of its own */
    bool viewed;               /* others are views of it */
    int32_t store;             /* the store that it is computed into the slot of; -1: none */
} ink_cuda_value;

typedef struct ink_cuda_analysis {
    const ink_graph *graph;
    int32_t n_values, n_nodes;
    ink_cuda_use *uses;
    ink_cuda_value *values; /* [id] */
    int32_t *leader;        /* [node] the first operation of its launch; -1: it needs none */
    int32_t *follower;      /* [node] the next operation of the same launch; -1: none */
} ink_cuda_analysis;

ink_status ink_cuda_analyse(const ink_graph *graph, const ink_cuda_rules *rules, ink_cuda_analysis *a,
                            ink_error *error);
void ink_cuda_analysis_free(ink_cuda_analysis *a);

/* Index of the last node that reads a value; the one it comes from if none does. */
int32_t ink_cuda_last_use(const ink_cuda_analysis *a, int32_t id);

/* fuse.c: views, stores that need no copy, and operations that become one launch. */
void ink_cuda_find_views(ink_cuda_analysis *a);
void ink_cuda_fuse(ink_cuda_analysis *a);

/* ---- quantise.c ---- */
bool ink_cuda_is_fp8(const ink_graph *graph, const ink_cuda_rules *rules, const ink_node *node);
/* Makes values e4m3 that only such products read, if what computes them can write them so. */
void ink_cuda_choose_fp8(ink_cuda_analysis *a, const ink_cuda_rules *rules);

#endif
