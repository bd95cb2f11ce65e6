/*
 * What the MLX backend promises as a backend: nothing is computed before it is asked for, failures are
 * statuses with MLX's text, and nothing is left behind.
 */
#include "backend/mlx/mlx.h"
#include "base/clock.h"
#include "graph/ops.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static ink_backend *new_backend(const char *precision) {
    ink_backend *backend = NULL;
    ink_error error = {0};
    if (ink_mlx_backend_create_with(&(ink_mlx_settings){.precision = precision}, &backend, &error) != INK_OK)
        fail_msg("%s", error.message);
    return backend;
}

/* A program whose step adds row `step` of "table" [4, 3] to "sum" [3]. */
typedef struct counter {
    ink_backend *backend;
    ink_graph *graph;
    ink_program *program;
    ink_buffer *table, *sum;
} counter;

static const float table_values[12] = {1, 2, 3, 10, 20, 30, 100, 200, 300, 1000, 2000, 3000};

static void open_counter(counter *c) {
    c->backend = new_backend("f32");
    assert_int_equal(ink_graph_create(&c->graph, NULL), INK_OK);
    const ink_shape table_shape = ink_shape2(4, 3), sum_shape = ink_shape1(3);
    const ink_value sum = ink_slot(c->graph, "sum", INK_F32, sum_shape);
    const ink_value row = ink_step_row(c->graph, ink_slot(c->graph, "table", INK_F32, table_shape));
    ink_store(c->graph, sum, ink_add(c->graph, sum, row), 0, 0);
    assert_int_equal(ink_compile(c->backend, c->graph, &c->program, NULL), INK_OK);
    assert_int_equal(ink_buffer_create(c->backend, INK_F32, &table_shape, &c->table, NULL), INK_OK);
    assert_int_equal(ink_buffer_create(c->backend, INK_F32, &sum_shape, &c->sum, NULL), INK_OK);
    assert_int_equal(ink_buffer_write(c->table, table_values, sizeof table_values, NULL), INK_OK);
}

static void bind_counter(counter *c) {
    assert_int_equal(ink_program_bind(c->program, "table", c->table, NULL), INK_OK);
    assert_int_equal(ink_program_bind(c->program, "sum", c->sum, NULL), INK_OK);
}

static void close_counter(counter *c) {
    ink_program_destroy(c->program);
    ink_buffer_destroy(c->table);
    ink_buffer_destroy(c->sum);
    ink_graph_destroy(c->graph);
    ink_backend_destroy(c->backend);
}

static void test_runs_are_lazy(void **state) {
    (void)state;
    counter c;
    open_counter(&c);
    bind_counter(&c);
    for (int step = 0; step < 4; step++) {
        assert_int_equal(ink_program_run(c.program, step, NULL, NULL), INK_OK);
    }
    assert_false(c.backend->api->synchronous);
    assert_int_equal(ink_program_finished(c.program), 0);
    assert_int_equal(ink_program_submit(c.program, NULL), INK_OK);
    for (int i = 0; i < 5000 && ink_program_finished(c.program) < 4; i++) {
        ink_clock_sleep(0.001);
    }
    assert_int_equal(ink_program_finished(c.program), 4);
    float sum[3];
    assert_int_equal(ink_buffer_read(c.sum, sum, sizeof sum, NULL), INK_OK);
    assert_true(sum[0] == 1111 && sum[1] == 2222 && sum[2] == 3333);
    close_counter(&c);
}

/* A buffer that was written again does not see the runs before. */
static void test_write_replaces(void **state) {
    (void)state;
    counter c;
    open_counter(&c);
    bind_counter(&c);
    assert_int_equal(ink_program_run(c.program, 3, NULL, NULL), INK_OK);
    const float start[3] = {5, 6, 7};
    assert_int_equal(ink_buffer_write(c.sum, start, sizeof start, NULL), INK_OK);
    assert_int_equal(ink_program_run(c.program, 0, NULL, NULL), INK_OK);
    float sum[3];
    assert_int_equal(ink_buffer_read(c.sum, sum, sizeof sum, NULL), INK_OK);
    assert_true(sum[0] == 6 && sum[1] == 8 && sum[2] == 10);
    close_counter(&c);
}

/* What was recorded outlives the program and the graph that recorded it. */
static void test_results_outlive_programs(void **state) {
    (void)state;
    counter c;
    open_counter(&c);
    bind_counter(&c);
    assert_int_equal(ink_program_run(c.program, 1, NULL, NULL), INK_OK);
    ink_program_destroy(c.program);
    ink_graph_destroy(c.graph);
    c.program = NULL;
    c.graph = NULL;
    float sum[3];
    assert_int_equal(ink_buffer_read(c.sum, sum, sizeof sum, NULL), INK_OK);
    assert_true(sum[0] == 10 && sum[1] == 20 && sum[2] == 30);
    close_counter(&c);
}

/* Values that are not finite must not count as 0 either. */
static void test_stats_of_negative_values(void **state) {
    (void)state;
    ink_backend *backend = new_backend("f32");
    ink_graph *graph;
    ink_program *program;
    ink_buffer *in, *out;
    const ink_shape three = ink_shape1(3), four = ink_shape1(4);
    const float values[3] = {-3, NAN, -1};
    float stats[4];
    assert_int_equal(ink_graph_create(&graph, NULL), INK_OK);
    ink_store(graph, ink_slot(graph, "out", INK_F32, four),
              ink_stats(graph, ink_slot(graph, "in", INK_F32, three)), 0, 0);
    assert_int_equal(ink_compile(backend, graph, &program, NULL), INK_OK);
    assert_int_equal(ink_buffer_create(backend, INK_F32, &three, &in, NULL), INK_OK);
    assert_int_equal(ink_buffer_create(backend, INK_F32, &four, &out, NULL), INK_OK);
    assert_int_equal(ink_buffer_write(in, values, sizeof values, NULL), INK_OK);
    assert_int_equal(ink_program_bind(program, "in", in, NULL), INK_OK);
    assert_int_equal(ink_program_bind(program, "out", out, NULL), INK_OK);
    assert_int_equal(ink_program_run(program, 0, NULL, NULL), INK_OK);
    assert_int_equal(ink_buffer_read(out, stats, sizeof stats, NULL), INK_OK);
    assert_true(stats[0] == -3 && stats[1] == -1 && stats[3] == 1);
    assert_true(fabs(stats[2] - sqrt(5)) < 1e-6);
    ink_program_destroy(program);
    ink_buffer_destroy(in);
    ink_buffer_destroy(out);
    ink_graph_destroy(graph);
    ink_backend_destroy(backend);
}

static bool always(void *user) {
    (void)user;
    return true;
}

static void test_misuse(void **state) {
    (void)state;
    counter c;
    ink_error error = {0};
    open_counter(&c);
    assert_int_equal(ink_program_run(c.program, 0, NULL, &error), INK_ERROR_INTERNAL);
    assert_string_equal(error.message, "slot 'sum' is not bound");
    assert_int_equal(ink_program_bind(c.program, "nothing", c.sum, &error), INK_ERROR_INTERNAL);
    assert_int_equal(ink_program_bind(c.program, "table", c.sum, &error), INK_ERROR_INTERNAL);
    assert_non_null(strstr(error.message, "f32 [4, 3]"));
    bind_counter(&c);
    assert_int_equal(ink_program_run(c.program, 4, NULL, &error), INK_ERROR_INTERNAL);
    assert_string_equal(error.message, "step 4 does not exist: the table has 4");
    assert_int_equal(ink_program_run(c.program, -1, NULL, &error), INK_ERROR_INTERNAL);
    assert_int_equal(ink_program_run(c.program, 0, &(ink_run_control){.cancelled = always}, &error),
                     INK_ERROR_CANCELLED);
    float sum[3];
    assert_int_equal(ink_buffer_read(c.sum, sum, sizeof sum, NULL), INK_OK);
    assert_true(sum[0] == 0 && sum[1] == 0 && sum[2] == 0);
    close_counter(&c);
}

/* While arrays are made. */
static void test_impossible_tensors(void **state) {
    (void)state;
    ink_backend *backend = new_backend("f32");
    ink_error error = {0};
    ink_buffer *buffer = NULL;
    const ink_shape uncountable = ink_shape2((int64_t)1 << 32, 1);
    assert_int_equal(ink_buffer_create(backend, INK_U8, &uncountable, &buffer, &error), INK_ERROR_INTERNAL);
    assert_non_null(strstr(error.message, "larger than MLX can count"));
    assert_null(buffer);
    const ink_shape four = ink_shape1(4);
    assert_int_equal(ink_buffer_create(backend, INK_F8_E4M3, &four, &buffer, &error), INK_ERROR_INTERNAL);
    assert_non_null(strstr(error.message, "MLX has no element type"));

    const ink_shape huge = ink_shape2((int64_t)1 << 23, (int64_t)1 << 23); /* 256 TB */
    assert_int_equal(ink_buffer_create(backend, INK_F32, &huge, &buffer, &error), INK_ERROR_MEMORY);
    assert_null(buffer);
    ink_graph *graph;
    ink_program *program;
    assert_int_equal(ink_graph_create(&graph, NULL), INK_OK);
    const ink_value x = ink_slot(graph, "x", INK_F32, huge);
    ink_store(graph, x, ink_silu(graph, x), 0, 0);
    assert_int_equal(ink_compile(backend, graph, &program, &error), INK_ERROR_MEMORY);
    assert_null(program);
    ink_graph_destroy(graph);
    ink_backend_destroy(backend);
}

/* While they are computed: a traced program on the CPU needs a C++ compiler, and there is none to be found.
 * MLX keeps what it compiled in a folder, so the operation must be a new one. */
static void test_exceptions_become_statuses(void **state) {
    (void)state;
    ink_backend *backend;
    ink_graph *graph;
    ink_program *program;
    ink_buffer *buffer;
    ink_error error = {0};
    assert_int_equal(ink_mlx_backend_create_with(&(ink_mlx_settings){.compile = "on"}, &backend, NULL),
                     INK_OK);
    if (!strstr(ink_backend_describe(backend), "on CPU")) {
        ink_backend_destroy(backend);
        skip();
    }
    const float factor = (float)fmod(ink_clock_seconds(), 1000) + (float)getpid();
    const ink_shape shape = ink_shape1(5);
    float values[5] = {1, 2, 3, 4, 5};
    assert_int_equal(ink_graph_create(&graph, NULL), INK_OK);
    const ink_value x = ink_slot(graph, "x", INK_F32, shape);
    ink_store(graph, x, ink_affine_clamp(graph, x, factor, factor, 0, factor), 0, 0);
    assert_int_equal(ink_compile(backend, graph, &program, NULL), INK_OK);
    assert_int_equal(ink_buffer_create(backend, INK_F32, &shape, &buffer, NULL), INK_OK);
    assert_int_equal(ink_program_bind(program, "x", buffer, NULL), INK_OK);

    char path[4096];
    snprintf(path, sizeof path, "%s", getenv("PATH"));
    assert_int_equal(setenv("PATH", "/nowhere", 1), 0);
    assert_int_equal(ink_program_run(program, 0, NULL, NULL), INK_OK);
    assert_int_equal(ink_buffer_read(buffer, values, sizeof values, &error), INK_ERROR_INTERNAL);
    assert_int_equal(setenv("PATH", path, 1), 0);
    assert_int_equal(strncmp(error.message, "MLX failed: ", 12), 0);
    assert_true(strlen(error.message) > 20);

    /* The backend still works. */
    const float start[5] = {9, 8, 7, 6, 5};
    assert_int_equal(ink_buffer_write(buffer, start, sizeof start, NULL), INK_OK);
    assert_int_equal(ink_buffer_read(buffer, values, sizeof values, NULL), INK_OK);
    assert_memory_equal(values, start, sizeof start);
    ink_program_destroy(program);
    ink_buffer_destroy(buffer);
    ink_graph_destroy(graph);
    ink_backend_destroy(backend);
}

static void test_settings(void **state) {
    (void)state;
    ink_backend *backend;
    ink_error error = {0};
    assert_int_equal(ink_backend_create("mlx", &(ink_backend_options){.precision = "f16"}, &backend, &error),
                     INK_ERROR_ARGUMENT);
    assert_string_equal(error.message, "precision 'f16' is not known; there are: f32, bf16");
    assert_null(backend);
    assert_int_equal(ink_backend_create("cpu", &(ink_backend_options){.precision = "bf16"}, &backend, &error),
                     INK_ERROR_UNSUPPORTED);
    assert_int_equal(ink_backend_create("cpu", &(ink_backend_options){.precision = "f32"}, &backend, NULL),
                     INK_OK);
    ink_backend_destroy(backend);
    backend = new_backend("bf16");
    assert_non_null(strstr(ink_backend_describe(backend), "bf16"));
    assert_string_equal(ink_backend_precision(backend), "bf16");
    assert_null(ink_backend_note(backend));
    ink_backend_destroy(backend);
    backend = new_backend("f32");
    assert_string_equal(ink_backend_precision(backend), "f32");
    ink_backend_destroy(backend);
    const ink_backend_options fused = {.fused_modulate = "on"};
    assert_int_equal(ink_backend_create("mlx", &fused, &backend, NULL), INK_OK);
    const bool metal = strstr(ink_backend_describe(backend), "on CPU") == NULL;
    assert_int_equal(ink_backend_note(backend) == NULL, metal);
    ink_backend_destroy(backend);
}

#ifdef __linux__
/* AddressSanitizer keeps what is freed: then only its own search for leaks tells. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { keeps_freed = 1 };
#else
enum { keeps_freed = 0 };
#endif
#elif defined(__SANITIZE_ADDRESS__)
enum { keeps_freed = 1 };
#else
enum { keeps_freed = 0 };
#endif

/* A number of /proc/self/status: "Threads", or "VmRSS" in kB. */
static long own_status(const char *name) {
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    char line[256];
    long value = -1;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            value = strtol(line + strlen(name) + 1, NULL, 10);
    }
    fclose(file);
    assert_true(value > 0);
    return value;
}

static void test_nothing_is_left(void **state) {
    (void)state;
    counter c;
    long threads = 0, kilobytes = 0;
    for (int i = 0; i < 60; i++) {
        if (i == 10) threads = own_status("Threads");
        if (i == 10) kilobytes = own_status("VmRSS");
        open_counter(&c);
        bind_counter(&c);
        for (int k = 0; k < 50; k++) {
            assert_int_equal(ink_program_run(c.program, k % 4, NULL, NULL), INK_OK);
        }
        close_counter(&c); /* with work that nobody asked for */
    }
    assert_int_equal(own_status("Threads"), threads);
    assert_true(keeps_freed || own_status("VmRSS") - kilobytes < 4096);

    open_counter(&c);
    bind_counter(&c);
    float sum[3];
    for (int i = 0; i < 3000; i++) {
        if (i == 500) kilobytes = own_status("VmRSS");
        assert_int_equal(ink_program_run(c.program, i % 4, NULL, NULL), INK_OK);
        if (i % 10 == 9) assert_int_equal(ink_buffer_read(c.sum, sum, sizeof sum, NULL), INK_OK);
    }
    assert_true(keeps_freed || own_status("VmRSS") - kilobytes < 2048);
    close_counter(&c);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_are_lazy),
        cmocka_unit_test(test_write_replaces),
        cmocka_unit_test(test_results_outlive_programs),
        cmocka_unit_test(test_stats_of_negative_values),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_impossible_tensors),
        cmocka_unit_test(test_exceptions_become_statuses),
        cmocka_unit_test(test_settings),
#ifdef __linux__
        cmocka_unit_test(test_nothing_is_left),
#endif
    };
    return cmocka_run_group_tests_name("mlx backend", tests, NULL, NULL);
}
