/*
 * The thread that owns every MLX object of a backend. MLX ties streams and traces to the thread that made
 * them, while a model may be used from any thread; and MLX ends a stream's own thread only if its maker asks.
 * So all calls are handed to one thread, which clears up when the backend is destroyed.
 */
#ifndef INK_BACKEND_MLX_WORKER_H
#define INK_BACKEND_MLX_WORKER_H

#include "backend/mlx/common.h"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace ink {

class worker {
  public:
    worker();  /* std::system_error if no thread can be made */
    ~worker(); /* waits for the thread */
    worker(const worker &) = delete;
    worker &operator=(const worker &) = delete;

    /* Runs `job` on the thread and waits for it. An exception becomes a status. One caller at a time. */
    ink_status call(ink_error *error, const std::function<ink_status()> &job) noexcept;

  private:
    void loop() noexcept;

    std::mutex mutex_;
    std::condition_variable changed_;
    const std::function<ink_status()> *job_ = nullptr;
    ink_error *error_ = nullptr;
    ink_status status_ = INK_OK;
    bool stopping_ = false;
    std::thread thread_; /* last: it uses the others */
};

} // namespace ink

#endif
