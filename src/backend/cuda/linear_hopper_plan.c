#include "backend/cuda/linear_hopper.h"

#include "backend/cuda/fp8.h"
#include "backend/cuda/hopper_maps.h"
#include "backend/cuda/memory.h"

#include <stdlib.h>

enum { cluster_blocks = 2, cluster_rows = cluster_blocks * ink_hopper_tile_rows };

struct ink_hopper_linear {
    ink_hopper_encode encode;
    ink_hopper_linear_item *items; /* device */
    int n_items, clusters;
};

/* ---- which problems ---- */

static bool is_aligned(const void *data, int64_t stride_bytes) {
    return (uintptr_t)data % 16 == 0 && stride_bytes % 16 == 0;
}

static bool can_product(const ink_cuda_linear_problem *p, const ink_cuda_linear_problem *like) {
    enum { most = 1 << 30 };
    const bool fp8 = p->x.dtype == INK_F8_E4M3;
    const int64_t bytes = fp8 ? 1 : 2;
    return (fp8 || p->x.dtype == INK_BF16) && p->out.dtype == INK_BF16 && p->x.dtype == like->x.dtype &&
           p->x.columns == like->x.columns && p->out.columns == like->out.columns &&
           p->activation == like->activation && p->activation != INK_ACT_SILU && p->x.rows == p->out.rows &&
           p->x.rows > 0 && p->x.rows < most && p->x.columns < most && p->out.columns < most &&
           p->out.columns % 8 == 0 && is_aligned(p->x.data, p->x.stride * bytes) &&
           is_aligned(p->weight, p->x.columns * bytes) && is_aligned(p->out.data, p->out.stride * 2) &&
           (uintptr_t)p->bias % 4 == 0;
}

bool ink_hopper_linear_can(const ink_hopper_linear_problem *p, int major, int minor) {
    bool can = major == 9 && minor == 0 && p->n_groups >= 1 && p->n_groups <= ink_hopper_most_groups;
    for (int i = 0; can && i < p->n_groups; i++) {
        const ink_hopper_rotation *r = &p->rotations[i];
        const int64_t columns = p->products[i].out.columns;
        can = can_product(&p->products[i], &p->products[0]) && !r->table == !p->rotations[0].table;
        if (can && r->table)
            can = p->products[i].activation == INK_ACT_NONE && columns % (3 * ink_hopper_head_columns) == 0 &&
                  r->gains[0] && r->gains[1] && (uintptr_t)r->gains[0] % 4 == 0 &&
                  (uintptr_t)r->gains[1] % 4 == 0 && (uintptr_t)r->table % 8 == 0;
    }
    return can;
}

/* ---- the order of the work ---- */

static int divide_up(int64_t a, int64_t b) {
    return (int)((a + b - 1) / b);
}

/* Clusters that run at the same time work on a part of the result that is about as high as wide: they find
 * most rows of x and of W in the cache, which is worth as much as the arithmetic where the card is at its
 * power limit. Parts follow one another so that each shares its rows of x, or of W, with the one before. */
static int list_down(ink_hopper_linear_item *items, int group, int64_t rows, int64_t columns, int clusters) {
    const int high = divide_up(rows, cluster_rows), wide = divide_up(columns, ink_hopper_tile_columns);
    int side = 1;
    while ((side + 1) * (side + 1) <= clusters) {
        side++;
    }
    const int slabs = divide_up(high, side), part_high = divide_up(high, slabs),
              bands = divide_up(wide, divide_up(clusters, part_high)), part_wide = divide_up(wide, bands);
    int n = 0;
    for (int part = 0; part < slabs * bands; part++) {
        const int slab = part / bands, band = slab % 2 ? bands - 1 - part % bands : part % bands;
        for (int y = slab * part_high; y < high && y < (slab + 1) * part_high; y++) {
            for (int x = band * part_wide; x < wide && x < (band + 1) * part_wide; x++) {
                items[n++] =
                    (ink_hopper_linear_item){group, 0, y * cluster_rows, x * ink_hopper_tile_columns};
            }
        }
    }
    return n;
}

/* Few rows: tiles in a row share them. */
static int list_across(ink_hopper_linear_item *items, int group, int64_t rows, int64_t columns) {
    int n = 0;
    for (int y = 0; y < divide_up(rows, ink_hopper_tile_rows); y++) {
        for (int x = 0; x < divide_up(columns, cluster_blocks * ink_hopper_tile_columns); x++) {
            items[n++] = (ink_hopper_linear_item){group, 1, y * ink_hopper_tile_rows,
                                                  x * cluster_blocks * ink_hopper_tile_columns};
        }
    }
    return n;
}

static size_t most_items(const ink_hopper_linear_problem *p) {
    size_t n = 0;
    for (int i = 0; i < p->n_groups; i++) {
        const ink_cuda_matrix *out = &p->products[i].out;
        n += (size_t)divide_up(out->rows, ink_hopper_tile_rows) *
             (size_t)divide_up(out->columns, ink_hopper_tile_columns);
    }
    return n;
}

static int list_items(const ink_hopper_linear_problem *p, int clusters, ink_hopper_linear_item *items) {
    int n = 0;
    for (int i = 0; i < p->n_groups; i++) {
        const ink_cuda_matrix *out = &p->products[i].out;
        n += out->rows <= ink_hopper_tile_rows ? list_across(items + n, i, out->rows, out->columns)
                                               : list_down(items + n, i, out->rows, out->columns, clusters);
    }
    return n;
}

ink_status ink_hopper_linear_create(const ink_hopper_linear_problem *problem, int multiprocessors,
                                    cudaStream_t stream, ink_hopper_linear **linear, ink_error *error) {
    const char *what = "a product's tables";
    *linear = NULL;
    INK_TRY(ink_hopper_linear_prepare(error));
    const size_t bytes = most_items(problem) * sizeof(ink_hopper_linear_item);
    ink_hopper_linear *l = calloc(1, sizeof *l);
    ink_hopper_linear_item *items = malloc(bytes);
    ink_status status = INK_OK;
    if (!l || !items) status = ink_fail_memory(error, what, sizeof *l + bytes);
    if (status == INK_OK) status = ink_hopper_find_encode(&l->encode, error);
    if (status == INK_OK) {
        l->clusters = multiprocessors / cluster_blocks;
        l->n_items = list_items(problem, l->clusters, items);
        if (l->clusters > l->n_items) l->clusters = l->n_items;
        status = ink_cuda_check(cudaMalloc((void **)&l->items, bytes), what, error);
    }
    if (status == INK_OK) /* pageable memory: the call returns once it has been read */
        status = ink_cuda_check(cudaMemcpyAsync(l->items, items, bytes, cudaMemcpyHostToDevice, stream), what,
                                error);
    free(items);
    if (status != INK_OK) {
        ink_hopper_linear_destroy(l);
        return status;
    }
    *linear = l;
    return INK_OK;
}

void ink_hopper_linear_destroy(ink_hopper_linear *l) {
    if (!l) return;
    (void)cudaFree(l->items);
    free(l);
}

/* ---- running ---- */

static ink_status encode_rows(ink_hopper_encode encode, const void *data, ink_dtype dtype, int64_t rows,
                              int64_t columns, int64_t stride, int box_rows, CUtensorMap *map,
                              ink_error *error) {
    enum { rank = 2 };
    const bool fp8 = dtype == INK_F8_E4M3;
    const cuuint64_t bytes = fp8 ? 1 : 2, dims[rank] = {(cuuint64_t)columns, (cuuint64_t)rows},
                     strides[rank - 1] = {(cuuint64_t)stride * bytes};
    const cuuint32_t box[rank] = {ink_hopper_box_bytes / (cuuint32_t)bytes, (cuuint32_t)box_rows},
                     every[rank] = {1, 1};
    const CUresult result = encode(
        map, fp8 ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank,
        (void *)(uintptr_t)data, dims, strides, box, every, CU_TENSOR_MAP_INTERLEAVE_NONE,
        CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result == CUDA_SUCCESS) return INK_OK;
    return ink_fail(error, INK_ERROR_INTERNAL, "CUDA could not describe a product's rows: error %d",
                    (int)result);
}

static ink_status set_group(const ink_hopper_linear *l, const ink_cuda_linear_problem *p,
                            const ink_hopper_rotation *rotation, ink_hopper_linear_group *g,
                            ink_error *error) {
    const int64_t n = p->out.columns, k = p->x.columns;
    INK_TRY(encode_rows(l->encode, p->x.data, p->x.dtype, p->x.rows, k, p->x.stride, ink_hopper_box_x, &g->x,
                        error));
    INK_TRY(encode_rows(l->encode, p->weight, p->x.dtype, n, k, k, ink_hopper_box_w, &g->w, error));
    INK_TRY(encode_rows(l->encode, p->out.data, INK_BF16, p->out.rows, n, p->out.stride, ink_hopper_box_out,
                        &g->out, error));
    g->bias = p->bias;
    g->rows = (int)p->x.rows;
    if (p->x.dtype == INK_F8_E4M3) {
        g->x_scales = ink_cuda_fp8_scales(p->x.data, p->x.rows, k);
        g->w_scales = ink_cuda_fp8_scales(p->weight, n, k);
    }
    g->rotary = rotation->table;
    g->gains[0] = rotation->gains[0];
    g->gains[1] = rotation->gains[1];
    return INK_OK;
}

ink_status ink_hopper_linear_run(const ink_hopper_linear *l, const ink_hopper_linear_problem *problem,
                                 cudaStream_t stream, ink_error *error) {
    const ink_cuda_linear_problem *first = &problem->products[0];
    const bool fp8 = first->x.dtype == INK_F8_E4M3;
    const int64_t box = fp8 ? ink_hopper_box_bytes : ink_hopper_box_bytes / 2;
    ink_hopper_linear_params params = {.items = l->items,
                                       .n_items = l->n_items,
                                       .columns = (int)first->out.columns,
                                       .boxes = divide_up(first->x.columns, box),
                                       .part_columns = (int)first->out.columns / 3,
                                       .eps = problem->rotations[0].eps,
                                       .activation = first->activation};
    for (int i = 0; i < problem->n_groups; i++) {
        INK_TRY(set_group(l, &problem->products[i], &problem->rotations[i], &params.groups[i], error));
    }
    return ink_cuda_check(ink_hopper_linear_launch(stream, l->clusters, fp8, &params), "a product", error);
}
