/*
 * Attention plans: which implementation computes a problem, and what goes with all of them.
 */
#include "backend/cuda/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const ink_cuda_attention_kind kinds[] = {
    {"hopper", INK_CUDA_ATTENTION_ANYWHERE, ink_cuda_attention_hopper_can, ink_cuda_attention_hopper_worth,
     ink_cuda_attention_hopper_create, ink_cuda_attention_hopper_run, ink_cuda_attention_hopper_bytes,
     ink_cuda_attention_hopper_destroy},
    {"cudnn", INK_CUDA_ATTENTION_ADJACENT, ink_cuda_attention_cudnn_can, ink_cuda_attention_cudnn_worth,
     ink_cuda_attention_cudnn_create, ink_cuda_attention_cudnn_run, ink_cuda_attention_cudnn_bytes,
     ink_cuda_attention_cudnn_destroy},
    {"wide", INK_CUDA_ATTENTION_ANYWHERE, ink_cuda_attention_wide_can, ink_cuda_attention_wide_worth,
     ink_cuda_attention_wide_create, ink_cuda_attention_wide_run, ink_cuda_attention_wide_bytes,
     ink_cuda_attention_wide_destroy},
    {"mma", INK_CUDA_ATTENTION_ANYWHERE, ink_cuda_attention_mma_can, ink_cuda_attention_mma_worth,
     ink_cuda_attention_mma_create, ink_cuda_attention_mma_run, ink_cuda_attention_mma_bytes,
     ink_cuda_attention_mma_destroy},
    {"simple", INK_CUDA_ATTENTION_ANYWHERE, ink_cuda_attention_simple_can, ink_cuda_attention_simple_worth,
     ink_cuda_attention_simple_create, ink_cuda_attention_simple_run, ink_cuda_attention_simple_bytes,
     ink_cuda_attention_simple_destroy},
};

const ink_cuda_attention_kind *ink_cuda_attention_kinds(size_t *n) {
    *n = sizeof kinds / sizeof kinds[0];
    return kinds;
}

struct ink_cuda_attention_plan {
    const ink_cuda_attention_kind *kind;
    void *state;
    ink_cuda_attention_problem problem;
    ink_segment *segments; /* the problem's */
    ink_cuda_attention_gap *gaps;
    size_t n_gaps;
};

static ink_status get_device(ink_cuda_attention_device *device, ink_error *error) {
    int id = 0;
    cudaError_t code = cudaGetDevice(&id);
    const struct {
        enum cudaDeviceAttr name;
        int *value;
    } attributes[] = {{cudaDevAttrComputeCapabilityMajor, &device->major},
                      {cudaDevAttrComputeCapabilityMinor, &device->minor},
                      {cudaDevAttrMultiProcessorCount, &device->multiprocessors},
                      {cudaDevAttrMaxSharedMemoryPerBlockOptin, &device->shared_bytes}};
    for (size_t i = 0; code == cudaSuccess && i < sizeof attributes / sizeof attributes[0]; i++) {
        code = cudaDeviceGetAttribute(attributes[i].value, attributes[i].name, id);
    }
    return ink_cuda_check(code, "a query of the device", error);
}

static bool is_matrix(const ink_cuda_matrix *x, int64_t rows, int64_t columns) {
    return (x->dtype == INK_F32 || x->dtype == INK_BF16) && x->rows == rows && x->columns == columns &&
           x->stride >= columns && x->data;
}

/* The graph was checked when it was recorded: what is wrong here is the lowering's mistake. */
static bool is_problem(const ink_cuda_attention_problem *p) {
    bool good = p->streams >= 1 && p->streams <= INK_MAX_STREAMS && p->heads > 0 && p->kv_heads > 0 &&
                p->heads % p->kv_heads == 0 && p->head_dim > 0 && p->n_segments >= 0 &&
                !(p->causal && p->streams > 1);
    for (int s = 0; good && s < p->streams; s++) {
        const int64_t rows = p->q[s].rows, kv_columns = p->kv_heads * p->head_dim;
        good = rows >= 0 && is_matrix(&p->q[s], rows, p->heads * p->head_dim) &&
               is_matrix(&p->out[s], rows, p->heads * p->head_dim) && is_matrix(&p->k[s], rows, kv_columns) &&
               is_matrix(&p->v[s], rows, kv_columns);
    }
    for (int64_t i = 0; good && i < p->n_segments; i++) {
        const ink_segment *segment = &p->segments[i];
        good = ink_cuda_attention_length(segment) > 0;
        for (int s = 0; s < INK_MAX_STREAMS; s++) {
            const int64_t rows = s < p->streams ? p->q[s].rows : 0;
            good = good && segment->begin[s] >= 0 && segment->length[s] >= 0 &&
                   (segment->length[s] == 0 || segment->begin[s] + segment->length[s] <= rows);
        }
    }
    return good;
}

static bool same_matrix(const ink_cuda_matrix *a, const ink_cuda_matrix *b) {
    return a->dtype == b->dtype && a->rows == b->rows && a->columns == b->columns && a->stride == b->stride;
}

/* Do they differ in pointers only? */
static bool is_like(const ink_cuda_attention_problem *a, const ink_cuda_attention_problem *b) {
    if (a->streams != b->streams || a->heads != b->heads || a->kv_heads != b->kv_heads ||
        a->head_dim != b->head_dim || a->causal != b->causal || a->scale < b->scale || a->scale > b->scale ||
        a->n_segments != b->n_segments) {
        return false;
    }
    for (int s = 0; s < a->streams; s++) {
        if (!same_matrix(&a->q[s], &b->q[s]) || !same_matrix(&a->k[s], &b->k[s]) ||
            !same_matrix(&a->v[s], &b->v[s]) || !same_matrix(&a->out[s], &b->out[s])) {
            return false;
        }
    }
    return a->n_segments == 0 ||
           memcmp(a->segments, b->segments, (size_t)a->n_segments * sizeof *a->segments) == 0;
}

/* A plan without a state. */
static ink_status plan_prepare(const ink_cuda_attention_problem *problem, ink_cuda_attention_plan **plan,
                               ink_error *error) {
    if (!is_problem(problem)) {
        return ink_fail(error, INK_ERROR_INTERNAL, "attention was given matrices that do not fit each other");
    }
    if (problem->head_dim > INK_CUDA_ATTENTION_MAX_HEAD_DIM) {
        return ink_fail(
            error, INK_ERROR_UNSUPPORTED,
            "attention heads of %lld columns are too wide for this backend (at most %d); use --backend cpu",
            (long long)problem->head_dim, INK_CUDA_ATTENTION_MAX_HEAD_DIM);
    }
    const size_t bytes = (size_t)problem->n_segments * sizeof *problem->segments;
    ink_cuda_attention_plan *p = calloc(1, sizeof *p);
    ink_segment *segments = malloc(bytes ? bytes : 1);
    if (!p || !segments) {
        free(p), free(segments);
        return ink_fail_memory(error, "an attention plan", sizeof *p + bytes);
    }
    if (bytes) memcpy(segments, problem->segments, bytes);
    p->problem = *problem;
    p->problem.segments = p->segments = segments;
    if (p->problem.scale == 0) p->problem.scale = (float)(1 / sqrt((double)problem->head_dim));
    const ink_status status = ink_cuda_attention_gaps(&p->problem, &p->gaps, &p->n_gaps, error);
    if (status != INK_OK) {
        free(segments), free(p);
        return status;
    }
    *plan = p;
    return INK_OK;
}

static ink_status plan_try(ink_cuda_attention_plan *plan, const ink_cuda_attention_kind *kind,
                           const ink_cuda_attention_device *device, const ink_cuda_attention_plan *like,
                           cudaStream_t stream, ink_error *error) {
    const bool shares = like && like->kind == kind && is_like(&plan->problem, &like->problem);
    plan->kind = kind;
    return kind->create(&plan->problem, device, shares ? like->state : NULL, stream, &plan->state, error);
}

ink_status ink_cuda_attention_plan_create_kind(const ink_cuda_attention_kind *kind,
                                               const ink_cuda_attention_problem *problem,
                                               const ink_cuda_attention_plan *like, cudaStream_t stream,
                                               ink_cuda_attention_plan **plan, ink_error *error) {
    *plan = NULL;
    ink_cuda_attention_device device;
    INK_TRY(get_device(&device, error));
    ink_cuda_attention_plan *p = NULL;
    INK_TRY(plan_prepare(problem, &p, error));
    ink_status status = INK_OK;
    if (!kind->can(&p->problem, &device)) {
        status = ink_fail(error, INK_ERROR_UNSUPPORTED,
                          "attention \"%s\" cannot do this problem on this device", kind->name);
    } else {
        status = plan_try(p, kind, &device, like, stream, error);
    }
    if (status != INK_OK) {
        ink_cuda_attention_plan_destroy(p);
        return status;
    }
    *plan = p;
    return INK_OK;
}

ink_status ink_cuda_attention_plan_create_like(const ink_cuda_attention_problem *problem,
                                               const ink_cuda_attention_plan *like, cudaStream_t stream,
                                               ink_cuda_attention_plan **plan, ink_error *error) {
    *plan = NULL;
    ink_cuda_attention_device device;
    INK_TRY(get_device(&device, error));
    ink_cuda_attention_plan *p = NULL;
    INK_TRY(plan_prepare(problem, &p, error));
    ink_status status = INK_ERROR_UNSUPPORTED;
    const size_t n = sizeof kinds / sizeof kinds[0];
    for (size_t i = 0; i < n && status == INK_ERROR_UNSUPPORTED; i++) {
        if (!kinds[i].can(&p->problem, &device) || !kinds[i].worth(&p->problem)) continue;
        status = plan_try(p, &kinds[i], &device, like, stream, error);
    }
    if (status != INK_OK) {
        ink_cuda_attention_plan_destroy(p);
        return status;
    }
    *plan = p;
    return INK_OK;
}

ink_status ink_cuda_attention_plan_create(const ink_cuda_attention_problem *problem, cudaStream_t stream,
                                          ink_cuda_attention_plan **plan, ink_error *error) {
    return ink_cuda_attention_plan_create_like(problem, NULL, stream, plan, error);
}

ink_status ink_cuda_attention_run(ink_cuda_attention_plan *plan, cudaStream_t stream, ink_error *error) {
    for (size_t i = 0; i < plan->n_gaps; i++) {
        const ink_cuda_attention_gap *gap = &plan->gaps[i];
        const ink_cuda_matrix *out = &plan->problem.out[gap->stream];
        const size_t element = ink_dtype_bytes(out->dtype);
        INK_TRY(ink_cuda_check(cudaMemset2DAsync(ink_cuda_attention_row(out, gap->row),
                                                 (size_t)out->stride * element, 0,
                                                 (size_t)out->columns * element, (size_t)gap->rows, stream),
                               "zeroing of rows without attention", error));
    }
    if (plan->problem.n_segments == 0) return INK_OK;
    return plan->kind->run(plan->state, stream, error);
}

size_t ink_cuda_attention_bytes(const ink_cuda_attention_plan *plan) {
    return plan->kind->bytes(plan->state);
}

const char *ink_cuda_attention_name(const ink_cuda_attention_plan *plan) {
    return plan->kind->name;
}

void ink_cuda_attention_plan_destroy(ink_cuda_attention_plan *plan) {
    if (!plan) return;
    if (plan->state) plan->kind->destroy(plan->state);
    free(plan->gaps);
    free(plan->segments);
    free(plan);
}

ink_cuda_attention_layout ink_cuda_attention_preferred_layout(const ink_cuda_attention_problem *problem) {
    ink_cuda_attention_device device;
    if (get_device(&device, NULL) != INK_OK) return INK_CUDA_ATTENTION_ANYWHERE;
    const size_t n = sizeof kinds / sizeof kinds[0];
    for (size_t i = 0; i < n; i++) {
        if (kinds[i].can(problem, &device) && kinds[i].worth(problem)) return kinds[i].layout;
    }
    return INK_CUDA_ATTENTION_ANYWHERE;
}
