#include "cuda/attention_trial.h"

#include "backend/reference/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- drawing ---- */

uint64_t trial_bits(trial *t) {
    uint64_t z = t->random += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

int64_t trial_int(trial *t, int64_t low, int64_t high) {
    return low + (int64_t)(trial_bits(t) % (uint64_t)(high - low + 1));
}

bool trial_one_in(trial *t, int n) {
    return trial_int(t, 1, n) == 1;
}

/* Small lengths, and neighbours of multiples of 64, are likely. */
static int64_t draw_length(trial *t, int64_t most) {
    int64_t length = trial_int(t, 1, most);
    if (trial_one_in(t, 3)) length = trial_int(t, 1, 8);
    if (trial_one_in(t, 2)) length = 64 * trial_int(t, 1, 5) + trial_int(t, -1, 1);
    return length < most ? length : most;
}

static double draw_normal(trial *t) {
    double sum = -6;
    for (int i = 0; i < 12; i++) {
        sum += (double)(trial_bits(t) >> 11) * 0x1p-53;
    }
    return sum;
}

void trial_segments(trial *t, int64_t most, int64_t longest, bool gaps) {
    t->n_segments = trial_int(t, 1, most);
    const bool equal = trial_one_in(t, 3);
    t->rows[0] = t->rows[1] = 0;
    for (int64_t i = 0; i < t->n_segments; i++) {
        ink_segment *segment = &t->segments[i];
        *segment = (ink_segment){{0}, {0}};
        const int64_t empty = t->streams == 2 && trial_one_in(t, 6) ? trial_int(t, 0, 1) : -1;
        for (int s = 0; s < t->streams; s++) {
            if (gaps) t->rows[s] += trial_int(t, 0, 3);
            segment->begin[s] = t->rows[s];
            segment->length[s] = s == empty ? 0 : draw_length(t, s == 0 && t->streams == 2 ? 150 : longest);
            if (equal && i > 0) segment->length[s] = t->segments[0].length[s];
            t->rows[s] += segment->length[s];
        }
    }
    for (int s = 0; s < t->streams; s++) {
        if (gaps) t->rows[s] += trial_int(t, 0, 3);
        if (t->rows[s] == 0) t->rows[s] = 1;
    }
}

/* ---- memory ---- */

static size_t reserve(trial *t, int64_t rows, int64_t stride, ink_dtype dtype, bool odd) {
    const size_t element = ink_dtype_bytes(dtype), row = (size_t)stride * element;
    const size_t aligned = (t->bytes + guard_rows * row + 255) / 256 * 256;
    const size_t at = aligned + (odd ? element : 0);
    t->bytes = at + ((size_t)rows + guard_rows) * row;
    return at;
}

static int64_t stride_of(trial *t, int64_t columns) {
    return t->odd ? columns + trial_int(t, 1, 3) : columns + 8 * trial_int(t, 0, 2);
}

static void lay_out(trial *t) {
    const int64_t q_columns = t->heads * t->head_dim, kv_columns = t->kv_heads * t->head_dim;
    const int64_t columns[part_count] = {q_columns, kv_columns, kv_columns, q_columns};
    t->bytes = 0;
    for (int part = 0; part < part_count; part++) {
        for (int s = 0; s < t->streams; s++) {
            t->place[s][part] = (place){0, stride_of(t, columns[part]), columns[part], t->dtype[part]};
        }
    }
    for (int s = 0; s < t->streams; s++) {
        place *p = t->place[s];
        if (t->layout == LAYOUT_FUSED) {
            const int64_t stride = stride_of(t, q_columns + 2 * kv_columns);
            p[part_q].at = reserve(t, t->rows[s], stride, p->dtype, t->odd);
            const size_t element = ink_dtype_bytes(p->dtype);
            p[part_k].at = p[part_q].at + (size_t)q_columns * element;
            p[part_v].at = p[part_k].at + (size_t)kv_columns * element;
            p[part_q].stride = p[part_k].stride = p[part_v].stride = stride;
            p[part_k].dtype = p[part_v].dtype = p->dtype;
            p[part_out].at = reserve(t, t->rows[s], p[part_out].stride, p[part_out].dtype, t->odd);
        }
        for (int part = 0; t->layout == LAYOUT_APART && part < part_count; part++) {
            p[part].at = reserve(t, t->rows[s], p[part].stride, p[part].dtype, t->odd);
        }
    }
    if (t->layout == LAYOUT_APART || t->layout == LAYOUT_FUSED) return;
    const int first = t->layout == LAYOUT_IMAGE_FIRST && t->streams == 2 ? 1 : 0;
    for (int part = 0; part < part_count; part++) {
        place *p = &t->place[first][part], *other = &t->place[1 - first][part];
        p->at = reserve(t, t->rows[0] + t->rows[1], p->stride, p->dtype, t->odd);
        *other = *p;
        other->at += (size_t)(t->rows[first] * p->stride) * ink_dtype_bytes(p->dtype);
    }
}

void trial_put(unsigned char *to, ink_dtype dtype, double x) {
    const float single = (float)x;
    const uint16_t half = ink_bf16_from_f32(single);
    if (dtype == INK_F32)
        memcpy(to, &single, sizeof single);
    else
        memcpy(to, &half, sizeof half);
}

static bool in_segment(const trial *t, int stream, int64_t row) {
    for (int64_t i = 0; i < t->n_segments; i++) {
        const ink_segment *segment = &t->segments[i];
        if (row >= segment->begin[stream] && row < segment->begin[stream] + segment->length[stream])
            return true;
    }
    return false;
}

size_t trial_offset(const place *p, int64_t row, int64_t column) {
    return p->at + (size_t)(row * p->stride + column) * ink_dtype_bytes(p->dtype);
}

/* NaN everywhere, numbers in the segments' rows of q, k and v. */
void trial_fill(trial *t) {
    lay_out(t);
    t->host = malloc(t->bytes);
    t->result = malloc(t->bytes);
    assert_non_null(t->host);
    assert_non_null(t->result);
    memset(t->host, 0xFF, t->bytes);
    for (int s = 0; s < t->streams; s++) {
        for (int part = part_q; part <= part_v; part++) {
            const place *p = &t->place[s][part];
            for (int64_t i = 0; i < t->rows[s] * p->columns; i++) {
                if (!in_segment(t, s, i / p->columns)) continue;
                const bool bad =
                    t->not_finite && s == 0 && part != part_q && i / p->columns == t->not_finite_row;
                trial_put(t->host + trial_offset(p, i / p->columns, i % p->columns), p->dtype,
                          bad ? (double)NAN : draw_normal(t));
            }
        }
    }
    memcpy(t->result, t->host, t->bytes);
}

void trial_release(trial *t) {
    free(t->host);
    free(t->result);
    t->host = t->result = NULL;
}

ink_cuda_attention_problem trial_problem(const trial *t, unsigned char *memory) {
    ink_cuda_attention_problem p = {.streams = t->streams,
                                    .heads = t->heads,
                                    .kv_heads = t->kv_heads,
                                    .head_dim = t->head_dim,
                                    .causal = t->causal,
                                    .scale = t->scale,
                                    .n_segments = t->n_segments,
                                    .segments = t->segments};
    for (int s = 0; s < t->streams; s++) {
        ink_cuda_matrix *matrix[part_count] = {&p.q[s], &p.k[s], &p.v[s], &p.out[s]};
        for (int part = 0; part < part_count; part++) {
            const place *at = &t->place[s][part];
            *matrix[part] =
                (ink_cuda_matrix){memory + at->at, at->dtype, t->rows[s], at->columns, at->stride};
        }
    }
    return p;
}

/* ---- the reference ---- */

/* A contiguous f32 copy. */
static float *widened(const trial *t, const unsigned char *memory, int stream, int part) {
    const place *p = &t->place[stream][part];
    float *x = malloc((size_t)(t->rows[stream] * p->columns + 1) * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < t->rows[stream] * p->columns; i++) {
        x[i] = ink_element_f32(memory + trial_offset(p, i / p->columns, i % p->columns), p->dtype, 0);
    }
    return x;
}

void trial_reference(const trial *t, float *out[INK_MAX_STREAMS]) {
    ink_node node = {.op = INK_OP_ATTENTION, .n_inputs = 3 * t->streams, .n_outputs = t->streams};
    node.params.attention.streams = t->streams;
    node.params.attention.heads = t->heads;
    node.params.attention.kv_heads = t->kv_heads;
    node.params.attention.head_dim = t->head_dim;
    node.params.attention.causal = t->causal;
    node.params.attention.scale = t->scale;
    node.params.attention.n_segments = t->n_segments;
    node.params.attention.segments = t->segments;
    ink_tensor in[INK_MAX_INPUTS], result[INK_MAX_STREAMS];
    for (int s = 0; s < t->streams; s++) {
        for (int part = 0; part < part_count; part++) {
            ink_tensor *x = part == part_out ? &result[s] : &in[3 * s + part];
            *x = (ink_tensor){widened(t, t->host, s, part), INK_F32,
                              ink_shape2(t->rows[s], t->place[s][part].columns)};
        }
        out[s] = result[s].data;
    }
    void *scratch = malloc(ink_reference_attention_scratch(&node, in, result, 1));
    assert_non_null(scratch);
    ink_reference_attention(&(ink_kernel_args){.node = &node, .in = in, .out = result, .scratch = scratch});
    free(scratch);
    for (int i = 0; i < 3 * t->streams; i++) {
        free(in[i].data);
    }
}

/* ---- checks ---- */

bool trial_rest_unchanged(const trial *t, char message[message_bytes]) {
    unsigned char *expected = malloc(t->bytes);
    assert_non_null(expected);
    memcpy(expected, t->host, t->bytes);
    for (int s = 0; s < t->streams; s++) {
        const place *p = &t->place[s][part_out];
        for (int64_t row = 0; row < t->rows[s]; row++) {
            const size_t at = trial_offset(p, row, 0), bytes = (size_t)p->columns * ink_dtype_bytes(p->dtype);
            memcpy(expected + at, t->result + at, bytes);
        }
    }
    size_t i = 0;
    while (i < t->bytes && expected[i] == t->result[i]) {
        i++;
    }
    free(expected);
    if (i < t->bytes) snprintf(message, message_bytes, "byte %zu, which is no output, was written", i);
    return i == t->bytes;
}

bool trial_right(const trial *t, float *const reference[INK_MAX_STREAMS], double tolerance,
                 char message[message_bytes]) {
    for (int s = 0; s < t->streams; s++) {
        float *out = widened(t, t->result, s, part_out);
        const int64_t d = t->head_dim;
        for (int64_t i = 0; i < t->rows[s] * t->heads; i++) {
            const bool inside = in_segment(t, s, i / t->heads);
            double error = 0, size = 0;
            bool same = true; /* in what is not finite */
            for (int64_t c = i * d; c < (i + 1) * d; c++) {
                const double want = reference[s][c];
                same = same && !isfinite(want) == !isfinite(out[c]);
                error += isfinite(want) ? (out[c] - want) * (out[c] - want) : 0;
                size += isfinite(want) ? want * want : 0;
            }
            if (!same || (inside ? !(sqrt(error) <= tolerance * sqrt(size)) : !(error <= 0))) {
                snprintf(message, message_bytes,
                         "stream %d row %lld head %lld%s: error %g of %g (%g, %g, ... for %g)", s,
                         (long long)(i / t->heads), (long long)(i % t->heads),
                         inside ? "" : ", in no segment", sqrt(error), sqrt(size), (double)out[i * d],
                         (double)out[i * d + (d > 1)], (double)reference[s][i * d]);
                free(out);
                return false;
            }
        }
        free(out);
    }
    return true;
}

void trial_describe(const trial *t, uint64_t seed, char text[message_bytes]) {
    int n =
        snprintf(text, message_bytes,
                 "seed %llu: heads %lld/%lld x %lld, %s%s%s%s, layout %d, odd %d, causal %d, segments",
                 (unsigned long long)seed, (long long)t->heads, (long long)t->kv_heads,
                 (long long)t->head_dim, ink_dtype_name(t->dtype[0]), ink_dtype_name(t->dtype[1]),
                 ink_dtype_name(t->dtype[2]), ink_dtype_name(t->dtype[3]), (int)t->layout, t->odd, t->causal);
    for (int64_t i = 0; i < t->n_segments && n < message_bytes; i++) {
        n += snprintf(text + n, (size_t)(message_bytes - n), " %lld+%lld",
                      (long long)t->segments[i].length[0], (long long)t->segments[i].length[1]);
    }
}
