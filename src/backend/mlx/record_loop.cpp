/*
 * Tables of sines and cosines, and what the denoising loop does to velocities and latents. All of it in f32.
 */
#include "backend/mlx/record.h"

#include <cmath>

namespace ink {

/* The frequencies depend on the configuration alone: they are made here with the reference's roundings. */
void recorder::record_rotary_table(const call &c) {
    const auto &p = c.node->params.rotary_table;
    const mx::array positions = as_matrix(f32(c, 0), shape(c, 0));
    std::vector<mx::array> angles;
    for (int a = 0; a < p.axes; a++) {
        std::vector<float> frequencies;
        for (int64_t i = 0; i < p.axis_dim[a] / 2; i++) {
            const float exponent = static_cast<float>(2 * i) / static_cast<float>(p.axis_dim[a]);
            const float power = static_cast<float>(std::pow(p.theta, static_cast<double>(exponent)));
            frequencies.push_back(1.0f / power);
        }
        if (frequencies.empty()) continue;
        const mx::array row(frequencies.begin(), {1, static_cast<int>(frequencies.size())});
        angles.push_back(mx::multiply(columns(positions, a, 1), row));
    }
    const mx::array all = mx::concatenate(angles, 1);
    output(c, 0, mx::stack({mx::cos(all), mx::sin(all)}, 2));
}

void recorder::record_timestep_embedding(const call &c) {
    const auto &p = c.node->params.timestep;
    const int64_t half = p.dim / 2;
    const float rate = static_cast<float>(-std::log(static_cast<double>(p.max_period)));
    std::vector<float> frequencies;
    for (int64_t i = 0; i < half; i++) {
        const float exponent = rate * static_cast<float>(i) / static_cast<float>(half);
        frequencies.push_back(static_cast<float>(std::exp(static_cast<double>(exponent))));
    }
    const mx::array row(frequencies.begin(), {1, static_cast<int>(half)});
    const mx::array product = mx::multiply(mx::reshape(f32(c, 0), {-1, 1}), row);
    const mx::array angle = mx::multiply(mx::array(p.scale), product);
    output(c, 0, mx::concatenate({mx::cos(angle), mx::sin(angle)}, 1));
}

void recorder::record_guidance(const call &c) {
    const mx::array v = as_matrix(f32(c, 0), shape(c, 0));
    const int count = v.shape(0) / 2;
    const mx::array with = rows(v, 0, count), without = rows(v, count, count);
    const mx::array combined = mx::add(without, mx::multiply(f32(c, 1), mx::subtract(with, without)));
    if (!c.node->params.guidance.rescale) return output(c, 0, combined);
    const mx::array squares = mx::sum(mx::square(combined), 1, true);
    const mx::array ratio = mx::divide(mx::sum(mx::square(with), 1, true), squares);
    const mx::array factor = mx::where(mx::equal(squares, mx::array(0.0f)), mx::array(1.0f), mx::sqrt(ratio));
    output(c, 0, mx::multiply(combined, factor));
}

void recorder::record_euler_step(const call &c) {
    output(c, 0, mx::add(f32(c, 0), mx::multiply(f32(c, 2), mx::reshape(f32(c, 1), shape_of(shape(c, 0))))));
}

} // namespace ink
