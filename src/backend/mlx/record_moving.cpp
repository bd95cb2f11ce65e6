/*
 * Moving rows, columns, steps and patches; stores replace the slot's array.
 */
#include "backend/mlx/record.h"

namespace ink {

void recorder::record_gather_rows(const call &c) {
    output(c, 0, mx::take(as_matrix(input(c, 0), shape(c, 0)), constants_.rows(c.index), 0));
}

void recorder::record_slice_columns(const call &c) {
    const auto &p = c.node->params.slice;
    output(c, 0, columns(input(c, 0), p.begin, p.end - p.begin));
}

/* The step is an array, so that one traced program serves every step. */
void recorder::record_step_row(const call &c) {
    const mx::array table = input(c, 0);
    mx::Shape size = table.shape();
    size[0] = 1;
    output(c, 0, mx::slice(table, step_, {0}, size));
}

void recorder::record_store(const call &c) {
    const auto &p = c.node->params.store;
    const ink_shape slot_shape = shape(c, 0), x_shape = shape(c, 1);
    mx::array &slot = slots_[static_cast<size_t>(slot_index_[static_cast<size_t>(c.node->inputs[0].id)])];
    const mx::array x = mx::astype(input(c, 1), slot.dtype());
    if (ink_shape_count(&slot_shape) == ink_shape_count(&x_shape)) {
        slot = mx::reshape(x, slot.shape());
        return;
    }
    const int row = to_int(p.row), column = to_int(p.column);
    const mx::array part = as_matrix(x, x_shape);
    const mx::Shape from = {row, column}, to = {row + part.shape(0), column + part.shape(1)};
    const mx::array updated = mx::slice_update(as_matrix(slot, slot_shape), part, from, to);
    slot = mx::reshape(updated, shape_of(slot_shape));
}

void recorder::record_store_step(const call &c) {
    mx::array &slot = slots_[static_cast<size_t>(slot_index_[static_cast<size_t>(c.node->inputs[0].id)])];
    mx::Shape size = slot.shape();
    size[0] = 1;
    const mx::array x = mx::reshape(mx::astype(input(c, 1), slot.dtype()), size);
    slot = mx::slice_update(slot, x, step_, {0});
}

void recorder::record_pack_patches(const call &c) {
    const auto &p = c.node->params.patches;
    const int grid_height = to_int(p.grid_height), grid_width = to_int(p.grid_width), patch = to_int(p.patch);
    const mx::array x = mx::reshape(input(c, 0), {grid_height, patch, grid_width, patch, -1});
    output(c, 0, mx::transpose(x, {0, 2, 4, 1, 3}));
}

void recorder::record_unpack_patches(const call &c) {
    const auto &p = c.node->params.patches;
    const int grid_height = to_int(p.grid_height), grid_width = to_int(p.grid_width), patch = to_int(p.patch);
    const mx::array x = mx::reshape(input(c, 0), {grid_height, grid_width, -1, patch, patch});
    output(c, 0, mx::transpose(x, {0, 3, 1, 4, 2}));
}

} // namespace ink
