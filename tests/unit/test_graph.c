/*
 * Recording: shape rules and their sentences, sticky errors, slots, constants, taps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph/ops.h"

#include <stdio.h>

static ink_graph *new_graph(void) {
    ink_graph *g;
    assert_int_equal(ink_graph_create(&g, NULL), INK_OK);
    return g;
}

static ink_value f32_slot(ink_graph *g, const char *name, ink_shape shape) {
    return ink_slot(g, name, INK_F32, shape);
}

/* The graph must have failed, with a sentence that holds `part`. Destroys it. */
static void expect_failure(ink_graph *g, ink_status status, const char *part) {
    ink_error error = {0};
    assert_int_equal(ink_graph_status(g, &error), status);
    if (!strstr(error.message, part)) fail_msg("'%s' does not name '%s'", error.message, part);
    ink_graph_destroy(g);
}

/* ---- shape rules: every operation refuses what does not fit, and says its name ---- */

typedef void (*record_fn)(ink_graph *g);

static ink_value slot2(ink_graph *g, const char *name, int64_t rows, int64_t columns) {
    return f32_slot(g, name, ink_shape2(rows, columns));
}

static void bad_embed(ink_graph *g) {
    ink_embed_rows(g, slot2(g, "table", 5, 4), slot2(g, "ids", 3, 1));
}
static void bad_linear_columns(ink_graph *g) {
    ink_linear(g, slot2(g, "x", 2, 5), slot2(g, "w", 3, 4), INK_NO_VALUE, INK_ACT_NONE);
}
static void bad_linear_bias(ink_graph *g) {
    ink_linear(g, slot2(g, "x", 2, 4), slot2(g, "w", 3, 4), f32_slot(g, "b", ink_shape1(4)), INK_ACT_NONE);
}
static void bad_rms_norm(ink_graph *g) {
    ink_rms_norm(g, slot2(g, "x", 2, 4), f32_slot(g, "w", ink_shape1(3)), 1e-6f);
}
static void bad_channel_norm(ink_graph *g) {
    ink_channel_norm(g, slot2(g, "x", 2, 4), f32_slot(g, "w", ink_shape1(4)), 1e-6f, INK_ACT_GELU_TANH);
}
static void bad_modulate_column(ink_graph *g) {
    ink_layer_norm_modulate(g, slot2(g, "x", 2, 4), f32_slot(g, "m", ink_shape1(8)), 0, 5, 1e-6f, NULL);
}
static void bad_modulate_group(ink_graph *g) {
    static const int32_t groups[2] = {0, 3};
    ink_layer_norm_modulate(g, slot2(g, "x", 2, 4), slot2(g, "m", 3, 8), 0, 4, 1e-6f, groups);
}
static void bad_add(ink_graph *g) {
    ink_add(g, slot2(g, "x", 2, 4), slot2(g, "y", 4, 2));
}
static void bad_gated_add(ink_graph *g) {
    ink_gated_add(g, slot2(g, "x", 2, 4), f32_slot(g, "m", ink_shape1(4)), 1, slot2(g, "y", 2, 4), NULL);
}
static void bad_silu_mul(ink_graph *g) {
    ink_silu_mul(g, slot2(g, "x", 2, 4), slot2(g, "y", 2, 5));
}
static void bad_silu(ink_graph *g) {
    ink_silu(g, ink_slot(g, "x", INK_I32, ink_shape1(4)));
}
static void bad_heads(ink_graph *g) {
    ink_head_norm_rotary(g, slot2(g, "x", 2, 12), 8, INK_NO_VALUE, 1e-6f, INK_NO_VALUE, INK_ROTARY_HALF);
}
static void bad_rotary_rows(ink_graph *g) {
    ink_head_norm_rotary(g, slot2(g, "x", 3, 8), 4, INK_NO_VALUE, 1e-6f,
                         f32_slot(g, "t", ink_shape3(2, 2, 2)), INK_ROTARY_HALF);
}
static void attend(ink_graph *g, int64_t kv_heads, int64_t begin, int64_t length) {
    const ink_attention_stream stream = {slot2(g, "q", 4, 8), slot2(g, "k", 4, 4), slot2(g, "v", 4, 4)};
    const ink_segment segment = {.begin = {begin}, .length = {length}};
    ink_value out[1];
    ink_attention(g, 1, &stream, &segment, 1,
                  &(ink_attention_options){.heads = 4, .kv_heads = kv_heads, .causal = true}, out);
}
static void bad_kv_heads(ink_graph *g) {
    attend(g, 3, 0, 4);
}
static void bad_kv_columns(ink_graph *g) {
    attend(g, 4, 0, 4);
}
static void bad_segment(ink_graph *g) {
    attend(g, 2, 1, 4);
}
static void empty_segment(ink_graph *g) {
    attend(g, 2, 0, 0);
}
static void bad_rotary_table(ink_graph *g) {
    static const int64_t dims[1] = {3};
    ink_rotary_table(g, ink_slot(g, "p", INK_I32, ink_shape2(4, 1)), 1, dims, 10000);
}
static void bad_timestep(ink_graph *g) {
    ink_timestep_embedding(g, f32_slot(g, "t", ink_shape1(2)), 7, 1000, 10000);
}
static void bad_gather(ink_graph *g) {
    static const int32_t rows[2] = {0, 4};
    ink_gather_rows(g, slot2(g, "x", 4, 2), rows, 2);
}
static void bad_slice(ink_graph *g) {
    ink_slice_columns(g, slot2(g, "x", 4, 2), 1, 3);
}
static void bad_step_row(ink_graph *g) {
    ink_step_row(g, f32_slot(g, "t", ink_shape1(4)));
}
static void bad_store(ink_graph *g) {
    ink_store(g, slot2(g, "s", 4, 4), slot2(g, "x", 2, 2), 3, 0);
}
static void bad_store_target(ink_graph *g) {
    const ink_value x = slot2(g, "x", 2, 2);
    ink_store(g, ink_add(g, x, x), x, 0, 0);
}
static void bad_store_step(ink_graph *g) {
    ink_store_step(g, slot2(g, "s", 4, 4), f32_slot(g, "x", ink_shape1(3)));
}
static void bad_guidance(ink_graph *g) {
    ink_guidance(g, slot2(g, "v", 3, 4), f32_slot(g, "s", ink_shape1(1)), true);
}
static void bad_euler(ink_graph *g) {
    ink_euler_step(g, slot2(g, "x", 2, 4), slot2(g, "v", 4, 4), f32_slot(g, "dt", ink_shape1(1)));
}
static void bad_pack(ink_graph *g) {
    ink_pack_patches(g, f32_slot(g, "x", ink_shape3(3, 4, 2)), 2);
}
static void bad_unpack(ink_graph *g) {
    ink_unpack_patches(g, slot2(g, "x", 5, 8), 2, 3, 2);
}
static void bad_affine(ink_graph *g) {
    ink_channel_affine(g, slot2(g, "x", 2, 4), f32_slot(g, "a", ink_shape1(4)),
                       f32_slot(g, "b", ink_shape1(3)));
}
static void bad_clamp(ink_graph *g) {
    ink_affine_clamp(g, ink_slot(g, "x", INK_U8, ink_shape1(4)), 1, 0, 0, 1);
}
static void convolve(ink_graph *g, int64_t side, int64_t inputs, int64_t stride) {
    ink_conv2d(g, f32_slot(g, "x", ink_shape3(side, side, 4)), f32_slot(g, "w", ink_shape4(2, inputs, 3, 3)),
               INK_NO_VALUE, &(ink_conv_options){.stride = stride, .upsample = 1});
}
static void bad_conv_inputs(ink_graph *g) {
    convolve(g, 5, 3, 1);
}
static void bad_conv_stride(ink_graph *g) {
    convolve(g, 5, 4, 3);
}
static void bad_conv_size(ink_graph *g) {
    convolve(g, 2, 4, 1);
}
static void bad_u8(ink_graph *g) {
    ink_to_u8(g, ink_slot(g, "x", INK_I32, ink_shape1(4)));
}
static void bad_stats(ink_graph *g) {
    ink_stats(g, ink_slot(g, "x", INK_BF16, ink_shape1(4)));
}

static void refuses_what_does_not_fit(void **state) {
    (void)state;
    static const struct {
        ink_op op;
        record_fn record;
    } cases[] = {
        {INK_OP_EMBED_ROWS, bad_embed},
        {INK_OP_LINEAR, bad_linear_columns},
        {INK_OP_LINEAR, bad_linear_bias},
        {INK_OP_RMS_NORM, bad_rms_norm},
        {INK_OP_CHANNEL_NORM, bad_channel_norm},
        {INK_OP_LAYER_NORM_MODULATE, bad_modulate_column},
        {INK_OP_LAYER_NORM_MODULATE, bad_modulate_group},
        {INK_OP_ADD, bad_add},
        {INK_OP_GATED_ADD, bad_gated_add},
        {INK_OP_SILU_MUL, bad_silu_mul},
        {INK_OP_SILU, bad_silu},
        {INK_OP_HEAD_NORM_ROTARY, bad_heads},
        {INK_OP_HEAD_NORM_ROTARY, bad_rotary_rows},
        {INK_OP_ATTENTION, bad_kv_heads},
        {INK_OP_ATTENTION, bad_kv_columns},
        {INK_OP_ATTENTION, bad_segment},
        {INK_OP_ATTENTION, empty_segment},
        {INK_OP_ROTARY_TABLE, bad_rotary_table},
        {INK_OP_TIMESTEP_EMBEDDING, bad_timestep},
        {INK_OP_GATHER_ROWS, bad_gather},
        {INK_OP_SLICE_COLUMNS, bad_slice},
        {INK_OP_STEP_ROW, bad_step_row},
        {INK_OP_STORE, bad_store},
        {INK_OP_STORE, bad_store_target},
        {INK_OP_STORE_STEP, bad_store_step},
        {INK_OP_GUIDANCE, bad_guidance},
        {INK_OP_EULER_STEP, bad_euler},
        {INK_OP_PACK_PATCHES, bad_pack},
        {INK_OP_UNPACK_PATCHES, bad_unpack},
        {INK_OP_CHANNEL_AFFINE, bad_affine},
        {INK_OP_AFFINE_CLAMP, bad_clamp},
        {INK_OP_CONV2D, bad_conv_inputs},
        {INK_OP_CONV2D, bad_conv_stride},
        {INK_OP_CONV2D, bad_conv_size},
        {INK_OP_TO_U8, bad_u8},
        {INK_OP_STATS, bad_stats},
    };
    bool seen[INK_OP_COUNT] = {false};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ink_graph *g = new_graph();
        cases[i].record(g);
        expect_failure(g, INK_ERROR_FORMAT, ink_op_name(cases[i].op));
        seen[cases[i].op] = true;
    }
    for (int op = 0; op < INK_OP_COUNT; op++) {
        if (!seen[op]) fail_msg("no case for %s", ink_op_name((ink_op)op));
    }
}

static void messages_name_values_and_shapes(void **state) {
    (void)state;
    ink_graph *g = new_graph();
    bad_linear_columns(g);
    ink_error error;
    ink_graph_status(g, &error);
    assert_non_null(strstr(error.message, "'x' [2, 5]"));
    assert_non_null(strstr(error.message, "'w' [3, 4]"));
    ink_graph_destroy(g);
}

/* ---- results ---- */

static void gives_the_shapes_of_the_contract(void **state) {
    (void)state;
    ink_graph *g = new_graph();
    const ink_value picture = f32_slot(g, "picture", ink_shape3(6, 8, 4));
    const ink_value kernel = f32_slot(g, "kernel", ink_shape4(5, 4, 3, 3));
    const ink_value down =
        ink_conv2d(g, picture, kernel, INK_NO_VALUE,
                   &(ink_conv_options){.stride = 2, .upsample = 1, .pad_bottom = 1, .pad_right = 1});
    const ink_value up = ink_conv2d(
        g, picture, kernel, INK_NO_VALUE,
        &(ink_conv_options){
            .stride = 1, .upsample = 2, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1});
    const ink_value packed = ink_pack_patches(g, picture, 2);
    const struct {
        ink_value value;
        ink_shape shape;
    } cases[] = {
        {down, ink_shape3(3, 4, 5)},
        {up, ink_shape3(12, 16, 5)},
        {packed, ink_shape2(12, 16)},
        {ink_unpack_patches(g, packed, 3, 4, 2), ink_shape3(6, 8, 4)},
        {ink_guidance(g, slot2(g, "v", 6, 3), f32_slot(g, "scale", ink_shape1(1)), true), ink_shape2(3, 3)},
        {ink_slice_columns(g, picture, 1, 3), ink_shape3(6, 8, 2)},
        {ink_stats(g, picture), ink_shape1(4)},
        {ink_timestep_embedding(g, f32_slot(g, "t", ink_shape1(7)), 10, 1, 10000), ink_shape2(7, 10)},
    };
    assert_int_equal(ink_graph_status(g, NULL), INK_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const ink_shape shape = ink_value_shape(g, cases[i].value);
        if (!ink_shape_equal(&shape, &cases[i].shape)) fail_msg("case %zu has another shape", i);
    }
    ink_graph_destroy(g);
}

static void keeps_the_first_error(void **state) {
    (void)state;
    ink_graph *g = new_graph();
    bad_add(g);
    const ink_value after = ink_silu(g, slot2(g, "fine", 1, 1));
    assert_int_equal(after.id, 0);
    bad_linear_columns(g);
    assert_int_equal(ink_graph_node_count(g), 0);
    expect_failure(g, INK_ERROR_FORMAT, ink_op_name(INK_OP_ADD));
}

static void refuses_values_that_are_not_there(void **state) {
    (void)state;
    ink_graph *g = new_graph();
    ink_silu(g, (ink_value){77});
    expect_failure(g, INK_ERROR_INTERNAL, "input 0");
}

static void slots_are_made_once(void **state) {
    (void)state;
    ink_graph *g = new_graph();
    const ink_value a = slot2(g, "a", 2, 3);
    assert_int_equal(slot2(g, "a", 2, 3).id, a.id);
    assert_int_equal(ink_graph_find_slot(g, "a").id, a.id);
    assert_int_equal(ink_graph_find_slot(g, "b").id, 0);
    assert_int_equal(ink_graph_status(g, NULL), INK_OK);
    slot2(g, "a", 3, 2);
    expect_failure(g, INK_ERROR_INTERNAL, "'a'");
}

static void constants_are_copied(void **state) {
    (void)state;
    ink_graph *g = new_graph();
    float data[3] = {1, 2, 3};
    const ink_value c = ink_constant(g, INK_F32, ink_shape1(3), data);
    data[1] = 9;
    const float *kept = ink_graph_value(g, c.id)->data;
    assert_true(kept[1] == 2.0f);
    ink_graph_destroy(g);
}

/* ---- taps ---- */

static bool only_b(void *user, const char *name) {
    ++*(int *)user;
    return strcmp(name, "part.b") == 0;
}

static ink_graph *tapped(ink_tap_mode mode, ink_tap_filter filter, void *user) {
    ink_graph *g = new_graph();
    ink_graph_set_taps(g, mode, filter, user);
    const ink_value x = slot2(g, "x", 2, 3);
    ink_tap(g, ink_silu(g, x), "part.%c", 'a');
    ink_tap(g, ink_add(g, x, x), "part.%c", 'b');
    assert_int_equal(ink_graph_status(g, NULL), INK_OK);
    return g;
}

static void taps_cost_nothing_when_off(void **state) {
    (void)state;
    ink_graph *g = tapped(INK_TAP_NONE, NULL, NULL);
    assert_int_equal(ink_graph_node_count(g), 2);
    assert_false(ink_graph_has_taps(g));
    ink_graph_destroy(g);
}

static void taps_store_values_or_statistics(void **state) {
    (void)state;
    int asked = 0;
    ink_graph *g = tapped(INK_TAP_VALUES, only_b, &asked);
    assert_int_equal(asked, 2);
    assert_int_equal(ink_graph_find_slot(g, "tap:part.a").id, 0);
    const ink_shape values = ink_value_shape(g, ink_graph_find_slot(g, "tap:part.b"));
    assert_true(ink_shape_equal(&values, &(ink_shape){.rank = 2, .dim = {2, 3}}));
    assert_true(ink_graph_has_taps(g));
    ink_graph_destroy(g);

    g = tapped(INK_TAP_STATS, NULL, NULL);
    const ink_shape stats = ink_value_shape(g, ink_graph_find_slot(g, "tap:part.a"));
    assert_true(ink_shape_equal(&stats, &(ink_shape){.rank = 1, .dim = {4}}));
    ink_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(messages_name_values_and_shapes),
        cmocka_unit_test(gives_the_shapes_of_the_contract),
        cmocka_unit_test(keeps_the_first_error),
        cmocka_unit_test(refuses_values_that_are_not_there),
        cmocka_unit_test(slots_are_made_once),
        cmocka_unit_test(constants_are_copied),
        cmocka_unit_test(taps_cost_nothing_when_off),
        cmocka_unit_test(taps_store_values_or_statistics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
