/*
 * Norms over the last dim, and the rotation of queries and keys.
 */
#include "backend/mlx/fused_modulate.h"
#include "backend/mlx/record.h"

#include <cmath>

namespace ink {

void recorder::record_rms_norm(const call &c) {
    output(c, 0, mx::fast::rms_norm(act(input(c, 0)), input(c, 1), c.node->params.norm.eps));
}

/* Not MLX's fast RMS norm: eps is a floor of the length here, not a term beside the mean. */
void recorder::record_channel_norm(const call &c) {
    const mx::array x = as_matrix(f32(c, 0), shape(c, 0));
    const mx::array length = mx::sqrt(mx::sum(mx::square(x), -1, true));
    const mx::array floored = mx::maximum(length, mx::array(c.node->params.norm.eps));
    const mx::array gain = mx::multiply(f32(c, 1), mx::array(std::sqrt(static_cast<float>(x.shape(1)))));
    const mx::array y = mx::multiply(mx::divide(x, floored), gain);
    output(c, 0, act(c.node->params.norm.activation == INK_ACT_SILU ? silu(y) : y));
}

void recorder::record_layer_norm_modulate(const call &c) {
    const auto &p = c.node->params.modulate;
    const ink_shape matrix = shape(c, 0);
    const mx::array x = as_matrix(act(input(c, 0)), matrix);
    const int64_t width = ink_shape_columns(&matrix);
    const mx::array shift = modulation(c, p.shift_column, width),
                    scale = modulation(c, p.scale_column, width);
    if (how_.fused_modulate) return output(c, 0, fused_norm_modulate(x, shift, scale, p.eps));
    const mx::array normed =
        mx::astype(mx::fast::layer_norm(x, std::nullopt, std::nullopt, p.eps), mx::float32);
    output(c, 0, act(mx::add(mx::multiply(normed, mx::add(mx::array(1.0f), scale)), shift)));
}

/* x [rows, heads, D] f32, table [rows, D/2, 2]. MLX's fast rope makes its own angles from one position per
 * row; these have three axes and the reference's roundings, so the rotation is written out. */
static mx::array rotate(const mx::array &x, const mx::array &table, ink_rotary_style style) {
    const int count = x.shape(0), heads = x.shape(1), half = x.shape(2) / 2;
    const mx::array angles = mx::reshape(table, {count, 1, half, 2});
    const auto part = [&](const mx::array &of, int axis, int i) {
        return mx::squeeze(mx::take(of, mx::array({i}), axis), axis);
    };
    const mx::array cosine = part(angles, 3, 0), sine = part(angles, 3, 1);
    const bool adjacent = style == INK_ROTARY_ADJACENT;
    const int axis = adjacent ? 3 : 2;
    const mx::array pairs =
        adjacent ? mx::reshape(x, {count, heads, half, 2}) : mx::reshape(x, {count, heads, 2, half});
    const mx::array a = part(pairs, axis, 0), b = part(pairs, axis, 1);
    return mx::stack({mx::subtract(mx::multiply(a, cosine), mx::multiply(b, sine)),
                      mx::add(mx::multiply(a, sine), mx::multiply(b, cosine))},
                     axis);
}

void recorder::record_head_norm_rotary(const call &c) {
    const auto &p = c.node->params.rotary;
    const ink_shape matrix = shape(c, 0);
    const int count = to_int(ink_shape_rows(&matrix)), head_dim = to_int(p.head_dim);
    mx::array x = mx::reshape(act(input(c, 0)), {count, -1, head_dim});
    if (has(c, 1)) x = mx::fast::rms_norm(x, input(c, 1), p.eps);
    if (has(c, 2)) x = act(rotate(mx::astype(x, mx::float32), f32(c, 2), p.style));
    output(c, 0, x);
}

} // namespace ink
