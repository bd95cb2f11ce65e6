/*
 * Every operation as a program of the CUDA backend in float32, fused and not, against the plain-C reference.
 *
 * INK_KERNEL_SEED in the environment runs only the trial of that seed, as a failure prints it.
 */
#include "backend/cuda/cuda.h"
#include "kernels/harness.h"
#include "kernels/program_kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* The kernels have their own tests: here a few trials of each operation must do. */
enum { most_trials = 25 };

typedef struct operation_test {
    const kernel_case *which;
    const kernel_subject *subject;
    char name[64];
} operation_test;

static ink_error last_error;

static void run_one(const operation_test *test, uint64_t seed) {
    trial t;
    last_error = (ink_error){0};
    if (!trial_run(&t, test->which, test->subject, seed)) fail_msg("%s %s", t.message, last_error.message);
}

static void test_operation(void **state) {
    const operation_test *test = *state;
    const char *seed = getenv("INK_KERNEL_SEED");
    if (seed) {
        run_one(test, strtoull(seed, NULL, 10));
        return;
    }
    assert_true(test->which->trials > 0);
    for (int i = 0; i < test->which->trials && i < most_trials; i++) {
        run_one(test, trial_seed(test->which, i));
    }
}

static int run_group(const char *name, const ink_cuda_settings *settings) {
    static operation_test tests[INK_OP_COUNT];
    static struct CMUnitTest units[INK_OP_COUNT];
    ink_backend *backend;
    ink_error error = {0};
    kernel_subject subject;
    if (!subject_open(&subject, name)) return 1;
    if (ink_cuda_backend_create_with(settings, &backend, &error) != INK_OK) {
        print_error("%s\n", error.message);
        subject_close(&subject);
        return 1;
    }
    program_kernels(&subject.table, backend, &last_error);
    size_t n = 0;
    const kernel_case *which;
    for (size_t i = 0; (which = kernel_case_at(i)) && n < INK_OP_COUNT; i++, n++) {
        tests[n] = (operation_test){.which = which, .subject = &subject};
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
    char text[256];
    if (!ink_cuda_usable(text, sizeof text)) {
        printf("passed over: %s\n", text);
        return 77;
    }
    return run_group("cuda", &(ink_cuda_settings){.precision = "f32"}) +
           run_group("cuda, separate", &(ink_cuda_settings){.precision = "f32", .separate = true});
}
