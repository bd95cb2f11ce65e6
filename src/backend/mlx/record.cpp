#include "backend/mlx/record.h"

#include <stdexcept>

namespace ink {

recorder::recorder(const ink_graph *graph, const operands &constants, const settings &how,
                   std::vector<mx::array> slots, mx::array step)
    : graph_(graph), constants_(constants), how_(how), slots_(std::move(slots)), step_(std::move(step)),
      values_(static_cast<size_t>(ink_graph_value_count(graph)) + 1), slot_index_(values_.size(), -1) {
    for (size_t i = 0; i < slots_.size(); i++) {
        slot_index_[static_cast<size_t>(ink_graph_slot(graph, i).id)] = static_cast<int>(i);
    }
}

std::vector<mx::array> recorder::record() {
    for (int32_t n = 0; n < ink_graph_node_count(graph_); n++) {
        record_node({ink_graph_node(graph_, n), n});
    }
    return std::move(slots_);
}

mx::array recorder::input(const call &c, int i) const {
    const ink_value value = c.node->inputs[i];
    const size_t id = static_cast<size_t>(value.id);
    const form wanted = form_of_input(c.node->op, i);
    if (slot_index_[id] >= 0)
        return in_form(slots_[static_cast<size_t>(slot_index_[id])], wanted, how_.activation);
    if (values_[id]) return in_form(*values_[id], wanted, how_.activation);
    return constants_.fixed(value, wanted);
}

mx::array recorder::f32(const call &c, int i) const {
    return mx::astype(input(c, i), mx::float32);
}

mx::array recorder::act(const mx::array &x) const {
    return mx::astype(x, how_.activation);
}

bool recorder::has(const call &c, int i) const {
    return i < c.node->n_inputs && c.node->inputs[i].id != 0;
}

ink_shape recorder::shape(const call &c, int i) const {
    return ink_value_shape(graph_, c.node->inputs[i]);
}

void recorder::output(const call &c, int i, const mx::array &x) {
    const ink_value value = c.node->outputs[i];
    values_[static_cast<size_t>(value.id)] = mx::reshape(x, shape_of(ink_value_shape(graph_, value)));
}

mx::array recorder::modulation(const call &c, int64_t begin, int64_t count) const {
    const mx::array table = columns(as_matrix(f32(c, 1), shape(c, 1)), begin, count);
    return constants_.has_rows(c.index) ? mx::take(table, constants_.rows(c.index), 0) : rows(table, 0, 1);
}

mx::array silu(const mx::array &x) {
    return mx::multiply(x, mx::sigmoid(x));
}

mx::array as_matrix(const mx::array &x, const ink_shape &shape) {
    return mx::reshape(x, {to_int(ink_shape_rows(&shape)), to_int(ink_shape_columns(&shape))});
}

mx::array columns(const mx::array &x, int64_t begin, int64_t count) {
    mx::Shape from(x.ndim(), 0), to = x.shape();
    from.back() = to_int(begin);
    to.back() = to_int(begin + count);
    return mx::slice(x, from, to);
}

mx::array rows(const mx::array &x, int64_t begin, int64_t count) {
    mx::Shape from(x.ndim(), 0), to = x.shape();
    from.front() = to_int(begin);
    to.front() = to_int(begin + count);
    return mx::slice(x, from, to);
}

void recorder::record_node(const call &c) {
    using record_function = void (recorder::*)(const call &);
    static constexpr struct {
        ink_op op;
        record_function record;
    } table[] = {
        {INK_OP_EMBED_ROWS, &recorder::record_embed_rows},
        {INK_OP_LINEAR, &recorder::record_linear},
        {INK_OP_RMS_NORM, &recorder::record_rms_norm},
        {INK_OP_CHANNEL_NORM, &recorder::record_channel_norm},
        {INK_OP_LAYER_NORM_MODULATE, &recorder::record_layer_norm_modulate},
        {INK_OP_ADD, &recorder::record_add},
        {INK_OP_GATED_ADD, &recorder::record_gated_add},
        {INK_OP_SILU, &recorder::record_silu},
        {INK_OP_SILU_MUL, &recorder::record_silu_mul},
        {INK_OP_HEAD_NORM_ROTARY, &recorder::record_head_norm_rotary},
        {INK_OP_ATTENTION, &recorder::record_attention},
        {INK_OP_ROTARY_TABLE, &recorder::record_rotary_table},
        {INK_OP_TIMESTEP_EMBEDDING, &recorder::record_timestep_embedding},
        {INK_OP_GATHER_ROWS, &recorder::record_gather_rows},
        {INK_OP_SLICE_COLUMNS, &recorder::record_slice_columns},
        {INK_OP_STEP_ROW, &recorder::record_step_row},
        {INK_OP_STORE, &recorder::record_store},
        {INK_OP_STORE_STEP, &recorder::record_store_step},
        {INK_OP_GUIDANCE, &recorder::record_guidance},
        {INK_OP_EULER_STEP, &recorder::record_euler_step},
        {INK_OP_PACK_PATCHES, &recorder::record_pack_patches},
        {INK_OP_UNPACK_PATCHES, &recorder::record_unpack_patches},
        {INK_OP_CHANNEL_AFFINE, &recorder::record_channel_affine},
        {INK_OP_AFFINE_CLAMP, &recorder::record_affine_clamp},
        {INK_OP_CONV2D, &recorder::record_conv2d},
        {INK_OP_TO_U8, &recorder::record_to_u8},
        {INK_OP_STATS, &recorder::record_stats},
    };
    static_assert(sizeof table / sizeof table[0] == INK_OP_COUNT, "an operation is missing");
    for (const auto &entry : table) {
        if (entry.op == c.node->op) return (this->*entry.record)(c);
    }
    throw std::logic_error("an operation is unknown");
}

} // namespace ink
