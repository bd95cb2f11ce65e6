/*
 * Attention over segments, and what is done to queries and keys before it.
 */
#include "backend/reference/kernels.h"

#include <math.h>

/* One head of one row: out and x may be the same. `table` is nullable. */
static void norm_and_rotate(float *out, const float *x, int64_t head_dim, double eps,
                            const ink_tensor *weight, const float *table, ink_rotary_style style) {
    double root = 1;
    if (weight->data) {
        double squares = 0;
        for (int64_t c = 0; c < head_dim; c++) {
            squares += (double)x[c] * x[c];
        }
        root = sqrt(squares / (double)head_dim + eps);
    }
    const int64_t half = head_dim / 2;
    for (int64_t k = 0; k < half; k++) {
        const int64_t first = style == INK_ROTARY_ADJACENT ? 2 * k : k;
        const int64_t second = style == INK_ROTARY_ADJACENT ? 2 * k + 1 : k + half;
        double a = x[first], b = x[second];
        if (weight->data) {
            a *= ink_weight_at(weight, first) / root;
            b *= ink_weight_at(weight, second) / root;
        }
        const double cosine = table ? (double)table[2 * k] : 1, sine = table ? (double)table[2 * k + 1] : 0;
        out[first] = (float)(table ? a * cosine - b * sine : a);
        out[second] = (float)(table ? a * sine + b * cosine : b);
    }
}

void ink_reference_head_norm_rotary(const ink_kernel_args *args) {
    const int64_t rows = ink_tensor_rows(&args->in[0]), columns = ink_tensor_columns(&args->in[0]);
    const int64_t head_dim = args->node->params.rotary.head_dim;
    const float *x = args->in[0].data, *table = args->in[2].data;
    float *out = args->out[0].data;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c += head_dim) {
            norm_and_rotate(out + r * columns + c, x + r * columns + c, head_dim,
                            args->node->params.rotary.eps, &args->in[1], table ? table + r * head_dim : NULL,
                            args->node->params.rotary.style);
        }
    }
}

/* Length of a segment's sequence, and the stream and row of its position i. */
static int64_t sequence_length(const ink_segment *segment, int streams) {
    int64_t length = 0;
    for (int s = 0; s < streams; s++) {
        length += segment->length[s];
    }
    return length;
}

static int64_t row_of(const ink_segment *segment, int64_t i, int *stream) {
    for (*stream = 0; i >= segment->length[*stream]; (*stream)++) {
        i -= segment->length[*stream];
    }
    return segment->begin[*stream] + i;
}

size_t ink_reference_attention_scratch(const ink_node *node, const ink_tensor *in, const ink_tensor *out,
                                       int threads) {
    (void)in, (void)out, (void)threads;
    int64_t longest = 0;
    for (int64_t i = 0; i < node->params.attention.n_segments; i++) {
        const int64_t length =
            sequence_length(&node->params.attention.segments[i], node->params.attention.streams);
        if (length > longest) longest = length;
    }
    return (size_t)(longest + node->params.attention.head_dim) * sizeof(double);
}

/* Columns of head `head` in row `row` of input `which` (0 q, 1 k, 2 v) of a stream. */
static const float *head_of(const ink_kernel_args *args, int stream, int which, int64_t row, int64_t head) {
    const ink_tensor *x = &args->in[3 * stream + which];
    return (const float *)x->data + row * ink_tensor_columns(x) +
           head * args->node->params.attention.head_dim;
}

/* One query of one head against the first `visible` positions of its segment. The scratch holds one row of
 * scores, then the sums of the output. */
static void attend(const ink_kernel_args *args, const ink_segment *segment, int64_t position, int64_t visible,
                   int64_t head) {
    const int64_t d = args->node->params.attention.head_dim;
    const int64_t kv_head =
        head / (args->node->params.attention.heads / args->node->params.attention.kv_heads);
    double *scores = args->scratch, *sums = scores + visible;
    int stream, other;
    const int64_t row = row_of(segment, position, &stream);
    const float *q = head_of(args, stream, 0, row, head);
    double highest = -INFINITY, total = 0;
    for (int64_t j = 0; j < visible; j++) {
        const int64_t key_row = row_of(segment, j, &other);
        const float *k = head_of(args, other, 1, key_row, kv_head);
        double dot = 0;
        for (int64_t c = 0; c < d; c++) {
            dot += (double)q[c] * k[c];
        }
        scores[j] = dot * args->node->params.attention.scale;
        if (scores[j] > highest) highest = scores[j];
    }
    for (int64_t c = 0; c < d; c++) {
        sums[c] = 0;
    }
    for (int64_t j = 0; j < visible; j++) {
        const int64_t value_row = row_of(segment, j, &other);
        const float *v = head_of(args, other, 2, value_row, kv_head);
        const double weight = exp(scores[j] - highest);
        total += weight;
        for (int64_t c = 0; c < d; c++) {
            sums[c] += weight * v[c];
        }
    }
    float *out = (float *)args->out[stream].data + row * ink_tensor_columns(&args->out[stream]) + head * d;
    for (int64_t c = 0; c < d; c++) {
        out[c] = (float)(sums[c] / total);
    }
}

void ink_reference_attention(const ink_kernel_args *args) {
    const int streams = args->node->params.attention.streams;
    for (int s = 0; s < streams; s++) {
        memset(args->out[s].data, 0, (size_t)ink_tensor_count(&args->out[s]) * sizeof(float));
    }
    for (int64_t n = 0; n < args->node->params.attention.n_segments; n++) {
        const ink_segment *segment = &args->node->params.attention.segments[n];
        const int64_t length = sequence_length(segment, streams);
        for (int64_t position = 0; position < length; position++) {
            const int64_t visible = args->node->params.attention.causal ? position + 1 : length;
            for (int64_t head = 0; head < args->node->params.attention.heads; head++) {
                attend(args, segment, position, visible, head);
            }
        }
    }
}
