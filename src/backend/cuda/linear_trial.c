#include "backend/cuda/linear_trial.h"

#include "backend/cuda/memory.h"

/* Clocks move by more than what candidates differ in, so they take turns. */
enum { turns = 4, fewest_runs = 2, most_runs = 50 };
static const float milliseconds_per_turn = 2;
static const float forever = 1e30f;
/* A candidate whose first run takes so many times longer than the best is not run again. */
static const float hopeless = 1.15f;

typedef struct stopwatch {
    const ink_cuda_trial *trial;
    cudaStream_t stream;
    cudaEvent_t begin, end;
} stopwatch;

/* Milliseconds of one run, the mean of some, with what it takes to flush the caches before each; what fails
 * takes forever. */
static float time_runs(const stopwatch *w, int i, int runs) {
    const ink_cuda_trial *t = w->trial;
    float milliseconds = forever;
    if (cudaEventRecord(w->begin, w->stream) != cudaSuccess) return forever;
    for (int k = 0; k < runs; k++) {
        if (t->flush && cudaMemsetAsync(t->flush, 0, t->flush_bytes, w->stream) != cudaSuccess)
            return forever;
        if (!t->run(t->user, i, w->stream)) return forever;
    }
    if (cudaEventRecord(w->end, w->stream) != cudaSuccess || cudaEventSynchronize(w->end) != cudaSuccess ||
        cudaEventElapsedTime(&milliseconds, w->begin, w->end) != cudaSuccess)
        return forever;
    return milliseconds / (float)runs;
}

static int runs_of(float milliseconds) {
    const float runs = milliseconds_per_turn / milliseconds;
    if (!(runs > fewest_runs)) return fewest_runs;
    return runs < most_runs ? (int)runs : most_runs;
}

static int find_least(const float *times, int n) {
    int best = 0;
    for (int i = 1; i < n; i++) {
        if (times[i] < times[best]) best = i;
    }
    return best;
}

static int find_best(const stopwatch *w) {
    const int n = w->trial->candidates;
    float once[ink_cuda_most_candidates] = {0}, all[ink_cuda_most_candidates] = {0};
    for (int i = 0; i < n; i++) {
        (void)time_runs(w, i, 1); /* loads the kernel */
        once[i] = time_runs(w, i, 1);
    }
    const float least = once[find_least(once, n)];
    for (int i = 0; i < n; i++) {
        all[i] = once[i] < hopeless * least ? 0 : forever;
    }
    for (int turn = 0; turn < turns && least < forever; turn++) {
        for (int i = 0; i < n; i++) {
            if (all[i] < forever) all[i] += time_runs(w, i, runs_of(least));
        }
    }
    all[n - 1] *= w->trial->last_counts;
    return find_least(all, n);
}

ink_status ink_cuda_trial_run(const ink_cuda_trial *trial, cudaStream_t stream, int *best, ink_error *error) {
    *best = 0;
    if (trial->candidates < 2) return INK_OK;
    stopwatch w = {.trial = trial, .stream = stream};
    ink_status status = ink_cuda_check(cudaEventCreate(&w.begin), "an event", error);
    if (status == INK_OK) status = ink_cuda_check(cudaEventCreate(&w.end), "an event", error);
    if (status == INK_OK) *best = find_best(&w);
    if (w.begin) (void)cudaEventDestroy(w.begin);
    if (w.end) (void)cudaEventDestroy(w.end);
    return status;
}
