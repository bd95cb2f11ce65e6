/*
 * A step whose text runs beside its image gives what it gives in turn, replay after replay.
 */
#include "cuda/device_matrix.h"
#include "cuda/small_step.h"
#include "cuda/step_program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { runs = 12 };

static float *run_steps(const small_step *m, const ink_cuda_settings *settings, size_t *count) {
    step_program p;
    step_program_open(&p, m->graph, settings, small_step_fill);
    float *result = step_program_run(&p, runs, small_step_steps);
    *count = p.n_latents;
    step_program_close(&p);
    return result;
}

/* Products of few rows are added up in another order, and everything is rounded. */
static void compare(const float *got, const float *wanted, size_t count, double tolerance) {
    double off = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        off += pow((double)got[i] - (double)wanted[i], 2);
        size += pow((double)wanted[i], 2);
    }
    const double error = sqrt(off / size);
    print_message("relative difference %.2e\n", error);
    assert_true(size > 0 && size < 1e12);
    if (!(error <= tolerance)) fail_msg("differs by %g", error);
}

/* Ways to compute a step, besides launch after launch. */
static void run_trials(const char *precision, double tolerance) {
    const ink_cuda_settings ways[] = {{.beside = 2}, {.beside = 4}, {.beside = 2, .divided = true}};
    for (size_t trial = 0; trial < 4 * sizeof ways / sizeof ways[0]; trial++) {
        small_step m;
        size_t count = 0;
        small_step_open(&m, trial % 2 ? 60 : 7, 64);
        ink_cuda_settings plain = {.precision = precision, .beside = -1}, settings = ways[trial / 4];
        settings.precision = precision;
        float *wanted = run_steps(&m, &plain, &count), *got = run_steps(&m, &settings, &count);
        compare(got, wanted, count, tolerance);
        free(wanted), free(got);
        small_step_close(&m);
    }
}

/* After these runs, bf16 is 4e-3 away from f32. */
static void test_lanes(void **unused) {
    (void)unused;
    run_trials("bf16", 1.5e-2);
}

/* The same by an H100: 1.8e-2; a sum in another order may round an activation to another e4m3 number. */
static void test_lanes_of_fp8(void **unused) {
    (void)unused;
    run_trials("fp8", 5e-2);
}

int main(void) {
    int major = 0, minor = 0;
    if (!device_present()) return 77;
    assert_int_equal(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), cudaSuccess);
    assert_int_equal(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0), cudaSuccess);
    if (major != 9 || minor != 0) {
        print_message("these kernels are for compute capability 9.0\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lanes), cmocka_unit_test(test_lanes_of_fp8)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
