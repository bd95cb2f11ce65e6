#include "backend/cuda/linear_hopper.h"

#include "backend/cuda/fp8.h"
#include "backend/cuda/hopper_maps.h"
#include "backend/cuda/memory.h"

#include <stdlib.h>

struct ink_hopper_linear {
    ink_hopper_encode encode;
    ink_hopper_linear_item *items; /* these on the device */
    int32_t *starts;
    uint32_t *flags;
    float *slots; /* the caller's */
    int clusters;
};

/* ---- which problems ---- */

static bool can_product(const ink_cuda_linear_problem *p, const ink_cuda_linear_problem *like) {
    enum { most = 1 << 30 };
    const bool fp8 = p->x.dtype == INK_F8_E4M3;
    const int64_t bytes = fp8 ? 1 : 2;
    return (fp8 || p->x.dtype == INK_BF16) && p->out.dtype == INK_BF16 && p->x.dtype == like->x.dtype &&
           p->x.columns == like->x.columns && p->out.columns == like->out.columns &&
           p->activation == like->activation && p->activation != INK_ACT_SILU && p->x.rows == p->out.rows &&
           p->x.rows > 0 && p->x.rows < most && p->x.columns < most && p->out.columns < most &&
           p->out.columns % 8 == 0 && ink_hopper_can_map(p->x.data, p->x.stride * bytes) &&
           ink_hopper_can_map(p->weight, p->x.columns * bytes) &&
           ink_hopper_can_map(p->out.data, p->out.stride * 2) && (uintptr_t)p->bias % 4 == 0;
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

/* ---- tables on the device ---- */

static ink_status upload_schedule(ink_hopper_linear *l, const ink_hopper_schedule *s, cudaStream_t stream,
                                  ink_error *error) {
    const char *what = "a product's tables";
    const size_t flags = (size_t)s->slots * ink_hopper_slot_groups * sizeof(uint32_t);
    void *memory = NULL;
    INK_TRY(ink_cuda_copy_to_device(s->items, (size_t)(s->n_items + 1) * sizeof *s->items, what, stream,
                                    &memory, error));
    l->items = memory;
    INK_TRY(ink_cuda_copy_to_device(s->starts, (size_t)(s->clusters + 1) * sizeof *s->starts, what, stream,
                                    &memory, error));
    l->starts = memory;
    if (flags == 0) return INK_OK;
    INK_TRY(ink_cuda_check(cudaMalloc(&memory, flags), what, error));
    l->flags = memory;
    return ink_cuda_check(cudaMemsetAsync(l->flags, 0, flags, stream), what, error);
}

static int boxes_of(const ink_cuda_matrix *x) {
    const int64_t box = x->dtype == INK_F8_E4M3 ? ink_hopper_box_bytes : ink_hopper_box_bytes / 2;
    return (int)((x->columns + box - 1) / box);
}

ink_status ink_hopper_linear_create(const ink_hopper_linear_problem *problem, int multiprocessors,
                                    void *scratch, size_t scratch_bytes, cudaStream_t stream,
                                    ink_hopper_linear **linear, ink_error *error) {
    *linear = NULL;
    const ink_cuda_linear_problem *first = &problem->products[0];
    const ink_hopper_linear_params kind = {.groups = {{.rotary = problem->rotations[0].table}},
                                           .activation = first->activation};
    INK_TRY(ink_hopper_linear_prepare(first->x.dtype == INK_F8_E4M3, &kind, error));
    int64_t rows[ink_hopper_most_groups];
    for (int i = 0; i < problem->n_groups; i++) {
        rows[i] = problem->products[i].x.rows;
    }
    ink_hopper_schedule schedule = {0};
    ink_hopper_linear *l = calloc(1, sizeof *l);
    if (!l) return ink_fail_memory(error, "a product", sizeof *l);
    ink_status status = ink_hopper_find_encode(&l->encode, error);
    if (status == INK_OK)
        status = ink_hopper_schedule_make(problem->n_groups, rows, first->out.columns, boxes_of(&first->x),
                                          multiprocessors / ink_hopper_cluster,
                                          (int)(scratch_bytes / ink_hopper_slot_bytes), &schedule, error);
    if (status == INK_OK) status = upload_schedule(l, &schedule, stream, error);
    l->clusters = schedule.clusters;
    l->slots = scratch;
    ink_hopper_schedule_free(&schedule);
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
    (void)cudaFree(l->starts);
    (void)cudaFree(l->flags);
    free(l);
}

/* ---- running ---- */

static ink_status set_group(const ink_hopper_linear *l, const ink_cuda_linear_problem *p,
                            const ink_hopper_rotation *rotation, ink_hopper_linear_group *g,
                            ink_error *error) {
    const int64_t n = p->out.columns, k = p->x.columns;
    const ink_cuda_matrix weight = {(void *)(uintptr_t)p->weight, p->x.dtype, n, k, k};
    INK_TRY(ink_hopper_map_rows(l->encode, &p->x, ink_hopper_box_x, &g->x, error));
    INK_TRY(ink_hopper_map_rows(l->encode, &weight, ink_hopper_box_columns, &g->w, error));
    INK_TRY(ink_hopper_map_rows(l->encode, &p->out, ink_hopper_box_columns, &g->out, error));
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
    ink_hopper_linear_params params = {.items = l->items,
                                       .starts = l->starts,
                                       .slots = l->slots,
                                       .flags = l->flags,
                                       .columns = (int)first->out.columns,
                                       .part_columns = (int)first->out.columns / 3,
                                       .eps = problem->rotations[0].eps,
                                       .activation = first->activation};
    for (int i = 0; i < problem->n_groups; i++) {
        INK_TRY(set_group(l, &problem->products[i], &problem->rotations[i], &params.groups[i], error));
    }
    return ink_cuda_check(ink_hopper_linear_launch(stream, l->clusters, fp8, &params), "a product", error);
}
