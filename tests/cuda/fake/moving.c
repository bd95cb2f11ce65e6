/*
 * Stand-ins for the kernels that move, make tables and end a step; see kernels.c.
 */
#include "fake.h"

#include "backend/cuda/step.h"
#include "weights/synthetic.h"

#include <math.h>

static const float *row_at(const ink_cuda_row *row) {
    return row->step ? row->data + *row->step * row->per_step : row->data;
}

/* ---- rows and steps ---- */

typedef struct move {
    ink_cuda_matrix from, to;
    const int32_t *rows;                /* nullable: of `from` */
    const int64_t *from_step, *to_step; /* nullable */
    int64_t from_per_step, to_per_step;
} move;

static void move_kernel(const void *arguments) {
    move m = *(const move *)arguments;
    if (m.from_step)
        m.from.data =
            (char *)m.from.data + *m.from_step * m.from_per_step * (int64_t)ink_dtype_bytes(m.from.dtype);
    if (m.to_step)
        m.to.data = (char *)m.to.data + *m.to_step * m.to_per_step * (int64_t)ink_dtype_bytes(m.to.dtype);
    for (int64_t r = 0; r < m.to.rows; r++) {
        for (int64_t c = 0; c < m.to.columns; c++) {
            fake_move(&m.to, r, c, &m.from, m.rows ? m.rows[r] : r, c);
        }
    }
}

cudaError_t ink_cuda_store_step(cudaStream_t stream, const ink_cuda_matrix *x, const int64_t *step,
                                const ink_cuda_matrix *table) {
    move m = {.from = *x, .to = *x, .to_step = step, .to_per_step = x->rows * x->columns};
    m.to.data = table->data;
    m.to.dtype = table->dtype;
    m.to.stride = x->columns;
    return fake_start(stream, move_kernel, &m, sizeof m);
}

cudaError_t ink_cuda_load_step(cudaStream_t stream, const ink_cuda_row *row, const ink_cuda_matrix *out) {
    move m = {.from = *out, .to = *out, .from_step = row->step, .from_per_step = row->per_step};
    memcpy(&m.from.data, &row->data, sizeof m.from.data);
    m.from.dtype = INK_F32;
    m.from.stride = out->columns;
    return fake_start(stream, move_kernel, &m, sizeof m);
}

cudaError_t ink_cuda_gather_rows(cudaStream_t stream, const ink_cuda_matrix *x, const int32_t *rows,
                                 const ink_cuda_matrix *out) {
    const move m = {.from = *x, .to = *out, .rows = rows};
    return fake_start(stream, move_kernel, &m, sizeof m);
}

cudaError_t ink_cuda_embed_rows(cudaStream_t stream, const ink_cuda_matrix *table, const int32_t *ids,
                                const ink_cuda_matrix *out) {
    return ink_cuda_gather_rows(stream, table, ids, out);
}

/* ---- patches ---- */

typedef struct patching {
    ink_cuda_matrix picture, patches;
    int64_t grid_width, patch;
    bool pack;
} patching;

static void patch_kernel(const void *arguments) {
    const patching *p = arguments;
    const int64_t area = p->patch * p->patch, width = p->grid_width * p->patch;
    for (int64_t r = 0; r < p->patches.rows; r++) {
        for (int64_t c = 0; c < p->patches.columns; c++) {
            const int64_t y = r / p->grid_width * p->patch + c % area / p->patch;
            const int64_t x = r % p->grid_width * p->patch + c % p->patch;
            if (p->pack)
                fake_put(&p->patches, r, c, fake_get(&p->picture, y * width + x, c / area));
            else
                fake_put(&p->picture, y * width + x, c / area, fake_get(&p->patches, r, c));
        }
    }
}

cudaError_t ink_cuda_pack_patches(cudaStream_t stream, const ink_cuda_matrix *x, int64_t height,
                                  int64_t width, int64_t patch, const ink_cuda_matrix *out) {
    const patching p = {*x, *out, width / patch, patch, true};
    if (x->rows != height * width) return cudaErrorInvalidValue;
    return fake_start(stream, patch_kernel, &p, sizeof p);
}

cudaError_t ink_cuda_unpack_patches(cudaStream_t stream, const ink_cuda_matrix *x, int64_t grid_height,
                                    int64_t grid_width, int64_t patch, const ink_cuda_matrix *out) {
    const patching p = {*out, *x, grid_width, patch, false};
    if (x->rows != grid_height * grid_width) return cudaErrorInvalidValue;
    return fake_start(stream, patch_kernel, &p, sizeof p);
}

/* ---- tables: with the roundings that graph/ops.h asks for ---- */

typedef struct table {
    const int32_t *positions;
    const float *t;
    int64_t rows, axis_dim[INK_MAX_AXES], dim;
    int axes;
    double theta;
    float scale, max_period;
    float *out;
    ink_cuda_matrix matrix;
} table;

static void rotary_kernel(const void *arguments) {
    const table *p = arguments;
    float *out = p->out;
    for (int64_t r = 0; r < p->rows; r++) {
        for (int a = 0; a < p->axes; a++) {
            for (int64_t i = 0; i < p->axis_dim[a] / 2; i++) {
                const float exponent = (float)(2 * i) / (float)p->axis_dim[a];
                const float frequency = 1.0f / (float)pow(p->theta, (double)exponent);
                const float angle = (float)p->positions[r * p->axes + a] * frequency;
                *out++ = (float)cos((double)angle);
                *out++ = (float)sin((double)angle);
            }
        }
    }
}

cudaError_t ink_cuda_rotary_table(cudaStream_t stream, const int32_t *positions, int64_t rows, int axes,
                                  const int64_t *axis_dim, double theta, float *out) {
    table p = {.positions = positions, .rows = rows, .axes = axes, .theta = theta, .out = out};
    memcpy(p.axis_dim, axis_dim, (size_t)axes * sizeof *axis_dim);
    return fake_start(stream, rotary_kernel, &p, sizeof p);
}

static void timestep_kernel(const void *arguments) {
    const table *p = arguments;
    const int64_t half = p->dim / 2;
    const float rate = (float)-log((double)p->max_period);
    for (int64_t r = 0; r < p->rows; r++) {
        for (int64_t i = 0; i < half; i++) {
            const float exponent = rate * (float)i / (float)half;
            const float product = p->t[r] * (float)exp((double)exponent);
            const float angle = p->scale * product;
            fake_put(&p->matrix, r, i, cos((double)angle));
            fake_put(&p->matrix, r, half + i, sin((double)angle));
        }
    }
}

cudaError_t ink_cuda_timestep_embedding(cudaStream_t stream, const float *t, int64_t count, int64_t dim,
                                        float scale, float max_period, const ink_cuda_matrix *out) {
    const table p = {
        .t = t, .rows = count, .dim = dim, .scale = scale, .max_period = max_period, .matrix = *out};
    if (out->rows != count || out->columns != dim) return cudaErrorInvalidValue;
    return fake_start(stream, timestep_kernel, &p, sizeof p);
}

/* ---- the loop ---- */

typedef struct guiding {
    ink_cuda_matrix v, out;
    ink_cuda_row scale;
    bool rescale;
} guiding;

static void guidance_kernel(const void *arguments) {
    const guiding *g = arguments;
    const double scale = (double)*row_at(&g->scale);
    for (int64_t r = 0; r < g->out.rows; r++) {
        double p_squares = 0, c_squares = 0;
        for (int pass = 0; pass < 2; pass++) {
            const double factor = g->rescale && c_squares > 0 ? sqrt(p_squares / c_squares) : 1;
            for (int64_t c = 0; c < g->out.columns; c++) {
                const double p = fake_get(&g->v, r, c), u = fake_get(&g->v, r + g->out.rows, c);
                const double guided = u + scale * (p - u);
                if (pass == 0) {
                    p_squares += p * p;
                    c_squares += guided * guided;
                } else {
                    fake_put(&g->out, r, c, factor * guided);
                }
            }
        }
    }
}

cudaError_t ink_cuda_guidance(cudaStream_t stream, const ink_cuda_matrix *v, const ink_cuda_row *scale,
                              bool rescale, const ink_cuda_matrix *out) {
    const guiding g = {*v, *out, *scale, rescale};
    return fake_start(stream, guidance_kernel, &g, sizeof g);
}

typedef struct counting {
    ink_cuda_matrix x;
    unsigned char *scratch;
    float *out;
} counting;

size_t ink_cuda_stats_scratch(int64_t elements) {
    return (size_t)(elements + 4095) / 4096 * 24;
}

static void stats_kernel(const void *arguments) {
    const counting *s = arguments;
    double squares = 0;
    int64_t finite = 0;
    const int64_t count = s->x.rows * s->x.columns;
    float low = INFINITY, high = -INFINITY;
    memset(s->scratch, 0x5A, ink_cuda_stats_scratch(count));
    for (int64_t begin = 0; begin < count; begin += 4096) { /* in chunks, as the contract says */
        double chunk = 0;
        for (int64_t i = begin; i < begin + 4096 && i < count; i++) {
            const double x = fake_get(&s->x, i / s->x.columns, i % s->x.columns);
            if (!isfinite(x)) continue;
            chunk += x * x;
            finite++;
            low = fminf(low, (float)x);
            high = fmaxf(high, (float)x);
        }
        squares += chunk;
    }
    s->out[0] = finite ? low : 0;
    s->out[1] = finite ? high : 0;
    s->out[2] = finite ? (float)sqrt(squares / (double)finite) : 0;
    s->out[3] = (float)(count - finite);
}

cudaError_t ink_cuda_stats(cudaStream_t stream, const ink_cuda_matrix *x, void *scratch, float *out) {
    const counting s = {*x, scratch, out};
    return fake_start(stream, stats_kernel, &s, sizeof s);
}

typedef struct setting {
    int64_t *step, value;
} setting;

static void step_kernel(const void *arguments) {
    const setting *s = arguments;
    *s->step = s->value;
}

cudaError_t ink_cuda_set_step(cudaStream_t stream, int64_t *step, int64_t value) {
    const setting s = {step, value};
    return fake_start(stream, step_kernel, &s, sizeof s);
}

/* ---- synthetic weights ---- */

typedef struct filling {
    ink_synthetic_recipe recipe;
    int64_t first;
    ink_cuda_matrix out;
} filling;

static void fill_kernel(const void *arguments) {
    const filling *f = arguments;
    for (int64_t i = 0; i < f->out.columns; i++) {
        const int64_t at = f->first + i;
        const uint64_t bits = ink_synthetic_bits(f->recipe.key, (uint64_t)(at / 4));
        const float value = ink_synthetic_value((uint32_t)(bits >> (16 * (at % 4)) & 0xFFFF), f->recipe.scale,
                                                f->recipe.offset);
        fake_put(&f->out, 0, i, (double)ink_f32_from_bf16(ink_bf16_from_f32(value)));
    }
}

cudaError_t ink_cuda_synthetic_fill(cudaStream_t stream, uint64_t key, float scale, float offset,
                                    ink_dtype dtype, int64_t first, int64_t count, void *out) {
    const filling f = {{key, scale, offset}, first, {out, dtype, 1, count, count}};
    return fake_start(stream, fill_kernel, &f, sizeof f);
}
