/*
 * Products of e4m3 numbers through the CUDA backend, on the stand-in for a device: golden tensors, what
 * becomes a launch, and which memory the weights need.
 */
#include "backend/cuda/analysis.h"
#include "cuda/open_model.h"
#include "cuda/step_program.h"
#include "fake.h"
#include "verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- golden tensors ---- */

static void test_golden(void **state) {
    (void)state;
    const ink_cuda_settings all = {.precision = "fp8", .fp8_groups = INK_CUDA_FP8_ALL};
    assert_int_equal(fake_verify(TINY, TINY_GOLDEN, 8e-2, false, &(ink_cuda_settings){.precision = "fp8"}),
                     0);
    /* Its products are too small to run beside others, although that would pay. */
    assert_int_equal(fake_verify(ODD, ODD_GOLDEN, 8e-2, false, &(ink_cuda_settings){.precision = "fp8"}), 0);
    assert_int_equal(fake_verify(ODD, ODD_GOLDEN, 8e-2, false, &all), 0);
}

static void test_golden_separate(void **state) {
    (void)state;
    const ink_cuda_settings settings = {.precision = "fp8", .fp8_groups = INK_CUDA_FP8_ALL, .separate = true};
    assert_int_equal(fake_verify(TINY, TINY_GOLDEN, 8e-2, false, &settings), 0);
}

/* The check itself: bf16 is within this. */
static void test_golden_notices(void **state) {
    (void)state;
    assert_true(fake_verify(TINY, TINY_GOLDEN, 1e-2, true, &(ink_cuda_settings){.precision = "fp8"}) >= 5);
}

/* ---- launches of a step ---- */

typedef struct kinds {
    int fp8, bf16, rounded, norms, others;
    double fp8_flops, bf16_flops;
} kinds;

static void count_launch(void *user, const ink_launch *launch) {
    kinds *k = user;
    if (strcmp(launch->kind, "linear fp8") == 0) {
        k->fp8++;
        k->fp8_flops += launch->flops;
    } else if (strcmp(launch->kind, "linear") == 0) {
        k->bf16++;
        k->bf16_flops += launch->flops;
    } else if (strcmp(launch->kind, "quantise") == 0) {
        k->rounded++;
        assert_true(launch->flops == 0.0);
    } else if (strstr(launch->kind, "layer_norm_modulate")) {
        k->norms++;
    } else {
        k->others++;
    }
}

enum { blocks = 3, text_tokens = 4, side = 4, steps = 2 };

/* A step of the tiny transformer, which has three blocks; the slots hold zeros. */
static kinds profile_step(unsigned groups, size_t *bytes) {
    const ink_cuda_settings settings = {.precision = groups ? "fp8" : "bf16", .fp8_groups = groups};
    ink_model *model = open_model_with(TINY, false, &settings);
    ink_layout layout;
    const int64_t tokens[1] = {text_tokens};
    assert_int_equal(ink_layout_init(&layout, 1, 1, tokens, side, side, NULL), INK_OK);
    ink_graph *graph;
    step_program p;
    assert_int_equal(ink_graph_create(&graph, NULL), INK_OK);
    ink_transformer_record_step(graph, &model->transformer, ink_model_transformer_weights(model), &layout,
                                steps);
    step_program_open(&p, graph, &settings, NULL);
    kinds k = {0};
    const ink_profile profile = {count_launch, &k};
    assert_int_equal(ink_program_profile(p.program, 0, NULL, &profile, NULL), INK_OK);
    *bytes = ink_program_bytes(p.program);
    step_program_close(&p);
    ink_graph_destroy(graph);
    ink_layout_fini(&layout);
    ink_model_close(model);
    return k;
}

static void test_launches(void **state) {
    (void)state;
    size_t bf16_bytes, fp8_bytes, all_bytes;
    const kinds bf16 = profile_step(0, &bf16_bytes), fp8 = profile_step(INK_CUDA_FP8_DEFAULT, &fp8_bytes),
                all = profile_step(INK_CUDA_FP8_ALL, &all_bytes);
    /* Each block of the image has q, k and v at once, the output, and the MLP's two; the text of the last
     * block ends after q, k and v. What is of the same type is done for both in one go, but for q, k and v.
     */
    assert_int_equal(bf16.bf16, 2 * blocks + 3 * blocks + 2);
    assert_int_equal(fp8.fp8, 4 * blocks);
    assert_int_equal(fp8.bf16, (4 * blocks - 3) + 2);
    /* What is rounded before it, or after it, stands between two products; the MLPs' second ones are
     * neighbours. */
    assert_int_equal(all.fp8, 4 * blocks + blocks + 2 * (blocks - 1));
    assert_int_equal(all.bf16, 2);
    /* What attention and the activation make is rounded; norms round what they write. */
    assert_int_equal(fp8.rounded, 2 * blocks);
    assert_int_equal(all.rounded, 2 * blocks + 2 * (blocks - 1));
    assert_int_equal(bf16.fp8 + bf16.rounded, 0);
    assert_int_equal(fp8.norms, bf16.norms);
    /* Rotations of both streams share a launch where their products are alike. */
    assert_int_equal(fp8.others, bf16.others + blocks);
    assert_true(fp8.fp8_flops + fp8.bf16_flops == bf16.bf16_flops);
    /* A block's matrices of a stream are 12 times 128 x 128, and lose a byte of each number. */
    const size_t stream = 12 * 128 * 128;
    assert_in_range(bf16_bytes - fp8_bytes, blocks * stream * 9 / 10, blocks * stream);
    assert_in_range(fp8_bytes - all_bytes, (blocks - 1) * stream * 9 / 10, blocks * stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_golden_separate),
        cmocka_unit_test(test_golden_notices),
        cmocka_unit_test(test_launches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
