/*
 * Attention on the device against the plain-C reference: every implementation in turn, on random problems and
 * at the edges of tiles.
 */
#include "cuda/attention_trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the device ---- */

/* The cuDNN and Hopper kernels round the weights to bf16, everybody rounds a bf16 output. */
static double tolerance_of(const trial *t) {
    bool single = true;
    for (int part = 0; part < part_count; part++) {
        single = single && t->dtype[part] == INK_F32;
    }
    return single ? 1e-5 : 1e-2;
}

static void must(cudaError_t code) {
    if (code != cudaSuccess) fail_msg("CUDA: %s", cudaGetErrorString(code));
}

/* Starts a run, at once or as a captured graph, and waits. */
static ink_status run(ink_cuda_attention_plan *plan, bool captured, ink_error *error) {
    cudaStream_t stream;
    must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    ink_status status = INK_OK;
    if (captured) {
        cudaGraph_t graph;
        cudaGraphExec_t instance;
        must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        status = ink_cuda_attention_run(plan, stream, error);
        must(cudaStreamEndCapture(stream, &graph));
        must(cudaGraphInstantiate(&instance, graph, 0));
        must(cudaGraphLaunch(instance, stream));
        must(cudaStreamSynchronize(stream));
        must(cudaGraphExecDestroy(instance));
        must(cudaGraphDestroy(graph));
    } else {
        status = ink_cuda_attention_run(plan, stream, error);
        must(cudaStreamSynchronize(stream));
    }
    must(cudaStreamDestroy(stream));
    return status;
}

/* Checks one problem with one kind: a plan, and one like it that is captured. False if the kind cannot do it.
 */
static bool check(trial *t, uint64_t seed, const ink_cuda_attention_kind *kind, float *const *reference) {
    char message[message_bytes] = "", what[message_bytes];
    ink_error error = {0};
    ink_cuda_attention_plan *plan[2] = {NULL, NULL};
    ink_status status = INK_OK;
    void *memory = NULL;
    must(cudaMalloc(&memory, t->bytes));
    const ink_cuda_attention_problem problem = trial_problem(t, memory);
    trial_describe(t, seed, what);
    for (int i = 0; i < 2 && status == INK_OK; i++) {
        must(cudaMemcpy(memory, t->host, t->bytes, cudaMemcpyHostToDevice));
        status = ink_cuda_attention_plan_create_kind(kind, &problem, plan[0], NULL, &plan[i], &error);
        if (status == INK_ERROR_UNSUPPORTED && i == 0) break;
        if (status == INK_OK) status = run(plan[i], i == 1, &error);
        if (status != INK_OK) fail_msg("%s: %s (%s)", kind->name, error.message, what);
        must(cudaMemcpy(t->result, memory, t->bytes, cudaMemcpyDeviceToHost));
        if (!trial_rest_unchanged(t, message) || !trial_right(t, reference, tolerance_of(t), message)) {
            fail_msg("%s, run %d: %s (%s)", kind->name, i, message, what);
        }
    }
    ink_cuda_attention_plan_destroy(plan[0]);
    ink_cuda_attention_plan_destroy(plan[1]);
    must(cudaFree(memory));
    if (status != INK_OK && !strstr(error.message, "cannot do this problem"))
        print_message("%s\n", error.message);
    return status == INK_OK;
}

/* With all kinds; adds to the counts of those that could do it. */
static void check_all(trial *t, uint64_t seed, int *done) {
    size_t n;
    const ink_cuda_attention_kind *kinds = ink_cuda_attention_kinds(&n);
    float *reference[INK_MAX_STREAMS] = {NULL};
    trial_fill(t);
    trial_reference(t, reference);
    for (size_t i = 0; i < n; i++) {
        memcpy(t->result, t->host, t->bytes);
        done[i] += check(t, seed, &kinds[i], reference);
    }
    free(reference[0]);
    free(reference[1]);
    trial_release(t);
}

static void tell(const char *what, const int *done) {
    size_t n;
    const ink_cuda_attention_kind *kinds = ink_cuda_attention_kinds(&n);
    for (size_t i = 0; i < n; i++) {
        print_message("%s: %s did %d problems\n", what, kinds[i].name, done[i]);
    }
    assert_true(done[n - 1] > 0); /* the last kind does everything */
}

static void need_device(void) {
    int n = 0;
    if (cudaGetDeviceCount(&n) == cudaSuccess && n > 0) return;
    print_message("no CUDA device: attention is not tested\n");
    skip();
}

/* ---- tests ---- */

/* What any kernel must bear: odd sizes, types in any mixture, unaligned rows. */
static void test_anything(void **state) {
    (void)state;
    need_device();
    int done[8] = {0};
    for (uint64_t seed = 1; seed <= 40; seed++) {
        trial t = {.random = seed};
        t.streams = (int)trial_int(&t, 1, 2);
        t.kv_heads = trial_int(&t, 1, 3);
        t.heads = t.kv_heads * trial_int(&t, 1, 3);
        t.head_dim = trial_one_in(&t, 2) ? trial_int(&t, 1, 256) : 16 * trial_int(&t, 1, 8);
        if (trial_one_in(&t, 8)) t.head_dim = 8 * trial_int(&t, 33, 64);
        t.causal = t.streams == 1 && trial_one_in(&t, 2);
        t.scale = trial_one_in(&t, 3) ? 0.3f : (float)(1 / sqrt((double)t.head_dim));
        t.odd = trial_one_in(&t, 3);
        t.layout = (layout)trial_int(&t, 0, LAYOUT_COUNT - 1);
        const bool mixed = trial_one_in(&t, 3);
        const ink_dtype dtype = trial_one_in(&t, 2) ? INK_F32 : INK_BF16;
        for (int part = 0; part < part_count; part++) {
            t.dtype[part] = !mixed ? dtype : trial_one_in(&t, 2) ? INK_F32 : INK_BF16;
        }
        trial_segments(&t, few_segments, trial_one_in(&t, 8) ? 300 : 70, trial_one_in(&t, 3));
        check_all(&t, seed, done);
    }
    tell("anything", done);
}

/* What the fast kernels are for: bf16, heads of 64 to 128 columns, all rows of all heads aligned. */
static void test_transformer(void **state) {
    (void)state;
    need_device();
    int done[8] = {0};
    for (uint64_t seed = 1; seed <= 24; seed++) {
        trial t = {.random = 1000 + seed};
        t.streams = (int)trial_int(&t, 1, 2);
        t.kv_heads = trial_int(&t, 1, 3);
        t.heads = trial_one_in(&t, 4) ? 2 * t.kv_heads : t.kv_heads;
        t.head_dim = trial_one_in(&t, 4) ? 32 * trial_int(&t, 2, 3) : 128;
        t.scale = trial_one_in(&t, 3) ? 0.3f : (float)(1 / sqrt((double)t.head_dim));
        t.layout = (layout)trial_int(&t, 0, LAYOUT_COUNT - 1);
        for (int part = 0; part < part_count; part++) {
            t.dtype[part] = INK_BF16;
        }
        const bool joined = t.layout == LAYOUT_TEXT_FIRST || t.layout == LAYOUT_IMAGE_FIRST;
        trial_segments(&t, joined ? 1 : few_segments, trial_one_in(&t, 4) ? 700 : 300,
                       !joined && trial_one_in(&t, 3));
        check_all(&t, seed, done);
    }
    tell("transformer", done);
}

/* Lengths around the sizes of tiles, alone and after texts that end within, and at, one of eight rows or of a
 * tile. */
static void test_edges(void **state) {
    (void)state;
    need_device();
    static const int64_t lengths[] = {1,   63,  64,  65,  127, 128, 129, 143,
                                      144, 145, 256, 257, 288, 289, 385, 1037},
                         texts[] = {0, 65, 137, 144};
    int done[8] = {0};
    for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            const int64_t text = texts[k];
            const uint64_t seed = 2000 + 100 * k + i;
            trial t = {.random = seed, .streams = text ? 2 : 1, .heads = 2, .kv_heads = 2, .head_dim = 128};
            t.scale = 0.1f;
            t.n_segments = 1;
            t.segments[0] =
                text ? (ink_segment){{0, 0}, {text, lengths[i]}} : (ink_segment){{0}, {lengths[i]}};
            t.rows[0] = text ? text : lengths[i];
            t.rows[1] = text ? lengths[i] : 0;
            for (int part = 0; part < part_count; part++) {
                t.dtype[part] = INK_BF16;
            }
            check_all(&t, seed, done);
        }
    }
    tell("edges", done);
}

/* Heads and lengths whose keys are cut into parts, where there are 132 multiprocessors or 144: an item's into
 * two, into more, and of two segments; then with bases that differ widely from part to part. */
static void test_cut(void **state) {
    (void)state;
    need_device();
    static const struct {
        int64_t heads;
        float scale;
        ink_segment segments[2];
    } cases[] = {{30, 0.1f, {{{0, 0}, {10, 520}}}},
                 {3, 0.1f, {{{0, 0}, {65, 1100}}}},
                 {10, 0.1f, {{{0, 0}, {33, 800}}, {{33, 800}, {130, 500}}}},
                 {3, 2, {{{0, 0}, {65, 1100}}}},
                 {30, 20, {{{0, 0}, {10, 520}}}}};
    int done[8] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        trial t = {.random = 8000 + i,
                   .streams = 2,
                   .heads = cases[i].heads,
                   .kv_heads = cases[i].heads,
                   .head_dim = 128,
                   .scale = cases[i].scale};
        for (int n = 0; n < 2 && cases[i].segments[n].length[1] > 0; n++) {
            t.segments[t.n_segments++] = cases[i].segments[n];
            t.rows[0] += cases[i].segments[n].length[0];
            t.rows[1] += cases[i].segments[n].length[1];
        }
        for (int part = 0; part < part_count; part++) {
            t.dtype[part] = INK_BF16;
        }
        check_all(&t, 8000 + i, done);
    }
    tell("cut", done);
}

/* Scores that differ by hundreds: what is the highest one in the first tile is as nothing beside later ones,
 * and the other way round. */
static void test_sharp(void **state) {
    (void)state;
    need_device();
    int done[8] = {0};
    for (uint64_t seed = 7000; seed < 7006; seed++) {
        trial t = {
            .random = seed, .streams = 1 + (int)(seed % 2), .heads = 2, .kv_heads = 2, .head_dim = 128};
        t.scale = seed < 7002 ? 0.7f : seed < 7004 ? 2 : 20;
        t.n_segments = 1;
        t.segments[0] = t.streams == 1 ? (ink_segment){{0}, {900}} : (ink_segment){{0, 0}, {70, 530}};
        t.rows[0] = t.segments[0].length[0];
        t.rows[1] = t.segments[0].length[1];
        for (int part = 0; part < part_count; part++) {
            t.dtype[part] = INK_BF16;
        }
        check_all(&t, seed, done);
    }
    tell("sharp", done);
}

/* The autoencoder's: one wide head. */
static void test_wide(void **state) {
    (void)state;
    need_device();
    /* Of 384 columns: around the sizes of tiles; more heads than one; lengths whose keys are cut into parts;
     * and more items than multiprocessors. */
    static const struct {
        int64_t dim, rows, heads, kv_heads;
    } cases[] = {{96, 333, 1, 1},  {192, 333, 1, 1}, {512, 333, 1, 1},  {384, 333, 1, 1},
                 {384, 1, 1, 1},   {384, 63, 1, 1},  {384, 65, 1, 1},   {384, 128, 1, 1},
                 {384, 129, 1, 1}, {384, 600, 2, 1}, {384, 193, 6, 3},  {384, 961, 1, 1},
                 {384, 960, 1, 1}, {384, 909, 2, 2}, {384, 1300, 1, 1}, {384, 65, 140, 14}};
    int done[8] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        trial t = {.random = 5000 + i, .streams = 1, .heads = cases[i].heads, .kv_heads = cases[i].kv_heads};
        const int64_t gap = (int64_t)i % 3; /* rows in no segment */
        t.head_dim = cases[i].dim;
        /* Scores in a small range, and in one so wide that weights of earlier tiles vanish. */
        t.scale = i % 2 ? 0.4f : (float)(1 / sqrt((double)t.head_dim));
        t.layout = i % 2 ? LAYOUT_FUSED : LAYOUT_APART;
        t.n_segments = 1;
        t.rows[0] = cases[i].rows + 2 * gap;
        t.segments[0] = (ink_segment){{gap}, {cases[i].rows}};
        for (int part = 0; part < part_count; part++) {
            t.dtype[part] = INK_BF16;
        }
        check_all(&t, 5000 + i, done);
    }
    tell("wide", done);
}

/* Many segments: more than one launch takes. */
static void test_segments(void **state) {
    (void)state;
    need_device();
    int done[8] = {0};
    for (int64_t equal = 0; equal <= 1; equal++) {
        trial t = {.random = 3000, .streams = 2, .heads = 1, .kv_heads = 1, .head_dim = 128, .scale = 0.2f};
        t.n_segments = most_segments;
        for (int64_t i = 0; i < t.n_segments; i++) {
            const int64_t text = equal ? 5 : i, image = equal ? 40 : 30 + 10 * i;
            t.segments[i] = (ink_segment){{t.rows[0], t.rows[1]}, {text, image}};
            t.rows[0] += text;
            t.rows[1] += image;
        }
        for (int part = 0; part < part_count; part++) {
            t.dtype[part] = INK_BF16;
        }
        check_all(&t, 3000 + (uint64_t)equal, done);
    }
    tell("segments", done);
}

/* The text encoder's: every prompt sees itself up to where it is. */
static void test_causal(void **state) {
    (void)state;
    need_device();
    static const int64_t lengths[][2] = {{98, 43}, {64, 1}, {1, 200}, {65, 128}};
    int done[8] = {0};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        trial t = {.random = 6000 + i, .streams = 1, .heads = 28, .kv_heads = 4, .head_dim = 128};
        t.causal = true;
        t.scale = (float)(1 / sqrt((double)t.head_dim));
        t.n_segments = 2;
        for (int s = 0; s < 2; s++) {
            t.segments[s] = (ink_segment){{t.rows[0]}, {lengths[i][s]}};
            t.rows[0] += lengths[i][s];
        }
        for (int part = 0; part < part_count; part++) {
            t.dtype[part] = INK_BF16;
        }
        check_all(&t, 6000 + i, done);
    }
    tell("causal", done);
}

/* Rows that are not finite are seen by nobody but those who may see them: with `causal` by later rows, and
 * else in their segment. (By no tile of earlier rows, that is: in its own tile a weight of 0 does not help.)
 */
static void test_not_finite(void **state) {
    (void)state;
    need_device();
    int done[8] = {0};
    for (int causal = 0; causal <= 1; causal++) {
        trial t = {
            .random = 4000, .streams = 1, .heads = 2, .kv_heads = 1, .head_dim = 128, .causal = causal};
        t.scale = 0.1f;
        t.n_segments = 2;
        t.segments[0] = (ink_segment){{0}, {150}};
        t.segments[1] = (ink_segment){{150}, {100}};
        t.rows[0] = 250;
        for (int part = 0; part < part_count; part++) {
            t.dtype[part] = INK_BF16;
        }
        t.not_finite = true;
        t.not_finite_row = 128;
        check_all(&t, 4000 + (uint64_t)causal, done);
    }
    tell("not finite", done);
}

/* The checks above see each kind of fault, without a device. */
static void test_checks(void **state) {
    (void)state;
    trial t = {.random = 3,
               .streams = 2,
               .heads = 2,
               .kv_heads = 1,
               .head_dim = 16,
               .scale = 0.25f,
               .n_segments = 1};
    char message[message_bytes];
    t.segments[0] = (ink_segment){{1, 0}, {3, 5}};
    t.rows[0] = 4;
    t.rows[1] = 5;
    for (t.layout = LAYOUT_APART; t.layout < LAYOUT_COUNT; t.layout++) {
        float *reference[INK_MAX_STREAMS] = {NULL};
        trial_fill(&t);
        trial_reference(&t, reference);
        assert_true(trial_rest_unchanged(&t, message));
        assert_false(trial_right(&t, reference, 1e-2, message)); /* outputs are NaN */
        for (int s = 0; s < 2; s++) {
            for (int64_t i = 0; i < t.rows[s] * 32; i++) {
                trial_put(t.result + trial_offset(&t.place[s][part_out], i / 32, i % 32), INK_F32,
                          (double)reference[s][i]);
            }
        }
        assert_true(trial_right(&t, reference, 1e-5, message));
        assert_true(trial_rest_unchanged(&t, message));
        const place *out = &t.place[1][part_out];
        trial_put(t.result + trial_offset(out, 4, 31), INK_F32, reference[1][4 * 32 + 31] * 1.001 + 1e-4);
        assert_false(trial_right(&t, reference, 1e-5, message));
        trial_put(t.result + trial_offset(out, 4, 31), INK_F32, (double)reference[1][4 * 32 + 31]);
        trial_put(t.result + trial_offset(&t.place[0][part_out], 0, 1), INK_F32,
                  1e-30); /* a row in no segment */
        assert_false(trial_right(&t, reference, 1e-5, message));
        trial_put(t.result + trial_offset(&t.place[0][part_out], 0, 1), INK_F32, 0);
        assert_true(trial_right(&t, reference, 1e-5, message));
        reference[1][7] = NAN; /* not so in the result */
        assert_false(trial_right(&t, reference, 1e-5, message));
        trial_put(t.result + trial_offset(out, 0, 7), INK_F32, (double)NAN);
        assert_true(trial_right(&t, reference, 1e-5, message));
        const int last = t.layout == LAYOUT_IMAGE_FIRST ? 0 : 1;
        const size_t behind = trial_offset(&t.place[last][part_out], t.rows[last], 0);
        t.result[behind] ^= 1;
        assert_false(trial_rest_unchanged(&t, message));
        t.result[behind] ^= 1;
        assert_true(trial_rest_unchanged(&t, message));
        t.result[trial_offset(&t.place[0][part_k], 2, 3)] ^= 1; /* an input */
        assert_false(trial_rest_unchanged(&t, message));
        free(reference[0]);
        free(reference[1]);
        trial_release(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checks),      cmocka_unit_test(test_anything),
        cmocka_unit_test(test_transformer), cmocka_unit_test(test_edges),
        cmocka_unit_test(test_wide),        cmocka_unit_test(test_causal),
        cmocka_unit_test(test_segments),    cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_sharp),       cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
