/*
 * The one micro-kernel under matrix products, convolutions and attention:
 *
 *   out[r][0 .. n) (+)= sum over taps t and depth k of rows[t][r][k] * panel[t * depth + k][0 .. n)
 *
 * Up to TILE_ROWS x TILE_COLUMNS accumulators stay in registers. Rows and outputs are reached through
 * pointers, so that a row may be a row of a packed matrix, a pixel of a picture or a row of softmax weights;
 * a panel is a packed strip of the other matrix, one vector group per k. Each call sums from zero and adds to
 * the output once: long sums become sums of partial sums, which loses less.
 */
#ifndef INK_BACKEND_CPU_TILE_H
#define INK_BACKEND_CPU_TILE_H

#include "backend/cpu/simd.h"

/* Rows x vectors: as many accumulators as leave registers for one broadcast and one row of the panel. */
#if INK_LEVEL == 2
enum { TILE_ROWS = 8, TILE_VECTORS = 3 };
#else
enum { TILE_ROWS = 6, TILE_VECTORS = 2 };
#endif
enum { TILE_COLUMNS = TILE_VECTORS * VL };

typedef struct tile_product {
    const float *const *rows; /* [taps][rows_stride] */
    int64_t rows_stride, taps;
    int64_t depth; /* floats per row and tap */
    int64_t n_rows;
    const float *panel; /* [taps * depth][panel_stride] */
    int64_t panel_stride;
    float *const *out; /* [n_rows] */
    int64_t out_column;
    int columns;     /* 1 ... TILE_COLUMNS; the panel has them rounded up to whole vectors */
    bool accumulate; /* add to out instead of setting it */
    /* Memory to fetch in the meantime, in pieces of soon_bytes. All at once they would block the loads. */
    const char *const *soon;
    int64_t n_soon, soon_bytes;
} tile_product;

/* rows: [taps][rows_stride]; out: [m], first column included. */
INLINE void tile_kernel(const int m, const int v, const tile_product *p, const float *const *rows,
                        float *const *out) {
    vf sum[TILE_ROWS][TILE_VECTORS];
    UNROLL for (int r = 0; r < m; r++) {
        UNROLL for (int j = 0; j < v; j++) {
            sum[r][j] = vzero();
        }
    }
    const float *panel = p->panel;
    const int64_t stride = p->panel_stride, depth = p->depth;
    for (int64_t t = 0; t < p->taps; t++) {
        const float *x[TILE_ROWS];
        UNROLL for (int r = 0; r < m; r++) {
            x[r] = rows[t * p->rows_stride + r];
        }
        for (int64_t k = 0; k < depth; k++) {
            vf w[TILE_VECTORS];
            UNROLL for (int j = 0; j < v; j++) {
                w[j] = vload(panel + j * VL);
            }
            panel += stride;
            UNROLL for (int r = 0; r < m; r++) {
                const vf a = vset(x[r][k]);
                UNROLL for (int j = 0; j < v; j++) {
                    sum[r][j] = vfma(a, w[j], sum[r][j]);
                }
            }
        }
    }
    UNROLL for (int r = 0; r < m; r++) {
        UNROLL for (int j = 0; j < v; j++) {
            float *to = out[r] + j * VL;
            vstore(to, p->accumulate ? vload(to) + sum[r][j] : sum[r][j]);
        }
    }
}

typedef void (*tile_fn)(const tile_product *p, const float *const *rows, float *const *out);

#define TILE(m, v)                                                                                           \
    static void tile_##m##_##v(const tile_product *p, const float *const *rows, float *const *out) {         \
        tile_kernel(m, v, p, rows, out);                                                                     \
    }
#define TILE_ROW(v) TILE(1, v) TILE(2, v) TILE(3, v) TILE(4, v) TILE(5, v) TILE(6, v)
TILE_ROW(1)
TILE_ROW(2)
#if INK_LEVEL == 2
TILE_ROW(3)
TILE(7, 1)
TILE(8, 1)
TILE(7, 2)
TILE(8, 2)
TILE(7, 3)
TILE(8, 3)
#define TILE_LIST(v)                                                                                         \
    { tile_1_##v, tile_2_##v, tile_3_##v, tile_4_##v, tile_5_##v, tile_6_##v, tile_7_##v, tile_8_##v }
static const tile_fn tiles[TILE_VECTORS][TILE_ROWS] = {TILE_LIST(1), TILE_LIST(2), TILE_LIST(3)};
#else
#define TILE_LIST(v)                                                                                         \
    { tile_1_##v, tile_2_##v, tile_3_##v, tile_4_##v, tile_5_##v, tile_6_##v }
static const tile_fn tiles[TILE_VECTORS][TILE_ROWS] = {TILE_LIST(1), TILE_LIST(2)};
#endif

/* One tile of m rows whose columns are not whole vectors: computed aside, then copied. */
static void tile_ragged(const tile_product *p, tile_fn fn, int m, const float *const *rows,
                        float *const *out) {
    float aside[TILE_ROWS][TILE_COLUMNS];
    float *to[TILE_ROWS];
    for (int r = 0; r < TILE_ROWS; r++) {
        to[r] = aside[r];
    }
    tile_product whole = *p;
    whole.accumulate = false;
    fn(&whole, rows, to);
    for (int r = 0; r < m; r++) {
        for (int j = 0; j < p->columns; j++) {
            out[r][j] = p->accumulate ? out[r][j] + aside[r][j] : aside[r][j];
        }
    }
}

/* Fetches the share of tile t of n_tiles. */
INLINE void tile_fetch(const tile_product *p, int64_t t, int64_t n_tiles) {
    for (int64_t i = p->n_soon * t / n_tiles; i < p->n_soon * (t + 1) / n_tiles; i++) {
        for (int64_t byte = 0; byte < p->soon_bytes; byte += 64) {
            __builtin_prefetch(p->soon[i] + byte, 0, 2);
        }
    }
}

/* The whole product. Rows are dealt to tiles evenly: 20 rows are five tiles of 4, not three of 6 and one of
 * 2, because narrow tiles wait for their own sums. */
static void tile_run(const tile_product *p) {
    const int64_t n_tiles = (p->n_rows + TILE_ROWS - 1) / TILE_ROWS;
    const int vectors = (p->columns + VL - 1) / VL;
    for (int64_t t = 0; t < n_tiles; t++) {
        const int64_t first = p->n_rows * t / n_tiles, end = p->n_rows * (t + 1) / n_tiles;
        const int m = (int)(end - first);
        float *out[TILE_ROWS] = {0};
        for (int r = 0; r < m; r++) {
            out[r] = p->out[first + r] + p->out_column;
        }
        tile_fetch(p, t, n_tiles);
        const tile_fn fn = tiles[vectors - 1][m - 1];
        if (p->columns == vectors * VL)
            fn(p, p->rows + first, out);
        else
            tile_ragged(p, fn, m, p->rows + first, out);
    }
}

#endif
