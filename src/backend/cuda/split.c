/*
 * Whether lane 1 runs beside lane 0, and how the device is divided between their products. A product takes
 * every multiprocessor that it can get and keeps it to its end, so two of them are only side by side if both
 * are told to leave something. Large products come in waves of equal tiles, and often a few multiprocessors
 * less make no more waves. What is fastest is found by trying a part of the program that it repeats, on a
 * warm device: what is fastest for a moment is not what is fastest when the power that it may take is all
 * taken.
 */
#include "backend/cuda/lanes.h"
#include "backend/cuda/program.h"

#include <assert.h>

enum { rounds = 2, short_runs = 10 };
static const float heating_milliseconds = 150, trial_milliseconds = 20;
/* What takes less is not worth the heat. */
static const float short_milliseconds = 0.2f;
/* One lane is simpler: two must be better than that by so much. */
static const float worth = 0.99f;

/* What is tried. Products of lane 0 come in clusters of neighbours: what lane 1 has may be scattered, so that
 * more must be left than it takes. And whoever is first finds neighbours. Four of 132 are often left anyway,
 * as tiles come in powers of two: but they are not enough for all of lane 1 beside a small picture. */
static const ink_cuda_division wishes[] = {{-1, 0, false, 0}, {0, 0, true, 0},   {12, 0, false, 0},
                                           {4, 4, false, 0},  {4, 4, false, 75}, {8, 8, false, 0},
                                           {8, 16, false, 0}, {16, 16, false, 0}};
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

/* The part [begin, end) of a program, recorded for each division that is tried. */
typedef struct trials {
    ink_cuda_program *p;
    int32_t begin, end;
    cudaEvent_t events[2];
    cudaGraphExec_t graphs[ink_cuda_most_trials]; /* [p->n_trials] */
} trials;

/* Milliseconds of a run of what was recorded for trial i. */
static ink_status take_time(const trials *t, int i, float enough_milliseconds, float *milliseconds) {
    cudaStream_t stream = t->p->context->stream;
    INK_TRY(replay(t->graphs[i], 1, stream, t->events, milliseconds));
    const float runs = enough_milliseconds / (*milliseconds + 0.001f);
    if (runs < 2) return INK_OK;
    return replay(t->graphs[i], runs > 1000 ? 1000 : (int)runs, stream, t->events, milliseconds);
}

/* What cannot be done is passed over. */
static void record_all(trials *t) {
    ink_cuda_program *p = t->p;
    const double fair = fair_share(p, t->begin, t->end);
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        if (4 * wishes[i].left > p->context->processors || !is_worth_a_trial(&wishes[i], fair)) continue;
        ink_error ignored;
        ink_cuda_trial *trial = &p->trials[p->n_trials];
        *trial = (ink_cuda_trial){.division = wishes[i]};
        if (divide(p, t->begin, t->end, wishes[i], &ignored) == INK_OK &&
            ink_cuda_capture(p, t->begin, t->end, &t->graphs[p->n_trials], &ignored) == INK_OK)
            p->n_trials++;
    }
}

static ink_status time_all(trials *t, ink_error *error) {
    ink_cuda_program *p = t->p;
    float time = 0;
    ink_status status = take_time(t, 0, 0, &time);
    if (status == INK_OK) status = take_time(t, 0, 0, &time); /* the first one loads kernels */
    const bool is_short = time < short_milliseconds;
    const float enough = is_short ? short_runs * time : trial_milliseconds;
    if (status == INK_OK && !is_short) status = take_time(t, 0, heating_milliseconds, &time);
    for (int i = 0; i < rounds * p->n_trials && status == INK_OK; i++) {
        status = take_time(t, i % p->n_trials, enough, &time);
        p->trials[i % p->n_trials].milliseconds += time / rounds;
    }
    return status == INK_OK ? INK_OK : ink_fail(error, status, "CUDA could not do the trial of a program");
}

/* Tries, and says what was fastest. */
static ink_status find_fastest(ink_cuda_program *p, int32_t begin, int32_t end, ink_cuda_division *fastest,
                               ink_error *error) {
    trials t = {.p = p, .begin = begin, .end = end};
    ink_status status = ink_cuda_check(cudaEventCreate(&t.events[0]), "an event", error);
    if (status == INK_OK) status = ink_cuda_check(cudaEventCreate(&t.events[1]), "an event", error);
    /* Modulation is read at a step that exists. */
    if (status == INK_OK)
        status = ink_cuda_check(ink_cuda_set_step(p->context->stream, p->step, 0), "a trial", error);
    if (status == INK_OK) record_all(&t);
    if (status == INK_OK && p->n_trials > 0) status = time_all(&t, error);
    for (int i = 0; i < ink_cuda_most_trials; i++) {
        if (t.graphs[i]) (void)cudaGraphExecDestroy(t.graphs[i]);
    }
    for (int i = 0; i < 2; i++) {
        if (t.events[i]) (void)cudaEventDestroy(t.events[i]);
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
