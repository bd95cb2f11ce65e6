/*
 * How an attention problem is cut into pieces of work, and which rows it leaves out. Host arithmetic only.
 */
#include "backend/cuda/attention.h"
#include "backend/cuda/divide.h"

#include <stdlib.h>
#include <string.h>

ink_status ink_cuda_attention_gaps(const ink_cuda_attention_problem *problem, ink_cuda_attention_gap **gaps,
                                   size_t *n, ink_error *error) {
    *gaps = NULL;
    *n = 0;
    /* Between and around n segments of a stream there are at most n + 1 gaps. */
    const size_t most = (size_t)problem->streams * ((size_t)problem->n_segments + 1);
    ink_cuda_attention_gap *found = calloc(most, sizeof *found);
    if (!found) return ink_fail_memory(error, "the rows without attention", most * sizeof *found);
    for (int s = 0; s < problem->streams; s++) {
        const size_t rows = (size_t)problem->q[s].rows;
        char *used = calloc(rows + 1, 1);
        if (!used) {
            free(found);
            return ink_fail_memory(error, "the rows without attention", rows + 1);
        }
        for (int64_t i = 0; i < problem->n_segments; i++) {
            memset(used + problem->segments[i].begin[s], 1, (size_t)problem->segments[i].length[s]);
        }
        used[rows] = 1;
        for (size_t row = 0, first = 0; row <= rows; row++) {
            if (!used[row]) continue;
            if (row > first) {
                found[(*n)++] = (ink_cuda_attention_gap){s, (int64_t)first, (int64_t)(row - first)};
            }
            first = row + 1;
        }
        free(used);
    }
    *gaps = found;
    return INK_OK;
}

/* A piece of work before sorting. */
typedef struct piece {
    int64_t cost, number;
} piece;

static int by_cost(const void *a, const void *b) {
    const piece *x = a, *y = b;
    if (x->cost != y->cost) return x->cost > y->cost ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

ink_status ink_cuda_attention_tiles(const ink_cuda_attention_problem *problem, int rows_per_tile,
                                    ink_cuda_attention_tile **tiles, size_t *n, ink_error *error) {
    *tiles = NULL;
    *n = 0;
    size_t count = 0;
    for (int64_t i = 0; i < problem->n_segments; i++) {
        count +=
            (size_t)ink_divide_up(ink_cuda_attention_length(&problem->segments[i]), (int64_t)rows_per_tile);
    }
    ink_cuda_attention_tile *plain = calloc(count + 1, sizeof *plain);
    ink_cuda_attention_tile *sorted = calloc(count + 1, sizeof *sorted);
    piece *order = calloc(count + 1, sizeof *order);
    if (!plain || !sorted || !order) {
        free(plain), free(sorted), free(order);
        return ink_fail_memory(error, "the tiles of attention", count * (2 * sizeof *plain + sizeof *order));
    }
    size_t k = 0;
    for (int64_t i = 0; i < problem->n_segments; i++) {
        const int64_t length = ink_cuda_attention_length(&problem->segments[i]);
        for (int64_t position = 0; position < length; position += rows_per_tile, k++) {
            const int64_t end = position + rows_per_tile < length ? position + rows_per_tile : length;
            plain[k] = (ink_cuda_attention_tile){(int32_t)i, (int32_t)position};
            order[k] = (piece){problem->causal ? end : length, (int64_t)k};
        }
    }
    qsort(order, count, sizeof *order, by_cost);
    for (k = 0; k < count; k++) {
        sorted[k] = plain[order[k].number];
    }
    free(plain), free(order);
    *tiles = sorted;
    *n = count;
    return INK_OK;
}

ink_status ink_cuda_attention_items(const ink_cuda_attention_problem *problem, int64_t first, int64_t count,
                                    int rows_per_item, ink_cuda_attention_item **items, size_t *n,
                                    ink_error *error) {
    *items = NULL;
    *n = 0;
    size_t pieces = 0;
    for (int64_t i = first; i < first + count; i++) {
        for (int s = 0; s < problem->streams; s++) {
            pieces += (size_t)ink_divide_up(problem->segments[i].length[s], rows_per_item);
        }
    }
    const size_t most = pieces * (size_t)problem->heads;
    ink_cuda_attention_item *list = calloc(most + 1, sizeof *list);
    piece *order = calloc((size_t)count + 1, sizeof *order);
    if (!list || !order) {
        free(list), free(order);
        return ink_fail_memory(error, "the items of attention", (most + 1) * sizeof *list);
    }
    for (int64_t i = 0; i < count; i++) {
        order[i] = (piece){ink_cuda_attention_length(&problem->segments[first + i]), i};
    }
    qsort(order, (size_t)count, sizeof *order, by_cost);
    size_t k = 0;
    for (int64_t i = 0; i < count; i++) {
        const ink_segment *segment = &problem->segments[first + order[i].number];
        for (int64_t head = 0; head < problem->heads; head++) {
            for (int s = 0; s < problem->streams; s++) {
                const int64_t length = segment->length[s];
                for (int64_t row = 0; row < length; row += rows_per_item) {
                    const int64_t rows = length - row < rows_per_item ? length - row : rows_per_item;
                    const int64_t range = INK_MAX_STREAMS * order[i].number + s;
                    list[k++] =
                        (ink_cuda_attention_item){(int32_t)range, (int32_t)row, (int32_t)rows, (int32_t)head};
                }
            }
        }
    }
    free(order);
    *items = list;
    *n = k;
    return INK_OK;
}
