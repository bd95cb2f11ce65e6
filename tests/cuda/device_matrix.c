#include "cuda/device_matrix.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* As f32 and as bf16 a NaN of its own kind: what is read outside shows as well. */
enum { guard = 0xFF, guard_bytes = 256 };

bool device_present(void) {
    int devices = 0;
    const cudaError_t code = cudaGetDeviceCount(&devices);
    if (code == cudaSuccess && devices > 0) return true;
    fprintf(stderr, "no CUDA device: %s\n", code == cudaSuccess ? "none is there" : cudaGetErrorString(code));
    return false;
}

static size_t row_bytes(const ink_cuda_matrix *x) {
    return (size_t)x->columns * ink_dtype_bytes(x->dtype);
}

/* Where row r begins in `before`. */
static size_t row_at(const device_matrix *m, int64_t r) {
    return m->first + (size_t)(r * m->matrix.stride) * ink_dtype_bytes(m->matrix.dtype);
}

bool device_open(device_matrix *m, ink_dtype dtype, int64_t rows, int64_t columns, const void *values,
                 device_layout layout, uint64_t random) {
    const int64_t element = (int64_t)ink_dtype_bytes(dtype), unit = 16 / element;
    int64_t stride = columns, skip = 0;
    if (layout == DEVICE_ALIGNED) stride = (columns + unit - 1) / unit * unit + unit * (int64_t)(random % 3);
    if (layout == DEVICE_ODD) {
        stride = columns + (int64_t)(random % 7);
        skip = 1 + (int64_t)(random / 7 % 7);
    }
    *m = (device_matrix){.matrix = {NULL, dtype, rows, columns, stride}};
    m->first = (size_t)(guard_bytes + skip * element);
    m->bytes = m->first + (size_t)(rows * stride * element) + guard_bytes;
    void *memory = NULL;
    m->before = malloc(m->bytes);
    if (!m->before || cudaMalloc(&memory, m->bytes) != cudaSuccess) {
        device_close(m);
        return false;
    }
    m->memory = memory;
    m->matrix.data = m->memory + m->first;
    memset(m->before, guard, m->bytes);
    for (int64_t r = 0; values && r < rows; r++) {
        memcpy(m->before + row_at(m, r), (const char *)values + (size_t)r * row_bytes(&m->matrix),
               row_bytes(&m->matrix));
    }
    return cudaMemcpy(m->memory, m->before, m->bytes, cudaMemcpyHostToDevice) == cudaSuccess;
}

void device_close(device_matrix *m) {
    if (m->memory) (void)cudaFree(m->memory);
    free(m->before);
    *m = (device_matrix){0};
}

bool device_read(const device_matrix *m, void *to) {
    char *now = malloc(m->bytes);
    bool good = now && cudaDeviceSynchronize() == cudaSuccess &&
                cudaMemcpy(now, m->memory, m->bytes, cudaMemcpyDeviceToHost) == cudaSuccess;
    for (int64_t r = 0; good && to && r < m->matrix.rows; r++) {
        const size_t at = row_at(m, r), bytes = row_bytes(&m->matrix);
        memcpy((char *)to + (size_t)r * bytes, now + at, bytes);
        memcpy(now + at, m->before + at, bytes);
    }
    good = good && memcmp(now, m->before, m->bytes) == 0;
    free(now);
    return good;
}

/* splitmix64 */
uint64_t device_random(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static double uniform(uint64_t *state) {
    return ((double)(device_random(state) >> 11) + 0.5) / 9007199254740992.0;
}

void device_draw(uint64_t *state, ink_dtype dtype, int64_t n, void *to) {
    for (int64_t i = 0; i < n; i++) {
        const double radius = sqrt(-2 * log(uniform(state)));
        const float x = (float)(radius * cos(6.283185307179586 * uniform(state)));
        const uint16_t half = dtype == INK_BF16 ? ink_bf16_from_f32(x) : ink_f16_from_f32(x);
        if (dtype == INK_F32)
            memcpy((char *)to + i * 4, &x, 4);
        else
            memcpy((char *)to + i * 2, &half, 2);
    }
}
