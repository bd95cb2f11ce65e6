#include "pipeline/bench_roof.h"

#include "base/clock.h"
#include "graph/ops.h"
#include "pipeline/bench_timing.h"
#include "pipeline/executable.h"

#include <stdlib.h>

enum {
    least_side = 256,
    most_side = 8192,
    least_rows = 2048,
    most_rows = 32768,
    copy_columns = 4096,
    most_runs = 10
};

static const double most_product_seconds = 1; /* of one run */
static const double enough_seconds = 0.5;     /* of all runs of one size */

/* A run that is shorter may have found its data in a cache. */
static const double least_copy_seconds = 3e-3;

double ink_roof_seconds(const ink_roof *roof, double flops, double bytes) {
    if (!(roof->flops > 0 && roof->bytes > 0)) return 0;
    const double computing = flops / roof->flops, moving = bytes / roof->bytes;
    return computing > moving ? computing : moving;
}

/* What one launch reached, or, where launches cannot be told apart, the whole run. */
typedef struct best_rates {
    double flops, bytes; /* per second */
    double least_bytes;  /* launches that move less are no copy */
} best_rates;

static void note_launch(void *user, const ink_launch *launch) {
    best_rates *best = user;
    if (!(launch->seconds > 0)) return;
    const double flops = launch->flops / launch->seconds, bytes = launch->bytes / launch->seconds;
    if (flops > best->flops) best->flops = flops;
    if (launch->bytes >= best->least_bytes && bytes > best->bytes) best->bytes = bytes;
}

/* Runs a program some times; `flops` and `bytes` are those of its one operation that counts. *seconds is the
 * least that a run took. */
static ink_status run_best(ink_backend *backend, ink_program *program, ink_buffer *fence, double flops,
                           double bytes, const ink_run_control *control, best_rates *best, double *seconds,
                           ink_error *error) {
    const ink_profile profile = {note_launch, best};
    double sum = 0;
    INK_TRY(ink_time_runs(program, fence, 0, 1, 1, control, seconds, error));
    for (int i = 0; i < most_runs && (i < 2 || sum < enough_seconds); i++) {
        const double begin = ink_clock_seconds();
        double once;
        if (ink_backend_profiles(backend)) {
            INK_TRY(ink_program_profile(program, 0, control, &profile, error));
            once = ink_clock_seconds() - begin;
        } else {
            INK_TRY(ink_time_runs(program, fence, 0, 1, 1, control, &once, error));
            note_launch(best, &(ink_launch){.seconds = once, .flops = flops, .bytes = bytes});
        }
        if (once < *seconds) *seconds = once;
        sum += once;
    }
    return INK_OK;
}

/* y = x w^T, of which one column is kept, so that nobody can leave the product out. */
static ink_status make_product(ink_executable *e, ink_weights *weights, int64_t side, ink_error *error) {
    ink_graph *g = e->graph;
    const ink_value x = ink_slot(g, "x", INK_F32, ink_shape2(side, side));
    const ink_value w = ink_weight_value(g, weights, ink_shape2(side, side), "roof.weight");
    const ink_value y = ink_linear(g, x, w, INK_NO_VALUE, INK_ACT_NONE);
    const ink_value kept = ink_slot(g, "kept", INK_F32, ink_shape2(side, 1));
    ink_store(g, kept, ink_slice_columns(g, y, 0, 1), 0, 0);
    INK_TRY(ink_executable_compile(e, error));
    ink_buffer *buffer;
    INK_TRY(ink_executable_bind_new(e, "kept", NULL, error));
    INK_TRY(ink_executable_bind_new(e, "x", &buffer, error));
    const size_t count = (size_t)(side * side);
    float *values = malloc(count * sizeof *values);
    if (!values) return ink_fail_memory(error, "a matrix", count * sizeof *values);
    /* Not zeros: the clock of some devices depends on the bits that flip. */
    ink_fill_activations(values, count);
    const ink_status status = ink_buffer_write(buffer, values, count * sizeof *values, error);
    free(values);
    return status;
}

static ink_status measure_product(ink_backend *backend, ink_buffer *fence, int side,
                                  const ink_run_control *control, best_rates *best, double *seconds,
                                  ink_error *error) {
    ink_weights *weights = NULL;
    INK_TRY(ink_weights_create_synthetic(&weights, error));
    ink_executable e = {0};
    ink_status status = ink_executable_init(&e, backend, error);
    if (status == INK_OK) status = make_product(&e, weights, side, error);
    if (status == INK_OK)
        status =
            run_best(backend, e.program, fence, 2.0 * side * side * side, 0, control, best, seconds, error);
    ink_executable_fini(&e);
    ink_weights_close(weights);
    return status;
}

/* z = y = x with its rows in another order: two copies, of which a backend may do without the second. */
static ink_status make_copy(ink_executable *e, int32_t n, ink_error *error) {
    int32_t *rows = malloc((size_t)n * sizeof *rows);
    if (!rows) return ink_fail_memory(error, "a list of rows", (size_t)n * sizeof *rows);
    for (int32_t i = 0; i < n; i++) {
        rows[i] = n - 1 - i;
    }
    const ink_shape shape = ink_shape2(n, copy_columns);
    const ink_value x = ink_slot(e->graph, "x", INK_F32, shape);
    const ink_value y = ink_gather_rows(e->graph, x, rows, n);
    ink_store(e->graph, ink_slot(e->graph, "z", INK_F32, shape), y, 0, 0);
    free(rows);
    INK_TRY(ink_executable_compile(e, error));
    INK_TRY(ink_executable_bind_new(e, "x", NULL, error));
    return ink_executable_bind_new(e, "z", NULL, error);
}

static ink_status measure_copy(ink_backend *backend, ink_buffer *fence, int32_t rows,
                               const ink_run_control *control, ink_roof *roof, double *seconds,
                               ink_error *error) {
    roof->copied = (double)rows * copy_columns * sizeof(float);
    /* A backend may keep y in a smaller type. */
    best_rates best = {.least_bytes = roof->copied};
    ink_executable e = {0};
    ink_status status = ink_executable_init(&e, backend, error);
    if (status == INK_OK) status = make_copy(&e, rows, error);
    if (status == INK_OK)
        status = run_best(backend, e.program, fence, 0, 2 * roof->copied, control, &best, seconds, error);
    roof->bytes = best.bytes;
    ink_executable_fini(&e);
    return status;
}

ink_status ink_roof_measure(ink_backend *backend, ink_buffer *fence, const ink_run_control *control,
                            ink_roof *roof, ink_error *error) {
    *roof = (ink_roof){0};
    double seconds = 0;
    best_rates best = {0};
    for (int side = least_side; side <= most_side && 8 * seconds < most_product_seconds; side *= 2) {
        INK_TRY(measure_product(backend, fence, side, control, &best, &seconds, error));
        if (best.flops > roof->flops) roof->side = side;
        if (best.flops > roof->flops) roof->flops = best.flops;
    }
    seconds = 0;
    for (int32_t rows = least_rows; rows <= most_rows && seconds < least_copy_seconds; rows *= 4) {
        INK_TRY(measure_copy(backend, fence, rows, control, roof, &seconds, error));
    }
    return INK_OK;
}
