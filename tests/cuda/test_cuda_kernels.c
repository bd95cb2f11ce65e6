/*
 * Every CUDA kernel in float32 against the plain-C reference, as the CPU's kernels are tested: on random
 * shapes, values, alignments and gaps between rows, beside its inputs and in place.
 *
 * INK_KERNEL_SEED in the environment runs only the trial of that seed, as a failure prints it.
 */
#include "cuda/device_matrix.h"
#include "cuda/launch_kernels.h"
#include "kernels/harness.h"

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

static void test_kernel(void **state) {
    const kernel_test *test = *state;
    const char *seed = getenv("INK_KERNEL_SEED");
    if (seed) {
        run_one(test, strtoull(seed, NULL, 10));
        return;
    }
    assert_true(test->which->trials > 0);
    for (int i = 0; i < test->which->trials; i++) {
        run_one(test, trial_seed(test->which, i));
    }
}

int main(void) {
    static kernel_test tests[INK_OP_COUNT];
    static struct CMUnitTest units[INK_OP_COUNT];
    kernel_subject subject;
    if (!device_present()) return 77;
    if (!subject_open(&subject, "cuda")) return 1;
    launch_kernels(&subject.table, &last_error);
    size_t n = 0;
    const kernel_case *which;
    for (size_t i = 0; (which = kernel_case_at(i)); i++) {
        if (!subject.table.kernel[which->op].run || n == INK_OP_COUNT) continue;
        tests[n] = (kernel_test){.which = which, .subject = &subject};
        snprintf(tests[n].name, sizeof tests[n].name, "%s of cuda", ink_op_name(which->op));
        units[n] =
            (struct CMUnitTest){.name = tests[n].name, .test_func = test_kernel, .initial_state = &tests[n]};
        n++;
    }
    const int failed = n > 0 ? _cmocka_run_group_tests("cuda", units, n, NULL, NULL) : 1;
    subject_close(&subject);
    return failed;
}
