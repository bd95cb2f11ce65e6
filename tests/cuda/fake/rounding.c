/*
 * Stand-ins for rounding to e4m3.
 */
#include "e4m3.h"
#include "fake.h"

#include "backend/cuda/fp8.h"

#include <math.h>
#include <stdlib.h>

double fake_get_fp8(const ink_cuda_matrix *m, int64_t row, int64_t column) {
    const uint8_t code = ((const uint8_t *)m->data)[row * m->columns + column];
    return (double)e4m3_widen(code) * (double)ink_cuda_fp8_scales(m->data, m->rows, m->columns)[row];
}

void fake_put_fp8_row(const ink_cuda_matrix *m, int64_t row, const float *values) {
    e4m3_round_row(values, m->columns, (uint8_t *)m->data + row * m->columns,
                   ink_cuda_fp8_scales_out(m->data, m->rows, m->columns) + row);
}

typedef struct rounding {
    ink_cuda_matrix x, out;
    ink_activation activation;
} rounding;

static void round_kernel(const void *arguments) {
    const rounding *a = arguments;
    float *row = malloc((size_t)a->x.columns * sizeof *row);
    if (!row) abort();
    for (int64_t r = 0; r < a->x.rows; r++) {
        for (int64_t c = 0; c < a->x.columns; c++) {
            const double z = fake_get(&a->x, r, c);
            row[c] = (float)(a->activation == INK_ACT_GELU_TANH
                                 ? 0.5 * z * (1 + tanh(0.7978845608028654 * (z + 0.044715 * z * z * z)))
                                 : z);
        }
        fake_put_fp8_row(&a->out, r, row);
    }
    free(row);
}

cudaError_t ink_cuda_quantise_rows(cudaStream_t stream, const ink_cuda_matrix *x, ink_activation activation,
                                   const ink_cuda_matrix *out) {
    const rounding a = {*x, *out, activation};
    if (out->dtype != INK_F8_E4M3 || x->dtype == INK_F8_E4M3 || x->rows != out->rows ||
        x->columns != out->columns || out->stride != out->columns || activation == INK_ACT_SILU ||
        (uintptr_t)out->data % 256 != 0)
        return cudaErrorInvalidValue;
    return fake_start(stream, round_kernel, &a, sizeof a);
}
