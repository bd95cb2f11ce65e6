/*
 * Matrix products with few rows: bound by reading W, which therefore is read once, in its own order. Four
 * rows of W meet two rows of x at a time; the lanes of vectors are the partial sums. While four rows are
 * multiplied the next four are fetched. A piece of W that several pairs of x rows need stays in the L1 cache,
 * so their sums are kept between pieces.
 *
 * Two neighbouring bf16 are one 32-bit lane, and come apart with a shift and a mask. For that x is copied
 * with the even elements of every 2 VL before the odd ones.
 */
#ifndef INK_BACKEND_CPU_LINEAR_DOT_H
#define INK_BACKEND_CPU_LINEAR_DOT_H

#include "backend/cpu/pack.h"

enum {
    DOT_MAX_ROWS = 8, /* more are faster through tiles */
    DOT_GROUP = 4,    /* rows of W at a time */
    DOT_STEP = 2 * VL,
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
    const float *copy; /* x in the order of dot_load; [rows][whole] */
    int64_t whole;     /* inputs, without those that fill no DOT_STEP */
} dot_job;

/* DOT_STEP elements of W in the order of the copy of x. */
INLINE void dot_load(const char *w, const ink_dtype dtype, vf *a, vf *b) {
    if (dtype == INK_BF16) {
        const vi pairs = (vi)vload(w);
        *a = (vf)(pairs << 16);
        *b = (vf)(pairs & (int32_t)0xFFFF0000u);
    } else {
        *a = vload_as(w, dtype, 0);
        *b = vload_as(w, dtype, VL);
    }
}

/* Adds to the sums of m rows of x and DOT_GROUP rows of W what columns [k, k + depth) give. */
INLINE void dot_piece(const dot_job *job, const ink_dtype dtype, const int m, int64_t row, int64_t output,
                      int64_t k, int64_t depth, vf (*total)[DOT_GROUP]) {
    const int64_t bytes = dtype == INK_F32 ? 4 : 2, pitch = job->inputs * bytes;
    const char *w = (const char *)job->w + output * pitch + k * bytes;
    /* Each pass over a piece fetches a share of the next group, so that memory is never idle. */
    const int64_t passes = (job->rows + 1) / 2;
    int64_t ahead[DOT_GROUP];
    vf sum[2][DOT_GROUP];
    const float *x[2];
    for (int64_t j = 0; j < DOT_GROUP; j++) {
        ahead[j] = (j + (j % passes == row / 2 % DOT_GROUP ? DOT_GROUP : 0)) * pitch;
    }
    UNROLL for (int i = 0; i < m; i++) {
        x[i] = job->copy + (row + i) * job->whole + k;
        UNROLL for (int j = 0; j < DOT_GROUP; j++) {
            sum[i][j] = vzero();
        }
    }
    for (int64_t d = 0; d < depth; d += DOT_STEP, w += DOT_STEP * bytes) {
        UNROLL for (int j = 0; j < DOT_GROUP; j++) {
            vf a, b;
            dot_load(w + j * pitch, dtype, &a, &b);
            __builtin_prefetch(w + ahead[j], 0, 2);
            UNROLL for (int i = 0; i < m; i++) {
                sum[i][j] = vfma(a, vload(x[i] + d), sum[i][j]);
                sum[i][j] = vfma(b, vload(x[i] + d + VL), sum[i][j]);
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
    for (int64_t k = 0; k < job->whole; k += DOT_PIECE) {
        const int64_t depth = smaller(job->whole - k, DOT_PIECE);
        int64_t r = 0;
        for (; r + 2 <= job->rows; r += 2) {
            dot_piece(job, dtype, 2, r, output, k, depth, total + r);
        }
        if (r < job->rows) dot_piece(job, dtype, 1, r, output, k, depth, total + r);
    }
    for (int64_t r = 0; r < job->rows; r++) {
        for (int64_t j = 0; j < DOT_GROUP; j++) {
            float sum = vsum(total[r][j]);
            for (int64_t k = job->whole; k < job->inputs; k++) {
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

/* Floats of linear_dot_run's `copy`. */
static int64_t dot_copy_floats(int64_t rows, int64_t inputs) {
    return rows * (inputs / DOT_STEP * DOT_STEP);
}

/* job->copy and job->whole are set here. */
static void linear_dot_run(ink_pool *pool, float *copy, dot_job *job) {
    job->whole = job->inputs / DOT_STEP * DOT_STEP;
    job->copy = copy;
    const bool apart = job->w_dtype == INK_BF16;
    for (int64_t r = 0; r < job->rows; r++) {
        const float *x = job->x + r * job->inputs;
        for (int64_t k = 0; k < job->whole; k += DOT_STEP) {
            for (int64_t i = 0; i < VL; i++) {
                *copy++ = x[k + (apart ? 2 * i : i)];
            }
            for (int64_t i = 0; i < VL; i++) {
                *copy++ = x[k + (apart ? 2 * i + 1 : VL + i)];
            }
        }
    }
    ink_pool_run(pool, (job->outputs + DOT_OUTPUTS - 1) / DOT_OUTPUTS, dot_task, job);
}

#endif
