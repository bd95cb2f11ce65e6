/*
 * Layer norm, scale and shift as one Metal kernel of our own.
 */
#ifndef INK_BACKEND_MLX_FUSED_MODULATE_H
#define INK_BACKEND_MLX_FUSED_MODULATE_H

#include "backend/mlx/common.h"

namespace ink {

/* x [rows, D]; shift and scale [1 or rows, D], f32. Result in x's type. Needs Metal. */
mx::array fused_norm_modulate(const mx::array &x, const mx::array &shift, const mx::array &scale, float eps);

} // namespace ink

#endif
