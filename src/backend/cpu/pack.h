/*
 * Packing: rows of weights or keys become panels for tile_run, widened to f32 and transposed.
 */
#ifndef INK_BACKEND_CPU_PACK_H
#define INK_BACKEND_CPU_PACK_H

#include "backend/cpu/tile.h"
#include "backend/cpu/vector_math.h"

/* Scratch memory is handed out in pieces that begin on a cache line. */
enum { CACHE_LINE = 64, FLOATS_PER_LINE = 16 };

INLINE int64_t round_up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

INLINE int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Floats in a panel row that holds `columns` columns. */
INLINE int64_t panel_width(int64_t columns) {
    return round_up(columns, VL);
}

/* dst[i] = element first + i of an array of f32, bf16 or f16, which needs no alignment. */
static void widen(float *dst, const void *data, ink_dtype dtype, int64_t first, int64_t count) {
    int64_t i = 0;
    for (; i + VL <= count; i += VL) {
        vstore(dst + i, vload_as(data, dtype, first + i));
    }
    for (; i < count; i++) {
        dst[i] = ink_element_f32(data, dtype, first + i);
    }
}

#if INK_LEVEL >= 1
/* panel[k * stride + j] = element first + k of rows[j], for 8 rows and 8 depths. */
INLINE void transpose_8x8(float *panel, int64_t stride, const void *const *rows, ink_dtype dtype,
                          int64_t first) {
    __m256 r[8], s[8];
    UNROLL for (int j = 0; j < 8; j++) {
        const char *p = (const char *)rows[j] + first * (dtype == INK_F32 ? 4 : 2);
        if (dtype == INK_F32) {
            r[j] = _mm256_loadu_ps((const float *)(const void *)p);
        } else {
            const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)p);
            r[j] = dtype == INK_F16 ? _mm256_cvtph_ps(half)
                                    : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
        }
    }
    UNROLL for (int j = 0; j < 8; j += 2) {
        s[j] = _mm256_unpacklo_ps(r[j], r[j + 1]);
        s[j + 1] = _mm256_unpackhi_ps(r[j], r[j + 1]);
    }
    UNROLL for (int j = 0; j < 8; j += 4) {
        r[j] = _mm256_shuffle_ps(s[j], s[j + 2], 0x44);
        r[j + 1] = _mm256_shuffle_ps(s[j], s[j + 2], 0xEE);
        r[j + 2] = _mm256_shuffle_ps(s[j + 1], s[j + 3], 0x44);
        r[j + 3] = _mm256_shuffle_ps(s[j + 1], s[j + 3], 0xEE);
    }
    UNROLL for (int j = 0; j < 4; j++) {
        _mm256_storeu_ps(panel + j * stride, _mm256_permute2f128_ps(r[j], r[j + 4], 0x20));
        _mm256_storeu_ps(panel + (j + 4) * stride, _mm256_permute2f128_ps(r[j], r[j + 4], 0x31));
    }
}

/* The depths that come in eights, of eight rows; returns how many. */
INLINE int64_t pack_eight_rows(float *panel, int64_t stride, const void *const *rows, ink_dtype dtype,
                               int64_t first, int64_t depth) {
    int64_t k = 0;
    for (; k + 8 <= depth; k += 8) {
        transpose_8x8(panel + k * stride, stride, rows, dtype, first + k);
    }
    return k;
}
#endif

/* Writes a panel [depth][panel_width(columns)]: panel[k][j] = element first + k of rows[j]; columns past the
 * end become 0. */
static void pack_panel(float *panel, const void *const *rows, ink_dtype dtype, int64_t first, int columns,
                       int64_t depth) {
    const int64_t stride = panel_width(columns);
    int j = 0;
#if INK_LEVEL >= 1
    for (; j + 8 <= columns; j += 8) {
        int64_t k;
        if (dtype == INK_F32)
            k = pack_eight_rows(panel + j, stride, rows + j, INK_F32, first, depth);
        else if (dtype == INK_BF16)
            k = pack_eight_rows(panel + j, stride, rows + j, INK_BF16, first, depth);
        else
            k = pack_eight_rows(panel + j, stride, rows + j, INK_F16, first, depth);
        for (; k < depth; k++) {
            for (int i = 0; i < 8; i++) {
                panel[k * stride + j + i] = ink_element_f32(rows[j + i], dtype, first + k);
            }
        }
    }
#endif
    for (; j < columns; j++) {
        float piece[64];
        for (int64_t k = 0; k < depth; k += 64) {
            const int64_t count = smaller(depth - k, 64);
            widen(piece, rows[j], dtype, first + k, count);
            for (int64_t i = 0; i < count; i++) {
                panel[(k + i) * stride + j] = piece[i];
            }
        }
    }
    for (; j < stride; j++) {
        for (int64_t k = 0; k < depth; k++) {
            panel[k * stride + j] = 0;
        }
    }
}

/* bias and activation on the first `columns` of a row of results; bias is nullable. */
INLINE void finish_row(float *row, const float *bias, int columns, ink_activation activation) {
    if (bias) {
        for (int j = 0; j < columns; j++) {
            row[j] += bias[j];
        }
    }
    activate(row, columns, activation);
}

#endif
