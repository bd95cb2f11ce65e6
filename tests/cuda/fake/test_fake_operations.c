/*
 * Every operation as a program of the CUDA backend, on the stand-in for a device, against the plain-C
 * reference: what lowering makes of it, where its operands lie, and that a replay computes what a first run
 * does. The kernels themselves are tested on a device.
 */
#include "backend/cuda/cuda.h"
#include "fake.h"
#include "harness.h"
#include "program_kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct kernel_test {
    const kernel_case *which;
    const kernel_subject *subject;
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
    /* Their arithmetic is not what is tested. */
    const int trials = test->which->trials < 12 ? test->which->trials : 12;
    for (int i = 0; i < trials; i++) {
        run_one(test, trial_seed(test->which, i));
    }
}

static int run_group(const char *name, const ink_cuda_settings *settings) {
    static kernel_test tests[INK_OP_COUNT];
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
        tests[n] = (kernel_test){.which = which, .subject = &subject};
        snprintf(tests[n].name, sizeof tests[n].name, "%s of %s", ink_op_name(which->op), name);
        units[n] = (struct CMUnitTest){
            .name = tests[n].name, .test_func = test_operation, .initial_state = &tests[n]};
    }
    int failed = _cmocka_run_group_tests(name, units, n, NULL, NULL);
    ink_backend_destroy(backend);
    subject_close(&subject);
    if (fake_leaks() != 0) {
        print_error("%d objects of the device are left\n", fake_leaks());
        failed++;
    }
    return failed;
}

int main(void) {
    return run_group("cuda", &(ink_cuda_settings){.precision = "f32", .threads = 2}) +
           run_group("cuda, separate",
                     &(ink_cuda_settings){.precision = "f32", .threads = 1, .separate = true});
}
