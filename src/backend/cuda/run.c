/*
 * Running a program: launches one by one the first time, replayed afterwards. Nothing here waits for the
 * device, except the link before the first run.
 */
#include "backend/cuda/lanes.h"
#include "backend/cuda/program.h"
#include "backend/cuda/stream.h"
#include "backend/cuda/united.h"

#include <inttypes.h>
#include <stdlib.h>

static ink_cuda_program *program_of(ink_program *program) {
    return (ink_cuda_program *)program;
}

/* Every slot must be bound, and the step must exist in the tables that are read with it. */
ink_status ink_cuda_check_run(const ink_cuda_program *p, int64_t step, const ink_run_control *control,
                              ink_error *error) {
    ink_value slot;
    for (size_t i = 0; (slot = ink_graph_slot(p->graph, i)).id; i++) {
        if (p->bound[slot.id]) continue;
        return ink_fail(error, INK_ERROR_INTERNAL, "slot '%s' is not bound",
                        ink_graph_value(p->graph, slot.id)->name);
    }
    for (int32_t n = 0; n < ink_graph_node_count(p->graph); n++) {
        const ink_node *node = ink_graph_node(p->graph, n);
        if (node->op != INK_OP_STEP_ROW && node->op != INK_OP_STORE_STEP) continue;
        const int64_t steps = ink_graph_value(p->graph, node->inputs[0].id)->shape.dim[0];
        if (step < 0 || step >= steps) {
            return ink_fail(error, INK_ERROR_INTERNAL,
                            "step %" PRId64 " does not exist: the table has %" PRId64, step, steps);
        }
    }
    if (control && control->cancelled && control->cancelled(control->user))
        return ink_fail(error, INK_ERROR_CANCELLED, "the run was cancelled");
    return INK_OK;
}

/* Launch i, and those that are computed in one go with it. */
static ink_status execute(const ink_cuda_program *p, int32_t i, const cudaEvent_t *times, ink_error *error) {
    cudaStream_t stream = p->context->stream;
    if (p->choices[i].united)
        INK_TRY(ink_cuda_run_united(p, i, stream, error));
    else
        INK_TRY(ink_cuda_execute(p, i, stream, error));
    if (!times) return INK_OK;
    return ink_cuda_check(cudaEventRecord(times[i], stream), "a measurement", error);
}

static ink_status launch_streamed(const ink_cuda_program *p, const cudaEvent_t *times, ink_error *error) {
    INK_TRY(ink_cuda_stream_begin(p->stream, p->context, error));
    for (int32_t i = 0; i < p->lowered.n_launches; i++) {
        INK_TRY(ink_cuda_stream_before(p->stream, p->context, i, error));
        INK_TRY(execute(p, i, times, error));
        INK_TRY(ink_cuda_stream_after(p->stream, p->context, i, error));
    }
    ink_cuda_stream_end(p->stream);
    return INK_OK;
}

ink_status ink_cuda_start(const ink_cuda_program *p, const cudaEvent_t *times, ink_error *error) {
    if (p->stream) return launch_streamed(p, times, error);
    for (int32_t i = 0; i < p->lowered.n_launches; i += ink_cuda_count_at(p, i)) {
        INK_TRY(execute(p, i, times, error));
    }
    return INK_OK;
}

static ink_status record(const ink_cuda_program *p, const ink_cuda_lanes *lanes, cudaGraph_t *graph,
                         ink_error *error) {
    cudaStream_t stream = p->context->stream;
    const char *what = "the recording of a program";
    INK_TRY(ink_cuda_check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), what, error));
    const ink_status status =
        p->beside ? ink_cuda_start_lanes(p, lanes, error) : ink_cuda_start(p, NULL, error);
    const cudaError_t code = cudaStreamEndCapture(stream, graph);
    return status == INK_OK ? ink_cuda_check(code, what, error) : status;
}

/* Records all launches as a graph that can be replayed. */
static ink_status capture(ink_cuda_program *p, ink_error *error) {
    ink_cuda_lanes lanes = {{NULL}, {NULL}};
    cudaGraph_t graph = NULL;
    ink_status status = p->beside ? ink_cuda_lanes_open(p, &lanes, error) : INK_OK;
    if (status == INK_OK) status = record(p, &lanes, &graph, error);
    if (status == INK_OK) status = ink_cuda_linears_simplify(p->context->linears, graph, error);
    if (status == INK_OK)
        status =
            ink_cuda_check(cudaGraphInstantiate(&p->replay, graph, 0), "the recording of a program", error);
    if (graph) (void)cudaGraphDestroy(graph);
    ink_cuda_lanes_close(&lanes);
    if (status != INK_OK) (void)cudaGetLastError();
    return status;
}

/* ---- which runs are finished ---- */

int64_t ink_cuda_program_finished(ink_program *base) {
    ink_cuda_program *p = program_of(base);
    /* An error ends the waiting too: the next read tells of it. */
    while (p->finished < p->runs && cudaEventQuery(p->ends[p->finished % p->ends_cap]) != cudaErrorNotReady) {
        p->finished++;
    }
    return p->finished;
}

/* Room for one more event. */
static ink_status grow_ends(ink_cuda_program *p, ink_error *error) {
    if (p->runs - ink_cuda_program_finished(&p->base) < p->ends_cap) return INK_OK;
    const int64_t cap = p->ends_cap ? 2 * p->ends_cap : 16;
    cudaEvent_t *ends = calloc((size_t)cap, sizeof(cudaEvent_t));
    if (!ends) return ink_fail_memory(error, "a run", (size_t)cap * sizeof(cudaEvent_t));
    for (int64_t i = 0; i < p->ends_cap; i++) { /* each at its new place; the runs are consecutive */
        const int64_t run = p->finished + i;
        ends[run % cap] = p->ends[run % p->ends_cap];
    }
    free(p->ends);
    p->ends = ends;
    p->ends_cap = cap;
    for (int64_t i = 0; i < cap; i++) {
        if (!ends[i])
            INK_TRY(ink_cuda_check(cudaEventCreateWithFlags(&ends[i], cudaEventDisableTiming), "an event",
                                   error));
    }
    return INK_OK;
}

ink_status ink_cuda_note_end(ink_cuda_program *p, ink_error *error) {
    INK_TRY(grow_ends(p, error));
    INK_TRY(
        ink_cuda_check(cudaEventRecord(p->ends[p->runs % p->ends_cap], p->context->stream), "a run", error));
    p->runs++;
    return INK_OK;
}

ink_status ink_cuda_program_run(ink_program *base, int64_t step, const ink_run_control *control,
                                ink_error *error) {
    ink_cuda_program *p = program_of(base);
    INK_TRY(ink_cuda_check_run(p, step, control, error));
    const bool first = !p->linked;
    if (first) INK_TRY(ink_cuda_link(p, error));
    const bool one_by_one = first || p->stream;
    p->used_at = ++p->context->runs;
    if (!one_by_one && !p->replay) INK_TRY(capture(p, error));
    INK_TRY(ink_cuda_check(ink_cuda_set_step(p->context->stream, p->step, step), "a run", error));
    if (one_by_one)
        INK_TRY(ink_cuda_start(p, NULL, error));
    else
        INK_TRY(ink_cuda_check(cudaGraphLaunch(p->replay, p->context->stream), "a run", error));
    return ink_cuda_note_end(p, error);
}

ink_status ink_cuda_program_submit(ink_program *base, ink_error *error) {
    (void)base, (void)error; /* the device works already */
    return INK_OK;
}
