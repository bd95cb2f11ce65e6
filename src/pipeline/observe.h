/*
 * Runs of programs that somebody may be told about, operation by operation.
 */
#ifndef INK_PIPELINE_OBSERVE_H
#define INK_PIPELINE_OBSERVE_H

#include "backend/backend.h"

/* Whom to tell; `begin` is the clock from which the times of operations count. */
typedef struct ink_observer {
    ink_operation_fn on_operation;
    void *user;
    double begin;
} ink_observer;

/* Whether a run is finished when ink_observed_run returns, although the backend is not synchronous. */
bool ink_observer_waits(const ink_observer *observer, const ink_backend *backend);

/* Runs a program once, as ink_program_run does. If there is an observer (it is nullable) and the backend
 * times single operations, the observer is told of them as run `index` of `stage`, and the run is waited
 * for. */
ink_status ink_observed_run(const ink_observer *observer, ink_stage stage, int index, ink_program *program,
                            int64_t step, const ink_run_control *control, ink_error *error);

#endif
