/*
 * Every operation of the MLX backend in float32 against the plain-C reference, as the CPU's kernels are
 * tested, recorded anew in every run and traced once.
 *
 * INK_KERNEL_SEED in the environment runs only the trial of that seed, as a failure prints it.
 */
#include "backend/mlx/mlx.h"
#include "kernels/harness.h"
#include "program_kernels.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Tracing on the CPU runs a C++ compiler for every new group of operations: a few trials of each must do. */
enum { traced_trials = 2 };

typedef struct kernel_test {
    const kernel_case *which;
    const kernel_subject *subject;
    int trials;
    char name[64];
} kernel_test;

static ink_error last_error;

static void run_one(const kernel_test *test, uint64_t seed) {
    trial t;
    last_error = (ink_error){0};
    if (!trial_run(&t, test->which, test->subject, seed)) fail_msg("%s %s", t.message, last_error.message);
}

static void test_operation(void **state) {
    const kernel_test *test = *state;
    const char *seed = getenv("INK_KERNEL_SEED");
    if (seed) {
        run_one(test, strtoull(seed, NULL, 10));
        return;
    }
    assert_true(test->trials > 0);
    for (int i = 0; i < test->trials; i++) {
        run_one(test, trial_seed(test->which, i));
    }
}

static int run_group(const char *name, int most_trials, const ink_mlx_settings *settings) {
    static kernel_test tests[INK_OP_COUNT];
    static struct CMUnitTest units[INK_OP_COUNT];
    ink_backend *backend;
    ink_error error = {0};
    kernel_subject subject;
    if (!subject_open(&subject, name)) return 1;
    if (ink_mlx_backend_create_with(settings, &backend, &error) != INK_OK) {
        print_error("%s\n", error.message);
        subject_close(&subject);
        return 1;
    }
    program_kernels(&subject.table, backend, &last_error);
    size_t n = 0;
    const kernel_case *which;
    for (size_t i = 0; (which = kernel_case_at(i)) && n < INK_OP_COUNT; i++, n++) {
        const int trials = which->trials < most_trials ? which->trials : most_trials;
        tests[n] = (kernel_test){.which = which, .subject = &subject, .trials = trials};
        snprintf(tests[n].name, sizeof tests[n].name, "%s of %s", ink_op_name(which->op), name);
        units[n] = (struct CMUnitTest){
            .name = tests[n].name, .test_func = test_operation, .initial_state = &tests[n]};
    }
    const int failed = _cmocka_run_group_tests(name, units, n, NULL, NULL);
    ink_backend_destroy(backend);
    subject_close(&subject);
    return failed;
}

int main(void) {
    return run_group("mlx", INT_MAX, &(ink_mlx_settings){.precision = "f32", .compile = "off"}) +
           run_group("mlx, traced", traced_trials, &(ink_mlx_settings){.precision = "f32", .compile = "on"});
}
