/*
 * Problems of attention for tests: drawn at random, laid out in one piece of memory that is filled with NaN,
 * and what the plain-C reference makes of the same rounded inputs. What a kernel reads outside of the
 * segments' rows shows in its output, and what it writes there shows as well.
 */
#ifndef INK_TESTS_CUDA_ATTENTION_TRIAL_H
#define INK_TESTS_CUDA_ATTENTION_TRIAL_H

#include "backend/cuda/attention.h"

enum { most_segments = 10, few_segments = 4, guard_rows = 3, message_bytes = 512 };
enum { part_q, part_k, part_v, part_out, part_count };

/* Where matrices lie: each on its own; q, k and v of a stream as parts of one; the streams one after the
 * other, so that a lone segment is adjacent, text or image first. */
typedef enum layout {
    LAYOUT_APART,
    LAYOUT_FUSED,
    LAYOUT_TEXT_FIRST,
    LAYOUT_IMAGE_FIRST,
    LAYOUT_COUNT
} layout;

typedef struct place {
    size_t at; /* bytes */
    int64_t stride, columns;
    ink_dtype dtype;
} place;

typedef struct trial {
    uint64_t random;
    int streams;
    int64_t rows[INK_MAX_STREAMS], heads, kv_heads, head_dim, n_segments;
    ink_segment segments[most_segments];
    bool causal;
    float scale;
    ink_dtype dtype[part_count];
    layout layout;
    bool odd;        /* strides and addresses with nothing but the elements' alignment */
    bool not_finite; /* keys and values of one row of stream 0 are NaN */
    int64_t not_finite_row;
    place place[INK_MAX_STREAMS][part_count];
    size_t bytes;
    unsigned char *host, *result; /* before, and after the run */
} trial;

uint64_t trial_bits(trial *t);
/* Both ends belong to the range. */
int64_t trial_int(trial *t, int64_t low, int64_t high);
bool trial_one_in(trial *t, int n);
/* Segments in order, and the number of rows of each stream; `gaps`: there are rows in no segment. */
void trial_segments(trial *t, int64_t most, int64_t longest, bool gaps);

/* Decides where matrices lie, then allocates and fills; `trial_release` frees. */
void trial_fill(trial *t);
void trial_release(trial *t);
ink_cuda_attention_problem trial_problem(const trial *t, unsigned char *memory);
/* Rounds x into an element. */
void trial_put(unsigned char *to, ink_dtype dtype, double x);
size_t trial_offset(const place *p, int64_t row, int64_t column);

/* The reference's outputs [rows, heads * head_dim], to be freed. */
void trial_reference(const trial *t, float *out[INK_MAX_STREAMS]);
/* Were only elements of the outputs written? */
bool trial_rest_unchanged(const trial *t, char message[message_bytes]);
/* Every head of every row: |out - reference| <= tolerance |reference|, or all of it is not finite in both;
 * rows in no segment are 0. */
bool trial_right(const trial *t, float *const reference[INK_MAX_STREAMS], double tolerance,
                 char message[message_bytes]);
void trial_describe(const trial *t, uint64_t seed, char text[message_bytes]);

#endif
