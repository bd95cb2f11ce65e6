#include "pipeline/observe.h"

#include "base/clock.h"

typedef struct observed_run {
    const ink_observer *observer;
    ink_stage stage;
    int index;
    double begin;
} observed_run;

static void on_launch(void *user, const ink_launch *launch) {
    const observed_run *run = user;
    const ink_operation operation = {.stage = run->stage,
                                     .index = run->index,
                                     .kind = launch->kind,
                                     .label = launch->label,
                                     .begin = run->begin - run->observer->begin + launch->begin,
                                     .seconds = launch->seconds,
                                     .flops = launch->flops,
                                     .bytes = launch->bytes,
                                     .track = launch->track};
    run->observer->on_operation(run->observer->user, &operation);
}

bool ink_observer_waits(const ink_observer *observer, const ink_backend *backend) {
    return observer && ink_backend_profiles(backend);
}

ink_status ink_observed_run(const ink_observer *observer, ink_stage stage, int index, ink_program *program,
                            int64_t step, const ink_run_control *control, ink_error *error) {
    if (!observer || !program->api->profile) return ink_program_run(program, step, control, error);
    observed_run run = {.observer = observer, .stage = stage, .index = index, .begin = ink_clock_seconds()};
    return ink_program_profile(program, step, control, &(ink_profile){.on_launch = on_launch, .user = &run},
                               error);
}
