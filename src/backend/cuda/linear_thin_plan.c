#include "backend/cuda/linear_thin.h"

#include "backend/cuda/hopper_maps.h"
#include "backend/cuda/memory.h"

enum { box_columns = 64, cluster_blocks = ink_thin_cluster };

static bool can(const ink_cuda_linear_problem *p) {
    enum { most = 1 << 30, bytes = 2 };
    return p->x.dtype == INK_BF16 && p->out.dtype == INK_BF16 && p->activation != INK_ACT_SILU &&
           p->x.rows > 0 && p->x.rows <= ink_thin_most_rows && p->x.columns >= cluster_blocks * box_columns &&
           p->x.columns < most && p->out.columns < most && p->out.columns % 8 == 0 &&
           ink_hopper_can_map(p->x.data, p->x.stride * bytes) &&
           ink_hopper_can_map(p->weight, p->x.columns * bytes) &&
           ink_hopper_can_map(p->out.data, p->out.stride * bytes) && (uintptr_t)p->bias % 4 == 0;
}

int ink_thin_width_of(const ink_cuda_linear_problem *p, int major, int minor, int multiprocessors) {
    if (major != 9 || minor != 0 || !can(p)) return -1;
    for (int i = 0; i < ink_thin_widths; i++) {
        const int64_t clusters = (p->out.columns + ink_thin_width[i] - 1) / ink_thin_width[i];
        if (clusters * cluster_blocks <= multiprocessors) return i;
    }
    return -1;
}

ink_status ink_thin_linear_prepare(const ink_cuda_linear_problem *p, int width, ink_error *error) {
    ink_hopper_encode encode;
    INK_TRY(ink_hopper_find_encode(&encode, error));
    return ink_thin_allow(width, (int)p->x.rows, p->activation, error);
}

/* With boxes of so many rows of W. */
static ink_status describe(const ink_cuda_linear_problem *p, int box_rows, ink_thin_params *params,
                           ink_error *error) {
    const int64_t k = p->x.columns, n = p->out.columns;
    const ink_cuda_matrix weight = {(void *)(uintptr_t)p->weight, p->x.dtype, n, k, k};
    ink_hopper_encode encode;
    *params = (ink_thin_params){.bias = p->bias,
                                .out = p->out.data,
                                .stride = p->out.stride,
                                .rows = (int)p->x.rows,
                                .columns = (int)n,
                                .boxes = (int)((k + box_columns - 1) / box_columns),
                                .activation = p->activation};
    INK_TRY(ink_hopper_find_encode(&encode, error));
    INK_TRY(ink_hopper_map_rows(encode, &p->x, ink_thin_box_rows(p->x.rows), &params->x, error));
    return ink_hopper_map_rows(encode, &weight, box_rows, &params->w, error);
}

ink_status ink_thin_linear_run(const ink_cuda_linear_problem *p, int width, cudaStream_t stream,
                               ink_error *error) {
    ink_thin_params params;
    INK_TRY(describe(p, ink_thin_width[width], &params, error));
    return ink_cuda_check(ink_thin_launch(stream, width, p->early, &params), "a product", error);
}

ink_status ink_beside_linear_prepare(const ink_cuda_linear_problem *p, ink_error *error) {
    ink_hopper_encode encode;
    if (!can(p)) return ink_fail(error, INK_ERROR_UNSUPPORTED, "a product cannot run beside others");
    INK_TRY(ink_hopper_find_encode(&encode, error));
    return ink_beside_allow((int)p->x.rows, p->activation, error);
}

ink_status ink_beside_linear_run(const ink_cuda_linear_problem *p, int multiprocessors, cudaStream_t stream,
                                 ink_error *error) {
    ink_thin_params params;
    INK_TRY(describe(p, ink_beside_width, &params, error));
    return ink_cuda_check(ink_beside_launch(stream, multiprocessors, &params), "a product", error);
}
