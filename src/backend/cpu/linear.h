/*
 * Matrix products with weights: out = activation(x W^T + bias).
 *
 * Many rows: x is copied into blocks of DEPTH columns (rows of a power-of-two pitch would fight for the same
 * cache sets), then every task takes a block of rows and a block of columns, and for each strip of
 * TILE_COLUMNS rows of W and each DEPTH: packs the strip into the L1 cache, multiplies all its rows of x with
 * it. W is widened and transposed once per block of rows, so nothing is kept packed.
 * Few rows: dot products along the rows of W, which are read once, in order (linear_dot.h).
 *
 * Blocks do not depend on the number of threads, and the order of every sum is fixed by DEPTH.
 */
#ifndef INK_BACKEND_CPU_LINEAR_H
#define INK_BACKEND_CPU_LINEAR_H

#include "backend/cpu/linear_dot.h"
#include "backend/cpu/pack.h"

enum {
    LINEAR_DEPTH = INK_LEVEL == 2 ? 160 : 256, /* a panel of it fills half of a 32 KiB L1 cache */
    LINEAR_PITCH = LINEAR_DEPTH + FLOATS_PER_LINE,
    LINEAR_ROWS = 360,          /* rows of x per task: DEPTH columns of them fit into L2 beside the panel */
    LINEAR_STRIPS = 4,          /* strips of W per task */
    LINEAR_COPY = 8,            /* rows of x per copying task */
    LINEAR_STAGE = 6 * 1048576, /* floats of x that are packed at a time */
    LINEAR_PANEL = LINEAR_DEPTH * TILE_COLUMNS
};

typedef struct linear_job {
    const float *x;
    const void *w;
    ink_dtype w_dtype;
    float *out;
    int64_t rows, inputs, outputs; /* M, K, N */
    const float *bias;             /* widened; nullable */
    ink_activation activation;
    float *packed;                 /* [stage blocks of rows][depth blocks][row][LINEAR_PITCH] */
    char *threads;                 /* [threads][linear_thread_bytes()] */
    int64_t stage_row, stage_rows; /* rows being worked on */
    int64_t row_blocks, column_blocks;
} linear_job;

/* What each thread needs: a panel and pointers to rows. */
typedef struct linear_thread {
    float panel[LINEAR_PANEL];
    const float *x_rows[LINEAR_ROWS];
    float *out_rows[LINEAR_ROWS];
} linear_thread;

static size_t linear_thread_bytes(void) {
    return (size_t)round_up((int64_t)sizeof(linear_thread), CACHE_LINE);
}

static int64_t linear_depth_blocks(int64_t inputs) {
    return (inputs + LINEAR_DEPTH - 1) / LINEAR_DEPTH;
}

/* Rows that are packed at a time. */
static int64_t linear_stage_rows(int64_t rows, int64_t inputs) {
    const int64_t pitch = linear_depth_blocks(inputs) * LINEAR_PITCH;
    int64_t fit = LINEAR_STAGE / pitch / LINEAR_ROWS * LINEAR_ROWS;
    if (fit < LINEAR_ROWS) fit = LINEAR_ROWS;
    return smaller(fit, rows);
}

/* Task: copies LINEAR_COPY rows of the stage. */
static void linear_pack_rows(void *context, int64_t task, int thread) {
    (void)thread;
    const linear_job *job = context;
    const int64_t end = smaller((task + 1) * LINEAR_COPY, job->stage_rows);
    for (int64_t row = task * LINEAR_COPY; row < end; row++) {
        const float *from = job->x + (job->stage_row + row) * job->inputs;
        for (int64_t b = 0, k = 0; k < job->inputs; b++, k += LINEAR_DEPTH) {
            float *to = job->packed + (b * job->stage_rows + row) * LINEAR_PITCH;
            memcpy(to, from + k, (size_t)smaller(job->inputs - k, LINEAR_DEPTH) * sizeof *to);
        }
    }
}

/* One strip of W: outputs [column, column + columns) for `rows` rows whose first is `row` of the stage. */
static void linear_strip(const linear_job *job, linear_thread *own, int64_t row, int64_t rows, int64_t column,
                         int columns) {
    const void *w_rows[TILE_COLUMNS] = {0};
    const int64_t pitch = job->inputs * (int64_t)ink_dtype_bytes(job->w_dtype);
    for (int j = 0; j < columns; j++) {
        w_rows[j] = (const char *)job->w + (column + j) * pitch;
    }
    for (int64_t r = 0; r < rows; r++) {
        own->out_rows[r] = job->out + (job->stage_row + row + r) * job->outputs;
    }
    for (int64_t b = 0, k = 0; k < job->inputs; b++, k += LINEAR_DEPTH) {
        const int64_t depth = smaller(job->inputs - k, LINEAR_DEPTH);
        pack_panel(own->panel, w_rows, job->w_dtype, k, columns, depth);
        for (int64_t r = 0; r < rows; r++) {
            own->x_rows[r] = job->packed + (b * job->stage_rows + row + r) * LINEAR_PITCH;
        }
        tile_run(&(tile_product){.rows = own->x_rows,
                                 .taps = 1,
                                 .depth = depth,
                                 .n_rows = rows,
                                 .panel = own->panel,
                                 .panel_stride = panel_width(columns),
                                 .out = own->out_rows,
                                 .out_column = column,
                                 .columns = columns,
                                 .accumulate = b > 0});
    }
    if (!job->bias && job->activation == INK_ACT_NONE) return;
    for (int64_t r = 0; r < rows; r++) {
        finish_row(own->out_rows[r] + column, job->bias ? job->bias + column : NULL, columns,
                   job->activation);
    }
}

/* Task: one block of rows and one of columns; rows vary fastest, so that threads share W. */
static void linear_block(void *context, int64_t task, int thread) {
    const linear_job *job = context;
    linear_thread *own = (linear_thread *)(void *)(job->threads + (size_t)thread * linear_thread_bytes());
    const int64_t block = task % job->row_blocks, column_block = task / job->row_blocks;
    const int64_t row = job->stage_rows * block / job->row_blocks;
    const int64_t rows = job->stage_rows * (block + 1) / job->row_blocks - row;
    const int64_t width = LINEAR_STRIPS * TILE_COLUMNS;
    const int64_t end = smaller((column_block + 1) * width, job->outputs);
    for (int64_t column = column_block * width; column < end; column += TILE_COLUMNS) {
        linear_strip(job, own, row, rows, column, (int)smaller(end - column, TILE_COLUMNS));
    }
}

static size_t linear_scratch(const ink_node *node, const ink_tensor *in, const ink_tensor *out, int threads) {
    (void)node, (void)out;
    const int64_t rows = ink_shape_rows(&in[0].shape), inputs = ink_shape_columns(&in[0].shape);
    size_t bytes = (size_t)round_up(in[1].shape.dim[0], FLOATS_PER_LINE) * sizeof(float);
    if (rows <= DOT_MAX_ROWS) return bytes;
    bytes += (size_t)(linear_stage_rows(rows, inputs) * linear_depth_blocks(inputs) * LINEAR_PITCH) *
             sizeof(float);
    return bytes + (size_t)threads * linear_thread_bytes();
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
    float *bias_f32 = args->scratch;
    if (bias->data) {
        widen(bias_f32, bias->data, bias->dtype, 0, job.outputs);
        job.bias = bias_f32;
    }
    if (job.rows <= DOT_MAX_ROWS) {
        linear_dot_run(args->pool, &(dot_job){.x = job.x,
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
    const int64_t stage = linear_stage_rows(job.rows, job.inputs);
    job.packed = bias_f32 + round_up(job.outputs, FLOATS_PER_LINE);
    job.threads = (char *)(job.packed + stage * linear_depth_blocks(job.inputs) * LINEAR_PITCH);
    const int64_t width = LINEAR_STRIPS * TILE_COLUMNS;
    job.column_blocks = (job.outputs + width - 1) / width;
    for (; job.stage_row < job.rows; job.stage_row += stage) {
        job.stage_rows = smaller(job.rows - job.stage_row, stage);
        job.row_blocks = (job.stage_rows + LINEAR_ROWS - 1) / LINEAR_ROWS;
        ink_pool_run(args->pool, (job.stage_rows + LINEAR_COPY - 1) / LINEAR_COPY, linear_pack_rows, &job);
        ink_pool_run(args->pool, job.row_blocks * job.column_blocks, linear_block, &job);
    }
}

#endif
