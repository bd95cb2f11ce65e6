/*
 * The CUDA kernels, as the rest of this room calls them: plain C functions that launch work on a stream and
 * return the launch's error. They compute what graph/ops.h defines.
 *
 * Activations are f32 or bf16, in any mixture of inputs and outputs; arithmetic and sums are f32. Tables
 * (rotary, modulation, scalars) are f32 unless said otherwise; weights are f32, bf16 or f16. All pointers are
 * device memory. Rows of a matrix may be further apart than its columns, so that a part of a wider matrix
 * (the q of a fused q, k, v product, say) needs no copy; elements of a row are adjacent.
 *
 * A table that depends on the step is passed whole with `step`, a device pointer to the step's number, and
 * the elements per step: launches can then be captured once and replayed.
 */
#ifndef INK_BACKEND_CUDA_KERNELS_H
#define INK_BACKEND_CUDA_KERNELS_H

/* Before the project's headers, so that extern "C" does not enclose the standard library's. */
#include <cuda_runtime_api.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "base/status.h"
#include "graph/ops.h"

typedef struct ink_cuda_matrix {
    void *data;
    ink_dtype dtype;
    int64_t rows, columns;
    int64_t stride; /* elements from one row to the next, at least `columns` */
} ink_cuda_matrix;

/* A row of f32 numbers that may change from step to step: row *step of a table. */
typedef struct ink_cuda_row {
    const float *data;
    const int64_t *step; /* NULL: `data` is the row itself */
    int64_t per_step;    /* elements */
} ink_cuda_row;

/* A modulation vector: columns [column, column + D) of row row_groups[r] (NULL: 0) of a [groups, stride]
 * table. */
typedef struct ink_cuda_modulation {
    ink_cuda_row table;
    int64_t stride;            /* elements from one group to the next */
    const int32_t *row_groups; /* nullable, device */
} ink_cuda_modulation;

/* ---- norms ---- */
cudaError_t ink_cuda_rms_norm(cudaStream_t, const ink_cuda_matrix *x, const void *weight,
                              ink_dtype weight_dtype, float eps, const ink_cuda_matrix *out);
cudaError_t ink_cuda_channel_norm(cudaStream_t, const ink_cuda_matrix *x, const void *weight,
                                  ink_dtype weight_dtype, float eps, ink_activation activation,
                                  const ink_cuda_matrix *out);
/* out [R, D] = norm(x [R, D]) * (1 + scale) + shift, both columns of `mod`. If it `adds`: first x += gate *
 * add, written back to x, then the norm of the new x: the end of one half of a block and the begin of the
 * next in one pass. */
typedef struct ink_cuda_layer_norm {
    ink_cuda_matrix x; /* [R, D] */
    ink_cuda_modulation mod;
    int64_t shift_column, scale_column;
    float eps;
    bool adds;
    ink_cuda_matrix add; /* [R, D]; this and the gate only if it adds */
    ink_cuda_modulation gate;
    int64_t gate_column;
    ink_cuda_matrix out;
} ink_cuda_layer_norm;
/* One or two that do not need each other, which share a launch where they can. */
cudaError_t ink_cuda_layer_norms(cudaStream_t, int count, const ink_cuda_layer_norm *norms);

/* Heads of one matrix or two (q and k of one projection), each with its own gain, RMS-normed and rotated.
 * `table` is nullable, weights are nullable. Outputs may be the inputs. */
typedef struct ink_cuda_rotation {
    int count;                    /* of matrices */
    ink_cuda_matrix x[2], out[2]; /* [R, heads * head_dim], heads of each matrix */
    const void *weight[2];        /* [head_dim] */
    ink_dtype weight_dtype;
    int64_t head_dim;
    float eps;
    const float *table; /* [R, head_dim / 2, 2]: cos, sin */
    ink_rotary_style style;
} ink_cuda_rotation;
/* One or two that do not need each other, which share a launch where they can. */
cudaError_t ink_cuda_head_norm_rotaries(cudaStream_t, int count, const ink_cuda_rotation *rotations);

/* ---- element by element ---- */
cudaError_t ink_cuda_add(cudaStream_t, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                         const ink_cuda_matrix *out);
cudaError_t ink_cuda_gated_add(cudaStream_t, const ink_cuda_matrix *x, const ink_cuda_modulation *mod,
                               int64_t gate_column, const ink_cuda_matrix *y, const ink_cuda_matrix *out);
cudaError_t ink_cuda_silu(cudaStream_t, const ink_cuda_matrix *x, const ink_cuda_matrix *out);
cudaError_t ink_cuda_silu_mul(cudaStream_t, const ink_cuda_matrix *x, const ink_cuda_matrix *y,
                              const ink_cuda_matrix *out);
/* out = activation(x + bias), for products whose epilogue could not do it; bias nullable. */
cudaError_t ink_cuda_bias_activation(cudaStream_t, const ink_cuda_matrix *x, const void *bias,
                                     ink_dtype bias_dtype, ink_activation activation,
                                     const ink_cuda_matrix *out);
cudaError_t ink_cuda_channel_affine(cudaStream_t, const ink_cuda_matrix *x, const float *scale,
                                    const float *offset, const ink_cuda_matrix *out);
cudaError_t ink_cuda_affine_clamp(cudaStream_t, const ink_cuda_matrix *x, float scale, float offset,
                                  float low, float high, const ink_cuda_matrix *out);
cudaError_t ink_cuda_to_u8(cudaStream_t, const ink_cuda_matrix *x, const ink_cuda_matrix *out);

/* ---- moving: any of f32, bf16, i32, u8; dtypes may differ between f32 and bf16, which converts ---- */
cudaError_t ink_cuda_copy(cudaStream_t, const ink_cuda_matrix *x, const ink_cuda_matrix *out);
/* out is row *step of a table of contiguous rows of out->rows * out->columns elements. */
cudaError_t ink_cuda_store_step(cudaStream_t, const ink_cuda_matrix *x, const int64_t *step,
                                const ink_cuda_matrix *table);
cudaError_t ink_cuda_load_step(cudaStream_t, const ink_cuda_row *row, const ink_cuda_matrix *out);
cudaError_t ink_cuda_gather_rows(cudaStream_t, const ink_cuda_matrix *x, const int32_t *rows,
                                 const ink_cuda_matrix *out);
cudaError_t ink_cuda_embed_rows(cudaStream_t, const ink_cuda_matrix *table, const int32_t *ids,
                                const ink_cuda_matrix *out);
cudaError_t ink_cuda_pack_patches(cudaStream_t, const ink_cuda_matrix *x, int64_t height, int64_t width,
                                  int64_t patch, const ink_cuda_matrix *out);
cudaError_t ink_cuda_unpack_patches(cudaStream_t, const ink_cuda_matrix *x, int64_t grid_height,
                                    int64_t grid_width, int64_t patch, const ink_cuda_matrix *out);

/* ---- tables, once per picture ---- */
cudaError_t ink_cuda_rotary_table(cudaStream_t, const int32_t *positions, int64_t rows, int axes,
                                  const int64_t *axis_dim, double theta, float *out);
cudaError_t ink_cuda_timestep_embedding(cudaStream_t, const float *t, int64_t count, int64_t dim, float scale,
                                        float max_period, const ink_cuda_matrix *out);

/* ---- the loop ---- */
cudaError_t ink_cuda_guidance(cudaStream_t, const ink_cuda_matrix *v, const ink_cuda_row *scale, bool rescale,
                              const ink_cuda_matrix *out);
cudaError_t ink_cuda_euler_step(cudaStream_t, const ink_cuda_matrix *x, const ink_cuda_matrix *v,
                                const ink_cuda_row *dt, const ink_cuda_matrix *out);
/* The two in one pass: out = x + dt * guided velocity. */
cudaError_t ink_cuda_guided_step(cudaStream_t, const ink_cuda_matrix *x, const ink_cuda_matrix *v,
                                 const ink_cuda_row *scale, bool rescale, const ink_cuda_row *dt,
                                 const ink_cuda_matrix *out);
/* out [4], of f32 or bf16; `scratch` has ink_cuda_stats_scratch bytes, aligned to 8. */
size_t ink_cuda_stats_scratch(int64_t elements);
cudaError_t ink_cuda_stats(cudaStream_t, const ink_cuda_matrix *x, void *scratch, float *out);

/* ---- weights made on the device: the numbers of weights/synthetic.c, for any range of elements ---- */
cudaError_t ink_cuda_synthetic_fill(cudaStream_t, uint64_t stream_key, float scale, float offset,
                                    ink_dtype dtype, int64_t first, int64_t count, void *out);

/* ---- attention (attention_*.cu, attention_cudnn.c) ---- */

/* Per stream: q, k, v and out as rows x (heads * head_dim) matrices, which may be parts of wider ones. All
 * streams and all segments; segments is host memory. Rows in no segment become 0. See ink_attention. */
typedef struct ink_cuda_attention_problem {
    int streams;
    ink_cuda_matrix q[INK_MAX_STREAMS], k[INK_MAX_STREAMS], v[INK_MAX_STREAMS], out[INK_MAX_STREAMS];
    int64_t heads, kv_heads, head_dim;
    bool causal;
    float scale;
    int64_t n_segments;
    const ink_segment *segments;
} ink_cuda_attention_problem;

/* A plan holds what is chosen and built once: library plans, device tables, scratch. Its pointers are fixed
 * at creation, so that runs can be captured. Chooses the fastest implementation that can do the problem. */
typedef struct ink_cuda_attention_plan ink_cuda_attention_plan;
ink_status ink_cuda_attention_plan_create(const ink_cuda_attention_problem *problem, cudaStream_t stream,
                                          ink_cuda_attention_plan **plan, ink_error *error);
/* The same, sharing with `like` (nullable) what does not depend on pointers, if only those differ: the layers
 * of a network should all be made like the first one. Plans that share may be destroyed in any order, and run
 * one after the other, not at the same time. */
ink_status ink_cuda_attention_plan_create_like(const ink_cuda_attention_problem *problem,
                                               const ink_cuda_attention_plan *like, cudaStream_t stream,
                                               ink_cuda_attention_plan **plan, ink_error *error);
ink_status ink_cuda_attention_run(ink_cuda_attention_plan *plan, cudaStream_t stream, ink_error *error);
size_t
ink_cuda_attention_bytes(const ink_cuda_attention_plan *plan); /* device memory it holds, shared or not */
const char *ink_cuda_attention_name(const ink_cuda_attention_plan *plan); /* which implementation */
void ink_cuda_attention_plan_destroy(ink_cuda_attention_plan *plan);

/* How the rows of a segment should lie. ADJACENT: those of the two streams one after the other (either one
 * first), at the same distance, in q, k, v and out alike; otherwise every run gathers q, k and v and scatters
 * out. The streams may then be parts of one matrix, or the problem may be given as one stream of joint
 * segments: the order of rows inside a segment only matters with `causal`. [text 1, image 1, image 2, text 2]
 * makes two segments adjacent and leaves the image rows of both together. */
typedef enum ink_cuda_attention_layout {
    INK_CUDA_ATTENTION_ANYWHERE,
    INK_CUDA_ATTENTION_ADJACENT
} ink_cuda_attention_layout;
ink_cuda_attention_layout ink_cuda_attention_preferred_layout(const ink_cuda_attention_problem *problem);

/* ---- convolution (conv_*.cu, conv_cudnn.c), channels-last; likewise ---- */
typedef struct ink_cuda_conv_problem {
    ink_cuda_matrix x, out; /* [height * width, channels] */
    int64_t height, width, out_height, out_width;
    int64_t kernel_y, kernel_x;
    const void *weight; /* [O, KY, KX, I] of weight_dtype, made by ink_cuda_conv_pack_weight */
    ink_dtype weight_dtype;
    const float *bias; /* nullable */
    int64_t stride, upsample, pad_top, pad_left, pad_bottom, pad_right;
} ink_cuda_conv_problem;

/* From [O, I, KT, KY, KX] (last time slice) or [O, I, KY, KX] (time 1), any weight dtype, to [O, KY, KX, I].
 */
cudaError_t ink_cuda_conv_pack_weight(cudaStream_t, const void *weight, ink_dtype dtype, int64_t outputs,
                                      int64_t inputs, int64_t time, int64_t kernel_y, int64_t kernel_x,
                                      ink_dtype out_dtype, void *out);
typedef struct ink_cuda_conv_plan ink_cuda_conv_plan;
/* Reads the weight, and writes to `out` while it tries what is fastest. `like` (nullable) is any earlier
 * plan: libraries are then opened once, and what does not depend on pointers is built once for every shape.
 * Plans that share may be destroyed in any order, and run one after the other. */
ink_status ink_cuda_conv_plan_create_like(const ink_cuda_conv_problem *problem,
                                          const ink_cuda_conv_plan *like, cudaStream_t stream,
                                          ink_cuda_conv_plan **plan, ink_error *error);
ink_status ink_cuda_conv_plan_create(const ink_cuda_conv_problem *problem, cudaStream_t stream,
                                     ink_cuda_conv_plan **plan, ink_error *error);
ink_status ink_cuda_conv_run(ink_cuda_conv_plan *plan, cudaStream_t stream, ink_error *error);
size_t ink_cuda_conv_bytes(const ink_cuda_conv_plan *plan);     /* device memory it holds, shared or not */
const char *ink_cuda_conv_name(const ink_cuda_conv_plan *plan); /* which implementation */
void ink_cuda_conv_plan_destroy(ink_cuda_conv_plan *plan);

#ifdef __cplusplus
}
#endif

#endif
