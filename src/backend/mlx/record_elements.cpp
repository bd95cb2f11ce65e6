/*
 * Element by element, and the statistics of all elements. Sums and products are f32; what is stored is the
 * activation type.
 */
#include "backend/mlx/record.h"

namespace ink {

void recorder::record_add(const call &c) {
    output(c, 0, act(mx::add(f32(c, 0), f32(c, 1))));
}

void recorder::record_gated_add(const call &c) {
    const ink_shape matrix = shape(c, 0);
    const mx::array gate = modulation(c, c.node->params.gated_add.gate_column, ink_shape_columns(&matrix));
    const mx::array x = as_matrix(f32(c, 0), matrix), y = as_matrix(f32(c, 2), matrix);
    output(c, 0, act(mx::add(x, mx::multiply(gate, y))));
}

void recorder::record_silu(const call &c) {
    output(c, 0, act(silu(f32(c, 0))));
}

void recorder::record_silu_mul(const call &c) {
    output(c, 0, act(mx::multiply(silu(f32(c, 0)), f32(c, 1))));
}

void recorder::record_channel_affine(const call &c) {
    output(c, 0,
           act(mx::add(mx::multiply(f32(c, 0), mx::reshape(f32(c, 1), {-1})), mx::reshape(f32(c, 2), {-1}))));
}

void recorder::record_affine_clamp(const call &c) {
    const auto &p = c.node->params.affine;
    const mx::array y = mx::add(mx::multiply(f32(c, 0), mx::array(p.scale)), mx::array(p.offset));
    output(c, 0, act(mx::minimum(mx::maximum(y, mx::array(p.low)), mx::array(p.high))));
}

/* A comparison with NaN is false: NaN gives 0. */
void recorder::record_to_u8(const call &c) {
    const mx::array y = mx::multiply(f32(c, 0), mx::array(255.0f));
    const mx::array level = mx::minimum(mx::round(y), mx::array(255.0f));
    output(c, 0, mx::astype(mx::where(mx::greater(y, mx::array(0.0f)), level, mx::array(0.0f)), mx::uint8));
}

/* A sum in short chunks, then over their sums, and so on: Metal has no double. */
static mx::array tree_sum(mx::array x) {
    const int chunk = 32;
    while (x.shape(0) > 1) {
        const int padding = (chunk - x.shape(0) % chunk) % chunk;
        x = mx::sum(mx::reshape(mx::pad(x, {0, padding}), {-1, chunk}), 1);
    }
    return mx::reshape(x, {});
}

/* The squares are of x / max|x|, so that they cannot overflow. */
void recorder::record_stats(const call &c) {
    const mx::array x = mx::reshape(f32(c, 0), {-1});
    const int count = x.shape(0);
    const mx::array finite = mx::isfinite(x);
    const mx::array zero(0.0f), infinity(std::numeric_limits<float>::infinity());
    const mx::array low = mx::min(mx::where(finite, x, infinity));
    const mx::array high = mx::max(mx::where(finite, x, mx::negative(infinity)));
    const mx::array n = mx::sum(mx::astype(finite, mx::int32));
    const mx::array any = mx::greater(n, mx::array(0));
    const mx::array largest = mx::maximum(mx::abs(low), mx::abs(high));
    const mx::array unit =
        mx::where(mx::logical_and(any, mx::greater(largest, zero)), largest, mx::array(1.0f));
    const mx::array scaled = mx::divide(mx::where(finite, x, zero), unit);
    const mx::array mean =
        mx::divide(tree_sum(mx::square(scaled)), mx::maximum(mx::astype(n, mx::float32), mx::array(1.0f)));
    const mx::array rms = mx::multiply(unit, mx::sqrt(mean));
    const mx::array bad = mx::astype(mx::subtract(mx::array(count), n), mx::float32);
    output(
        c, 0,
        mx::stack({mx::where(any, low, zero), mx::where(any, high, zero), mx::where(any, rms, zero), bad}));
}

} // namespace ink
