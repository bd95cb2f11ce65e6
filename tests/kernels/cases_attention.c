/*
 * Cases: attention, and what is done to queries and keys before it.
 */
#include "cases.h"

static void record_head_norm_rotary(trial *t) {
    const int64_t head_dim = 2 * draw_length(t, 70), heads = draw_int(t, 1, 6);
    const ink_shape shape = draw_shape(t, draw_length(t, 40), heads * head_dim);
    const ink_value x = new_activation(t, shape, draw_values(t, VALUES_ANY & ~(unsigned)VALUES_TINY));
    const ink_value weight = draw_chance(t, 3) ? INK_NO_VALUE : new_weight(t, ink_shape1(head_dim), 1);
    ink_value table = INK_NO_VALUE;
    if (!draw_chance(t, 4)) {
        table = new_activation(t, ink_shape3(ink_shape_rows(&shape), head_dim / 2, 2), VALUES_NORMAL);
    }
    ink_head_norm_rotary(t->graph, x, head_dim, weight, 1e-6f, table,
                         draw_chance(t, 2) ? INK_ROTARY_HALF : INK_ROTARY_ADJACENT);
}

static double tolerate_head_norm_rotary(trial *t, int result, int64_t index, double want) {
    (void)result, (void)want;
    const int64_t d = t->node->params.rotary.head_dim, half = d / 2, begin = index / d * d, c = index % d;
    const bool adjacent = t->node->params.rotary.style == INK_ROTARY_ADJACENT;
    const int64_t partner = adjacent ? c ^ 1 : (c + half) % d, pair = adjacent ? c / 2 : c % half;
    double gain = 1, partner_gain = 1;
    if (t->in[1].data) {
        double squares = 0;
        for (int64_t i = begin; i < begin + d; i++) {
            squares += x_at(t, 0, i) * x_at(t, 0, i);
        }
        const double root = sqrt(squares / (double)d + t->node->params.rotary.eps);
        gain = w_at(t, 1, c) / root;
        partner_gain = w_at(t, 1, partner) / root;
    }
    const double own = fabs(x_at(t, 0, index) * gain);
    if (!t->in[2].data) return sum_units((double)d) * own;
    const int64_t angle = index / columns_of(&t->in[0]) * d + 2 * pair;
    const double size = fabs(x_at(t, 2, angle)) + fabs(x_at(t, 2, angle + 1));
    return sum_units((double)d) * size * (own + fabs(x_at(t, 0, begin + partner) * partner_gain));
}

/* Up to `most` segments in order, with gaps between them, some without rows in one of the streams. Sets the
 * number of rows of each stream. */
static int64_t draw_segments(trial *t, int streams, ink_segment *segments, int64_t most, int64_t *rows) {
    const int64_t n = draw_int(t, 1, most), longest = draw_chance(t, 10) ? 400 : 60;
    const bool gaps = draw_chance(t, 3);
    rows[0] = rows[1] = 0;
    for (int64_t i = 0; i < n; i++) {
        segments[i] = (ink_segment){{0}, {0}};
        const int64_t empty = streams == 2 && draw_chance(t, 6) ? draw_int(t, 0, 1) : -1;
        for (int s = 0; s < streams; s++) {
            if (gaps) rows[s] += draw_int(t, 0, 3);
            segments[i].begin[s] = rows[s];
            segments[i].length[s] = s == empty ? 0 : draw_length(t, longest);
            rows[s] += segments[i].length[s];
        }
    }
    for (int s = 0; s < streams; s++) {
        if (gaps) rows[s] += draw_int(t, 0, 3);
        if (rows[s] == 0) rows[s] = 1; /* a tensor has a row even if no segment uses it */
    }
    return n;
}

static void record_attention(trial *t) {
    enum { most = 4 };
    const int streams = (int)draw_int(t, 1, 2);
    ink_segment segments[most];
    int64_t rows[INK_MAX_STREAMS];
    const int64_t n = draw_segments(t, streams, segments, most, rows);
    ink_attention_options options = {.kv_heads = draw_int(t, 1, 3),
                                     .causal = streams == 1 && draw_chance(t, 2)};
    options.heads = options.kv_heads * draw_int(t, 1, 3);
    if (draw_chance(t, 3)) options.scale = draw_float(t, 0.05f, 3);
    const int64_t head_dim = draw_length(t, 136);
    const values kind = draw_values(t, VALUES_NORMAL | VALUES_SPECIAL | VALUES_OFFSET);
    ink_attention_stream stream[INK_MAX_STREAMS];
    for (int s = 0; s < streams; s++) {
        /* Far from 0, keys make scores of thousands: only values are drawn there. */
        const values scores = kind == VALUES_OFFSET ? VALUES_NORMAL : kind;
        stream[s].q = new_activation(t, ink_shape2(rows[s], options.heads * head_dim), scores);
        stream[s].k = new_activation(t, ink_shape2(rows[s], options.kv_heads * head_dim), scores);
        stream[s].v = new_activation(t, ink_shape2(rows[s], options.kv_heads * head_dim), kind);
    }
    ink_value out[INK_MAX_STREAMS];
    ink_attention(t->graph, streams, stream, segments, n, &options, out);
}

static double length_of(const trial *t, int input, int64_t row, int64_t head) {
    const int64_t d = t->node->params.attention.head_dim;
    double squares = 0;
    for (int64_t i = 0; i < d; i++) {
        const double x = x_at(t, input, row * columns_of(&t->in[input]) + head * d + i);
        squares += x * x;
    }
    return sqrt(squares);
}

/* The longest key, or the largest value, of one head in a segment. Those that are not finite do not count: if
 * the result is finite, it does not depend on them. */
static double largest(const trial *t, const ink_segment *segment, int which, int64_t head) {
    const int64_t d = t->node->params.attention.head_dim;
    double most = 0;
    for (int s = 0; s < t->node->params.attention.streams; s++) {
        const int input = 3 * s + which;
        for (int64_t r = segment->begin[s]; r < segment->begin[s] + segment->length[s]; r++) {
            const double length = which == 1 ? length_of(t, input, r, head) : 0;
            if (isfinite(length)) most = fmax(most, length);
            for (int64_t i = 0; which == 2 && i < d; i++) {
                const double x = fabs(x_at(t, input, r * columns_of(&t->in[input]) + head * d + i));
                if (isfinite(x)) most = fmax(most, x);
            }
        }
    }
    return most;
}

/* An error of a score multiplies its weight; the output is a mean of values with these weights. */
static double tolerate_attention(trial *t, int result, int64_t index, double want) {
    (void)want;
    const int64_t d = t->node->params.attention.head_dim, columns = columns_of(&t->out[result]);
    const int64_t row = index / columns, head = index % columns / d;
    const int64_t kv_head = head / (t->node->params.attention.heads / t->node->params.attention.kv_heads);
    if (t->memo == index / d) return t->memo_value;
    t->memo = index / d;
    t->memo_value = 0; /* rows of no segment are exactly 0 */
    for (int64_t n = 0; n < t->node->params.attention.n_segments; n++) {
        const ink_segment *segment = &t->node->params.attention.segments[n];
        if (row < segment->begin[result] || row >= segment->begin[result] + segment->length[result]) continue;
        const double score = fabs((double)t->node->params.attention.scale) *
                             length_of(t, 3 * result, row, head) * largest(t, segment, 1, kv_head);
        const double length = (double)(segment->length[0] + segment->length[1]);
        t->memo_value =
            largest(t, segment, 2, kv_head) * (sum_units(length) + 2 * score * sum_units((double)d));
    }
    return t->memo_value;
}

case_group cases_attention(void) {
    static const kernel_case cases[] = {
        {INK_OP_HEAD_NORM_ROTARY, 80, record_head_norm_rotary, tolerate_head_norm_rotary},
        {INK_OP_ATTENTION, 150, record_attention, tolerate_attention},
    };
    return (case_group){cases, sizeof cases / sizeof cases[0]};
}
