/*
 * Kernels that work row by row: norms, modulation, rotary embedding, guidance. A task takes about TASK_FLOATS
 * elements in whole rows. Sums over a row are in double, so that a residual of 5e7 costs no digits.
 */
#ifndef INK_BACKEND_CPU_ROWS_H
#define INK_BACKEND_CPU_ROWS_H

#include "backend/cpu/pack.h"
#include "backend/cpu/vector_math.h"

#include <math.h>

enum { TASK_FLOATS = 16384 };

/* What a row kernel gets besides the arguments of the operation. */
typedef struct row_job {
    const ink_kernel_args *args;
    void (*row)(const struct row_job *job, int64_t row);
    const float *x;    /* input 0 */
    float *out;        /* output 0 */
    const float *gain; /* widened weights, in scratch; NULL if the operation has none */
    int64_t rows, columns;
} row_job;

static int64_t rows_per_task(int64_t columns) {
    return columns >= TASK_FLOATS ? 1 : TASK_FLOATS / columns;
}

static void row_task(void *context, int64_t task, int thread) {
    (void)thread;
    const row_job *job = context;
    const int64_t step = rows_per_task(job->columns), end = smaller((task + 1) * step, job->rows);
    for (int64_t r = task * step; r < end; r++) {
        job->row(job, r);
    }
}

/* Runs `row` for every row of input 0; `weight` is the input that is widened first, or -1. */
static void run_rows(const ink_kernel_args *args, int weight, void (*row)(const row_job *, int64_t)) {
    row_job job = {.args = args,
                   .row = row,
                   .x = args->in[0].data,
                   .out = args->out[0].data,
                   .rows = ink_shape_rows(&args->in[0].shape),
                   .columns = ink_shape_columns(&args->in[0].shape)};
    if (weight >= 0 && args->in[weight].data) {
        const ink_tensor *w = &args->in[weight];
        widen(args->scratch, w->data, w->dtype, 0, ink_shape_count(&w->shape));
        job.gain = args->scratch;
    }
    const int64_t step = rows_per_task(job.columns);
    ink_pool_run(args->pool, (job.rows + step - 1) / step, row_task, &job);
}

/* Scratch for the widened weights, which are input 1 of all these operations. */
static size_t gain_scratch(const ink_node *node, const ink_tensor *in, const ink_tensor *out, int threads) {
    (void)node, (void)out, (void)threads;
    return (size_t)ink_shape_count(&in[1].shape) * sizeof(float);
}

static double square_sum(const float *x, int64_t n) {
    vd total[2] = {{0}, {0}};
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        const vd a = vload_double(x + i), b = vload_double(x + i + VL / 2);
        total[0] += a * a;
        total[1] += b * b;
    }
    double sum = vsum_double(total[0] + total[1]);
    for (; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return sum;
}

/* Sum of x. */
static double plain_sum(const float *x, int64_t n) {
    vd total[2] = {{0}, {0}};
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        total[0] += vload_double(x + i);
        total[1] += vload_double(x + i + VL / 2);
    }
    double sum = vsum_double(total[0] + total[1]);
    for (; i < n; i++) {
        sum += (double)x[i];
    }
    return sum;
}

/* Sum of (x - mean)^2. */
static double deviation_sum(const float *x, int64_t n, double mean) {
    const vd m = mean - (vd){0};
    vd total[2] = {{0}, {0}};
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        const vd a = vload_double(x + i) - m, b = vload_double(x + i + VL / 2) - m;
        total[0] += a * a;
        total[1] += b * b;
    }
    double sum = vsum_double(total[0] + total[1]);
    for (; i < n; i++) {
        sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    }
    return sum;
}

/* out = gain * (x * factor) */
static void scale_row(float *out, const float *x, const float *gain, float factor, int64_t n) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vstore(out + i, vload(gain + i) * (vload(x + i) * vset(factor)));
    }
    for (; i < n; i++) {
        out[i] = gain[i] * (x[i] * factor);
    }
}

static void rms_norm_row(const row_job *job, int64_t r) {
    const float *x = job->x + r * job->columns;
    const double mean = square_sum(x, job->columns) / (double)job->columns;
    const double root = sqrt(mean + (double)job->args->node->params.norm.eps);
    scale_row(job->out + r * job->columns, x, job->gain, (float)(1 / root), job->columns);
}

static void rms_norm_run(const ink_kernel_args *args) {
    run_rows(args, 1, rms_norm_row);
}

static void channel_norm_row(const row_job *job, int64_t r) {
    const float *x = job->x + r * job->columns;
    const double eps = (double)job->args->node->params.norm.eps;
    double length = sqrt(square_sum(x, job->columns));
    if (length < eps) length = eps; /* a NaN compares false and stays */
    float *out = job->out + r * job->columns;
    scale_row(out, x, job->gain, (float)(sqrt((double)job->columns) / length), job->columns);
    activate(out, job->columns, job->args->node->params.norm.activation);
}

static void channel_norm_run(const ink_kernel_args *args) {
    run_rows(args, 1, channel_norm_row);
}

/* Row r's vectors in the modulation table. */
INLINE const float *modulation_row(const row_job *job, const int32_t *groups, int64_t r) {
    const ink_tensor *table = &job->args->in[1];
    return (const float *)table->data + (groups ? groups[r] : 0) * ink_shape_columns(&table->shape);
}

static void modulate_row(const row_job *job, int64_t r) {
    const ink_node *node = job->args->node;
    const float *mod = modulation_row(job, node->params.modulate.row_groups, r);
    const float *shift = mod + node->params.modulate.shift_column;
    const float *scale = mod + node->params.modulate.scale_column;
    const int64_t n = job->columns;
    const float *x = job->x + r * n;
    float *out = job->out + r * n;
    const double mean = plain_sum(x, n) / (double)n;
    const double variance = deviation_sum(x, n, mean) / (double)n;
    const double factor = 1 / sqrt(variance + (double)node->params.modulate.eps);
    /* (x - mean) in two parts: the mean of a large row is not a float. */
    const float high = (float)mean, low = (float)(mean - (double)high), f = (float)factor;
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        const vf centred = (vload(x + i) - vset(high)) - vset(low);
        vstore(out + i, vfma(centred * vset(f), vset(1.0f) + vload(scale + i), vload(shift + i)));
    }
    for (; i < n; i++) {
        out[i] = ((x[i] - high) - low) * f * (1 + scale[i]) + shift[i];
    }
}

static void modulate_run(const ink_kernel_args *args) {
    run_rows(args, -1, modulate_row);
}

static void gated_add_row(const row_job *job, int64_t r) {
    const ink_node *node = job->args->node;
    const int64_t n = job->columns;
    const float *gate =
        modulation_row(job, node->params.gated_add.row_groups, r) + node->params.gated_add.gate_column;
    const float *x = job->x + r * n, *y = (const float *)job->args->in[2].data + r * n;
    float *out = job->out + r * n;
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vstore(out + i, vfma(vload(gate + i), vload(y + i), vload(x + i)));
    }
    for (; i < n; i++) {
        out[i] = x[i] + gate[i] * y[i];
    }
}

static void gated_add_run(const ink_kernel_args *args) {
    run_rows(args, -1, gated_add_row);
}

/* Pairs (2k, 2k + 1); t holds cosine and sine of each pair. */
static void rotate_adjacent(float *out, const float *t, int64_t n) {
    int64_t i = 0;
#if INK_LEVEL == 2
    for (; i + VL <= n; i += VL) {
        const __m512 x = _mm512_loadu_ps(out + i), table = _mm512_loadu_ps(t + i);
        const __m512 crossed = _mm512_mul_ps(_mm512_permute_ps(x, 0xB1), _mm512_movehdup_ps(table));
        _mm512_storeu_ps(out + i, _mm512_fmaddsub_ps(x, _mm512_moveldup_ps(table), crossed));
    }
#elif INK_LEVEL == 1
    for (; i + VL <= n; i += VL) {
        const __m256 x = _mm256_loadu_ps(out + i), table = _mm256_loadu_ps(t + i);
        const __m256 crossed = _mm256_mul_ps(_mm256_permute_ps(x, 0xB1), _mm256_movehdup_ps(table));
        _mm256_storeu_ps(out + i, _mm256_fmaddsub_ps(x, _mm256_moveldup_ps(table), crossed));
    }
#endif
    for (; i < n; i += 2) {
        const float a = out[i], b = out[i + 1];
        out[i] = a * t[i] - b * t[i + 1];
        out[i + 1] = a * t[i + 1] + b * t[i];
    }
}

/* Pairs (k, k + n / 2). */
static void rotate_half(float *out, const float *t, int64_t n) {
    const int64_t half = n / 2;
    for (int64_t k = 0; k < half; k++) {
        const float a = out[k], b = out[k + half], c = t[2 * k], s = t[2 * k + 1];
        out[k] = a * c - b * s;
        out[k + half] = a * s + b * c;
    }
}

static void head_row(const row_job *job, int64_t r) {
    const ink_node *node = job->args->node;
    const int64_t n = node->params.rotary.head_dim;
    const float *table = job->args->in[2].data;
    for (int64_t h = 0; h < job->columns; h += n) {
        const float *x = job->x + r * job->columns + h;
        float *out = job->out + r * job->columns + h;
        if (job->gain) {
            const double mean = square_sum(x, n) / (double)n;
            scale_row(out, x, job->gain, (float)(1 / sqrt(mean + (double)node->params.rotary.eps)), n);
        } else if (out != x) {
            memcpy(out, x, (size_t)n * sizeof *out);
        }
        if (!table) continue;
        if (node->params.rotary.style == INK_ROTARY_ADJACENT)
            rotate_adjacent(out, table + r * n, n);
        else
            rotate_half(out, table + r * n, n);
    }
}

static void head_run(const ink_kernel_args *args) {
    run_rows(args, 1, head_row);
}

/* Rows of the output: the first half of the input's. */
static void guidance_row(const row_job *job, int64_t r) {
    const ink_node *node = job->args->node;
    const int64_t n = job->columns;
    const float *p = job->x + r * n, *u = p + job->rows * n;
    float *out = job->out + r * n;
    const double scale = (double)((const float *)job->args->in[1].data)[0];
    double p_squares = 0, c_squares = 0, factor = 1;
    for (int64_t i = 0; i < n; i++) {
        const double combined = (double)u[i] + scale * ((double)p[i] - (double)u[i]);
        p_squares += (double)p[i] * (double)p[i];
        c_squares += combined * combined;
    }
    if (node->params.guidance.rescale && c_squares != 0) factor = sqrt(p_squares / c_squares);
    for (int64_t i = 0; i < n; i++) {
        out[i] = (float)(factor * ((double)u[i] + scale * ((double)p[i] - (double)u[i])));
    }
}

static void guidance_run(const ink_kernel_args *args) {
    row_job job = {.args = args,
                   .row = guidance_row,
                   .x = args->in[0].data,
                   .out = args->out[0].data,
                   .rows = ink_shape_rows(&args->out[0].shape),
                   .columns = ink_shape_columns(&args->out[0].shape)};
    const int64_t step = rows_per_task(job.columns);
    ink_pool_run(args->pool, (job.rows + step - 1) / step, row_task, &job);
}

static void channel_affine_row(const row_job *job, int64_t r) {
    const float *scale = job->args->in[1].data, *offset = job->args->in[2].data;
    const float *x = job->x + r * job->columns;
    float *out = job->out + r * job->columns;
    for (int64_t i = 0; i < job->columns; i++) {
        out[i] = x[i] * scale[i] + offset[i];
    }
}

static void channel_affine_run(const ink_kernel_args *args) {
    run_rows(args, -1, channel_affine_row);
}

#endif
