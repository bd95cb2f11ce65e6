/*
 * Attention with an online softmax: a task takes a block of query rows of one head and one segment, and walks
 * over the keys in blocks: scores = Q K^T, running maximum and sum per row, result += weights V. Nothing of
 * size S x S exists. Queries, keys and values are gathered row by row from the segment's streams.
 *
 * NaN: a NaN score makes its row's sum NaN. Rows whose scores are all -infinity give 0 / 0. Masked keys are
 * never multiplied, so what is in them does not matter.
 */
#ifndef INK_BACKEND_CPU_ATTENTION_H
#define INK_BACKEND_CPU_ATTENTION_H

#include "backend/cpu/pack.h"
#include "backend/cpu/vector_math.h"

#include <math.h>

enum {
    ATTENTION_ROWS = 96, /* queries per task */
    ATTENTION_KEYS = (INK_LEVEL == 2 ? 3 : 8) * TILE_COLUMNS,
    ATTENTION_PITCH = ATTENTION_KEYS + FLOATS_PER_LINE,
    ATTENTION_ZERO = 16384 /* floats per clearing task */
};

typedef struct attention_job {
    const ink_node *node;
    const ink_tensor *in;
    const ink_tensor *out;
    int64_t head_dim, pitch; /* pitch: floats from row to row of the per-thread copies */
    char *threads;           /* [threads][attention_thread_bytes(head_dim)] */
    int cleared;             /* stream being cleared */
} attention_job;

typedef struct attention_thread {
    float score[ATTENTION_ROWS][ATTENTION_PITCH]; /* then exp(score - maximum) */
    float maximum[ATTENTION_ROWS];
    double sum[ATTENTION_ROWS];
    int64_t seen[ATTENTION_ROWS]; /* how many keys of this block each row sees */
    const float *q_rows[ATTENTION_ROWS], *score_rows[ATTENTION_ROWS];
    float *score_out[ATTENTION_ROWS], *result_rows[ATTENTION_ROWS];
    const void *key_rows[ATTENTION_KEYS];
    const float *value_rows[ATTENTION_KEYS];
    float *panel; /* [max(head_dim, ATTENTION_KEYS)][TILE_COLUMNS] */
    float *q;     /* [ATTENTION_ROWS][pitch], scaled */
    float *result;
} attention_thread;

static int64_t attention_pitch(int64_t head_dim) {
    return round_up(head_dim, FLOATS_PER_LINE) + FLOATS_PER_LINE;
}

static int64_t attention_panel_floats(int64_t head_dim) {
    return (head_dim > ATTENTION_KEYS ? head_dim : ATTENTION_KEYS) * TILE_COLUMNS;
}

static size_t attention_thread_bytes(int64_t head_dim) {
    return (size_t)round_up((int64_t)sizeof(attention_thread), CACHE_LINE) +
           (size_t)(attention_panel_floats(head_dim) + 2 * ATTENTION_ROWS * attention_pitch(head_dim)) *
               sizeof(float);
}

static attention_thread *attention_own(const attention_job *job, int thread) {
    char *memory = job->threads + (size_t)thread * attention_thread_bytes(job->head_dim);
    attention_thread *own = (attention_thread *)(void *)memory;
    own->panel = (float *)(void *)(memory + round_up((int64_t)sizeof *own, CACHE_LINE));
    own->q = own->panel + attention_panel_floats(job->head_dim);
    own->result = own->q + ATTENTION_ROWS * job->pitch;
    for (int r = 0; r < ATTENTION_ROWS; r++) {
        own->q_rows[r] = own->q + r * job->pitch;
        own->result_rows[r] = own->result + r * job->pitch;
        own->score_rows[r] = own->score_out[r] = own->score[r];
    }
    return own;
}

/* Row i of a segment: its stream, and its row in there. */
INLINE int attention_locate(const ink_segment *segment, int64_t i, int64_t *row) {
    const int stream = i < segment->length[0] ? 0 : 1;
    *row = segment->begin[stream] + i - (stream ? segment->length[0] : 0);
    return stream;
}

/* Head `head` of row i in q (kind 0), k (1) or v (2). */
INLINE const float *attention_row(const attention_job *job, const ink_segment *segment, int kind,
                                  int64_t head, int64_t i) {
    int64_t row;
    const int stream = attention_locate(segment, i, &row);
    const ink_tensor *t = &job->in[3 * stream + kind];
    return (const float *)t->data + row * ink_shape_columns(&t->shape) + head * job->head_dim;
}

/* Scores of `rows` queries against the keys in own->key_rows. */
static void attention_scores(const attention_job *job, attention_thread *own, int64_t rows, int64_t keys) {
    for (int64_t j = 0; j < keys; j += TILE_COLUMNS) {
        const int columns = (int)smaller(keys - j, TILE_COLUMNS);
        pack_panel(own->panel, own->key_rows + j, INK_F32, 0, columns, job->head_dim);
        tile_run(&(tile_product){.rows = own->q_rows,
                                 .taps = 1,
                                 .depth = job->head_dim,
                                 .n_rows = rows,
                                 .panel = own->panel,
                                 .panel_stride = panel_width(columns),
                                 .out = own->score_out,
                                 .out_column = j,
                                 .columns = columns});
    }
}

/* Turns the first `seen` scores of a row into softmax weights relative to the new running maximum, and brings
 * the row's sum and result to it. */
static void attention_softmax(const attention_job *job, attention_thread *own, int64_t row, int64_t seen) {
    float *score = own->score[row];
    const int64_t padded = round_up(seen, VL);
    for (int64_t j = seen; j < padded; j++) {
        score[j] = -INFINITY;
    }
    vf greatest = vset(own->maximum[row]);
    for (int64_t j = 0; j < padded; j += VL) {
        greatest = vmax(greatest, vload(score + j));
    }
    const float maximum = vgreatest(greatest);
    /* While every score is -infinity, so is the maximum: subtracting it would make NaN of weights that are
     * 0. */
    const float base = maximum == -INFINITY ? 0.0f : maximum;
    vf sum = vzero();
    for (int64_t j = 0; j < padded; j += VL) {
        const vf weight = vexp(vload(score + j) - vset(base));
        vstore(score + j, weight);
        sum += weight;
    }
    const float shrink = vexp(vset(own->maximum[row] - base))[0];
    own->sum[row] = own->sum[row] * (double)shrink + (double)vsum(sum);
    own->maximum[row] = maximum;
    if (shrink == 1.0f) return;
    float *result = own->result_rows[row];
    for (int64_t d = 0; d < job->head_dim; d++) {
        result[d] *= shrink;
    }
}

/* Columns [d, d + columns) of the values as a panel. */
static void attention_pack_values(attention_thread *own, int64_t keys, int64_t d, int columns) {
    const int64_t width = panel_width(columns);
    for (int64_t k = 0; k < keys; k++) {
        const float *from = own->value_rows[k] + d;
        float *to = own->panel + k * width;
        if (columns == TILE_COLUMNS) {
            copy_floats(to, from, TILE_COLUMNS);
            continue;
        }
        copy_floats(to, from, columns);
        for (int64_t j = columns; j < width; j++) {
            to[j] = 0;
        }
    }
}

/* How many of the `keys` keys from `first` on row i sees. */
INLINE int64_t attention_seen(bool causal, int64_t i, int64_t first, int64_t keys) {
    if (!causal || i - first + 1 >= keys) return keys;
    return i < first ? 0 : i - first + 1;
}

/* result += weights V, where row r has own->seen[r] weights. A tile of rows
 * takes the keys that all of them see together, and the few others row by row. */
static void attention_add_values(const attention_job *job, attention_thread *own, int64_t rows, int64_t keys,
                                 bool diagonal) {
    for (int64_t d = 0; d < job->head_dim; d += TILE_COLUMNS) {
        const int columns = (int)smaller(job->head_dim - d, TILE_COLUMNS);
        attention_pack_values(own, keys, d, columns);
        tile_product product = {.rows = own->score_rows,
                                .taps = 1,
                                .depth = keys,
                                .n_rows = rows,
                                .panel = own->panel,
                                .panel_stride = panel_width(columns),
                                .out = own->result_rows,
                                .out_column = d,
                                .columns = columns,
                                .accumulate = true};
        if (!diagonal) {
            tile_run(&product);
            continue;
        }
        for (int64_t r = 0; r < rows; r += TILE_ROWS) {
            const int64_t common = own->seen[r];
            product.rows = own->score_rows + r;
            product.out = own->result_rows + r;
            product.panel = own->panel;
            product.depth = common;
            product.n_rows = smaller(rows - r, TILE_ROWS);
            tile_run(&product);
            for (int64_t i = r + 1; i < smaller(rows, r + TILE_ROWS); i++) {
                if (own->seen[i] == common) continue;
                const float *others = own->score[i] + common;
                product.rows = &others;
                product.out = own->result_rows + i;
                product.panel = own->panel + common * product.panel_stride;
                product.depth = own->seen[i] - common;
                product.n_rows = 1;
                tile_run(&product);
            }
        }
    }
}

/* Scales the queries and empties the results of rows [begin, end). */
static void attention_begin(const attention_job *job, attention_thread *own, const ink_segment *segment,
                            int64_t head, int64_t begin, int64_t end) {
    const float scale = job->node->params.attention.scale;
    for (int64_t i = begin; i < end; i++) {
        const float *q = attention_row(job, segment, 0, head, i);
        float *to = own->q + (i - begin) * job->pitch;
        for (int64_t d = 0; d < job->head_dim; d++) {
            to[d] = q[d] * scale;
        }
        memset(own->result_rows[i - begin], 0, (size_t)job->head_dim * sizeof *to);
        own->maximum[i - begin] = -INFINITY;
        own->sum[i - begin] = 0;
    }
}

/* Writes the results of rows [begin, end). */
static void attention_end(const attention_job *job, attention_thread *own, const ink_segment *segment,
                          int64_t head, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
        int64_t row;
        const ink_tensor *out = &job->out[attention_locate(segment, i, &row)];
        float *to = (float *)out->data + row * ink_shape_columns(&out->shape) + head * job->head_dim;
        const float *result = own->result_rows[i - begin];
        const float divisor = (float)own->sum[i - begin];
        for (int64_t d = 0; d < job->head_dim; d++) {
            to[d] = result[d] / divisor;
        }
    }
}

/* One block of queries [begin, end) of one head of one segment with `length` rows. */
static void attention_block(const attention_job *job, attention_thread *own, const ink_segment *segment,
                            int64_t length, int64_t head, int64_t begin, int64_t end) {
    const int64_t kv_head = head / (job->node->params.attention.heads / job->node->params.attention.kv_heads);
    const bool causal = job->node->params.attention.causal;
    attention_begin(job, own, segment, head, begin, end);
    const int64_t last = causal ? end : length;
    for (int64_t first = 0; first < last; first += ATTENTION_KEYS) {
        const int64_t keys = smaller(last - first, ATTENTION_KEYS);
        for (int64_t j = 0; j < keys; j++) {
            own->key_rows[j] = attention_row(job, segment, 1, kv_head, first + j);
            own->value_rows[j] = attention_row(job, segment, 2, kv_head, first + j);
        }
        attention_scores(job, own, end - begin, keys);
        for (int64_t i = begin; i < end; i++) {
            const int64_t seen = attention_seen(causal, i, first, keys);
            own->seen[i - begin] = seen;
            if (seen > 0) attention_softmax(job, own, i - begin, seen);
        }
        attention_add_values(job, own, end - begin, keys, own->seen[0] < keys);
    }
    attention_end(job, own, segment, head, begin, end);
}

/* Blocks of queries of a segment, and its rows. */
static int64_t attention_blocks(const ink_segment *segment, int64_t *length) {
    *length = segment->length[0] + segment->length[1];
    return (*length + ATTENTION_ROWS - 1) / ATTENTION_ROWS;
}

/* Task: segment by segment, head by head, block by block. */
static void attention_task(void *context, int64_t task, int thread) {
    const attention_job *job = context;
    const ink_segment *segment = job->node->params.attention.segments;
    const int64_t heads = job->node->params.attention.heads;
    int64_t length, blocks = attention_blocks(segment, &length);
    while (task >= blocks * heads) {
        task -= blocks * heads;
        blocks = attention_blocks(++segment, &length);
    }
    const int64_t head = task / blocks, block = task % blocks;
    attention_block(job, attention_own(job, thread), segment, length, head, length * block / blocks,
                    length * (block + 1) / blocks);
}

static void attention_clear(void *context, int64_t task, int thread) {
    (void)thread;
    const attention_job *job = context;
    const ink_tensor *out = &job->out[job->cleared];
    const int64_t begin = task * ATTENTION_ZERO, count = ink_shape_count(&out->shape);
    memset((float *)out->data + begin, 0, (size_t)smaller(count - begin, ATTENTION_ZERO) * sizeof(float));
}

static size_t attention_scratch(const ink_node *node, const ink_tensor *in, const ink_tensor *out,
                                int threads) {
    (void)in, (void)out;
    return (size_t)threads * attention_thread_bytes(node->params.attention.head_dim);
}

static void attention_run(const ink_kernel_args *args) {
    const ink_node *node = args->node;
    attention_job job = {.node = node,
                         .in = args->in,
                         .out = args->out,
                         .head_dim = node->params.attention.head_dim,
                         .pitch = attention_pitch(node->params.attention.head_dim),
                         .threads = args->scratch};
    int64_t tasks = 0, covered[INK_MAX_STREAMS] = {0};
    for (int64_t i = 0; i < node->params.attention.n_segments; i++) {
        const ink_segment *segment = &node->params.attention.segments[i];
        int64_t length;
        tasks += attention_blocks(segment, &length) * node->params.attention.heads;
        for (int s = 0; s < INK_MAX_STREAMS; s++) {
            covered[s] += segment->length[s];
        }
    }
    for (job.cleared = 0; job.cleared < node->params.attention.streams; job.cleared++) {
        const ink_shape *shape = &args->out[job.cleared].shape;
        if (covered[job.cleared] == ink_shape_rows(shape)) continue; /* segments never overlap */
        ink_pool_run(args->pool, (ink_shape_count(shape) + ATTENTION_ZERO - 1) / ATTENTION_ZERO,
                     attention_clear, &job);
    }
    ink_pool_run(args->pool, tasks, attention_task, &job);
}

#endif
