/*
 * Kernels that work element by element: a task takes TASK_FLOATS of them, wherever rows begin.
 */
#ifndef INK_BACKEND_CPU_ELEMENTS_H
#define INK_BACKEND_CPU_ELEMENTS_H

#include "backend/cpu/rows.h"

typedef struct element_job {
    const float *x, *y;
    void *out;
    int64_t count;
    const ink_node *node;
    float dt; /* euler_step */
    void (*piece)(const struct element_job *job, int64_t begin, int64_t end);
} element_job;

static void element_task(void *context, int64_t task, int thread) {
    (void)thread;
    const element_job *job = context;
    job->piece(job, task * TASK_FLOATS, smaller((task + 1) * TASK_FLOATS, job->count));
}

static void run_elements(const ink_kernel_args *args, void (*piece)(const element_job *, int64_t, int64_t)) {
    element_job job = {.x = args->in[0].data,
                       .y = args->node->n_inputs > 1 ? args->in[1].data : NULL,
                       .out = args->out[0].data,
                       .count = ink_shape_count(&args->in[0].shape),
                       .node = args->node,
                       .piece = piece};
    if (args->node->op == INK_OP_EULER_STEP) job.dt = ((const float *)args->in[2].data)[0];
    ink_pool_run(args->pool, (job.count + TASK_FLOATS - 1) / TASK_FLOATS, element_task, &job);
}

/* The vector EXPRESSION of x and y for every element; the last, incomplete vector is computed aside. */
#define ELEMENTS(name, EXPRESSION)                                                                           \
    static void name##_piece(const element_job *job, int64_t begin, int64_t end) {                           \
        float *out = job->out;                                                                               \
        const float *y_data = job->y ? job->y : job->x;                                                      \
        for (int64_t i = begin; i < end; i += VL) {                                                          \
            if (end - i >= VL) {                                                                             \
                const vf x = vload(job->x + i), y = vload(y_data + i);                                       \
                (void)y;                                                                                     \
                vstore(out + i, EXPRESSION);                                                                 \
            } else {                                                                                         \
                const size_t bytes = (size_t)(end - i) * sizeof *out;                                        \
                float a[VL] = {0}, b[VL] = {0};                                                              \
                memcpy(a, job->x + i, bytes);                                                                \
                memcpy(b, y_data + i, bytes);                                                                \
                const vf x = vload(a), y = vload(b);                                                         \
                (void)y;                                                                                     \
                vstore(a, EXPRESSION);                                                                       \
                memcpy(out + i, a, bytes);                                                                   \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    static void name##_run(const ink_kernel_args *args) {                                                    \
        run_elements(args, name##_piece);                                                                    \
    }

ELEMENTS(add, x + y)
ELEMENTS(silu, vsilu(x))
ELEMENTS(silu_mul, vsilu(x) * y)
ELEMENTS(euler, x + vset(job->dt) * y)
/* NaN is the second operand of vmax and vmin, and stays. */
ELEMENTS(affine_clamp,
         vmin(vset(job->node->params.affine.high),
              vmax(vset(job->node->params.affine.low),
                   x *vset(job->node->params.affine.scale) + vset(job->node->params.affine.offset))))

static void to_u8_piece(const element_job *job, int64_t begin, int64_t end) {
    uint8_t *out = job->out;
    for (int64_t i = begin; i < end; i++) {
        const float y = 255.0f * job->x[i];
        out[i] = !(y > 0) ? 0 : y >= 255 ? 255 : (uint8_t)rintf(y);
    }
}

static void to_u8_run(const ink_kernel_args *args) {
    run_elements(args, to_u8_piece);
}

/* ---- statistics ---- */

enum { STATS_CHUNK = 4096 };

typedef struct stats_chunk {
    double squares;
    int64_t finite;
    float low, high;
} stats_chunk;

typedef struct stats_job {
    const float *x;
    int64_t count;
    stats_chunk *chunks;
} stats_job;

static void stats_task(void *context, int64_t task, int thread) {
    (void)thread;
    const stats_job *job = context;
    stats_chunk c = {.low = INFINITY, .high = -INFINITY};
    const int64_t end = smaller((task + 1) * STATS_CHUNK, job->count);
    for (int64_t i = task * STATS_CHUNK; i < end; i++) {
        const float x = job->x[i];
        if (!isfinite(x)) continue;
        c.finite++;
        if (x < c.low) c.low = x;
        if (x > c.high) c.high = x;
        c.squares += (double)x * (double)x;
    }
    job->chunks[task] = c;
}

static int64_t stats_chunks(const ink_tensor *x) {
    return (ink_shape_count(&x->shape) + STATS_CHUNK - 1) / STATS_CHUNK;
}

static size_t stats_scratch(const ink_node *node, const ink_tensor *in, const ink_tensor *out, int threads) {
    (void)node, (void)out, (void)threads;
    return (size_t)stats_chunks(&in[0]) * sizeof(stats_chunk);
}

static void stats_run(const ink_kernel_args *args) {
    stats_job job = {
        .x = args->in[0].data, .count = ink_shape_count(&args->in[0].shape), .chunks = args->scratch};
    const int64_t n = stats_chunks(&args->in[0]);
    ink_pool_run(args->pool, n, stats_task, &job);
    stats_chunk total = {.low = INFINITY, .high = -INFINITY};
    for (int64_t i = 0; i < n; i++) {
        const stats_chunk *c = &job.chunks[i];
        total.squares += c->squares;
        total.finite += c->finite;
        if (c->low < total.low) total.low = c->low;
        if (c->high > total.high) total.high = c->high;
    }
    float *out = args->out[0].data;
    const bool any = total.finite > 0;
    out[0] = any ? total.low : 0;
    out[1] = any ? total.high : 0;
    out[2] = any ? (float)sqrt(total.squares / (double)total.finite) : 0;
    out[3] = (float)(job.count - total.finite);
}

#endif
