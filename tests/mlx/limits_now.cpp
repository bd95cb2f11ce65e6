#include "limits_now.h"

#include "mlx/mlx.h"

limits limits_now() {
    const size_t cache = mlx::core::set_cache_limit(0);
    mlx::core::set_cache_limit(cache);
    return {mlx::core::get_memory_limit(), cache};
}

void limits_set(limits l) {
    mlx::core::set_memory_limit(l.memory);
    mlx::core::set_cache_limit(l.cache);
}
