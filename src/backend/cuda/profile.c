/*
 * A run with a record of every launch: they start one by one, with an event between each and the next.
 */
#include "backend/cuda/program.h"

#include <stdio.h>
#include <stdlib.h>

static double operand_bytes(const ink_cuda_operand *o) {
    if (o->where == INK_CUDA_NOWHERE) return 0;
    return (double)o->rows * (double)o->columns * (double)ink_dtype_bytes(o->dtype);
}

static bool reads_parts(ink_op op) {
    return op == INK_OP_EMBED_ROWS || op == INK_OP_GATHER_ROWS || op == INK_OP_SLICE_COLUMNS ||
           op == INK_OP_STEP_ROW;
}

/* What is read and written at least. Of tables only as much as the result has elements. */
static double launch_bytes(const ink_cuda_launch *l) {
    if (l->op == INK_OP_STORE_STEP) return 2 * operand_bytes(&l->in[1]);
    double bytes = operand_bytes(&l->out[0]);
    if (l->op != INK_OP_STATS) bytes += operand_bytes(&l->out[1]); /* of stats it is scratch */
    for (int i = 0; i < ink_cuda_max_in; i++) {
        const ink_cuda_operand *in = &l->in[i];
        const double all = operand_bytes(in), made = (double)l->out[0].rows * (double)l->out[0].columns *
                                                     (double)ink_dtype_bytes(in->dtype);
        bytes += (in->per_step > 0 || reads_parts(l->op)) && all > made ? made : all;
    }
    return bytes;
}

static const char *name_of(const ink_cuda_launch *l) {
    if (l->op == INK_CUDA_CONVERT) return "convert";
    if (l->op == INK_CUDA_QUANTISE) return "quantise";
    return l->op == INK_OP_LINEAR && l->in[0].dtype == INK_F8_E4M3 ? "linear fp8" : ink_op_name(l->op);
}

/* What launch i computes, and those that are computed in one go with it. */
static void tell(const ink_cuda_program *p, int32_t i, double begin, double seconds,
                 const ink_profile *profile) {
    const ink_cuda_launch *l = &p->lowered.launches[i];
    char label[INK_LABEL_BYTES], kind[64];
    snprintf(kind, sizeof kind, "%s", name_of(l));
    ink_launch launch = {.kind = kind,
                         .label = ink_node_label(p->graph, l->nodes[0], label),
                         .begin = begin,
                         .seconds = seconds};
    for (int32_t j = i; j < i + ink_cuda_count_at(p, i); j++) {
        const ink_cuda_launch *part = &p->lowered.launches[j];
        /* What rotates q and k in one go with their product moves no memory for it. */
        if (part->op == l->op) launch.bytes += launch_bytes(part);
        for (int k = 0; k < part->n_nodes && part->op < INK_OP_COUNT; k++) {
            const ink_op op = part->nodes[k]->op;
            launch.flops += ink_node_flops(p->graph, part->nodes[k]);
            const size_t used = strlen(kind);
            if (op != l->op && !strstr(kind, ink_op_name(op)))
                snprintf(kind + used, sizeof kind - used, " + %s", ink_op_name(op));
        }
    }
    profile->on_launch(profile->user, &launch);
}

/* Creates the events of ink_cuda_start, and one for the begin of all. */
static ink_status create_events(const ink_cuda_program *p, cudaEvent_t *events, ink_error *error) {
    const int32_t n = p->lowered.n_launches;
    for (int32_t i = 0; i < n; i += ink_cuda_count_at(p, i)) {
        INK_TRY(ink_cuda_check(cudaEventCreate(&events[i]), "an event", error));
    }
    return ink_cuda_check(cudaEventCreate(&events[n]), "an event", error);
}

static ink_status run_timed(ink_cuda_program *p, int64_t step, const cudaEvent_t *events, ink_error *error) {
    cudaStream_t stream = p->context->stream;
    INK_TRY(ink_cuda_check(ink_cuda_set_step(stream, p->step, step), "a run", error));
    INK_TRY(ink_cuda_check(cudaEventRecord(events[p->lowered.n_launches], stream), "a measurement", error));
    INK_TRY(ink_cuda_start(p, events, error));
    INK_TRY(ink_cuda_note_end(p, error));
    return ink_cuda_check(cudaStreamSynchronize(stream), "a run", error);
}

static ink_status run_and_tell(ink_cuda_program *p, int64_t step, const ink_profile *profile,
                               cudaEvent_t *events, ink_error *error) {
    const int32_t n = p->lowered.n_launches;
    INK_TRY(create_events(p, events, error));
    INK_TRY(run_timed(p, step, events, error));
    float begin = 0, end = 0;
    for (int32_t i = 0; i < n; i += ink_cuda_count_at(p, i)) {
        INK_TRY(ink_cuda_check(cudaEventElapsedTime(&end, events[n], events[i]), "a measurement", error));
        tell(p, i, (double)begin / 1000, (double)(end - begin) / 1000, profile);
        begin = end;
    }
    return INK_OK;
}

ink_status ink_cuda_program_profile(ink_program *base, int64_t step, const ink_run_control *control,
                                    const ink_profile *profile, ink_error *error) {
    ink_cuda_program *p = (ink_cuda_program *)base;
    INK_TRY(ink_cuda_check_run(p, step, control, error));
    if (!p->linked) INK_TRY(ink_cuda_link(p, error));
    p->used_at = ++p->context->runs;
    const int32_t n = p->lowered.n_launches + 1;
    cudaEvent_t *events = calloc((size_t)n, sizeof(cudaEvent_t));
    if (!events) return ink_fail_memory(error, "a measurement", (size_t)n * sizeof(cudaEvent_t));
    const ink_status status = run_and_tell(p, step, profile, events, error);
    for (int32_t i = 0; i < n; i++) {
        if (events[i]) (void)cudaEventDestroy(events[i]);
    }
    free(events);
    return status;
}
