#include "backend/mlx/worker.h"

#include <new>

namespace ink {

ink_status fail_from_exception(ink_error *error) noexcept {
    try {
        throw;
    } catch (const std::bad_alloc &) {
        return ink_fail(error, INK_ERROR_MEMORY,
                        "MLX ran out of memory; draw a smaller picture or fewer at once");
    } catch (const too_large &e) {
        return ink_fail(error, INK_ERROR_MEMORY, "%s", e.what());
    } catch (const std::exception &e) {
        const bool memory = std::strstr(e.what(), "[malloc") || std::strstr(e.what(), "allocate");
        return ink_fail(error, memory ? INK_ERROR_MEMORY : INK_ERROR_INTERNAL, "MLX failed: %s", e.what());
    } catch (...) {
        return ink_fail(error, INK_ERROR_INTERNAL, "MLX failed without a reason");
    }
}

worker::worker() : thread_([this] { loop(); }) {}

worker::~worker() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

ink_status worker::call(ink_error *error, const std::function<ink_status()> &job) noexcept {
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = &job;
    error_ = error;
    changed_.notify_all();
    changed_.wait(lock, [this] { return job_ == nullptr; });
    return status_;
}

void worker::loop() noexcept {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return job_ != nullptr || stopping_; });
        if (!job_) break;
        lock.unlock();
        ink_status status;
        try {
            status = (*job_)();
        } catch (...) {
            status = fail_from_exception(error_);
        }
        lock.lock();
        status_ = status;
        job_ = nullptr;
        changed_.notify_all();
    }
    lock.unlock();
    try {
        mx::clear_streams();
    } catch (...) {
        /* The process keeps an idle stream; there is nobody to tell. */
    }
}

} // namespace ink
