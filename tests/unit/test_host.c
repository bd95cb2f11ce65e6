/*
 * The executor that host backends share: buffers, binding, steps, cancellation, and that planned memory
 * changes no result.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/clock.h"
#include "graph/ops.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct fixture {
    ink_backend *backend;
    ink_graph *graph;
    ink_program *program;
    ink_buffer *buffers[8];
    int n_buffers;
} fixture;

static void begin(fixture *f) {
    *f = (fixture){0};
    assert_int_equal(ink_backend_create("reference", &(ink_backend_options){0}, &f->backend, NULL), INK_OK);
    assert_int_equal(ink_graph_create(&f->graph, NULL), INK_OK);
}

static void compile(fixture *f) {
    ink_error error = {0};
    if (ink_graph_status(f->graph, &error) != INK_OK) fail_msg("%s", error.message);
    assert_int_equal(ink_compile(f->backend, f->graph, &f->program, NULL), INK_OK);
}

static ink_buffer *buffer(fixture *f, ink_dtype dtype, ink_shape shape) {
    ink_buffer *made = NULL;
    assert_int_equal(ink_buffer_create(f->backend, dtype, &shape, &made, NULL), INK_OK);
    return f->buffers[f->n_buffers++] = made;
}

static ink_buffer *bind(fixture *f, const char *slot, ink_shape shape) {
    ink_buffer *made = buffer(f, INK_F32, shape);
    assert_int_equal(ink_program_bind(f->program, slot, made, NULL), INK_OK);
    return made;
}

static void end(fixture *f) {
    ink_program_destroy(f->program);
    for (int i = 0; i < f->n_buffers; i++) {
        ink_buffer_destroy(f->buffers[i]);
    }
    ink_graph_destroy(f->graph);
    ink_backend_destroy(f->backend);
}

static void steps_read_their_row_and_state_stays(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    const ink_value x = ink_slot(f.graph, "x", INK_F32, ink_shape2(1, 2));
    const ink_value table = ink_slot(f.graph, "table", INK_F32, ink_shape3(3, 1, 2));
    const ink_value log = ink_slot(f.graph, "log", INK_F32, ink_shape3(3, 1, 2));
    const ink_value sum = ink_add(f.graph, x, ink_step_row(f.graph, table));
    ink_store_step(f.graph, log, sum);
    ink_store(f.graph, x, sum, 0, 0);
    compile(&f);
    ink_buffer *x_buffer = bind(&f, "x", ink_shape2(1, 2));
    ink_buffer *log_buffer = bind(&f, "log", ink_shape3(3, 1, 2));
    const float rows[6] = {1, 10, 2, 20, 3, 30};
    assert_int_equal(ink_buffer_write(bind(&f, "table", ink_shape3(3, 1, 2)), rows, sizeof rows, NULL),
                     INK_OK);
    for (int64_t i = 0; i < 3; i++) {
        assert_int_equal(ink_program_run(f.program, i, NULL, NULL), INK_OK);
    }
    float values[6];
    assert_int_equal(ink_buffer_read(x_buffer, values, 2 * sizeof *values, NULL), INK_OK);
    assert_true(values[0] == 6 && values[1] == 60);
    assert_int_equal(ink_buffer_read(log_buffer, values, sizeof values, NULL), INK_OK);
    const float expected[6] = {1, 10, 3, 30, 6, 60};
    assert_memory_equal(values, expected, sizeof expected);

    ink_error error = {0};
    assert_int_equal(ink_program_run(f.program, 3, NULL, &error), INK_ERROR_INTERNAL);
    assert_non_null(strstr(error.message, "step 3"));
    end(&f);
}

static void a_slot_must_be_bound_to_what_fits(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    const ink_value x = ink_slot(f.graph, "x", INK_F32, ink_shape2(2, 2));
    ink_store(f.graph, x, ink_silu(f.graph, x), 0, 0);
    compile(&f);
    ink_error error = {0};
    assert_int_equal(ink_program_run(f.program, 0, NULL, &error), INK_ERROR_INTERNAL);
    assert_non_null(strstr(error.message, "'x'"));
    assert_int_equal(ink_program_bind(f.program, "x", buffer(&f, INK_F32, ink_shape1(5)), &error),
                     INK_ERROR_INTERNAL);
    assert_int_equal(ink_program_bind(f.program, "x", buffer(&f, INK_I32, ink_shape1(4)), &error),
                     INK_ERROR_INTERNAL);
    assert_int_equal(ink_program_bind(f.program, "y", buffer(&f, INK_F32, ink_shape1(4)), &error),
                     INK_ERROR_INTERNAL);
    assert_non_null(strstr(error.message, "'y'"));
    ink_buffer *fits = buffer(&f, INK_F32, ink_shape1(4));
    assert_int_equal(ink_program_bind(f.program, "x", fits, NULL), INK_OK);
    assert_int_equal(ink_program_run(f.program, 0, NULL, NULL), INK_OK);
    assert_int_not_equal(ink_buffer_write(fits, "abc", 3, NULL), INK_OK);
    end(&f);
}

static bool cancel_at_third(void *user) {
    return ++*(int *)user == 3;
}

static void a_run_can_be_cancelled(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    const ink_value x = ink_slot(f.graph, "x", INK_F32, ink_shape1(4));
    ink_value y = x;
    for (int i = 0; i < 10; i++) {
        y = ink_add(f.graph, y, x);
    }
    ink_store(f.graph, x, y, 0, 0);
    compile(&f);
    bind(&f, "x", ink_shape1(4));
    int asked = 0;
    const ink_run_control control = {.cancelled = cancel_at_third, .user = &asked};
    ink_error error = {0};
    assert_int_equal(ink_program_run(f.program, 0, &control, &error), INK_ERROR_CANCELLED);
    assert_int_equal(asked, 3);
    assert_true(error.message[0] != '\0');
    end(&f);
}

typedef struct seen {
    int count;
    double end; /* of the last launch */
    ink_launch last;
    char label[INK_LABEL_BYTES];
} seen;

static void see(void *user, const ink_launch *launch) {
    seen *s = user;
    assert_true(launch->begin >= s->end && launch->seconds >= 0);
    s->end = launch->begin + launch->seconds;
    s->last = *launch;
    s->count++;
    snprintf(s->label, sizeof s->label, "%s", launch->label);
}

/* Profiling computes what a run computes, and tells of every operation in its order. */
static void a_profiled_run_is_a_run(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    const ink_value x = ink_slot(f.graph, "x", INK_F32, ink_shape1(4));
    const ink_value y = ink_add(f.graph, ink_add(f.graph, x, x), x);
    ink_store(f.graph, x, y, 0, 0);
    compile(&f);
    ink_buffer *buffer = bind(&f, "x", ink_shape1(4));
    float values[4] = {1, 2, 3, 4};
    assert_int_equal(ink_buffer_write(buffer, values, sizeof values, NULL), INK_OK);
    assert_true(ink_backend_profiles(f.backend));
    seen s = {0};
    const ink_profile profile = {see, &s};
    const double clock = ink_clock_seconds();
    assert_int_equal(ink_program_profile(f.program, 0, NULL, &profile, NULL), INK_OK);
    assert_true(s.end <= ink_clock_seconds() - clock);
    assert_int_equal(s.count, 3);
    assert_string_equal(s.last.kind, "store");
    assert_string_equal(s.label, "x");
    assert_true(s.last.bytes == 32 && s.last.flops == 0 && s.last.track == 0);
    assert_int_equal(ink_buffer_read(buffer, values, sizeof values, NULL), INK_OK);
    assert_true(values[0] == 3 && values[3] == 12);

    int asked = 0;
    const ink_run_control control = {.cancelled = cancel_at_third, .user = &asked};
    s = (seen){0};
    assert_int_equal(ink_program_profile(f.program, 0, &control, &profile, NULL), INK_ERROR_CANCELLED);
    assert_int_equal(s.count, 2);
    end(&f);
}

static void an_unknown_backend_is_named(void **state) {
    (void)state;
    ink_backend *backend;
    ink_error error = {0};
    assert_int_equal(ink_backend_create("abacus", &(ink_backend_options){0}, &backend, &error),
                     INK_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "abacus"));
    assert_non_null(strstr(error.message, "cpu"));
    assert_null(backend);
}

/* Runs a random graph of element-wise operations, keeping every value by a tap if `tapped` (so that nothing
 * is reused while it is needed), and returns the last value's first element. */
static float run_random(uint32_t seed, bool tapped) {
    enum { nodes = 40, columns = 16 };
    fixture f;
    begin(&f);
    ink_graph_set_taps(f.graph, tapped ? INK_TAP_VALUES : INK_TAP_NONE, NULL, NULL);
    ink_value values[nodes + 1];
    values[0] = ink_slot(f.graph, "x", INK_F32, ink_shape1(columns));
    for (int i = 1; i <= nodes; i++) {
        seed = seed * 1664525u + 1013904223u;
        const ink_value a = values[(seed >> 8) % (uint32_t)i], b = values[i - 1];
        values[i] = seed >> 31 ? ink_silu_mul(f.graph, b, a) : ink_add(f.graph, a, ink_silu(f.graph, b));
        values[i] = ink_affine_clamp(f.graph, values[i], 0.5f, 0.01f, -2, 2);
        ink_tap(f.graph, values[i], "value.%d", i);
    }
    ink_store(f.graph, values[0], values[nodes], 0, 0);
    compile(&f);
    ink_buffer *x = bind(&f, "x", ink_shape1(columns));
    float data[columns];
    for (int i = 0; i < columns; i++) {
        data[i] = 0.3f + 0.05f * (float)i;
    }
    assert_int_equal(ink_buffer_write(x, data, sizeof data, NULL), INK_OK);
    ink_buffer *taps[nodes] = {NULL};
    for (int i = 1; tapped && i <= nodes; i++) {
        char name[32];
        snprintf(name, sizeof name, "tap:value.%d", i);
        const ink_shape shape = ink_shape1(columns);
        assert_int_equal(ink_buffer_create(f.backend, INK_F32, &shape, &taps[i - 1], NULL), INK_OK);
        assert_int_equal(ink_program_bind(f.program, name, taps[i - 1], NULL), INK_OK);
    }
    assert_int_equal(ink_program_run(f.program, 0, NULL, NULL), INK_OK);
    assert_int_equal(ink_buffer_read(x, data, sizeof data, NULL), INK_OK);
    for (int i = 0; i < nodes; i++) {
        ink_buffer_destroy(taps[i]);
    }
    end(&f);
    return data[0];
}

static void planned_memory_changes_no_result(void **state) {
    (void)state;
    for (uint32_t seed = 1; seed <= 30; seed++) {
        const float plain = run_random(seed, false), tapped = run_random(seed, true);
        assert_true(plain == tapped);
        assert_true(plain != 0.3f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_read_their_row_and_state_stays),
        cmocka_unit_test(a_slot_must_be_bound_to_what_fits),
        cmocka_unit_test(a_run_can_be_cancelled),
        cmocka_unit_test(a_profiled_run_is_a_run),
        cmocka_unit_test(an_unknown_backend_is_named),
        cmocka_unit_test(planned_memory_changes_no_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
