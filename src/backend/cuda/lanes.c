#include "backend/cuda/lanes.h"

/* ---- who waits for whom ---- */

static bool overlap(const ink_cuda_lowered *l, const ink_cuda_operand *a, const ink_cuda_operand *b) {
    if (a->where != b->where) return false;
    if (a->where == INK_CUDA_IN_SLOT) return a->index == b->index;
    if (a->where != INK_CUDA_IN_ARENA) return false;
    const ink_plan_storage *x = &l->storages[a->index], *y = &l->storages[b->index];
    return x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes;
}

/* Does one of them write what the other reads or writes? */
static bool conflict(const ink_cuda_lowered *l, const ink_cuda_launch *a, const ink_cuda_launch *b) {
    for (int o = 0; o < ink_cuda_max_out; o++) {
        for (int i = 0; i < ink_cuda_max_in; i++) {
            if (overlap(l, &a->out[o], &b->in[i]) || overlap(l, &b->out[o], &a->in[i])) return true;
        }
        for (int i = 0; i < ink_cuda_max_out; i++) {
            if (overlap(l, &a->out[o], &b->out[i])) return true;
        }
    }
    return false;
}

/* Is all of launch i, or a part of it, in this lane? */
static bool is_in_lane(const ink_cuda_program *p, int32_t i, int lane) {
    if (p->divided) return lane == 0 || p->choices[i].beside > 0;
    return p->lowered.launches[i].beside == (lane == 1);
}

/* The last launch before i, in the first lane, that what is beside others of i has to wait for; -1: none. */
static int32_t last_needed(const ink_cuda_program *p, int32_t i) {
    const ink_cuda_lowered *l = &p->lowered;
    int32_t k = i - 1;
    while (k >= 0 && !(is_in_lane(p, k, 0) && conflict(l, &l->launches[i], &l->launches[k]))) {
        k--;
    }
    return k;
}

/* ---- recording ---- */

static const char what[] = "the recording of a program";

ink_status ink_cuda_lanes_open(const ink_cuda_program *p, ink_cuda_lanes *l, ink_error *error) {
    *l = (ink_cuda_lanes){.streams = {p->context->stream}};
    INK_TRY(ink_cuda_check(cudaStreamCreateWithFlags(&l->streams[1], cudaStreamNonBlocking), what, error));
    for (int i = 0; i < 2; i++) {
        INK_TRY(ink_cuda_check(cudaEventCreateWithFlags(&l->ends[i], cudaEventDisableTiming), what, error));
    }
    return INK_OK;
}

void ink_cuda_lanes_close(ink_cuda_lanes *l) {
    for (int i = 0; i < 2; i++) {
        if (l->ends[i]) (void)cudaEventDestroy(l->ends[i]);
    }
    if (l->streams[1]) (void)cudaStreamDestroy(l->streams[1]);
}

/* What was recorded so far. */
typedef struct recording {
    const ink_cuda_program *program;
    const ink_cuda_lanes *lanes;
    int32_t next;    /* the first launch that was not considered for the second lane */
    int32_t seen[2]; /* the last launch of the other lane that a lane has waited for */
    bool forked;
} recording;

/* The lane waits for everything that the other one was given. */
static ink_status wait_for_other(const ink_cuda_lanes *l, int lane, ink_error *error) {
    INK_TRY(ink_cuda_check(cudaEventRecord(l->ends[1 - lane], l->streams[1 - lane]), what, error));
    return ink_cuda_check(cudaStreamWaitEvent(l->streams[lane], l->ends[1 - lane], 0), what, error);
}

/* Gives the second lane what needs nothing of the first one from launch i on: perhaps before its turn. */
static ink_status give_ready(recording *r, int32_t i, ink_error *error) {
    const ink_cuda_program *p = r->program;
    for (; r->next < p->lowered.n_launches; r->next++) {
        if (!is_in_lane(p, r->next, 1)) continue;
        const int32_t needed = last_needed(p, r->next);
        if (needed >= i) return INK_OK;
        if (!r->forked || needed > r->seen[1]) {
            INK_TRY(wait_for_other(r->lanes, 1, error));
            r->seen[1] = i - 1;
            r->forked = true;
        }
        INK_TRY(ink_cuda_execute_beside(p, r->next, r->lanes->streams[1], error));
    }
    return INK_OK;
}

/* Must launch i wait for what the second lane was given of others? */
static bool must_wait(const recording *r, int32_t i) {
    const ink_cuda_lowered *l = &r->program->lowered;
    for (int32_t j = r->next - 1; j > r->seen[0]; j--) {
        if (j != i && is_in_lane(r->program, j, 1) && conflict(l, &l->launches[i], &l->launches[j]))
            return true;
    }
    return false;
}

ink_status ink_cuda_start_lanes(const ink_cuda_program *p, const ink_cuda_lanes *l, ink_error *error) {
    recording r = {.program = p, .lanes = l, .seen = {-1, -1}};
    for (int32_t i = 0, count; i < p->lowered.n_launches; i += count) {
        count = ink_cuda_count_at(p, i);
        const bool waits = is_in_lane(p, i, 0) && (must_wait(&r, i) || (count > 1 && must_wait(&r, i + 1)));
        if (waits) { /* before the second lane gets more */
            INK_TRY(wait_for_other(l, 0, error));
            r.seen[0] = r.next - 1;
        }
        INK_TRY(give_ready(&r, i, error));
        if (is_in_lane(p, i, 0)) INK_TRY(ink_cuda_execute_rest(p, i, !waits, l->streams[0], error));
    }
    return r.forked ? wait_for_other(l, 0, error) : INK_OK;
}
