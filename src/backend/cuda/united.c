#include "backend/cuda/united.h"

#include "backend/cuda/linear_hopper_plan.h"

#include <stdlib.h>

/* Cards that are at their power limit are slower after a while than in a moment: both ways are tried in turn,
 * for some time, and what counts is the last round. */
enum { rounds = 2, few_runs = 4, most_runs = 400 };
static const float milliseconds_per_trial = 10;
/* In a step the library is better than in a trial, so one launch must be clearly faster: activations of
 * tokens are alike, and with them for the second factor, which streams through the tensor cores, it needs up
 * to a tenth less energy. Ours has them for the first. */
static const float clearly = 0.95f;

/* What makes problems alike. */
typedef struct united_key {
    int64_t rows[ink_hopper_most_groups], columns, inputs;
    int n_groups;
    ink_dtype factors;
    ink_activation activation;
    bool rotates;
} united_key;

typedef struct ink_cuda_united {
    struct ink_cuda_united *next;
    united_key key;
    ink_hopper_linear *linear; /* NULL: launch by launch is faster */
} united;

void ink_cuda_united_destroy(struct ink_cuda_united *all) {
    while (all) {
        united *next = all->next;
        ink_hopper_linear_destroy(all->linear);
        free(all);
        all = next;
    }
}

/* ---- the problem ---- */

/* False if the rotation is of another kind than the kernel has. */
static bool set_rotation(const ink_cuda_program *p, const ink_cuda_launch *l, ink_hopper_rotation *rotation) {
    enum { q_gain = 1, table = 2, k_gain = 4 };
    const ink_node *node = l->nodes[0];
    *rotation = (ink_hopper_rotation){
        .table = ink_cuda_address(p, &l->in[table]),
        .gains = {ink_cuda_address(p, &l->in[q_gain]), ink_cuda_address(p, &l->in[k_gain])},
        .eps = node->params.rotary.eps};
    return node->params.rotary.head_dim == ink_hopper_head_columns &&
           node->params.rotary.style == INK_ROTARY_ADJACENT && rotation->table &&
           l->in[q_gain].dtype == INK_BF16 && l->in[k_gain].dtype == INK_BF16;
}

static bool problem_of(const ink_cuda_program *p, int32_t i, ink_hopper_linear_problem *problem) {
    *problem = (ink_hopper_linear_problem){0};
    const int32_t end = i + 1 + p->lowered.launches[i].more;
    int rotations = 0; /* in the order of the products, and after them */
    for (; i < end; i++) {
        const ink_cuda_launch *l = &p->lowered.launches[i];
        if (l->op == INK_OP_LINEAR) {
            if (problem->n_groups == ink_hopper_most_groups) return false;
            problem->products[problem->n_groups++] = ink_cuda_linear_problem_of(p, l);
        } else if (rotations == problem->n_groups || !set_rotation(p, l, &problem->rotations[rotations++])) {
            return false;
        }
    }
    return ink_hopper_linear_can(problem, p->context->major, p->context->minor);
}

static united_key key_of(const ink_hopper_linear_problem *problem) {
    united_key key;
    memset(&key, 0, sizeof key); /* compared as bytes */
    for (int i = 0; i < problem->n_groups; i++) {
        key.rows[i] = problem->products[i].x.rows;
    }
    key.columns = problem->products[0].out.columns;
    key.inputs = problem->products[0].x.columns;
    key.n_groups = problem->n_groups;
    key.factors = problem->products[0].x.dtype;
    key.activation = problem->products[0].activation;
    key.rotates = problem->rotations[0].table != NULL;
    return key;
}

/* ---- choosing ---- */

typedef struct trial {
    ink_cuda_program *p;
    int32_t begin;
    const ink_hopper_linear *linear;
    const ink_hopper_linear_problem *problem;
    cudaEvent_t events[2];
} trial;

static ink_status run(const trial *t, bool in_one_go, ink_error *error) {
    cudaStream_t stream = t->p->context->stream;
    if (in_one_go) return ink_hopper_linear_run(t->linear, t->problem, stream, error);
    const int32_t end = t->begin + 1 + t->p->lowered.launches[t->begin].more;
    for (int32_t i = t->begin; i < end; i += ink_cuda_count_at(t->p, i)) {
        INK_TRY(ink_cuda_execute(t->p, i, stream, error));
    }
    return INK_OK;
}

static ink_status take_time(const trial *t, bool in_one_go, int runs, float *milliseconds, ink_error *error) {
    cudaStream_t stream = t->p->context->stream;
    const char *what = "a trial of products";
    INK_TRY(ink_cuda_check(cudaEventRecord(t->events[0], stream), what, error));
    for (int i = 0; i < runs; i++) {
        INK_TRY(run(t, in_one_go, error));
    }
    INK_TRY(ink_cuda_check(cudaEventRecord(t->events[1], stream), what, error));
    INK_TRY(ink_cuda_check(cudaEventSynchronize(t->events[1]), what, error));
    INK_TRY(ink_cuda_check(cudaEventElapsedTime(milliseconds, t->events[0], t->events[1]), what, error));
    *milliseconds /= (float)runs;
    return INK_OK;
}

static int runs_of(float milliseconds) {
    if (!(milliseconds * few_runs < milliseconds_per_trial) || !(milliseconds > 0)) return few_runs;
    const float runs = milliseconds_per_trial / milliseconds;
    return runs < most_runs ? (int)runs : most_runs;
}

static ink_status take_times(const trial *t, float *several, float *one, ink_error *error) {
    INK_TRY(run(t, true, error)); /* loads kernels */
    INK_TRY(run(t, false, error));
    INK_TRY(take_time(t, false, few_runs, several, error));
    const int runs = runs_of(*several);
    for (int i = 0; i < rounds; i++) {
        INK_TRY(take_time(t, false, runs, several, error));
        INK_TRY(take_time(t, true, runs, one, error));
    }
    return INK_OK;
}

/* Keeps the linear only if it is clearly faster. */
static ink_status compare(trial *t, ink_hopper_linear **linear, ink_error *error) {
    float several = 0, one = 0;
    ink_status status = INK_OK;
    for (int i = 0; i < 2 && status == INK_OK; i++) {
        status = ink_cuda_check(cudaEventCreate(&t->events[i]), "an event", error);
    }
    if (status == INK_OK) status = take_times(t, &several, &one, error);
    for (int i = 0; i < 2; i++) {
        if (t->events[i]) (void)cudaEventDestroy(t->events[i]);
    }
    if (status == INK_OK && one <= several * clearly) return INK_OK;
    ink_hopper_linear_destroy(*linear);
    *linear = NULL;
    return status;
}

static ink_status find(ink_cuda_program *p, int32_t i, const ink_hopper_linear_problem *problem,
                       const united **found, ink_error *error) {
    const united_key key = key_of(problem);
    for (const united *u = p->context->united; u; u = u->next) {
        if (memcmp(&u->key, &key, sizeof key) != 0) continue;
        *found = u;
        return INK_OK;
    }
    united *u = calloc(1, sizeof *u);
    if (!u) return ink_fail_memory(error, "a product", sizeof *u);
    u->key = key;
    const ink_cuda_linears *linears = p->context->linears;
    ink_status status =
        ink_hopper_linear_create(problem, p->context->processors, ink_cuda_linears_scratch(linears),
                                 ink_cuda_linears_bytes(linears), p->context->stream, &u->linear, error);
    if (status == INK_OK) {
        trial t = {.p = p, .begin = i, .linear = u->linear, .problem = problem};
        status = compare(&t, &u->linear, error);
    } else if (status == INK_ERROR_UNSUPPORTED) {
        status = INK_OK;
    }
    if (status != INK_OK) {
        free(u);
        return status;
    }
    u->next = p->context->united;
    *found = p->context->united = u;
    return INK_OK;
}

ink_status ink_cuda_choose_united(ink_cuda_program *p, int32_t i, ink_error *error) {
    ink_hopper_linear_problem problem;
    const united *u = NULL;
    p->choices[i].united = NULL;
    if (p->context->ununited || p->lowered.launches[i].more == 0 || !problem_of(p, i, &problem))
        return INK_OK;
    INK_TRY(find(p, i, &problem, &u, error));
    p->choices[i].united = u->linear;
    return INK_OK;
}

ink_status ink_cuda_run_united(const ink_cuda_program *p, int32_t i, cudaStream_t stream, ink_error *error) {
    ink_hopper_linear_problem problem;
    if (!problem_of(p, i, &problem)) return ink_fail(error, INK_ERROR_INTERNAL, "a product has changed");
    return ink_hopper_linear_run(p->choices[i].united, &problem, stream, error);
}
