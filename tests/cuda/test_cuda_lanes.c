/*
 * Text beside the image on a device: the numbers stay those of one lane. Prints what each division of the
 * device takes for a block when it is tried, and what the chosen one takes once the device is warm, which
 * slows it.
 */
#include "backend/cuda/program.h"
#include "base/clock.h"
#include "cuda/step_program.h"
#include "models/transformer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#ifndef LANES_HEADS
#define LANES_HEADS 24 /* of 128 */
#endif

enum { blocks = 4, steps = 2, tokens = 64, runs = 3 };

typedef struct model {
    ink_weights *weights;
    ink_layout layout;
    ink_graph *graph;
} model;

static void open_model(model *m, int64_t height, int64_t width) {
    const int64_t dim = LANES_HEADS * 128, both[2] = {tokens, tokens};
    const ink_transformer_config config = {.patch_size = 2,
                                           .in_channels = 64,
                                           .out_channels = 16,
                                           .num_layers = blocks,
                                           .num_heads = LANES_HEADS,
                                           .head_dim = 128,
                                           .joint_attention_dim = 64,
                                           .axes = {16, 56, 56},
                                           .dim = dim,
                                           .modulation_columns = (blocks * 12 + 2) * dim};
    assert_int_equal(ink_weights_create_synthetic(&m->weights, NULL), INK_OK);
    ink_weights_leave_unfilled(m->weights);
    assert_int_equal(ink_layout_init(&m->layout, 1, 2, both, height / 16, width / 16, NULL), INK_OK);
    assert_int_equal(ink_graph_create(&m->graph, NULL), INK_OK);
    ink_transformer_record_step(m->graph, &config, m->weights, &m->layout, steps);
}

static void close_model(model *m) {
    ink_graph_destroy(m->graph);
    ink_layout_fini(&m->layout);
    ink_weights_close(m->weights);
}

/* Numbers in [-0.5, 0.5); the modulation is small, so that sums do not grow. */
static void fill(float *values, size_t n, const char *name, size_t slot) {
    uint32_t seed = (uint32_t)slot + 1;
    const float scale = strcmp(name, "modulation") == 0 ? 0.1f : 1;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = scale * ((float)(seed >> 8) / 16777216 - 0.5f);
    }
}

static void print_trials(const ink_cuda_program *p) {
    for (int i = 0; i < p->n_trials; i++) {
        const ink_cuda_division *d = &p->trials[i].division;
        char text[100];
        if (d->taken < 0)
            snprintf(text, sizeof text, "one lane");
        else
            snprintf(text, sizeof text, "text on %d (0: all), image on all but %d, %s first", d->taken,
                     d->left, d->late ? "image" : "text");
        printf("  %-72s %8.4f ms a block\n", text, (double)p->trials[i].milliseconds);
    }
    fflush(stdout);
}

/* Seconds of so many runs. */
static double time_runs(ink_program *program, ink_buffer *latents, float *values, size_t count, int n) {
    const double begin = ink_clock_seconds();
    for (int run = 0; run < n; run++) {
        assert_int_equal(ink_program_run(program, run % steps, NULL, NULL), INK_OK);
    }
    assert_int_equal(ink_buffer_read(latents, values, count * sizeof *values, NULL), INK_OK);
    return ink_clock_seconds() - begin;
}

static void print_sustained(ink_program *program, ink_buffer *latents, size_t count) {
    enum { some = 20, seconds = 1 };
    float *values = malloc(count * sizeof *values);
    assert_non_null(values);
    const double once = time_runs(program, latents, values, count, some) / some;
    const int n = once > 0 && seconds / once < 5000 ? 1 + (int)(seconds / once) : some;
    const double first = time_runs(program, latents, values, count, n) / n;
    const double second = time_runs(program, latents, values, count, n) / n;
    printf("  runs of %d blocks: %.4f ms a block at first, then %.4f and %.4f\n", (int)blocks,
           1e3 * once / blocks, 1e3 * first / blocks, 1e3 * second / blocks);
    fflush(stdout);
    free(values);
}

/* The latents after some runs, which the caller frees. */
static float *run_steps(const model *m, const ink_cuda_settings *settings, bool sustained, size_t *count) {
    step_program p;
    step_program_open(&p, m->graph, settings, fill);
    float *result = step_program_run(&p, runs, steps);
    *count = p.n_latents;
    print_trials((const ink_cuda_program *)p.program);
    if (sustained) print_sustained(p.program, p.latents, *count);
    step_program_close(&p);
    return result;
}

/* Other products may be chosen, so sums may be rounded otherwise. */
static void expect_close(const float *got, const float *want, size_t count, const char *what) {
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        size += (double)want[i] * (double)want[i];
    }
    printf("  %s: differs by %.2g\n", what, sqrt(difference / size));
    if (!(difference <= 1e-4 * size)) fail_msg("%s: differs by %g", what, sqrt(difference / size));
}

static void compare(int64_t height, int64_t width) {
    model m;
    size_t count = 0;
    printf("%d x %d:\n", (int)width, (int)height);
    open_model(&m, height, width);
    float *expected = run_steps(&m, &(ink_cuda_settings){.one_stream = true}, false, &count);
    printf("  one lane:\n");
    float *again = run_steps(&m, &(ink_cuda_settings){.one_stream = true}, true, &count);
    printf("  beside, on 8:\n");
    float *forced = run_steps(&m, &(ink_cuda_settings){.side_processors = 8}, true, &count);
    printf("  what is fastest:\n");
    float *best = run_steps(&m, &(ink_cuda_settings){0}, true, &count);
    expect_close(again, expected, count, "one lane again");
    expect_close(forced, expected, count, "beside, on 8 processors");
    expect_close(best, expected, count, "what is fastest");
    free(expected), free(again), free(forced), free(best);
    close_model(&m);
}

static void test_512(void **state) {
    (void)state;
    compare(512, 512);
}
static void test_1024(void **state) {
    (void)state;
    compare(1024, 1024);
}
static void test_1328(void **state) {
    (void)state;
    compare(1328, 1328);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_512), cmocka_unit_test(test_1024),
                                       cmocka_unit_test(test_1328)};
    char text[256];
    if (!ink_cuda_usable(text, sizeof text)) {
        printf("passed over: %s\n", text);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
