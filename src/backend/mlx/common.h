/*
 * What the files of this room share: the project's C headers and MLX's, and how an exception becomes a
 * status.
 */
#ifndef INK_BACKEND_MLX_COMMON_H
#define INK_BACKEND_MLX_COMMON_H

/* Before the C headers, so that extern "C" does not enclose the standard library's. */
#include <cinttypes>
#include <cstdarg>
#include <cstddef>
#include <cstring>
#include <stdexcept>

extern "C" {
#include "backend/backend.h"
#include "backend/mlx/mlx.h"
#include "base/bytes.h"
#include "graph/ops.h"
}

#include "mlx/mlx.h"

namespace ink {

namespace mx = mlx::core;

/* A tensor is larger than all memory that MLX may use. */
struct too_large : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/* How programs are recorded; fixed when the backend is made. */
struct settings {
    mx::Dtype activation = mx::float32; /* of computed values */
    bool metal = false;
    bool compiled = false;
    bool fused_modulate = false;
    bool page_views = false;
};

/* Call in a catch block: fills *error from the exception in flight. MLX reports a failed allocation as a
 * std::runtime_error. */
ink_status fail_from_exception(ink_error *error) noexcept;

} // namespace ink

#endif
