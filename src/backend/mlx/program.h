/*
 * The objects of the backend interface: backend, buffer, program. Their MLX parts are only touched on the
 * backend's worker thread.
 */
#ifndef INK_BACKEND_MLX_PROGRAM_H
#define INK_BACKEND_MLX_PROGRAM_H

#include "backend/mlx/limits.h"
#include "backend/mlx/operands.h"
#include "backend/mlx/worker.h"

#include <deque>
#include <memory>
#include <set>
#include <string>

namespace ink {

struct buffer;

struct backend : ink_backend {
    std::unique_ptr<worker> thread; /* made first, ended last */
    settings how;
    std::unique_ptr<limits> lowered; /* made and ended on the thread; none unless asked for */
    std::string description, note;
    /* Buffers whose arrays are not known to be computed: they are evaluated together, so that nothing is
     * computed twice and no graph stays alive behind a buffer that nobody reads. */
    std::set<buffer *> pending;
};

struct buffer : ink_buffer {
    backend *owner = nullptr;
    std::optional<mx::array> value; /* of base.shape */
};

/* A submission: when `marker` is computed, the first `runs` runs of the program are finished. */
struct submission {
    int64_t runs;
    mx::array marker;
};

struct program : ink_program {
    backend *owner = nullptr;
    const ink_graph *graph = nullptr;
    std::unique_ptr<operands> constants;
    std::function<std::vector<mx::array>(const std::vector<mx::array> &)> function; /* slots, step -> slots */
    std::vector<buffer *> bound;                                                    /* [slots] */
    std::vector<bool> stored; /* [slots], written by the program */
    int64_t runs = 0, finished = 0;
    std::deque<submission> submissions;
};

/* The functions of ink_backend_api, which may throw; on the worker thread only. */
std::unique_ptr<program> compile_program(backend &owner, const ink_graph *graph);
ink_status bind_slot(program &p, const char *slot, buffer *b, ink_error *error);
ink_status run_program(program &p, int64_t step, const ink_run_control *control, ink_error *error);
void submit_program(program &p);
int64_t finished_runs(program &p);

/* Computes everything that is pending and waits for it. */
void evaluate_pending(backend &owner);

} // namespace ink

#endif
