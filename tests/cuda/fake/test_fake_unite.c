/*
 * What is computed in one go: which launches are found, that their memory is apart, and that the result is
 * that of launch by launch.
 */
#include "backend/cuda/beside.h"
#include "backend/cuda/unite.h"
#include "cuda/small_step.h"
#include "cuda/step_program.h"
#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { blocks = small_step_blocks, steps = small_step_steps, runs = 3 };

static void lower(const small_step *m, bool apart, unsigned fp8, ink_cuda_lowered *lowered) {
    const ink_cuda_rules rules = {.activation = INK_BF16, .residual = INK_F32, .apart = apart, .fp8 = fp8};
    ink_error error = {0};
    if (ink_cuda_lower(m->graph, &rules, lowered, &error) != INK_OK) fail_msg("%s", error.message);
}

/* ---- what is found ---- */

static bool overlap(const ink_cuda_lowered *l, const ink_cuda_operand *a, const ink_cuda_operand *b) {
    if (a->where != INK_CUDA_IN_ARENA || b->where != INK_CUDA_IN_ARENA || a->index == b->index) return false;
    const ink_plan_storage *x = &l->storages[a->index], *y = &l->storages[b->index];
    return x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes;
}

/* No result of launches [i, i + more] takes memory of what any of them reads. */
static void check_memory(const ink_cuda_lowered *l, int32_t i) {
    for (int32_t a = i; a <= i + l->launches[i].more; a++) {
        for (int32_t b = i; b <= i + l->launches[i].more; b++) {
            for (int k = 0; k < ink_cuda_max_in; k++) {
                assert_false(overlap(l, &l->launches[a].out[0], &l->launches[b].in[k]));
            }
            if (a != b) assert_false(overlap(l, &l->launches[a].out[0], &l->launches[b].out[0]));
        }
    }
}

static void test_blocks_are_united(void **state) {
    (void)state;
    small_step m;
    ink_cuda_lowered l;
    small_step_open(&m, 5, 16);
    lower(&m, true, 0, &l);
    int with_rotation = 0, without = 0;
    for (int32_t i = 0; i < l.n_launches; i++) {
        if (l.launches[i].more == 0) continue;
        assert_int_equal(l.launches[i].op, INK_OP_LINEAR);
        assert_true(l.launches[i].more == 1 || l.launches[i].more == 3);
        if (l.launches[i].more == 3)
            with_rotation++;
        else
            without++;
        check_memory(&l, i);
    }
    /* q, k and v; out, up and down, which the text's stream has not in the last block. */
    assert_int_equal(with_rotation, blocks);
    assert_int_equal(without, 3 * (blocks - 1));
    ink_cuda_lowered_free(&l);
    small_step_close(&m);
}

/* Rows of both streams in one matrix, which other devices want, are written by each on its own. */
static void test_joint_rows_are_not_united(void **state) {
    (void)state;
    small_step m;
    ink_cuda_lowered l;
    small_step_open(&m, 5, 16);
    lower(&m, false, 0, &l);
    int attentions = 0;
    for (int32_t i = 0; i < l.n_launches; i++) {
        if (l.launches[i].op != INK_OP_ATTENTION) continue;
        assert_true(l.launches[i].in[2].where && !l.launches[i].in[3].where);
        attentions++;
    }
    assert_int_equal(attentions, blocks);
    ink_cuda_lowered_free(&l);
    small_step_close(&m);
}

/* ---- the same result ---- */

/* The latents after some runs. */
static float *run_steps(const small_step *m, const ink_cuda_settings *settings, size_t *count) {
    step_program p;
    step_program_open(&p, m->graph, settings, small_step_fill);
    float *result = step_program_run(&p, runs, steps);
    *count = p.n_latents;
    step_program_close(&p);
    assert_int_equal(fake_leaks(), 0);
    return result;
}

static void test_nothing_changes(void **state) {
    (void)state;
    small_step m;
    size_t count = 0;
    small_step_open(&m, 5, 16);
    (void)fake_united_runs();
    float *expected = run_steps(&m, &(ink_cuda_settings){.precision = "bf16", .ununited = true}, &count);
    double size = 0;
    for (size_t i = 0; i < count; i++) {
        size += (double)expected[i] * (double)expected[i];
    }
    assert_true(size > 0 && size < 1e12);
    assert_int_equal(fake_united_runs(), 0);
    float *united = run_steps(&m, &(ink_cuda_settings){.precision = "bf16"}, &count);
    assert_memory_equal(united, expected, count * sizeof *united);
    assert_true(fake_united_runs() >= 2 * (4 * blocks - 3)); /* the first run, and the one that is recorded */
    /* On another device rows lie together, and nothing is in one go. */
    fake_set_capability(8, 0);
    float *joint = run_steps(&m, &(ink_cuda_settings){.precision = "bf16"}, &count);
    fake_set_capability(9, 0);
    assert_memory_equal(joint, expected, count * sizeof *joint);
    assert_int_equal(fake_united_runs(), 0);
    free(expected), free(united), free(joint);
    small_step_close(&m);
}

/* ---- beside others ---- */

/* The memory of what runs beside others, from the attention before to the one after, is nobody else's. */
static void check_lanes(const ink_cuda_lowered *l, int32_t begin, int32_t end) {
    for (int32_t a = begin; a < end; a++) {
        for (int32_t b = begin; b < end; b++) {
            if (!l->launches[a].beside || l->launches[b].beside) continue;
            for (int o = 0; o < ink_cuda_max_out; o++) {
                for (int k = 0; k < ink_cuda_max_in; k++) {
                    assert_false(overlap(l, &l->launches[a].out[o], &l->launches[b].in[k]));
                    assert_false(overlap(l, &l->launches[b].out[o % 2], &l->launches[a].in[k]));
                }
                for (int k = 0; k < ink_cuda_max_out; k++) {
                    assert_false(overlap(l, &l->launches[a].out[o], &l->launches[b].out[k]));
                }
            }
        }
    }
}

static void check_what_is_beside(const small_step *m, unsigned fp8) {
    ink_cuda_lowered l;
    lower(m, true, fp8, &l);
    int products = 0, norms = 0, rotations = 0;
    for (int32_t i = 0, begin = 0; i < l.n_launches; i++) {
        const ink_cuda_launch *launch = &l.launches[i];
        if (launch->op == INK_OP_ATTENTION) {
            check_lanes(&l, begin, i);
            begin = i + 1;
        }
        if (!launch->beside) continue;
        assert_int_equal(launch->in[0].rows, 9);
        products += launch->op == INK_OP_LINEAR;
        rotations += launch->op == INK_OP_HEAD_NORM_ROTARY;
        norms += launch->op == INK_OP_GATED_ADD || launch->op == INK_OP_LAYER_NORM_MODULATE;
    }
    assert_int_equal(products, blocks + 3 * (blocks - 1));
    assert_int_equal(rotations, blocks);
    assert_true(norms >= 2 * (blocks - 1));
    ink_cuda_lowered_free(&l);
}

static void test_text_can_run_beside(void **state) {
    (void)state;
    small_step m;
    small_step_open(&m, 5, 16);
    check_what_is_beside(&m, 0);
    check_what_is_beside(&m, INK_CUDA_FP8_DEFAULT);
    small_step_close(&m);
}

static void test_lanes_change_nothing(void **state) {
    (void)state;
    small_step m;
    size_t count = 0;
    small_step_open(&m, 5, 16);
    for (int i = 0; i < 2; i++) {
        const char *precision = i ? "fp8" : "bf16";
        float *expected = run_steps(&m, &(ink_cuda_settings){.precision = precision, .beside = -1}, &count);
        assert_int_equal(fake_beside_runs(), 0);
        float *beside = run_steps(&m, &(ink_cuda_settings){.precision = precision, .beside = 4}, &count);
        assert_int_equal(fake_beside_runs(), 4 * blocks - 3); /* the recorded run; the first one is in turn */
        assert_memory_equal(beside, expected, count * sizeof *beside);
        free(beside);
        beside =
            run_steps(&m, &(ink_cuda_settings){.precision = precision, .beside = 2, .divided = true}, &count);
        assert_true(fake_beside_runs() > 0);
        assert_memory_equal(beside, expected, count * sizeof *beside);
        free(expected), free(beside);
    }
    small_step_close(&m);
}

/* Some blocks of the full model. */
static void lower_full(int64_t side, int64_t passes, int64_t tokens, unsigned fp8, ink_cuda_lowered *l) {
    enum { layers = 12, pixels = 16 };
    const ink_transformer_config config = {.patch_size = 2,
                                           .in_channels = 64,
                                           .out_channels = 16,
                                           .num_layers = layers,
                                           .num_heads = 24,
                                           .head_dim = 128,
                                           .joint_attention_dim = 3584,
                                           .axes = {16, 56, 56},
                                           .dim = 3072,
                                           .modulation_columns = (layers * 12 + 2) * 3072};
    const ink_cuda_rules rules = {.activation = INK_BF16, .residual = INK_BF16, .apart = true, .fp8 = fp8};
    const int64_t both[INK_MAX_PASSES] = {tokens, tokens};
    small_step m;
    assert_int_equal(ink_weights_create_synthetic(&m.weights, NULL), INK_OK);
    assert_int_equal(ink_layout_init(&m.layout, 1, passes, both, side / pixels, side / pixels, NULL), INK_OK);
    assert_int_equal(ink_graph_create(&m.graph, NULL), INK_OK);
    ink_transformer_record_step(m.graph, &config, m.weights, &m.layout, steps);
    assert_int_equal(ink_cuda_lower(m.graph, &rules, l, NULL), INK_OK);
    small_step_close(&m);
}

enum { processors = 132 }; /* as an H100 has */

static void expect_beside(int64_t side, int64_t passes, int64_t tokens, unsigned fp8,
                          ink_cuda_beside expected) {
    ink_cuda_lowered l;
    lower_full(side, passes, tokens, fp8, &l);
    assert_int_equal(ink_cuda_beside_find(&l, 8, 0, processors).processors, 0);
    const ink_cuda_beside got = ink_cuda_beside_find(&l, 9, 0, processors);
    assert_int_equal(got.processors, expected.processors);
    assert_int_equal(got.divided, expected.divided);
    ink_cuda_lowered_free(&l);
}

static void test_when_it_pays(void **state) {
    (void)state;
    const ink_cuda_beside none = {0, false}, two = {2, false}, four = {4, false}, parts = {4, true};
    const unsigned fp8 = INK_CUDA_FP8_DEFAULT;
    expect_beside(512, 1, 64, 0, parts);
    expect_beside(512, 2, 64, 0, parts);
    expect_beside(1024, 1, 64, 0, four);
    expect_beside(1024, 2, 64, 0, four);
    expect_beside(1328, 1, 64, 0, two);  /* on 128 multiprocessors the image's tiles take a round more */
    expect_beside(1328, 2, 64, 0, none); /* four would cost the image more than the text takes */
    expect_beside(1024, 2, 65, 0, none); /* too many rows for the kernel */
    expect_beside(512, 1, 64, fp8, none);
    expect_beside(1024, 1, 64, fp8, four);
    expect_beside(1328, 1, 64, fp8, four);
    expect_beside(1328, 2, 64, fp8, four);
    expect_beside(1024, 1, 64, INK_CUDA_FP8_ALL, none); /* the text's are e4m3 too */
}

/* At 512: none after attention, where a product begins early; none of the MLP's first, whose result the
 * second one takes; all of that, which has the time of two; and as much of q, k and v as there is time for.
 */
static void test_columns_beside(void **state) {
    (void)state;
    ink_cuda_lowered l;
    int seen[4] = {0};
    lower_full(512, 1, 64, 0, &l);
    for (int32_t i = ink_cuda_next_attention(&l, 0); i < l.n_launches; i++) {
        const ink_cuda_launch *launch = &l.launches[i];
        if (!launch->beside || launch->op != INK_OP_LINEAR) continue;
        const int64_t n = launch->out[0].columns, k = launch->in[0].columns,
                      columns = ink_cuda_beside_columns(&l, i, 4, processors);
        const int kind = n == k ? 0 : n == 4 * k ? 1 : k == 4 * n ? 2 : 3;
        assert_int_equal(columns, kind == 2 ? n : kind == 3 ? 6 * 4 * 192 : 0);
        seen[kind]++;
    }
    for (int kind = 0; kind < 4; kind++) {
        assert_true(seen[kind] > 8);
    }
    ink_cuda_lowered_free(&l);
}

/* ---- what is told of it ---- */

typedef struct tally {
    int launches, united;
    double flops, product_bytes;
} tally;

static void count_launch(void *user, const ink_launch *launch) {
    tally *t = user;
    t->launches++;
    t->flops += launch->flops;
    if (strncmp(launch->kind, "linear", strlen("linear")) == 0) t->product_bytes += launch->bytes;
    if (strcmp(launch->kind, "linear + head_norm_rotary") == 0) t->united++;
}

static void profile(const small_step *m, const ink_cuda_settings *settings, tally *t) {
    step_program p;
    *t = (tally){0};
    step_program_open(&p, m->graph, settings, NULL);
    assert_int_equal(ink_program_profile(p.program, 0, NULL, &(ink_profile){count_launch, t}, NULL), INK_OK);
    step_program_close(&p);
}

static void test_profile_tells_of_it(void **state) {
    (void)state;
    small_step m;
    tally one, several;
    small_step_open(&m, 5, 16);
    profile(&m, &(ink_cuda_settings){.precision = "bf16"}, &one);
    profile(&m, &(ink_cuda_settings){.precision = "bf16", .ununited = true}, &several);
    assert_int_equal(one.united, blocks);
    assert_int_equal(several.united, 0);
    /* Rotations of both streams share a launch either way. */
    assert_int_equal(several.launches - one.launches, 2 * blocks + 3 * (blocks - 1));
    assert_true(one.flops >= several.flops && one.flops <= several.flops);
    /* What rotates on the way moves no bytes. */
    assert_true(one.product_bytes > 0 && one.product_bytes >= several.product_bytes &&
                one.product_bytes <= several.product_bytes);
    small_step_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_united),    cmocka_unit_test(test_joint_rows_are_not_united),
        cmocka_unit_test(test_nothing_changes),      cmocka_unit_test(test_text_can_run_beside),
        cmocka_unit_test(test_lanes_change_nothing), cmocka_unit_test(test_when_it_pays),
        cmocka_unit_test(test_columns_beside),       cmocka_unit_test(test_profile_tells_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
