/*
 * Matrices stored as groups of small integers, as MLX checkpoints hold them: three tensors instead of one,
 *   NAME.weight  u32 [outputs, inputs * bits / 32]   numbers of 4 or 8 bits, the first in the lowest bits
 *   NAME.scales  [outputs, inputs / group]           f32, bf16 or f16
 *   NAME.biases  [outputs, inputs / group]           the same type (not the layer's own NAME.bias)
 * and element [o, i] = number[o, i] * scale[o, i / group] + bias[o, i / group]. This file is the definition;
 * backends multiply with the numbers as they are, or widen the matrix with ink_quantized_row.
 */
#ifndef INK_WEIGHTS_QUANTIZED_H
#define INK_WEIGHTS_QUANTIZED_H

#include "weights/weights.h"

typedef struct ink_quantized {
    int bits;      /* 4 or 8 */
    int64_t group; /* elements of a row that share scale and bias: 32, 64 or 128 */
    const ink_weight *numbers, *scales, *biases;
} ink_quantized;

/* Is `name` (which ends in ".weight") stored like this? *found says so. INK_ERROR_FORMAT if it is, but does
 * not make a matrix of `shape`. */
ink_status ink_quantized_find(ink_weights *weights, const char *name, const ink_shape *shape,
                              ink_quantized *quantized, bool *found, ink_error *error);

/* Row `o` of the matrix, `columns` elements, widened: products and sums in f32. */
void ink_quantized_row(const ink_quantized *quantized, int64_t o, int64_t columns, float *row);

/* Bytes of the three tensors. */
int64_t ink_quantized_bytes(const ink_quantized *quantized);

#endif
