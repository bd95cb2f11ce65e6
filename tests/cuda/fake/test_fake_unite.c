/*
 * What is computed in one go: which launches are found, that their memory is apart, and that the result is
 * that of launch by launch.
 */
#include "backend/cuda/lower.h"
#include "cuda/step_program.h"
#include "fake.h"
#include "models/transformer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { blocks = 3, steps = 2, runs = 3 };

/* A step of two passes, with a few rows of text and many of image. */
typedef struct model {
    ink_weights *weights;
    ink_layout layout;
    ink_graph *graph;
} model;

static void open_model(model *m, int64_t tokens, int64_t side) {
    const ink_transformer_config config = {.patch_size = 2,
                                           .in_channels = 16,
                                           .out_channels = 4,
                                           .num_layers = blocks,
                                           .num_heads = 1,
                                           .head_dim = 128,
                                           .joint_attention_dim = 24,
                                           .axes = {16, 56, 56},
                                           .dim = 128,
                                           .modulation_columns = (blocks * 12 + 2) * 128};
    const int64_t both[2] = {tokens, tokens - 1};
    assert_int_equal(ink_weights_create_synthetic(&m->weights, NULL), INK_OK);
    assert_int_equal(ink_layout_init(&m->layout, 1, 2, both, side, side, NULL), INK_OK);
    assert_int_equal(ink_graph_create(&m->graph, NULL), INK_OK);
    ink_transformer_record_step(m->graph, &config, m->weights, &m->layout, steps);
}

static void close_model(model *m) {
    ink_graph_destroy(m->graph);
    ink_layout_fini(&m->layout);
    ink_weights_close(m->weights);
}

static void lower(const model *m, bool apart, ink_cuda_lowered *lowered) {
    const ink_cuda_rules rules = {.activation = INK_BF16, .residual = INK_F32, .apart = apart};
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
    model m;
    ink_cuda_lowered l;
    open_model(&m, 5, 16);
    lower(&m, true, &l);
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
    close_model(&m);
}

/* Rows of both streams in one matrix, which other devices want, are written by each on its own. */
static void test_joint_rows_are_not_united(void **state) {
    (void)state;
    model m;
    ink_cuda_lowered l;
    open_model(&m, 5, 16);
    lower(&m, false, &l);
    int attentions = 0;
    for (int32_t i = 0; i < l.n_launches; i++) {
        if (l.launches[i].op != INK_OP_ATTENTION) continue;
        assert_true(l.launches[i].in[2].where && !l.launches[i].in[3].where);
        attentions++;
    }
    assert_int_equal(attentions, blocks);
    ink_cuda_lowered_free(&l);
    close_model(&m);
}

/* ---- the same result ---- */

static void fill(float *values, size_t n, const char *name, size_t slot) {
    (void)name;
    for (size_t i = 0; i < n; i++) {
        values[i] = (float)((i * 2654435761u + slot * 97) % 1000) / 1000 - 0.4f;
    }
}

/* The latents after some runs. */
static float *run_steps(const model *m, const ink_cuda_settings *settings, size_t *count) {
    step_program p;
    step_program_open(&p, m->graph, settings, fill);
    float *result = step_program_run(&p, runs, steps);
    *count = p.n_latents;
    step_program_close(&p);
    assert_int_equal(fake_leaks(), 0);
    return result;
}

static void test_nothing_changes(void **state) {
    (void)state;
    model m;
    size_t count = 0;
    open_model(&m, 5, 16);
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
    close_model(&m);
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

static void profile(const model *m, const ink_cuda_settings *settings, tally *t) {
    step_program p;
    *t = (tally){0};
    step_program_open(&p, m->graph, settings, NULL);
    assert_int_equal(ink_program_profile(p.program, 0, NULL, &(ink_profile){count_launch, t}, NULL), INK_OK);
    step_program_close(&p);
}

static void test_profile_tells_of_it(void **state) {
    (void)state;
    model m;
    tally one, several;
    open_model(&m, 5, 16);
    profile(&m, &(ink_cuda_settings){.precision = "bf16"}, &one);
    profile(&m, &(ink_cuda_settings){.precision = "bf16", .ununited = true}, &several);
    assert_int_equal(one.united, blocks);
    assert_int_equal(several.united, 0);
    assert_int_equal(several.launches - one.launches, 3 * blocks + 3 * (blocks - 1));
    assert_true(one.flops >= several.flops && one.flops <= several.flops);
    /* What rotates on the way moves no bytes. */
    assert_true(one.product_bytes > 0 && one.product_bytes >= several.product_bytes &&
                one.product_bytes <= several.product_bytes);
    close_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_united),
        cmocka_unit_test(test_joint_rows_are_not_united),
        cmocka_unit_test(test_nothing_changes),
        cmocka_unit_test(test_profile_tells_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
