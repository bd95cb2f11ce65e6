/*
 * Every CUDA kernel in float32 against the plain-C reference, as the CPU's kernels are tested: on random
 * shapes, values, alignments and gaps between rows, beside its inputs and in place.
 *
 * INK_KERNEL_SEED in the environment runs only the trial of that seed, as a failure prints it.
 */
#include "cuda/device_matrix.h"
#include "cuda/launch_kernels.h"
#include "cuda/wide_cases.h"
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

enum { most_tests = 2 * INK_OP_COUNT };

typedef struct test_list {
    const kernel_subject *subject;
    kernel_test tests[most_tests];
    struct CMUnitTest units[most_tests];
    size_t n;
} test_list;

static void add_test(test_list *list, const kernel_case *which, const char *of) {
    if (!list->subject->table.kernel[which->op].run || list->n == most_tests) return;
    kernel_test *test = &list->tests[list->n];
    *test = (kernel_test){.which = which, .subject = list->subject};
    snprintf(test->name, sizeof test->name, "%s%s", ink_op_name(which->op), of);
    list->units[list->n++] =
        (struct CMUnitTest){.name = test->name, .test_func = test_kernel, .initial_state = test};
}

int main(void) {
    static test_list list;
    kernel_subject subject;
    if (!device_present()) return 77;
    if (!subject_open(&subject, "cuda")) return 1;
    launch_kernels(&subject.table, &last_error);
    list.subject = &subject;
    const kernel_case *which;
    for (size_t i = 0; (which = kernel_case_at(i)); i++) {
        add_test(&list, which, "");
    }
    for (size_t i = 0; (which = wide_case_at(i)); i++) {
        add_test(&list, which, ", wide");
    }
    const int failed = list.n > 0 ? _cmocka_run_group_tests("cuda", list.units, list.n, NULL, NULL) : 1;
    subject_close(&subject);
    return failed;
}
