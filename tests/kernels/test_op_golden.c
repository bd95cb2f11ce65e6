/*
 * Every operation against what torch and diffusers compute (tests/golden/ops.safetensors, made by
 * tools/make_op_golden.py): for the plain-C reference, which defines the operations for everybody else, and
 * for the CPU backend.
 *
 * A test records a few operations on tensors of the golden file, names the expected results, and runs them
 * through the public backend interface.
 */
#include "backend/backend.h"
#include "graph/ops.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { most_checks = 4 };

/* float32 results of float64 sums are off by half a unit in the last place; sums in float32 by some. */
static const double reference_tolerance = 2e-7, backend_tolerance = 2e-6;
/* Two of the 128 frequencies of torch's own exp are a unit in the last place off, which an angle of up to
 * 1000 radians magnifies to 1.7e-6. Leaving out one of the contract's roundings costs 3.8e-6 or more. */
static const double timestep_tolerance = 2.5e-6;

typedef struct golden {
    ink_weights *file;
    ink_graph *graph;
    int64_t step;
    struct {
        const char *name;
        ink_value out; /* the slot that must hold it after the run */
    } checks[most_checks];
    int n_checks;
} golden;

static ink_weights *golden_file;

static const ink_weight *tensor(const golden *t, const char *name) {
    const ink_weight *w = ink_weights_find(t->file, name);
    if (!w) fail_msg("the golden file has no '%s'", name);
    return w;
}

/* A tensor of the file as an activation (a slot), or as a weight (a constant). */
static ink_value input(golden *t, const char *name) {
    const ink_weight *w = tensor(t, name);
    return ink_slot(t->graph, name, w->dtype, w->shape);
}

static ink_value weight(golden *t, const char *name) {
    const ink_weight *w = tensor(t, name);
    return ink_constant(t->graph, w->dtype, w->shape, w->data);
}

/* `value` must become the tensor `name`. */
static void expect(golden *t, ink_value value, const char *name) {
    char slot[64];
    snprintf(slot, sizeof slot, "out:%s", name);
    const ink_shape shape = ink_value_shape(t->graph, value);
    const ink_value out = ink_slot(t->graph, slot, tensor(t, name)->dtype, shape);
    ink_store(t->graph, out, value, 0, 0);
    assert_true(t->n_checks < most_checks);
    t->checks[t->n_checks].name = name;
    t->checks[t->n_checks++].out = out;
}

/* ---- running ---- */

/* A buffer for a slot, filled with the golden tensor of its name; zeros for results. */
static ink_buffer *make_buffer(golden *t, ink_backend *backend, const ink_value_info *slot) {
    ink_buffer *buffer = NULL;
    assert_int_equal(ink_buffer_create(backend, slot->dtype, &slot->shape, &buffer, NULL), INK_OK);
    const size_t bytes = (size_t)ink_shape_count(&slot->shape) * ink_dtype_bytes(slot->dtype);
    const ink_weight *w = ink_weights_find(t->file, slot->name);
    if (w) {
        assert_int_equal(w->dtype, slot->dtype);
        assert_int_equal(ink_shape_count(&w->shape), ink_shape_count(&slot->shape));
        assert_int_equal(ink_buffer_write(buffer, w->data, bytes, NULL), INK_OK);
    }
    return buffer;
}

static void compare(const golden *t, const char *backend, const char *name, const void *got,
                    double tolerance) {
    const ink_weight *want = tensor(t, name);
    const int64_t count = ink_shape_count(&want->shape);
    if (want->dtype == INK_U8) {
        assert_memory_equal(got, want->data, (size_t)count);
        return;
    }
    assert_int_equal(want->dtype, INK_F32);
    double error = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        const double must = ink_element_f32(want->data, INK_F32, i);
        const double difference = ink_element_f32(got, INK_F32, i) - must;
        error += difference * difference;
        norm += must * must;
    }
    const double relative = sqrt(error / norm);
    if (!(relative <= tolerance)) fail_msg("%s of %s: relative error %.3g", name, backend, relative);
}

static double tolerance_for(const char *backend, const char *name) {
    if (strcmp(name, "timestep.out") == 0) return timestep_tolerance;
    return strcmp(backend, "reference") == 0 ? reference_tolerance : backend_tolerance;
}

static void run_on(golden *t, const char *name) {
    enum { most_slots = 16 };
    ink_backend *backend = NULL;
    ink_program *program = NULL;
    ink_buffer *buffers[most_slots];
    ink_error error = {0};
    assert_int_equal(ink_backend_create(name, &(ink_backend_options){.threads = 2}, &backend, &error),
                     INK_OK);
    if (ink_compile(backend, t->graph, &program, &error) != INK_OK) fail_msg("%s", error.message);
    size_t n = 0;
    for (ink_value slot; (slot = ink_graph_slot(t->graph, n)).id; n++) {
        assert_true(n < most_slots);
        const ink_value_info *info = ink_graph_value(t->graph, slot.id);
        buffers[n] = make_buffer(t, backend, info);
        assert_int_equal(ink_program_bind(program, info->name, buffers[n], &error), INK_OK);
    }
    if (ink_program_run(program, t->step, NULL, &error) != INK_OK) fail_msg("%s", error.message);
    for (int c = 0; c < t->n_checks; c++) {
        const ink_value_info *info = ink_graph_value(t->graph, t->checks[c].out.id);
        const size_t bytes = (size_t)ink_shape_count(&info->shape) * ink_dtype_bytes(info->dtype);
        void *got = malloc(bytes);
        assert_non_null(got);
        for (size_t i = 0; i < n; i++) {
            if (ink_graph_slot(t->graph, i).id == t->checks[c].out.id) {
                assert_int_equal(ink_buffer_read(buffers[i], got, bytes, &error), INK_OK);
            }
        }
        compare(t, name, t->checks[c].name, got, tolerance_for(name, t->checks[c].name));
        free(got);
    }
    while (n > 0) {
        ink_buffer_destroy(buffers[--n]);
    }
    ink_program_destroy(program);
    ink_backend_destroy(backend);
}

static golden begin(void) {
    golden t = {.file = golden_file};
    assert_int_equal(ink_graph_create(&t.graph, NULL), INK_OK);
    return t;
}

/* Runs what was recorded on both backends. */
static void finish(golden *t) {
    ink_error error = {0};
    if (ink_graph_status(t->graph, &error) != INK_OK) fail_msg("%s", error.message);
    assert_true(t->n_checks > 0);
    run_on(t, "reference");
    run_on(t, "cpu");
    ink_graph_destroy(t->graph);
}

/* ---- the operations ---- */

static void test_embed_rows(void **state) {
    (void)state;
    golden t = begin();
    const ink_value table = weight(&t, "embed_rows.table");
    expect(&t, ink_embed_rows(t.graph, table, input(&t, "embed_rows.ids")), "embed_rows.out");
    finish(&t);
}

static void check_linear(const char *name, ink_activation activation, bool bias) {
    golden t = begin();
    char x[64], w[64], b[64], out[64];
    snprintf(x, sizeof x, "linear.%s.x", name);
    snprintf(w, sizeof w, "linear.%s.weight", name);
    snprintf(b, sizeof b, "linear.%s.bias", name);
    snprintf(out, sizeof out, "linear.%s.out", name);
    expect(&t,
           ink_linear(t.graph, input(&t, x), weight(&t, w), bias ? weight(&t, b) : INK_NO_VALUE, activation),
           out);
    finish(&t);
}

static void test_linear(void **state) {
    (void)state;
    check_linear("none", INK_ACT_NONE, true);
    check_linear("silu", INK_ACT_SILU, true);
    check_linear("gelu", INK_ACT_GELU_TANH, true);
    check_linear("1x1", INK_ACT_NONE, false);
}

static void check_conv2d(const char *name, bool bias, ink_conv_options options) {
    golden t = begin();
    char x[64], w[64], b[64], out[64];
    snprintf(x, sizeof x, "conv2d.%s.x", name);
    snprintf(w, sizeof w, "conv2d.%s.weight", name);
    snprintf(b, sizeof b, "conv2d.%s.bias", name);
    snprintf(out, sizeof out, "conv2d.%s.out", name);
    expect(&t,
           ink_conv2d(t.graph, input(&t, x), weight(&t, w), bias ? weight(&t, b) : INK_NO_VALUE, &options),
           out);
    finish(&t);
}

static void test_conv2d(void **state) {
    (void)state;
    const ink_conv_options same = {
        .stride = 1, .upsample = 1, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
    ink_conv_options doubled = same;
    doubled.upsample = 2;
    check_conv2d("causal", true, same);
    check_conv2d("upsample2d", true, doubled);
    check_conv2d("downsample2d", true,
                 (ink_conv_options){.stride = 2, .upsample = 1, .pad_bottom = 1, .pad_right = 1});
    check_conv2d(
        "odd", false,
        (ink_conv_options){.stride = 2, .upsample = 1, .pad_top = 2, .pad_left = 1, .pad_bottom = 3});
}

static void test_norms(void **state) {
    (void)state;
    golden t = begin();
    expect(&t, ink_rms_norm(t.graph, input(&t, "rms_norm.x"), weight(&t, "rms_norm.weight"), 1e-6f),
           "rms_norm.out");
    const ink_value x = input(&t, "channel_norm.x"), gain = weight(&t, "channel_norm.weight");
    expect(&t, ink_channel_norm(t.graph, x, gain, 1e-12f, INK_ACT_NONE), "channel_norm.out");
    expect(&t, ink_channel_norm(t.graph, x, gain, 1e-12f, INK_ACT_SILU), "channel_norm.silu");
    finish(&t);
}

static void test_modulation(void **state) {
    (void)state;
    static const int32_t groups[] = {0, 0, 1, 0, 1, 1};
    golden t = begin();
    const ink_value x = input(&t, "modulate.x"), mod = input(&t, "modulate.mod");
    expect(&t, ink_layer_norm_modulate(t.graph, x, mod, 0, 32, 1e-6f, groups), "modulate.out");
    expect(&t, ink_gated_add(t.graph, x, mod, 64, input(&t, "gated_add.y"), groups), "gated_add.out");
    finish(&t);
}

static void test_elements(void **state) {
    (void)state;
    golden t = begin();
    const ink_value x = input(&t, "silu.x"), y = input(&t, "silu.y");
    expect(&t, ink_silu(t.graph, x), "silu.out");
    expect(&t, ink_silu_mul(t.graph, x, y), "silu.mul");
    expect(&t, ink_add(t.graph, x, y), "silu.add");
    finish(&t);
}

static void test_pictures(void **state) {
    (void)state;
    golden t = begin();
    expect(&t,
           ink_channel_affine(t.graph, input(&t, "affine.x"), input(&t, "affine.scale"),
                              input(&t, "affine.offset")),
           "affine.out");
    expect(&t, ink_affine_clamp(t.graph, input(&t, "picture.x"), 0.5f, 0.5f, 0, 1), "picture.clamped");
    expect(&t, ink_to_u8(t.graph, input(&t, "to_u8.x")), "to_u8.out");
    expect(&t, ink_stats(t.graph, input(&t, "stats.x")), "stats.out");
    finish(&t);
}

static void test_attention(void **state) {
    (void)state;
    golden t = begin();
    const ink_attention_stream joint[2] = {
        {input(&t, "attention.joint.q0"), input(&t, "attention.joint.k0"), input(&t, "attention.joint.v0")},
        {input(&t, "attention.joint.q1"), input(&t, "attention.joint.k1"), input(&t, "attention.joint.v1")}};
    const ink_segment pictures[] = {{{0, 0}, {5, 9}}, {{5, 9}, {7, 6}}};
    ink_value out[2];
    ink_attention(t.graph, 2, joint, pictures, 2, &(ink_attention_options){.heads = 4, .kv_heads = 4}, out);
    expect(&t, out[0], "attention.joint.out0");
    expect(&t, out[1], "attention.joint.out1");

    const ink_attention_stream causal = {input(&t, "attention.causal.q"), input(&t, "attention.causal.k"),
                                         input(&t, "attention.causal.v")};
    const ink_segment prompts[] = {{{0}, {7}}, {{7}, {9}}};
    ink_attention(t.graph, 1, &causal, prompts, 2,
                  &(ink_attention_options){.heads = 6, .kv_heads = 2, .causal = true}, out);
    expect(&t, out[0], "attention.causal.out");
    finish(&t);
}

static void test_rotary_tables(void **state) {
    (void)state;
    static const int64_t axes[] = {16, 56, 56}, one_axis[] = {32};
    golden t = begin();
    expect(&t, ink_rotary_table(t.graph, input(&t, "rotary_table.positions"), 3, axes, 10000),
           "rotary_table.out");
    expect(&t, ink_rotary_table(t.graph, input(&t, "rotary_table.far.positions"), 3, axes, 10000),
           "rotary_table.far.out");
    expect(&t, ink_rotary_table(t.graph, input(&t, "rotary_table.text.positions"), 1, one_axis, 1000000),
           "rotary_table.text.out");
    finish(&t);
}

static void test_head_norm_rotary(void **state) {
    (void)state;
    golden t = begin();
    const ink_value x = input(&t, "head_norm_rotary.x"), gain = weight(&t, "head_norm_rotary.weight");
    expect(&t, ink_head_norm_rotary(t.graph, x, 128, gain, 1e-6f, INK_NO_VALUE, INK_ROTARY_ADJACENT),
           "head_norm_rotary.normed");
    expect(&t,
           ink_head_norm_rotary(t.graph, x, 128, gain, 1e-6f, input(&t, "rotary_table.out"),
                                INK_ROTARY_ADJACENT),
           "head_norm_rotary.adjacent");
    expect(&t,
           ink_head_norm_rotary(t.graph, input(&t, "head_norm_rotary.q"), 32, INK_NO_VALUE, 0,
                                input(&t, "rotary_table.text.out"), INK_ROTARY_HALF),
           "head_norm_rotary.half");
    finish(&t);
}

static void test_loop(void **state) {
    (void)state;
    golden t = begin();
    expect(&t, ink_timestep_embedding(t.graph, input(&t, "timestep.t"), 256, 1000, 10000), "timestep.out");
    const ink_value v = input(&t, "guidance.v"), scale = input(&t, "guidance.scale");
    expect(&t, ink_guidance(t.graph, v, scale, false), "guidance.plain");
    expect(&t, ink_guidance(t.graph, v, scale, true), "guidance.rescaled");
    expect(&t, ink_euler_step(t.graph, input(&t, "euler.x"), input(&t, "euler.v"), input(&t, "euler.dt")),
           "euler.out");
    finish(&t);
}

static void test_patches(void **state) {
    (void)state;
    golden t = begin();
    expect(&t, ink_pack_patches(t.graph, input(&t, "patches.x"), 2), "patches.packed");
    expect(&t, ink_unpack_patches(t.graph, input(&t, "patches.packed"), 3, 4, 2), "patches.unpacked");
    finish(&t);
}

/* A slot that a test stores to itself: not named as the golden tensor, so that it begins with zeros. */
static ink_value stored(golden *t, const char *name) {
    char slot[64];
    snprintf(slot, sizeof slot, "out:%s", name);
    const ink_value out = ink_slot(t->graph, slot, tensor(t, name)->dtype, tensor(t, name)->shape);
    t->checks[t->n_checks].name = name;
    t->checks[t->n_checks++].out = out;
    return out;
}

static void test_moving(void **state) {
    (void)state;
    static const int32_t gathered[] = {5, 0, 0, 3};
    golden t = begin();
    const ink_value x = input(&t, "rows.x");
    expect(&t, ink_gather_rows(t.graph, x, gathered, 4), "rows.gathered");
    expect(&t, ink_slice_columns(t.graph, x, 3, 8), "rows.sliced");
    ink_store(t.graph, stored(&t, "rows.stored"), x, 1, 2);
    finish(&t);

    t = begin();
    t.step = 4;
    expect(&t, ink_step_row(t.graph, input(&t, "rows.x")), "rows.step");
    finish(&t);

    t = begin();
    t.step = 2;
    ink_store_step(t.graph, stored(&t, "rows.stored_step"), input(&t, "rows.x"));
    finish(&t);
}

static int open_golden_file(void **state) {
    (void)state;
    ink_error error = {0};
    if (ink_weights_open_file(INK_SOURCE_DIR "/tests/golden/ops.safetensors", &golden_file, &error) ==
        INK_OK) {
        return 0;
    }
    print_error("%s\n", error.message);
    return 1;
}

static int close_golden_file(void **state) {
    (void)state;
    ink_weights_close(golden_file);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embed_rows),    cmocka_unit_test(test_linear),
        cmocka_unit_test(test_conv2d),        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_modulation),    cmocka_unit_test(test_elements),
        cmocka_unit_test(test_pictures),      cmocka_unit_test(test_attention),
        cmocka_unit_test(test_rotary_tables), cmocka_unit_test(test_head_norm_rotary),
        cmocka_unit_test(test_loop),          cmocka_unit_test(test_patches),
        cmocka_unit_test(test_moving),
    };
    return cmocka_run_group_tests(tests, open_golden_file, close_golden_file);
}
