#include "backend/mlx/limits.h"

#include <algorithm>

namespace ink {

/* There is no way to ask for the cache's limit but to set another. */
limits::limit limits::lower(setter set, size_t bytes) {
    const size_t before = set(bytes);
    if (before < bytes) set(before);
    return {set, before, std::min(before, bytes)};
}

/* More is an error. */
static size_t most_wired() {
    const auto &info = mx::device_info(mx::default_device());
    const auto found = info.find("max_recommended_working_set_size");
    return found == info.end() ? 0 : std::get<size_t>(found->second);
}

limits::limits(size_t bytes, bool metal) {
    memory_ = lower(mx::set_memory_limit, bytes);
    cache_ = lower(mx::set_cache_limit, bytes);
    if (!metal) return;
    const size_t wired = std::min(bytes, most_wired());
    wired_ = {mx::set_wired_limit, mx::set_wired_limit(wired), wired};
}

void limits::restore(const limit &l) noexcept {
    if (!l.set) return;
    try {
        const size_t now = l.set(l.before);
        if (now != l.now) l.set(now);
    } catch (...) {
        /* It was in force before, so it is allowed; there is nobody to tell. */
    }
}

limits::~limits() {
    restore(wired_);
    restore(cache_);
    restore(memory_);
}

} // namespace ink
