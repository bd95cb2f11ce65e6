/*
 * Whether lane 1 runs beside lane 0, and how the device is divided between their products. A product takes
 * every multiprocessor that it can get and keeps it to its end, so two of them are only side by side if both
 * are told to leave something. Large products come in waves of equal tiles, and often a few multiprocessors
 * less make no more waves. What is fastest is found by trying a part of the program that it repeats.
 */
#include "backend/cuda/lanes.h"
#include "backend/cuda/program.h"

#include <assert.h>

enum { most_runs = 8 };
static const float enough_milliseconds = 12;
/* One lane is simpler: two must be better than that by so much. */
static const float worth = 0.995f;

/* What is tried. Products of lane 0 come in clusters of neighbours: what lane 1 has may be scattered, so that
 * more must be left than it takes. And whoever is first finds neighbours. Four of 132 are often left anyway,
 * as tiles come in powers of two: but they are not enough for all of lane 1 beside a small picture. */
static const ink_cuda_division wishes[] = {
    {-1, 0, false, 0}, {0, 0, false, 0},   {0, 0, true, 0},    {12, 0, false, 0}, {4, 4, false, 0},
    {4, 4, true, 0},   {4, 4, false, 100}, {4, 4, true, 100},  {4, 4, false, 75}, {4, 4, true, 75},
    {6, 6, false, 0},  {6, 8, false, 0},   {8, 8, false, 0},   {8, 8, true, 0},   {8, 16, false, 0},
    {8, 16, true, 0},  {12, 16, true, 0},  {16, 16, false, 0}, {16, 16, true, 0}, {16, 24, false, 0}};
static_assert(sizeof wishes / sizeof wishes[0] <= ink_cuda_most_trials, "there is room for every trial");

static int64_t most_columns(const ink_cuda_program *p) {
    int64_t most = 0;
    for (int32_t i = 0; i < p->lowered.n_launches; i++) {
        const ink_cuda_launch *l = &p->lowered.launches[i];
        if (l->op == INK_OP_LINEAR && l->lane == 1 && l->out[0].columns > most) most = l->out[0].columns;
    }
    return most;
}

/* Products of launches [begin, end), and how lane 1 is to run. */
static ink_status divide(ink_cuda_program *p, int32_t begin, int32_t end, ink_cuda_division d,
                         ink_error *error) {
    const int64_t most = most_columns(p);
    for (int32_t i = begin; i < end; i++) {
        const ink_cuda_launch *l = &p->lowered.launches[i];
        if (l->op != INK_OP_LINEAR) continue;
        int processors = 0;
        if (l->lane == 0 && d.left > 0) processors = p->context->processors - d.left;
        const bool wide = d.wide > 0 && l->out[0].columns * 100 >= most * d.wide;
        if (l->lane == 1 && d.taken > 0 && !wide) processors = d.taken;
        INK_TRY(ink_cuda_choose_linear(p, i, processors, error));
    }
    p->beside = d.taken >= 0;
    p->side = p->context->sides[d.late];
    return INK_OK;
}

static ink_status replay(cudaGraphExec_t graph, int runs, cudaStream_t stream, const cudaEvent_t *events,
                         float *milliseconds) {
    cudaError_t code = cudaEventRecord(events[0], stream);
    for (int i = 0; i < runs && code == cudaSuccess; i++) {
        code = cudaGraphLaunch(graph, stream);
    }
    if (code == cudaSuccess) code = cudaEventRecord(events[1], stream);
    if (code == cudaSuccess) code = cudaEventSynchronize(events[1]);
    if (code == cudaSuccess) code = cudaEventElapsedTime(milliseconds, events[0], events[1]);
    *milliseconds /= (float)runs;
    return code == cudaSuccess ? INK_OK : INK_ERROR_INTERNAL;
}

/* Milliseconds of launches [begin, end) as they are chosen now. */
static ink_status take_time(ink_cuda_program *p, int32_t begin, int32_t end, const cudaEvent_t *events,
                            float *milliseconds, ink_error *error) {
    cudaStream_t stream = p->context->stream;
    cudaGraphExec_t graph = NULL;
    *milliseconds = 0;
    INK_TRY(ink_cuda_capture(p, begin, end, &graph, error));
    ink_status status = replay(graph, 1, stream, events, milliseconds);
    if (status == INK_OK) status = replay(graph, 1, stream, events, milliseconds);
    const float runs = enough_milliseconds / (*milliseconds + 0.001f);
    if (status == INK_OK)
        status = replay(graph,
                        runs > most_runs ? most_runs
                        : runs < 2       ? 2
                                         : (int)runs,
                        stream, events, milliseconds);
    (void)cudaGraphExecDestroy(graph);
    return status == INK_OK ? INK_OK : ink_fail(error, status, "CUDA could not do the trial of a program");
}

/* How many multiprocessors are lane 1's share of the arithmetic in launches [begin, end). */
static double fair_share(const ink_cuda_program *p, int32_t begin, int32_t end) {
    double work[2] = {0, 0};
    for (int32_t i = begin; i < end; i++) {
        const ink_cuda_launch *l = &p->lowered.launches[i];
        if (l->op == INK_OP_LINEAR)
            work[l->lane] += (double)l->in[0].rows * (double)l->in[0].columns * (double)l->out[0].columns;
    }
    return (double)p->context->processors * work[1] / (work[0] + work[1] + 1);
}

/* Far from a fair share nothing is gained, and a trial costs time. */
static bool is_worth_a_trial(const ink_cuda_division *d, double fair) {
    if (d->taken <= 0) return true;
    return d->taken <= 4 * fair && 4 * d->taken >= fair && (d->wide == 0 || d->taken < fair);
}

/* What cannot be done is passed over. */
static void try_all(ink_cuda_program *p, int32_t begin, int32_t end, const cudaEvent_t *events) {
    const double fair = fair_share(p, begin, end);
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        if (4 * wishes[i].left > p->context->processors || !is_worth_a_trial(&wishes[i], fair)) continue;
        ink_cuda_trial *trial = &p->trials[p->n_trials];
        ink_error ignored;
        trial->division = wishes[i];
        if (divide(p, begin, end, wishes[i], &ignored) == INK_OK &&
            take_time(p, begin, end, events, &trial->milliseconds, &ignored) == INK_OK)
            p->n_trials++;
    }
}

/* Tries, and says what was fastest. */
static ink_status find_fastest(ink_cuda_program *p, int32_t begin, int32_t end, ink_cuda_division *fastest,
                               ink_error *error) {
    cudaEvent_t events[2] = {NULL, NULL};
    ink_status status = ink_cuda_check(cudaEventCreate(&events[0]), "an event", error);
    if (status == INK_OK) status = ink_cuda_check(cudaEventCreate(&events[1]), "an event", error);
    /* Modulation is read at a step that exists. */
    if (status == INK_OK)
        status = ink_cuda_check(ink_cuda_set_step(p->context->stream, p->step, 0), "a trial", error);
    if (status == INK_OK) try_all(p, begin, end, events);
    for (int i = 0; i < 2; i++) {
        if (events[i]) (void)cudaEventDestroy(events[i]);
    }
    if (status != INK_OK || p->n_trials == 0 || p->trials[0].division.taken >= 0) return status;
    float best = p->trials[0].milliseconds * worth;
    for (int i = 1; i < p->n_trials; i++) {
        if (p->trials[i].milliseconds >= best) continue;
        best = p->trials[i].milliseconds;
        *fastest = p->trials[i].division;
    }
    return status;
}

ink_status ink_cuda_split(ink_cuda_program *p, ink_error *error) {
    const int forced = p->context->side_processors;
    ink_cuda_division division = {forced > 0 ? forced : -1, forced > 0 ? forced : 0, false, 0};
    int32_t begin, end;
    p->n_trials = 0;
    if (!p->marks) return INK_OK;
    if (forced == 0 && ink_cuda_lanes_section(&p->lowered, &begin, &end))
        INK_TRY(find_fastest(p, begin, end, &division, error));
    return divide(p, 0, p->lowered.n_launches, division, error);
}
