/*
 * Convolution plans: which implementation computes a problem.
 */
#include "backend/cuda/conv.h"
#include "backend/cuda/conv_cudnn.h"

#include <stdlib.h>

/* ---- the kind that does everything; its state is the problem itself ---- */

static bool simple_can(const ink_cuda_conv_problem *problem) {
    (void)problem;
    return true;
}

static ink_status simple_create(const ink_cuda_conv_problem *problem, const void *like, cudaStream_t stream,
                                void **state, ink_error *error) {
    (void)like, (void)stream;
    ink_cuda_conv_problem *copy = malloc(sizeof *copy);
    if (!copy) return ink_fail_memory(error, "a convolution plan", sizeof *copy);
    *copy = *problem;
    *state = copy;
    return INK_OK;
}

static ink_status simple_run(void *state, cudaStream_t stream, ink_error *error) {
    return ink_cuda_check(ink_cuda_conv_simple(stream, state), "a convolution", error);
}

static size_t simple_bytes(const void *state) {
    (void)state;
    return 0;
}

static const ink_cuda_conv_kind kinds[] = {
    {"cudnn", ink_cuda_conv_cudnn_can, ink_cuda_conv_cudnn_create, ink_cuda_conv_cudnn_run,
     ink_cuda_conv_cudnn_bytes, ink_cuda_conv_cudnn_destroy},
    {"simple", simple_can, simple_create, simple_run, simple_bytes, free},
};

const ink_cuda_conv_kind *ink_cuda_conv_kinds(size_t *n) {
    *n = sizeof kinds / sizeof kinds[0];
    return kinds;
}

/* ---- plans ---- */

struct ink_cuda_conv_plan {
    const ink_cuda_conv_kind *kind;
    void *state;
    ink_cuda_conv_problem problem;
};

/* A plan of the first of `n` kinds that can do the problem. */
static ink_status create(const ink_cuda_conv_kind *of, size_t n, const ink_cuda_conv_problem *problem,
                         const ink_cuda_conv_plan *like, cudaStream_t stream, ink_cuda_conv_plan **plan,
                         ink_error *error) {
    *plan = NULL;
    ink_cuda_conv_plan *p = calloc(1, sizeof *p);
    if (!p) return ink_fail_memory(error, "a convolution plan", sizeof *p);
    p->problem = *problem;
    ink_status status =
        ink_fail(error, INK_ERROR_UNSUPPORTED, "convolution \"%s\" cannot do this problem", of->name);
    for (size_t i = 0; i < n && status == INK_ERROR_UNSUPPORTED; i++) {
        p->kind = &of[i];
        if (!of[i].can(&p->problem)) continue;
        const void *shared = like && like->kind == &of[i] ? like->state : NULL;
        status = of[i].create(&p->problem, shared, stream, &p->state, error);
    }
    if (status != INK_OK) {
        free(p);
        return status;
    }
    *plan = p;
    return INK_OK;
}

ink_status ink_cuda_conv_plan_create_kind(const ink_cuda_conv_kind *kind,
                                          const ink_cuda_conv_problem *problem,
                                          const ink_cuda_conv_plan *like, cudaStream_t stream,
                                          ink_cuda_conv_plan **plan, ink_error *error) {
    return create(kind, 1, problem, like, stream, plan, error);
}

ink_status ink_cuda_conv_plan_create_like(const ink_cuda_conv_problem *problem,
                                          const ink_cuda_conv_plan *like, cudaStream_t stream,
                                          ink_cuda_conv_plan **plan, ink_error *error) {
    return create(kinds, sizeof kinds / sizeof kinds[0], problem, like, stream, plan, error);
}

ink_status ink_cuda_conv_plan_create(const ink_cuda_conv_problem *problem, cudaStream_t stream,
                                     ink_cuda_conv_plan **plan, ink_error *error) {
    return ink_cuda_conv_plan_create_like(problem, NULL, stream, plan, error);
}

ink_status ink_cuda_conv_run(ink_cuda_conv_plan *plan, cudaStream_t stream, ink_error *error) {
    return plan->kind->run(plan->state, stream, error);
}

size_t ink_cuda_conv_bytes(const ink_cuda_conv_plan *plan) {
    return plan->kind->bytes(plan->state);
}

const char *ink_cuda_conv_name(const ink_cuda_conv_plan *plan) {
    return plan->kind->name;
}

void ink_cuda_conv_plan_destroy(ink_cuda_conv_plan *plan) {
    if (!plan) return;
    if (plan->state) plan->kind->destroy(plan->state);
    free(plan);
}
