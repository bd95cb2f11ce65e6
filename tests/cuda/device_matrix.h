/*
 * Matrices in device memory for tests: with gaps between rows, at addresses of any alignment, surrounded by
 * guard bytes. What a kernel writes outside of the elements shows.
 */
#ifndef INK_TESTS_CUDA_DEVICE_MATRIX_H
#define INK_TESTS_CUDA_DEVICE_MATRIX_H

#include "backend/cuda/kernels.h"

typedef enum device_layout {
    DEVICE_PACKED,  /* aligned, rows without gaps */
    DEVICE_ALIGNED, /* aligned, gaps of whole 16 bytes */
    DEVICE_ODD,     /* aligned to an element only */
    DEVICE_LAYOUTS
} device_layout;

typedef struct device_matrix {
    ink_cuda_matrix matrix;
    char *memory;        /* device */
    char *before;        /* host: what was put in */
    size_t bytes, first; /* all; before row 0 */
} device_matrix;

/* False and a sentence if there is no device. */
bool device_present(void);

/* `values` are rows * columns adjacent elements of `dtype`, or NULL: the elements hold what guards hold.
 * False if memory runs out. */
bool device_open(device_matrix *m, ink_dtype dtype, int64_t rows, int64_t columns, const void *values,
                 device_layout layout, uint64_t random);
void device_close(device_matrix *m);

/* Waits, and copies the elements to `to`, rows * columns adjacent ones. False if the device reports an error
 * or bytes outside of the elements were changed; NULL: if any byte was changed. */
bool device_read(const device_matrix *m, void *to);

/* The next number of a sequence. */
uint64_t device_random(uint64_t *state);
/* n numbers, standard normal but rounded to `dtype`, which is f32, bf16 or f16. */
void device_draw(uint64_t *state, ink_dtype dtype, int64_t n, void *to);

#endif
