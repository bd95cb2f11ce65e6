/*
 * MLX's limits of memory, which belong to the process: lowered while a backend that asks for it exists.
 */
#ifndef INK_BACKEND_MLX_LIMITS_H
#define INK_BACKEND_MLX_LIMITS_H

#include "backend/mlx/common.h"

namespace ink {

class limits {
  public:
    /* MLX's memory and its cache stay at most at what they were, or at `bytes` if that is less. With Metal so
     * many bytes are kept wired, or as many as the system recommends if those are fewer. */
    limits(size_t bytes, bool metal);
    /* Puts back what was there before, unless somebody else has changed it since. */
    ~limits();
    limits(const limits &) = delete;
    limits &operator=(const limits &) = delete;

  private:
    using setter = size_t (*)(size_t); /* returns what was there before */
    struct limit {
        setter set = nullptr;
        size_t before = 0, now = 0;
    };

    static limit lower(setter set, size_t bytes);
    static void restore(const limit &l) noexcept;

    limit memory_, cache_, wired_;
};

} // namespace ink

#endif
