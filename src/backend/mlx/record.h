/*
 * Recording one run of a graph: every node becomes lazy arrays. The functions of one group of operations are
 * in one record_*.cpp each; the contract of an operation is in graph/ops.h.
 */
#ifndef INK_BACKEND_MLX_RECORD_H
#define INK_BACKEND_MLX_RECORD_H

#include "backend/mlx/operands.h"

namespace ink {

class recorder {
  public:
    /* `slots` [number of slots], in the order of ink_graph_slot, of the slots' shapes; `step` is an i32
     * scalar. */
    recorder(const ink_graph *graph, const operands &constants, const settings &how,
             std::vector<mx::array> slots, mx::array step);

    /* Records all nodes. Returns the slots' arrays afterwards. */
    std::vector<mx::array> record();

    /* What the operations use. */
    struct call {
        const ink_node *node;
        int32_t index;
    };

  private:
    void record_node(const call &c);

    mx::array input(const call &c, int i) const; /* in the form of form_of_input */
    mx::array f32(const call &c, int i) const;   /* the same as f32 */
    mx::array act(const mx::array &x) const;     /* in the activation type */
    bool has(const call &c, int i) const;
    ink_shape shape(const call &c, int i) const;           /* of input i */
    void output(const call &c, int i, const mx::array &x); /* reshaped to the output's shape */
    /* Rows of the modulation table that row groups choose, columns [begin, begin + count): [1 or rows, count]
     */
    mx::array modulation(const call &c, int64_t begin, int64_t count) const;

    mx::array product(const call &c, const mx::array &x) const; /* of a linear node */

    void record_embed_rows(const call &c);
    void record_linear(const call &c);
    void record_conv2d(const call &c);

    void record_rms_norm(const call &c);
    void record_channel_norm(const call &c);
    void record_layer_norm_modulate(const call &c);
    void record_head_norm_rotary(const call &c);

    void record_attention(const call &c);

    void record_add(const call &c);
    void record_gated_add(const call &c);
    void record_silu(const call &c);
    void record_silu_mul(const call &c);
    void record_channel_affine(const call &c);
    void record_affine_clamp(const call &c);
    void record_to_u8(const call &c);
    void record_stats(const call &c);

    void record_rotary_table(const call &c);
    void record_timestep_embedding(const call &c);
    void record_guidance(const call &c);
    void record_euler_step(const call &c);

    void record_gather_rows(const call &c);
    void record_slice_columns(const call &c);
    void record_step_row(const call &c);
    void record_store(const call &c);
    void record_store_step(const call &c);
    void record_pack_patches(const call &c);
    void record_unpack_patches(const call &c);

    const ink_graph *graph_;
    const operands &constants_;
    const settings &how_;
    std::vector<mx::array> slots_;
    mx::array step_;
    std::vector<std::optional<mx::array>> values_; /* [value id], computed ones */
    std::vector<int> slot_index_;                  /* [value id], -1: not a slot */
};

/* x / (1 + e^-x) */
mx::array silu(const mx::array &x);

/* `x` read as a matrix: [rows, columns] of `shape`. */
mx::array as_matrix(const mx::array &x, const ink_shape &shape);

/* Columns [begin, begin + count) of the last axis. */
mx::array columns(const mx::array &x, int64_t begin, int64_t count);

/* Rows [begin, begin + count) of the first axis. */
mx::array rows(const mx::array &x, int64_t begin, int64_t count);

/* MLX counts in int; operands of a program were checked to fit. */
inline int to_int(int64_t n) {
    return static_cast<int>(n);
}

} // namespace ink

#endif
