/*
 * The operations. Each declaration is the contract that the plain-C reference defines and every backend is
 * tested against: formula, shapes, layout, accumulation.
 *
 * Conventions
 *   - Tensors are row-major and contiguous. Activations are f32.
 *   - "x [.., D]" is read as a matrix: all dims but the last are rows. Outputs keep the leading dims.
 *   - Pictures are channels-last: [Y, X, C].
 *   - Weights may be f32, bf16 or f16 and are widened exactly; sums are accumulated in f32 or wider.
 *   - A value that may be absent is said to be optional and given as INK_NO_VALUE.
 *   - The step is a number handed to each run; only ink_step_row and ink_store_step read it.
 *   - No output overlaps an input, except where ink_op_inplace says that a backend may reuse the input's
 * memory.
 */
#ifndef INK_GRAPH_OPS_H
#define INK_GRAPH_OPS_H

#include "graph/graph.h"

typedef enum ink_op {
    INK_OP_EMBED_ROWS = 0,
    INK_OP_LINEAR,
    INK_OP_RMS_NORM,
    INK_OP_CHANNEL_NORM,
    INK_OP_LAYER_NORM_MODULATE,
    INK_OP_ADD,
    INK_OP_GATED_ADD,
    INK_OP_SILU,
    INK_OP_SILU_MUL,
    INK_OP_HEAD_NORM_ROTARY,
    INK_OP_ATTENTION,
    INK_OP_ROTARY_TABLE,
    INK_OP_TIMESTEP_EMBEDDING,
    INK_OP_GATHER_ROWS,
    INK_OP_SLICE_COLUMNS,
    INK_OP_STEP_ROW,
    INK_OP_STORE,
    INK_OP_STORE_STEP,
    INK_OP_GUIDANCE,
    INK_OP_EULER_STEP,
    INK_OP_PACK_PATCHES,
    INK_OP_UNPACK_PATCHES,
    INK_OP_CHANNEL_AFFINE,
    INK_OP_AFFINE_CLAMP,
    INK_OP_CONV2D,
    INK_OP_TO_U8,
    INK_OP_STATS,
    INK_OP_COUNT
} ink_op;

typedef enum ink_activation { INK_ACT_NONE, INK_ACT_SILU, INK_ACT_GELU_TANH } ink_activation;

typedef enum ink_rotary_style {
    INK_ROTARY_ADJACENT, /* pairs (2k, 2k+1): the transformer */
    INK_ROTARY_HALF      /* pairs (k, k + head_dim/2): the text encoder */
} ink_rotary_style;

#define INK_MAX_STREAMS 2
#define INK_MAX_AXES    4
#define INK_MAX_INPUTS  6
#define INK_MAX_OUTPUTS 2

/* One packed sequence: its rows in each stream. A stream that it does not use has length 0. */
typedef struct ink_segment {
    int64_t begin[INK_MAX_STREAMS];
    int64_t length[INK_MAX_STREAMS];
} ink_segment;

typedef struct ink_node {
    ink_op op;
    int n_inputs, n_outputs;
    ink_value inputs[INK_MAX_INPUTS]; /* optional ones that are absent are INK_NO_VALUE, in their place */
    ink_value outputs[INK_MAX_OUTPUTS];
    union {
        struct {
            ink_activation activation;
        } linear;
        struct {
            float eps;
            ink_activation activation; /* channel_norm only */
        } norm;
        struct {
            float eps;
            int64_t shift_column, scale_column;
            const int32_t *row_groups; /* [rows] or NULL: group 0 for all */
        } modulate;
        struct {
            int64_t gate_column;
            const int32_t *row_groups;
        } gated_add;
        struct {
            int64_t head_dim;
            float eps;
            ink_rotary_style style;
        } rotary;
        struct {
            int streams;
            int64_t heads, kv_heads, head_dim;
            bool causal;
            float scale;
            int64_t n_segments;
            const ink_segment *segments;
        } attention;
        struct {
            int axes;
            int64_t axis_dim[INK_MAX_AXES];
            double theta;
        } rotary_table;
        struct {
            int64_t dim;
            float scale, max_period;
        } timestep;
        struct {
            int64_t count;
            const int32_t *rows;
        } gather;
        struct {
            int64_t begin, end;
        } slice;
        struct {
            int64_t row, column;
        } store;
        struct {
            bool rescale;
        } guidance;
        struct {
            int64_t grid_height, grid_width, patch;
        } patches;
        struct {
            float scale, offset, low, high;
        } affine;
        struct {
            int64_t stride, upsample, pad_top, pad_left, pad_bottom, pad_right;
        } conv;
    } params;
} ink_node;

/* "linear", "attention", ... Static storage. */
const char *ink_op_name(ink_op op);

/* Index of the input whose memory output 0 may take over if nobody needs that input afterwards; -1: none.
 * Every implementation of such an operation must work with output 0 == that input. */
int ink_op_inplace(ink_op op);

/* For benchmarks: floating-point operations (2 per multiply-add) of the matrix-like operations, 0 for the
 * others; and the bytes that must be read and written at least, each once: of tables and slots only the part
 * that the operation touches. */
double ink_node_flops(const ink_graph *graph, const ink_node *node);
double ink_node_bytes(const ink_graph *graph, const ink_node *node);

/* Which one of its kind a node is: the name of its weight without ".weight", or of the slot it moves, or else
 * "after " and the name that goes with its latest input. Returns `text`. */
#define INK_LABEL_BYTES 160
const char *ink_node_label(const ink_graph *graph, const ink_node *node, char text[INK_LABEL_BYTES]);

/* ---- tokens in ---- */

/* out[s, :] = table[ids[s], :]. table [V, D] (weight), ids i32 [S], 0 <= ids < V. -> [S, D] f32. */
ink_value ink_embed_rows(ink_graph *g, ink_value table, ink_value ids);

/* ---- matrices ---- */

/* out = activation(x W^T + bias). x [.., I]; W [O, I], trailing dims of 1 allowed (a 1x1 convolution); bias
 * [O], optional. -> [.., O]. silu(z) = z / (1 + e^-z); gelu_tanh(z) = 0.5 z (1 + tanh(sqrt(2/pi) (z +
 * 0.044715 z^3))). */
ink_value ink_linear(ink_graph *g, ink_value x, ink_value weight, ink_value bias, ink_activation activation);

/* ---- norms ---- */

/* out = weight * x / sqrt(mean(x^2) + eps) over the last dim. x [.., D], weight [D]. In place allowed. */
ink_value ink_rms_norm(ink_graph *g, ink_value x, ink_value weight, float eps);

/* out = activation(weight * sqrt(C) * x / max(||x||_2, eps)) over the last dim (the VAE's "RMS norm", whose
 * eps is a floor). x [.., C], weight with C elements in any shape. activation: none or silu. In place
 * allowed. ref: diffusers autoencoder_kl_qwenimage.py, QwenImageRMS_norm */
ink_value ink_channel_norm(ink_graph *g, ink_value x, ink_value weight, float eps, ink_activation activation);

/* Layer norm without gain, then scale and shift taken from columns of a modulation table:
 *   out[r, d] = (x[r, d] - mean_r) / sqrt(var_r + eps) * (1 + mod[g, scale_column + d]) + mod[g, shift_column
 * + d] with g = row_groups[r], biased variance. x [.., D]; mod [K] or [G, K], K >= both columns + D.
 * row_groups: [rows] numbers in [0, G), copied; NULL: group 0 for every row. In place allowed. ref: diffusers
 * transformer_qwenimage.py, QwenImageTransformerBlock._modulate */
ink_value ink_layer_norm_modulate(ink_graph *g, ink_value x, ink_value mod, int64_t shift_column,
                                  int64_t scale_column, float eps, const int32_t *row_groups);

/* ---- element by element ---- */

/* x + y, equal shapes. In place on x allowed. */
ink_value ink_add(ink_graph *g, ink_value x, ink_value y);

/* out[r, d] = x[r, d] + mod[row_groups[r], gate_column + d] * y[r, d]. Shapes as above; in place on x
 * allowed. */
ink_value ink_gated_add(ink_graph *g, ink_value x, ink_value mod, int64_t gate_column, ink_value y,
                        const int32_t *row_groups);

/* silu(x). In place allowed. */
ink_value ink_silu(ink_graph *g, ink_value x);

/* silu(x) * y, equal shapes. In place on x allowed. */
ink_value ink_silu_mul(ink_graph *g, ink_value x, ink_value y);

/* ---- attention ---- */

/* Per head of head_dim columns: RMS norm with `weight` [head_dim] and eps (skipped if weight is absent), then
 * a rotation of pairs by the angles of `table` [rows, head_dim/2, 2] (cos, sin); the table is the same for
 * all heads and optional. (a, b) -> (a cos - b sin, a sin + b cos), pairs by `style`. x [rows, heads *
 * head_dim]. In place allowed. */
ink_value ink_head_norm_rotary(ink_graph *g, ink_value x, int64_t head_dim, ink_value weight, float eps,
                               ink_value table, ink_rotary_style style);

typedef struct ink_attention_options {
    int64_t heads, kv_heads; /* query head h reads key/value head h / (heads / kv_heads) */
    bool causal;             /* one stream only: row i of a segment sees rows 0 ... i of it */
    float scale;             /* of q.k; 0: 1 / sqrt(head_dim) */
} ink_attention_options;

typedef struct ink_attention_stream {
    ink_value q, k, v; /* q [.., heads * head_dim]; k, v [.., kv_heads * head_dim]; equal rows */
} ink_attention_stream;

/* softmax(scale q k^T) v, in every segment apart. With two streams a segment's sequence is its rows of stream
 * 0 followed by its rows of stream 1 (text first, then image). out[s] has the shape of stream s's q; rows
 * that belong to no segment become 0. Segments must lie inside their streams, not overlap, and not be empty;
 * they are copied. The S x S matrix is never built. */
void ink_attention(ink_graph *g, int streams, const ink_attention_stream *stream, const ink_segment *segments,
                   int64_t n_segments, const ink_attention_options *options, ink_value *out);

/* cos and sin of rotary angles: positions i32 [S, axes]; axis a owns axis_dim[a] / 2 consecutive pairs (even
 * dims); pair i of an axis of dim d at position p has the angle f32(p * w), w = f32(1 /
 * f32(theta^f32(2i/d))).
 * -> [S, sum(axis_dim)/2, 2].
 * ref: diffusers transformer_qwenimage.py, QwenEmbedRope */
ink_value ink_rotary_table(ink_graph *g, ink_value positions, int axes, const int64_t *axis_dim,
                           double theta);

/* Sinusoids, cosines first: t [N] -> [N, dim], half = dim/2, f_i = f32(exp(e_i)), e_i = f32(f32(f32(-ln(
 * max_period)) * i) / half), a_i = f32(scale * f32(t * f_i)); out = [cos a_0 .. cos a_{half-1}, sin a_0 ..].
 * Every f32() is a rounding of the reference: at a = 1000 the last one is worth 3e-5.
 * ref: diffusers embeddings.py, get_timestep_embedding with flip_sin_to_cos and downscale_freq_shift 0 */
ink_value ink_timestep_embedding(ink_graph *g, ink_value t, int64_t dim, float scale, float max_period);

/* ---- moving ---- */

/* out[i, :] = x[rows[i], :], x read as a matrix. -> [count, D]. rows are copied. */
ink_value ink_gather_rows(ink_graph *g, ink_value x, const int32_t *rows, int64_t count);

/* x[.., begin:end]. -> [.., end - begin] */
ink_value ink_slice_columns(ink_graph *g, ink_value x, int64_t begin, int64_t end);

/* table[step, ...] without the first dim: this step's scalars and modulation vectors, or the step-th picture.
 */
ink_value ink_step_row(ink_graph *g, ink_value table);

/* slot[row + r, column + c] = x[r, c], both read as matrices; dtypes equal. */
void ink_store(ink_graph *g, ink_value slot, ink_value x, int64_t row, int64_t column);

/* slot[step, ...] = x. slot [N, ...], x [...], dtypes equal. */
void ink_store_step(ink_graph *g, ink_value slot, ink_value x);

/* ---- the loop ---- */

/* Classifier-free guidance: v [2R, D] holds the conditional rows, then the unconditional ones; scale [1].
 *   c = u + scale (p - u); if rescale, each row is multiplied by ||p|| / ||c|| (1 if ||c|| is 0). -> [R, D].
 * ref: diffusers pipeline_qwenimage.py, true_cfg_scale */
ink_value ink_guidance(ink_graph *g, ink_value v, ink_value scale, bool rescale);

/* x + dt v; dt [1]. In place on x allowed. ref: diffusers scheduling_flow_match_euler_discrete.py */
ink_value ink_euler_step(ink_graph *g, ink_value x, ink_value v, ink_value dt);

/* ---- pictures ---- */

/* x [gh * p, gw * p, C] -> [gh * gw, C * p * p]; row y * gw + x, column (c * p + dy) * p + dx. */
ink_value ink_pack_patches(ink_graph *g, ink_value x, int64_t patch);

/* The inverse: x [gh * gw, C * p * p] -> [gh * p, gw * p, C]. */
ink_value ink_unpack_patches(ink_graph *g, ink_value x, int64_t grid_height, int64_t grid_width,
                             int64_t patch);

/* out[.., c] = x[.., c] * scale[c] + offset[c]. In place allowed. */
ink_value ink_channel_affine(ink_graph *g, ink_value x, ink_value scale, ink_value offset);

/* out = min(max(x * scale + offset, low), high); NaN stays NaN. In place allowed. */
ink_value ink_affine_clamp(ink_graph *g, ink_value x, float scale, float offset, float low, float high);

typedef struct ink_conv_options {
    int64_t stride;   /* 1 or 2 */
    int64_t upsample; /* 1, or 2: the input is read as if every pixel were repeated 2 x 2 (nearest) */
    int64_t pad_top, pad_left, pad_bottom, pad_right; /* zeros around the (upsampled) input */
} ink_conv_options;

/* Cross-correlation: x [Y, X, I]; weight [O, I, KY, KX], or [O, I, KT, KY, KX] of which the last time slice
 * is used (a causal 3-D convolution over a single frame sees nothing but that); bias [O], optional. KY, KX
 * <= 7. -> [Y', X', O], Y' = (Y * upsample + pad_top + pad_bottom - KY) / stride + 1. ref: diffusers
 * autoencoder_kl_qwenimage.py, QwenImageCausalConv3d, QwenImageResample */
ink_value ink_conv2d(ink_graph *g, ink_value x, ink_value weight, ink_value bias,
                     const ink_conv_options *options);

/* u8: round half to even of 255 * x, for x in [0, 1]; values outside are clamped, NaN gives 0. */
ink_value ink_to_u8(ink_graph *g, ink_value x);

/* [4]: minimum, maximum and root mean square of the finite values, number of non-finite ones. All zero values
 * if nothing is finite. Sums in double, over fixed chunks of 4096 elements so that threads change nothing. */
ink_value ink_stats(ink_graph *g, ink_value x);

#endif
