#include "backend/cuda/lanes.h"

#include "backend/cuda/linear_thin_plan.h"

/* ---- whether it pays ---- */

/* What a multiprocessor takes in of W, with its share of x, and what it computes: of those that run beside
 * others, and of the others. Measured on an H100. */
static const double bytes_per_second = 60e9, beside_flops_per_second = 3.5e12, flops_per_second = 5e12,
                    fp8_flops_per_second = 9.5e12;
/* What the whole device takes in of W where it has nothing else to do. */
static const double bytes_per_second_in_turn = 2.1e12;
/* Nobody should have to wait for what runs beside: it may take this part of the time of the others. */
static const double most_part = 0.9;
/* Products of bf16 divide well among 128 of 132 multiprocessors, and not among fewer; those of e4m3 have
 * smaller tiles. With fewer than 4 the others lose less, but wait longer where they must. */
enum { fewest_beside = 4, most_beside = 4, most_beside_fp8 = 8, beside_step = 2 };

/* All products of a program. */
typedef struct product_costs {
    double bytes, flops; /* of those that run beside others */
    double others;       /* seconds of one multiprocessor */
    int most;            /* multiprocessors that the others can spare */
} product_costs;

/* False if there is no kernel of ours for some that would run beside others. */
static bool add_cost(const ink_cuda_launch *l, product_costs *costs) {
    const bool fp8 = l->in[0].dtype == INK_F8_E4M3;
    const double weights = (double)l->in[0].columns * (double)l->out[0].columns,
                 flops = 2 * weights * (double)l->in[0].rows;
    if (!l->beside) {
        costs->others += flops / (fp8 ? fp8_flops_per_second : flops_per_second);
        if (fp8) costs->most = most_beside_fp8;
        return true;
    }
    costs->bytes += weights * sizeof(uint16_t);
    costs->flops += flops;
    return l->in[0].dtype == INK_BF16 && l->out[0].dtype == INK_BF16;
}

int ink_cuda_beside_processors(const ink_cuda_lowered *lowered, int major, int minor, int multiprocessors) {
    product_costs c = {.most = most_beside};
    for (int32_t i = 0; i < lowered->n_launches; i++) {
        const ink_cuda_launch *l = &lowered->launches[i];
        if (l->op == INK_OP_LINEAR && !add_cost(l, &c)) return 0;
    }
    if (c.bytes <= 0 || major != 9 || minor != 0) return 0;
    for (int n = fewest_beside; n <= c.most; n += beside_step) {
        const double time = c.others / (multiprocessors - n), lost = time - c.others / multiprocessors;
        if (lost >= c.bytes / bytes_per_second_in_turn) return 0;
        if (c.bytes / (bytes_per_second * n) <= most_part * time &&
            c.flops / (beside_flops_per_second * n) <= most_part * time)
            return n;
    }
    return 0;
}

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

/* Must launch i wait for one of the other lane's after `seen`? */
static bool must_wait(const ink_cuda_lowered *l, int32_t i, int32_t seen) {
    for (int32_t j = i - 1; j > seen; j--) {
        if (l->launches[j].beside != l->launches[i].beside && conflict(l, &l->launches[i], &l->launches[j]))
            return true;
    }
    return false;
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

/* The lane waits for everything that the other one was given. */
static ink_status wait_for_other(const ink_cuda_lanes *l, int lane, ink_error *error) {
    INK_TRY(ink_cuda_check(cudaEventRecord(l->ends[1 - lane], l->streams[1 - lane]), what, error));
    return ink_cuda_check(cudaStreamWaitEvent(l->streams[lane], l->ends[1 - lane], 0), what, error);
}

ink_status ink_cuda_start_lanes(const ink_cuda_program *p, const ink_cuda_lanes *l, ink_error *error) {
    const ink_cuda_lowered *lowered = &p->lowered;
    int32_t seen[2] = {-1, -1}; /* the last launch that a lane has waited for, if it is the other one's */
    bool forked = false;
    for (int32_t i = 0; i < lowered->n_launches; i++) {
        const int lane = lowered->launches[i].beside;
        if ((lane == 1 && !forked) || must_wait(lowered, i, seen[lane])) {
            INK_TRY(wait_for_other(l, lane, error));
            seen[lane] = i - 1;
        }
        forked = forked || lane == 1;
        INK_TRY(ink_cuda_execute(p, i, l->streams[lane], error));
    }
    return forked ? wait_for_other(l, 0, error) : INK_OK;
}
