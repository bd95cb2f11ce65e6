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

/* memcpy of n floats in vectors: compilers turn memcpy into string instructions, which do not overlap the
 * waits for memory of one row with the next row's. */
INLINE void copy_floats(float *to, const float *from, int64_t n) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vstore(to + i, vload(from + i));
    }
    for (; i < n; i++) {
        to[i] = from[i];
    }
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
/* Four lanes of a row: f32 or widened f16 elements, or pairs of bf16. */
INLINE __m128 load_quad(const char *p, const ink_dtype dtype) {
    if (dtype == INK_F16) return _mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)(const void *)p));
    return _mm_loadu_ps((const float *)(const void *)p);
}

/* Lane d of eight rows becomes column[d], for d in [0, 4). */
INLINE void transpose_quads(const void *const *rows, const ink_dtype dtype, int64_t byte, __m256 *column) {
    __m256 r[4], s[4];
    UNROLL for (int j = 0; j < 4; j++) {
        const __m256 low = _mm256_castps128_ps256(load_quad((const char *)rows[j] + byte, dtype));
        r[j] = _mm256_insertf128_ps(low, load_quad((const char *)rows[j + 4] + byte, dtype), 1);
    }
    UNROLL for (int j = 0; j < 4; j += 2) {
        s[j] = _mm256_unpacklo_ps(r[j], r[j + 1]);
        s[j + 1] = _mm256_unpackhi_ps(r[j], r[j + 1]);
    }
    UNROLL for (int j = 0; j < 2; j++) {
        column[2 * j] = _mm256_shuffle_ps(s[j], s[j + 2], 0x44);
        column[2 * j + 1] = _mm256_shuffle_ps(s[j], s[j + 2], 0xEE);
    }
}

/* The depths of eight rows that come in fours, or in eights if they are bf16; returns how many. A pair of
 * bf16 is transposed as one lane and comes apart afterwards. */
INLINE int64_t pack_eight_rows(float *panel, int64_t stride, const void *const *rows, const ink_dtype dtype,
                               int64_t first, int64_t depth) {
    const int64_t step = dtype == INK_BF16 ? 8 : 4, bytes = dtype == INK_F32 ? 4 : 2;
    int64_t k = 0;
    for (; k + step <= depth; k += step) {
        __m256 column[4];
        transpose_quads(rows, dtype, (first + k) * bytes, column);
        float *to = panel + k * stride;
        UNROLL for (int d = 0; d < 4; d++) {
            if (dtype == INK_BF16) {
                const __m256i pairs = _mm256_castps_si256(column[d]);
                const __m256i upper = _mm256_set1_epi32((int)0xFFFF0000u);
                _mm256_storeu_ps(to + 2 * d * stride, _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)));
                _mm256_storeu_ps(to + (2 * d + 1) * stride,
                                 _mm256_castsi256_ps(_mm256_and_si256(pairs, upper)));
            } else {
                _mm256_storeu_ps(to + d * stride, column[d]);
            }
        }
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
        int64_t k; /* a stride that the compiler knows saves a fifth of the time */
        if (stride != TILE_COLUMNS)
            k = pack_eight_rows(panel + j, stride, rows + j, dtype, first, depth);
        else if (dtype == INK_F32)
            k = pack_eight_rows(panel + j, TILE_COLUMNS, rows + j, INK_F32, first, depth);
        else if (dtype == INK_BF16)
            k = pack_eight_rows(panel + j, TILE_COLUMNS, rows + j, INK_BF16, first, depth);
        else
            k = pack_eight_rows(panel + j, TILE_COLUMNS, rows + j, INK_F16, first, depth);
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
