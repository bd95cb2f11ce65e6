/*
 * Every kernel of every table against the plain-C reference: the CPU backend at each level that this
 * processor can run, and the reference itself, whose guards are checked that way.
 *
 * INK_KERNEL_SEED in the environment runs only the trial of that seed, as a failure prints it.
 */
#include "harness.h"

#include "backend/cpu/cpu.h"
#include "backend/reference/reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { most_tests = 4 * INK_OP_COUNT };

typedef struct kernel_test {
    const kernel_case *which;
    const kernel_subject *subject;
    char name[64];
} kernel_test;

static void run_one(const kernel_test *test, uint64_t seed) {
    trial t;
    if (!trial_run(&t, test->which, test->subject, seed)) fail_msg("%s", t.message);
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

/* Adds a test for every case; returns the new count. */
static size_t add_tests(const kernel_subject *s, kernel_test *tests, struct CMUnitTest *units, size_t n) {
    const kernel_case *which;
    for (size_t i = 0; (which = kernel_case_at(i)) && n < most_tests; i++, n++) {
        tests[n] = (kernel_test){.which = which, .subject = s};
        snprintf(tests[n].name, sizeof tests[n].name, "%s of %s", ink_op_name(which->op), s->name);
        units[n] =
            (struct CMUnitTest){.name = tests[n].name, .test_func = test_kernel, .initial_state = &tests[n]};
    }
    return n;
}

int main(void) {
    static kernel_test tests[most_tests];
    static struct CMUnitTest units[most_tests];
    kernel_subject subjects[1 + INK_CPU_AVX512 + 1];
    int n_subjects = 0;
    size_t n = 0;
    if (!subject_open(&subjects[n_subjects], "the reference")) return 1;
    ink_reference_kernels(&subjects[n_subjects].table);
    n = add_tests(&subjects[n_subjects++], tests, units, n);
    for (int level = INK_CPU_SCALAR; level <= (int)ink_cpu_detect(); level++) {
        kernel_subject *s = &subjects[n_subjects++];
        if (!subject_open(s, ink_cpu_level_name((ink_cpu_level)level))) return 1;
        ink_cpu_kernels(&s->table, (ink_cpu_level)level);
        n = add_tests(s, tests, units, n);
    }
    const int failed = _cmocka_run_group_tests("kernels", units, n, NULL, NULL);
    while (n_subjects > 0) {
        subject_close(&subjects[--n_subjects]);
    }
    return failed;
}
