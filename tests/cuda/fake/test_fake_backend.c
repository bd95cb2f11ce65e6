/*
 * What the CUDA backend promises as a backend, on the stand-in for a device: runs are replayed, weights are
 * shared and freed, failures are sentences, nothing is left behind; and what becomes one launch.
 */
#include "cuda/step_program.h"
#include "fake.h"
#include "models/transformer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static ink_backend *new_backend(const char *precision) {
    ink_backend *backend = NULL;
    ink_error error = {0};
    const ink_cuda_settings settings = {.precision = precision, .threads = 2};
    if (ink_cuda_backend_create_with(&settings, &backend, &error) != INK_OK) fail_msg("%s", error.message);
    return backend;
}

static void end_backend(ink_backend *backend) {
    ink_backend_destroy(backend);
    assert_int_equal(fake_leaks(), 0);
}

/* A program whose step adds row `step` of "table" [4, 3] to "sum" [3]. */
typedef struct counter {
    ink_backend *backend;
    ink_graph *graph;
    ink_program *program;
    ink_buffer *table, *sum;
} counter;

static const float table_values[12] = {1, 2, 3, 10, 20, 30, 100, 200, 300, 1000, 2000, 3000};

static ink_buffer *new_buffer(ink_backend *backend, ink_shape shape) {
    ink_buffer *buffer;
    assert_int_equal(ink_buffer_create(backend, INK_F32, &shape, &buffer, NULL), INK_OK);
    return buffer;
}

static void open_counter(counter *c) {
    c->backend = new_backend("f32");
    assert_int_equal(ink_graph_create(&c->graph, NULL), INK_OK);
    const ink_value sum = ink_slot(c->graph, "sum", INK_F32, ink_shape1(3));
    const ink_value row = ink_step_row(c->graph, ink_slot(c->graph, "table", INK_F32, ink_shape2(4, 3)));
    ink_store(c->graph, sum, ink_add(c->graph, sum, row), 0, 0);
    assert_int_equal(ink_compile(c->backend, c->graph, &c->program, NULL), INK_OK);
    c->table = new_buffer(c->backend, ink_shape2(4, 3));
    c->sum = new_buffer(c->backend, ink_shape1(3));
    assert_int_equal(ink_buffer_write(c->table, table_values, sizeof table_values, NULL), INK_OK);
    assert_int_equal(ink_program_bind(c->program, "table", c->table, NULL), INK_OK);
    assert_int_equal(ink_program_bind(c->program, "sum", c->sum, NULL), INK_OK);
}

static void close_counter(counter *c) {
    ink_program_destroy(c->program);
    ink_buffer_destroy(c->table);
    ink_buffer_destroy(c->sum);
    ink_graph_destroy(c->graph);
    end_backend(c->backend);
}

static void expect_sum(ink_buffer *buffer, float first) {
    float sum[3];
    assert_int_equal(ink_buffer_read(buffer, sum, sizeof sum, NULL), INK_OK);
    for (int i = 0; i < 3; i++) {
        assert_true(sum[i] == first * (float)(i + 1));
    }
}

static void test_runs_are_replayed(void **state) {
    (void)state;
    counter c;
    open_counter(&c);
    for (int round = 0; round < 10; round++) { /* more runs than events at first */
        for (int step = 0; step < 4; step++) {
            assert_int_equal(ink_program_run(c.program, step, NULL, NULL), INK_OK);
        }
    }
    assert_int_equal(ink_program_finished(c.program), 40);
    expect_sum(c.sum, 11110);
    /* Another buffer: what was recorded does not go on writing to the first. */
    ink_buffer *other = new_buffer(c.backend, ink_shape1(3));
    assert_int_equal(ink_program_bind(c.program, "sum", other, NULL), INK_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ink_program_run(c.program, 3, NULL, NULL), INK_OK);
    }
    expect_sum(other, 3000);
    expect_sum(c.sum, 11110);
    ink_program_destroy(c.program);
    c.program = NULL;
    ink_buffer_destroy(other);
    close_counter(&c);
}

static bool always(void *user) {
    (void)user;
    return true;
}

static void test_failures_are_sentences(void **state) {
    (void)state;
    counter c;
    open_counter(&c);
    ink_error error = {0};
    assert_int_equal(ink_program_run(c.program, 4, NULL, &error), INK_ERROR_INTERNAL);
    assert_non_null(strstr(error.message, "step 4"));
    assert_int_equal(ink_program_bind(c.program, "nothing", c.sum, &error), INK_ERROR_INTERNAL);
    assert_non_null(strstr(error.message, "'nothing'"));
    assert_int_equal(ink_program_bind(c.program, "sum", c.table, &error), INK_ERROR_INTERNAL);
    assert_non_null(strstr(error.message, "[4, 3]"));
    const ink_run_control control = {.cancelled = always};
    assert_int_equal(ink_program_run(c.program, 0, &control, &error), INK_ERROR_CANCELLED);
    expect_sum(c.sum, 0);
    ink_backend *none;
    const ink_cuda_settings settings = {.precision = "f64"};
    assert_int_equal(ink_cuda_backend_create_with(&settings, &none, &error), INK_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "'f64'"));
    close_counter(&c);
}

/* ---- weights ---- */

enum { side = 1024 };

/* y = x W^T, W [side, side] of `data`. */
typedef struct product {
    ink_graph *graph;
    ink_program *program;
    ink_buffer *x, *y;
} product;

static void open_product(product *p, ink_backend *backend, const float *data) {
    assert_int_equal(ink_graph_create(&p->graph, NULL), INK_OK);
    const ink_value x = ink_slot(p->graph, "x", INK_F32, ink_shape2(1, side));
    const ink_value w = ink_constant(p->graph, INK_F32, ink_shape2(side, side), data);
    const ink_value y = ink_linear(p->graph, x, w, INK_NO_VALUE, INK_ACT_NONE);
    ink_store(p->graph, ink_slot(p->graph, "y", INK_F32, ink_shape2(1, side)), y, 0, 0);
    assert_int_equal(ink_compile(backend, p->graph, &p->program, NULL), INK_OK);
    p->x = new_buffer(backend, ink_shape2(1, side));
    p->y = new_buffer(backend, ink_shape2(1, side));
    assert_int_equal(ink_program_bind(p->program, "x", p->x, NULL), INK_OK);
    assert_int_equal(ink_program_bind(p->program, "y", p->y, NULL), INK_OK);
}

static void close_product(product *p) {
    ink_program_destroy(p->program);
    ink_buffer_destroy(p->x);
    ink_buffer_destroy(p->y);
    ink_graph_destroy(p->graph);
}

static void test_memory_that_runs_out(void **state) {
    (void)state;
    ink_backend *backend = new_backend("f32");
    float *data = calloc((size_t)side * side, sizeof *data);
    assert_non_null(data);
    for (int i = 0; i < side; i++) {
        data[i * side + i] = (float)i;
    }
    product p;
    ink_error error = {0};
    open_product(&p, backend, data);
    fake_limit_memory(1 << 20); /* the weight needs 4 MiB */
    assert_int_equal(ink_program_run(p.program, 0, NULL, &error), INK_ERROR_MEMORY);
    assert_non_null(strstr(error.message, "the weights"));
    assert_non_null(strstr(error.message, "GB are needed"));
    fake_limit_memory((size_t)1 << 40);
    float values[side];
    for (int i = 0; i < side; i++) {
        values[i] = 2;
    }
    assert_int_equal(ink_buffer_write(p.x, values, sizeof values, NULL), INK_OK);
    for (int run = 0; run < 2; run++) {
        assert_int_equal(ink_program_run(p.program, 0, NULL, &error), INK_OK);
        assert_int_equal(ink_buffer_read(p.y, values, sizeof values, NULL), INK_OK);
        for (int i = 0; i < side; i++) {
            assert_true(values[i] == 2 * (float)i);
        }
    }
    close_product(&p);
    free(data);
    end_backend(backend);
}

/* ---- what becomes one launch ---- */

typedef struct kinds {
    int all, linear, rotary, attention, sum_and_norm, sum, norm, store, other;
} kinds;

static void count(void *user, const ink_launch *launch) {
    kinds *k = user;
    const struct {
        const char *name;
        int *count;
    } known[] = {{"linear", &k->linear},       {"head_norm_rotary", &k->rotary},
                 {"attention", &k->attention}, {"gated_add + layer_norm_modulate", &k->sum_and_norm},
                 {"gated_add", &k->sum},       {"layer_norm_modulate", &k->norm},
                 {"store", &k->store}};
    k->all++;
    assert_true(launch->bytes > 0 && launch->label[0]);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(launch->kind, known[i].name) == 0) {
            (*known[i].count)++;
            return;
        }
    }
    k->other++;
}

static void test_blocks_are_fused(void **state) {
    (void)state;
    enum { blocks = 3, steps = 2 };
    ink_transformer_config config = {.patch_size = 2,
                                     .in_channels = 16,
                                     .out_channels = 4,
                                     .num_layers = blocks,
                                     .num_heads = 2,
                                     .head_dim = 16,
                                     .joint_attention_dim = 24,
                                     .axes = {4, 6, 6},
                                     .dim = 32,
                                     .modulation_columns = (blocks * 12 + 2) * 32};
    ink_weights *weights;
    ink_layout layout;
    const int64_t tokens[2] = {5, 3};
    ink_graph *graph;
    step_program p;
    assert_int_equal(ink_weights_create_synthetic(&weights, NULL), INK_OK);
    assert_int_equal(ink_layout_init(&layout, 1, 2, tokens, 4, 4, NULL), INK_OK);
    assert_int_equal(ink_graph_create(&graph, NULL), INK_OK);
    ink_transformer_record_step(graph, &config, weights, &layout, steps);
    step_program_open(&p, graph, &(ink_cuda_settings){.precision = "bf16", .threads = 2}, NULL);
    kinds k = {0};
    const ink_profile profile = {count, &k};
    assert_int_equal(ink_program_profile(p.program, 1, NULL, &profile, NULL), INK_OK);
    assert_int_equal(ink_program_finished(p.program), 1);
    assert_int_equal(k.attention, blocks);
    assert_int_equal(k.rotary, blocks); /* of both streams */
    /* q, k, v together; out, up, down, of both streams in one go; img_in and proj_out */
    assert_int_equal(k.linear, 2 * blocks + 3 * blocks + 2);
    /* The sum in which the text's slot is read first leaves the slot as it is. */
    assert_int_equal(k.sum, 1);
    /* Those of the text share launches with those of the image. */
    assert_int_equal(k.sum_and_norm, 2 * blocks);
    assert_int_equal(k.norm, 1 + 1);
    assert_int_equal(k.store, 1); /* previous; latents are stepped in place */
    print_message("%d launches, %d of other kinds\n", k.all, k.other);
    step_program_close(&p);
    ink_graph_destroy(graph);
    ink_layout_fini(&layout);
    ink_weights_close(weights);
    assert_int_equal(fake_leaks(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_are_replayed),
        cmocka_unit_test(test_failures_are_sentences),
        cmocka_unit_test(test_memory_that_runs_out),
        cmocka_unit_test(test_blocks_are_fused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
