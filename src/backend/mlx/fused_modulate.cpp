#include "backend/mlx/fused_modulate.h"

namespace ink {

enum { group = 256 }; /* threads per row; a power of two for the reduction */

/* One threadgroup of 256 threads per row. Mean first, then the variance around it: the sum of squares alone
 * loses the digits of a stream that has grown to 1e7. `shared` is written by every thread before any is read.
 */
static const char source[] = R"(
    const uint thread = thread_position_in_threadgroup.x;
    const uint row = threadgroup_position_in_grid.x;
    const uint width = x_shape[1];
    const uint mod_row = shift_shape[0] == 1 ? 0 : row;
    threadgroup float shared[256];

    float sum = 0;
    for (uint c = thread; c < width; c += 256) sum += float(x[row * width + c]);
    shared[thread] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint half_size = 128; half_size > 0; half_size /= 2) {
        if (thread < half_size) shared[thread] += shared[thread + half_size];
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    const float mean = shared[0] / float(width);
    threadgroup_barrier(mem_flags::mem_threadgroup);

    float squares = 0;
    for (uint c = thread; c < width; c += 256) {
        const float d = float(x[row * width + c]) - mean;
        squares += d * d;
    }
    shared[thread] = squares;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint half_size = 128; half_size > 0; half_size /= 2) {
        if (thread < half_size) shared[thread] += shared[thread + half_size];
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    const float root = metal::precise::rsqrt(shared[0] / float(width) + eps[0]);

    for (uint c = thread; c < width; c += 256) {
        const float normed = (float(x[row * width + c]) - mean) * root;
        out[row * width + c] = T(normed * (1.0f + scale[mod_row * width + c]) + shift[mod_row * width + c]);
    }
)";

mx::array fused_norm_modulate(const mx::array &x, const mx::array &shift, const mx::array &scale, float eps) {
    /* Made each time: it is but a text until Metal sees it, and MLX keeps what Metal makes of it. */
    const mx::fast::CustomKernelFunction kernel =
        mx::fast::metal_kernel("ink_norm_modulate", {"x", "shift", "scale", "eps"}, {"out"}, source);
    /* The grid counts threads, not threadgroups. */
    return kernel({x, shift, scale, mx::array({eps})}, {x.shape()}, {x.dtype()}, {x.shape(0) * group, 1, 1},
                  {group, 1, 1}, {{"T", x.dtype()}}, std::nullopt, false, {})
        .front();
}

} // namespace ink
