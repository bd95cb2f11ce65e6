/*
 * Matrix products with few rows: bound by reading W, which therefore is read once, in its own order. Four
 * rows of W meet two rows of x at a time; the lanes of eight vectors are the partial sums. A piece of W that
 * several pairs of x rows need stays in the L1 cache, so their sums are kept between pieces.
 */
#ifndef INK_BACKEND_CPU_LINEAR_DOT_H
#define INK_BACKEND_CPU_LINEAR_DOT_H

#include "backend/cpu/pack.h"

enum {
    DOT_MAX_ROWS = 8, /* more are faster through tiles */
    DOT_GROUP = 4,    /* rows of W at a time */
    DOT_PIECE = 1024, /* of their columns: 16 KiB at most */
    DOT_OUTPUTS = 32  /* per task */
};

typedef struct dot_job {
    const float *x;
    const void *w;
    ink_dtype w_dtype;
    float *out;
    int64_t rows, inputs, outputs;
    const float *bias; /* nullable */
    ink_activation activation;
} dot_job;

/* total[i][j] += lanes of x row i times W row j, over `depth` columns from `k` on, a multiple of VL. */
INLINE void dot_piece(const dot_job *job, const ink_dtype dtype, const int m, const int64_t row,
                      const int64_t output, int64_t k, int64_t depth, vf (*total)[DOT_GROUP]) {
    vf sum[2][DOT_GROUP];
    const float *x[2];
    UNROLL for (int i = 0; i < m; i++) {
        x[i] = job->x + (row + i) * job->inputs;
        UNROLL for (int j = 0; j < DOT_GROUP; j++) {
            sum[i][j] = vzero();
        }
    }
    for (const int64_t end = k + depth; k < end; k += VL) {
        vf w[DOT_GROUP];
        UNROLL for (int j = 0; j < DOT_GROUP; j++) {
            w[j] = vload_as(job->w, dtype, (output + j) * job->inputs + k);
        }
        UNROLL for (int i = 0; i < m; i++) {
            const vf a = vload(x[i] + k);
            UNROLL for (int j = 0; j < DOT_GROUP; j++) {
                sum[i][j] = vfma(a, w[j], sum[i][j]);
            }
        }
    }
    UNROLL for (int i = 0; i < m; i++) {
        UNROLL for (int j = 0; j < DOT_GROUP; j++) {
            total[i][j] += sum[i][j];
        }
    }
}

/* DOT_GROUP outputs of every row of x. */
INLINE void dot_group(const dot_job *job, const ink_dtype dtype, int64_t output) {
    vf total[DOT_MAX_ROWS][DOT_GROUP];
    memset(total, 0, sizeof total);
    const int64_t whole = job->inputs / VL * VL;
    for (int64_t k = 0; k < whole; k += DOT_PIECE) {
        const int64_t depth = smaller(whole - k, DOT_PIECE);
        int64_t r = 0;
        for (; r + 2 <= job->rows; r += 2) {
            dot_piece(job, dtype, 2, r, output, k, depth, total + r);
        }
        if (r < job->rows) dot_piece(job, dtype, 1, r, output, k, depth, total + r);
    }
    for (int64_t r = 0; r < job->rows; r++) {
        for (int64_t j = 0; j < DOT_GROUP; j++) {
            float sum = vsum(total[r][j]);
            for (int64_t k = whole; k < job->inputs; k++) {
                sum += job->x[r * job->inputs + k] *
                       ink_element_f32(job->w, dtype, (output + j) * job->inputs + k);
            }
            job->out[r * job->outputs + output + j] = sum;
        }
    }
}

/* One output of every row, for the up to three that fill no group. */
static void dot_single(const dot_job *job, int64_t output) {
    const int64_t whole = job->inputs / VL * VL;
    for (int64_t r = 0; r < job->rows; r++) {
        const float *x = job->x + r * job->inputs;
        vf total = vzero();
        for (int64_t k = 0; k < whole; k += VL) {
            total = vfma(vload(x + k), vload_as(job->w, job->w_dtype, output * job->inputs + k), total);
        }
        float sum = vsum(total);
        for (int64_t k = whole; k < job->inputs; k++) {
            sum += x[k] * ink_element_f32(job->w, job->w_dtype, output * job->inputs + k);
        }
        job->out[r * job->outputs + output] = sum;
    }
}

static void dot_task(void *context, int64_t task, int thread) {
    (void)thread;
    const dot_job *job = context;
    const int64_t begin = task * DOT_OUTPUTS, end = smaller(begin + DOT_OUTPUTS, job->outputs);
    int64_t output = begin;
    for (; output + DOT_GROUP <= end; output += DOT_GROUP) {
        if (job->w_dtype == INK_F32)
            dot_group(job, INK_F32, output);
        else if (job->w_dtype == INK_BF16)
            dot_group(job, INK_BF16, output);
        else
            dot_group(job, INK_F16, output);
    }
    for (; output < end; output++) {
        dot_single(job, output);
    }
    for (int64_t r = 0; r < job->rows; r++) {
        finish_row(job->out + r * job->outputs + begin, job->bias ? job->bias + begin : NULL,
                   (int)(end - begin), job->activation);
    }
}

static void linear_dot_run(ink_pool *pool, dot_job *job) {
    ink_pool_run(pool, (job->outputs + DOT_OUTPUTS - 1) / DOT_OUTPUTS, dot_task, job);
}

#endif
