/*
 * Matrix products with weights: out = activation(x W^T + bias).
 *
 * Many rows: a task takes a block of rows of x and a block of rows of W (columns of the result). For each
 * LINEAR_DEPTH of the sum it copies its part of x into the L2 cache, where no two rows fight for a cache set,
 * and then for each strip of TILE_COLUMNS rows of W: packs the strip into the L1 cache, fetches the next one
 * in the meantime, and multiplies. The results gather in the L2 cache; bias and activation are applied when
 * they leave. W is widened and transposed once per block of rows, so nothing is kept packed.
 * Few rows: dot products along the rows of W, which are read once, in order (linear_dot.h).
 *
 * The order of every sum is fixed by LINEAR_DEPTH; which task computes an element changes nothing.
 */
#ifndef INK_BACKEND_CPU_LINEAR_H
#define INK_BACKEND_CPU_LINEAR_H

#include "backend/cpu/linear_dot.h"
#include "backend/cpu/pack.h"

enum {
    LINEAR_DEPTH = INK_LEVEL == 2 ? 160 : 256, /* a panel of it fills half of a 32 KiB L1 cache */
    LINEAR_ROWS = 96,                          /* rows of x per task */
    LINEAR_STRIPS = INK_LEVEL == 2 ? 6 : 16,   /* strips of W per task */
    LINEAR_TASKS = 16,                         /* fewer tasks than this get fewer strips each */
    LINEAR_X_PITCH = LINEAR_DEPTH + FLOATS_PER_LINE,
    LINEAR_SUM_PITCH = LINEAR_STRIPS * TILE_COLUMNS + FLOATS_PER_LINE
};

typedef struct linear_job {
    const float *x;
    const void *w;
    ink_dtype w_dtype;
    float *out;
    int64_t rows, inputs, outputs; /* M, K, N */
    const float *bias;             /* widened; nullable */
    ink_activation activation;
    char *threads; /* [threads][linear_thread_bytes()] */
    int64_t row_blocks, strips, column_blocks;
} linear_job;

/* What each thread needs. */
typedef struct linear_thread {
    float panel[LINEAR_DEPTH * TILE_COLUMNS];
    float x[LINEAR_ROWS][LINEAR_X_PITCH];
    float sums[LINEAR_ROWS][LINEAR_SUM_PITCH];
    const float *x_rows[LINEAR_ROWS];
    float *sum_rows[LINEAR_ROWS];
} linear_thread;

static size_t linear_thread_bytes(void) {
    return (size_t)round_up((int64_t)sizeof(linear_thread), CACHE_LINE);
}

/* Row `row` of W from element k on. */
INLINE const char *linear_weights(const linear_job *job, int64_t row, int64_t k) {
    return (const char *)job->w + (row * job->inputs + k) * (int64_t)ink_dtype_bytes(job->w_dtype);
}

/* Points at the rows of a strip of W from element k on; returns how many there are. */
static int linear_point(const linear_job *job, int64_t column, int64_t k, const void **rows) {
    const int columns = (int)smaller(job->outputs - column, TILE_COLUMNS);
    const int64_t bytes = (int64_t)ink_dtype_bytes(job->w_dtype);
    for (int j = 0; j < columns; j++) {
        rows[j] = (const char *)job->w + ((column + j) * job->inputs + k) * bytes;
    }
    return columns;
}

/* Adds the products of one strip of W at depth k to the sums, whose first column is `first`. Fetches the
 * strip at next_column and next_k, which is packed next: it lies in pieces that no hardware foresees. */
static void linear_strip(const linear_job *job, linear_thread *own, int64_t rows, int64_t first,
                         int64_t column, int64_t k, int64_t next_column, int64_t next_k) {
    const void *w_rows[TILE_COLUMNS], *next_rows[TILE_COLUMNS];
    const int columns = linear_point(job, column, k, w_rows);
    const int64_t depth = smaller(job->inputs - k, LINEAR_DEPTH);
    pack_panel(own->panel, w_rows, job->w_dtype, 0, columns, depth);
    const int64_t next_depth = smaller(job->inputs - next_k, LINEAR_DEPTH);
    tile_run(&(tile_product){.rows = own->x_rows,
                             .taps = 1,
                             .depth = depth,
                             .n_rows = rows,
                             .panel = own->panel,
                             .panel_stride = panel_width(columns),
                             .out = own->sum_rows,
                             .out_column = column - first,
                             .columns = (int)panel_width(columns),
                             .accumulate = k > 0,
                             .soon = (const char *const *)next_rows,
                             .n_soon = next_depth > 0 ? linear_point(job, next_column, next_k, next_rows) : 0,
                             .soon_bytes = next_depth * (int64_t)ink_dtype_bytes(job->w_dtype)});
}

/* Task: one block of rows and one of strips; rows vary fastest, so that threads share W. */
static void linear_block(void *context, int64_t task, int thread) {
    const linear_job *job = context;
    linear_thread *own = (linear_thread *)(void *)(job->threads + (size_t)thread * linear_thread_bytes());
    const int64_t row_block = task % job->row_blocks, column_block = task / job->row_blocks;
    const int64_t row = job->rows * row_block / job->row_blocks;
    const int64_t rows = job->rows * (row_block + 1) / job->row_blocks - row;
    const int64_t first_strip = job->strips * column_block / job->column_blocks;
    const int64_t strips = job->strips * (column_block + 1) / job->column_blocks - first_strip;
    const int64_t first = first_strip * TILE_COLUMNS;
    const int64_t columns = smaller(strips * TILE_COLUMNS, job->outputs - first);
    for (int64_t r = 0; r < rows; r++) {
        own->x_rows[r] = own->x[r];
        own->sum_rows[r] = own->sums[r];
    }
    for (int64_t k = 0; k < job->inputs; k += LINEAR_DEPTH) {
        const int64_t depth = smaller(job->inputs - k, LINEAR_DEPTH);
        for (int64_t r = 0; r < rows; r++) {
            copy_floats(own->x[r], job->x + (row + r) * job->inputs + k, depth);
        }
        for (int64_t i = 0; i < strips; i++) {
            const int64_t column = first + i * TILE_COLUMNS;
            const bool last = i + 1 == strips;
            linear_strip(job, own, rows, first, column, k, last ? first : column + TILE_COLUMNS,
                         last ? k + depth : k);
        }
    }
    for (int64_t r = 0; r < rows; r++) {
        finish_row(own->sums[r], job->bias ? job->bias + first : NULL, (int)columns, job->activation);
        copy_floats(job->out + (row + r) * job->outputs + first, own->sums[r], columns);
    }
}

/* Floats for the bias, and for linear_dot's copy of x. */
static int64_t linear_bias_floats(int64_t outputs) {
    return round_up(outputs, FLOATS_PER_LINE);
}

static size_t linear_scratch(const ink_node *node, const ink_tensor *in, const ink_tensor *out, int threads) {
    (void)node, (void)out;
    const int64_t rows = ink_shape_rows(&in[0].shape), inputs = ink_shape_columns(&in[0].shape);
    const size_t bias = (size_t)linear_bias_floats(in[1].shape.dim[0]) * sizeof(float);
    if (rows <= DOT_MAX_ROWS) return bias + (size_t)dot_copy_floats(rows, inputs) * sizeof(float);
    return bias + (size_t)threads * linear_thread_bytes();
}

static void linear_run(const ink_kernel_args *args) {
    const ink_tensor *x = &args->in[0], *w = &args->in[1], *bias = &args->in[2];
    linear_job job = {.x = x->data,
                      .w = w->data,
                      .w_dtype = w->dtype,
                      .out = args->out[0].data,
                      .rows = ink_shape_rows(&x->shape),
                      .inputs = ink_shape_columns(&x->shape),
                      .outputs = w->shape.dim[0],
                      .activation = args->node->params.linear.activation};
    float *bias_f32 = args->scratch, *rest = bias_f32 + linear_bias_floats(job.outputs);
    if (bias->data) {
        widen(bias_f32, bias->data, bias->dtype, 0, job.outputs);
        job.bias = bias_f32;
    }
    if (job.rows <= DOT_MAX_ROWS) {
        linear_dot_run(args->pool, rest,
                       &(dot_job){.x = job.x,
                                  .w = job.w,
                                  .w_dtype = job.w_dtype,
                                  .out = job.out,
                                  .rows = job.rows,
                                  .inputs = job.inputs,
                                  .outputs = job.outputs,
                                  .bias = job.bias,
                                  .activation = job.activation});
        return;
    }
    job.threads = (char *)rest;
    job.row_blocks = (job.rows + LINEAR_ROWS - 1) / LINEAR_ROWS;
    job.strips = (job.outputs + TILE_COLUMNS - 1) / TILE_COLUMNS;
    job.column_blocks = (job.strips + LINEAR_STRIPS - 1) / LINEAR_STRIPS;
    const int64_t enough = (LINEAR_TASKS + job.row_blocks - 1) / job.row_blocks;
    if (job.column_blocks < enough) job.column_blocks = smaller(enough, job.strips);
    ink_pool_run(args->pool, job.row_blocks * job.column_blocks, linear_block, &job);
}

#endif
