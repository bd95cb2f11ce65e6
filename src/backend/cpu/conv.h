/*
 * Convolutions as matrix products whose rows are pixels, without writing patches anywhere: a pixel's channels
 * are contiguous, so a patch is KY * KX pointers to them (or to zeros, outside the picture). A task computes
 * a tile of the picture times a block of output channels.
 *
 * The weights are packed once, at compile time, into panels [tap][input channel][outputs of a strip].
 */
#ifndef INK_BACKEND_CPU_CONV_H
#define INK_BACKEND_CPU_CONV_H

#include "backend/cpu/pack.h"

#include <stdlib.h>

enum {
    CONV_TILE_Y = 6, /* a square-like tile shares most of its pixels between taps */
    CONV_TILE_X = 16,
    CONV_PIXELS = CONV_TILE_Y * CONV_TILE_X,
    CONV_OUTPUTS = 96, /* output channels per task */
    CONV_DEPTH = 384   /* taps are taken together up to this depth, so that a panel stays in the L1 cache */
};

typedef struct conv_job {
    const float *x, *zeros, *panels, *bias; /* bias is nullable */
    float *out;
    int64_t in_y, in_x, inputs; /* Y, X, I */
    int64_t out_y, out_x, outputs;
    int64_t kernel_x, taps;
    int64_t stride, upsample, pad_top, pad_left;
    int64_t tiles_x, output_blocks;
    char *threads; /* [threads][conv_thread_bytes(taps)] */
} conv_job;

/* What each thread needs: pointers to the pixels under every tap [taps][CONV_PIXELS] and to the results. */
typedef struct conv_thread {
    float *out_rows[CONV_PIXELS];
    const float *x_rows[];
} conv_thread;

static size_t conv_thread_bytes(int64_t taps) {
    return (size_t)round_up((int64_t)sizeof(conv_thread) + taps * CONV_PIXELS * (int64_t)sizeof(float *),
                            CACHE_LINE);
}

static int64_t conv_taps(const ink_shape *weight) {
    return weight->dim[weight->rank - 2] * weight->dim[weight->rank - 1];
}

/* Packed weights: zeros for a pixel outside, then the strips. */
static size_t conv_packed_floats(const ink_shape *weight) {
    const int64_t outputs = weight->dim[0], inputs = weight->dim[1];
    const int64_t strips = outputs / TILE_COLUMNS, rest = outputs % TILE_COLUMNS;
    return (size_t)(round_up(inputs, FLOATS_PER_LINE) +
                    (strips * TILE_COLUMNS + panel_width(rest)) * conv_taps(weight) * inputs);
}

static void conv_pack(float *packed, const ink_tensor *weight) {
    const ink_shape *shape = &weight->shape;
    const int64_t outputs = shape->dim[0], inputs = shape->dim[1], taps = conv_taps(shape);
    const int64_t times = shape->rank == 5 ? shape->dim[2] : 1;
    memset(packed, 0, conv_packed_floats(shape) * sizeof *packed);
    packed += round_up(inputs, FLOATS_PER_LINE);
    for (int64_t o = 0; o < outputs; o++) {
        const int64_t first = o / TILE_COLUMNS * TILE_COLUMNS;
        const int64_t width = panel_width(smaller(outputs - first, TILE_COLUMNS));
        float *panel = packed + first * taps * inputs + (o - first);
        for (int64_t i = 0; i < inputs; i++) {
            const int64_t from = ((o * inputs + i) * times + times - 1) * taps;
            for (int64_t t = 0; t < taps; t++) {
                panel[(t * inputs + i) * width] = ink_element_f32(weight->data, weight->dtype, from + t);
            }
        }
    }
}

/* Bytes from `memory` to the next cache line. */
static size_t conv_skip(const void *memory) {
    return (CACHE_LINE - (uintptr_t)memory % CACHE_LINE) % CACHE_LINE;
}

static ink_status conv_prepare(const ink_node *node, const ink_tensor *in, void **prepared, size_t *bytes,
                               ink_error *error) {
    (void)node;
    *prepared = NULL;
    *bytes = 0;
    if (!in[1].data) return INK_OK; /* computed weights are packed in every run */
    const size_t size = conv_packed_floats(&in[1].shape) * sizeof(float) + CACHE_LINE;
    char *memory = malloc(size);
    if (!memory) return ink_fail_memory(error, "the packed weights of a convolution", size);
    conv_pack((float *)(void *)(memory + conv_skip(memory)), &in[1]);
    *prepared = memory;
    *bytes = size;
    return INK_OK;
}

/* Fills in the pointers of the tile at (y, x) of the output; returns the number of its pixels. */
static int64_t conv_point(const conv_job *job, conv_thread *own, int64_t y, int64_t x) {
    const int64_t height = smaller(job->out_y - y, CONV_TILE_Y);
    const int64_t width = smaller(job->out_x - x, CONV_TILE_X);
    for (int64_t p = 0; p < height * width; p++) {
        own->out_rows[p] = job->out + ((y + p / width) * job->out_x + x + p % width) * job->outputs;
    }
    for (int64_t t = 0; t < job->taps; t++) {
        const float **rows = own->x_rows + t * CONV_PIXELS;
        for (int64_t p = 0; p < height * width; p++) {
            const int64_t from_y = (y + p / width) * job->stride + t / job->kernel_x - job->pad_top;
            const int64_t from_x = (x + p % width) * job->stride + t % job->kernel_x - job->pad_left;
            const bool inside = from_y >= 0 && from_y < job->in_y * job->upsample && from_x >= 0 &&
                                from_x < job->in_x * job->upsample;
            rows[p] =
                inside ? job->x + (from_y / job->upsample * job->in_x + from_x / job->upsample) * job->inputs
                       : job->zeros;
        }
    }
    return height * width;
}

/* Task: one tile, one block of output channels; blocks vary fastest, so that the tile's pixels stay in the
 * cache. */
static void conv_tile(void *context, int64_t task, int thread) {
    const conv_job *job = context;
    conv_thread *own = (conv_thread *)(void *)(job->threads + (size_t)thread * conv_thread_bytes(job->taps));
    const int64_t tile = task / job->output_blocks, block = task % job->output_blocks;
    const int64_t pixels =
        conv_point(job, own, tile / job->tiles_x * CONV_TILE_Y, tile % job->tiles_x * CONV_TILE_X);
    const int64_t end = smaller((block + 1) * CONV_OUTPUTS, job->outputs);
    const int64_t together = job->inputs < CONV_DEPTH ? CONV_DEPTH / job->inputs : 1;
    for (int64_t column = block * CONV_OUTPUTS; column < end; column += TILE_COLUMNS) {
        const int columns = (int)smaller(end - column, TILE_COLUMNS);
        const int64_t width = panel_width(columns);
        const float *panel = job->panels + column * job->taps * job->inputs;
        for (int64_t t = 0; t < job->taps; t += together) {
            tile_run(&(tile_product){.rows = own->x_rows + t * CONV_PIXELS,
                                     .rows_stride = CONV_PIXELS,
                                     .taps = smaller(job->taps - t, together),
                                     .depth = job->inputs,
                                     .n_rows = pixels,
                                     .panel = panel + t * job->inputs * width,
                                     .panel_stride = width,
                                     .out = own->out_rows,
                                     .out_column = column,
                                     .columns = columns,
                                     .accumulate = t > 0});
        }
        if (!job->bias) continue;
        for (int64_t p = 0; p < pixels; p++) {
            finish_row(own->out_rows[p] + column, job->bias + column, columns, INK_ACT_NONE);
        }
    }
}

static size_t conv_scratch(const ink_node *node, const ink_tensor *in, const ink_tensor *out, int threads) {
    (void)node, (void)out;
    const ink_shape *weight = &in[1].shape;
    size_t bytes = (size_t)round_up(weight->dim[0], FLOATS_PER_LINE) * sizeof(float);
    bytes += (size_t)threads * conv_thread_bytes(conv_taps(weight));
    if (!in[1].data) bytes += conv_packed_floats(weight) * sizeof(float);
    return bytes;
}

static void conv_run(const ink_kernel_args *args) {
    const ink_tensor *x = &args->in[0], *w = &args->in[1], *bias = &args->in[2], *out = &args->out[0];
    const ink_node *node = args->node;
    float *bias_f32 = args->scratch;
    conv_job job = {.x = x->data,
                    .out = out->data,
                    .in_y = x->shape.dim[0],
                    .in_x = x->shape.dim[1],
                    .inputs = x->shape.dim[2],
                    .out_y = out->shape.dim[0],
                    .out_x = out->shape.dim[1],
                    .outputs = w->shape.dim[0],
                    .kernel_x = w->shape.dim[w->shape.rank - 1],
                    .taps = conv_taps(&w->shape),
                    .stride = node->params.conv.stride,
                    .upsample = node->params.conv.upsample,
                    .pad_top = node->params.conv.pad_top,
                    .pad_left = node->params.conv.pad_left};
    job.threads = (char *)(bias_f32 + round_up(job.outputs, FLOATS_PER_LINE));
    if (bias->data) {
        widen(bias_f32, bias->data, bias->dtype, 0, job.outputs);
        job.bias = bias_f32;
    }
    if (args->prepared) {
        job.zeros = (const float *)(const void *)((const char *)args->prepared + conv_skip(args->prepared));
    } else {
        const int threads = ink_pool_threads(args->pool);
        float *packed = (float *)(void *)(job.threads + (size_t)threads * conv_thread_bytes(job.taps));
        conv_pack(packed, w);
        job.zeros = packed;
    }
    job.panels = job.zeros + round_up(job.inputs, FLOATS_PER_LINE);
    job.tiles_x = (job.out_x + CONV_TILE_X - 1) / CONV_TILE_X;
    job.output_blocks = (job.outputs + CONV_OUTPUTS - 1) / CONV_OUTPUTS;
    const int64_t tiles_y = (job.out_y + CONV_TILE_Y - 1) / CONV_TILE_Y;
    ink_pool_run(args->pool, tiles_y * job.tiles_x * job.output_blocks, conv_tile, &job);
}

#endif
