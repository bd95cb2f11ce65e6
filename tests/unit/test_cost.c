/*
 * What operations are said to cost, and what they are called.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph/ops.h"

static ink_graph *new_graph(void) {
    ink_graph *g;
    assert_int_equal(ink_graph_create(&g, NULL), INK_OK);
    return g;
}

static ink_value slot(ink_graph *g, const char *name, ink_shape shape) {
    return ink_slot(g, name, INK_F32, shape);
}

/* The operation that was recorded last. */
static const ink_node *last(const ink_graph *g) {
    ink_error error = {0};
    if (ink_graph_status(g, &error) != INK_OK) fail_msg("%s", error.message);
    return ink_graph_node(g, ink_graph_node_count(g) - 1);
}

static void expect(const ink_graph *g, double flops, double bytes) {
    const double got_flops = ink_node_flops(g, last(g)), got_bytes = ink_node_bytes(g, last(g));
    if (!(got_flops == flops && got_bytes == bytes))
        fail_msg("%s: %g FLOP and %g bytes instead of %g and %g", ink_op_name(last(g)->op), got_flops,
                 got_bytes, flops, bytes);
}

static void tables_and_slots_count_as_far_as_they_are_touched(void **state) {
    (void)state;
    ink_graph *g = new_graph();
    const ink_value x = slot(g, "x", ink_shape2(6, 8)), y = slot(g, "y", ink_shape2(6, 8));
    const ink_value wide = slot(g, "wide", ink_shape2(100, 80)), table = slot(g, "table", ink_shape2(50, 48));
    const ink_value ids = ink_slot(g, "ids", INK_I32, ink_shape1(3));
    const ink_value vocabulary = ink_slot(g, "words", INK_BF16, ink_shape2(1000, 8));
    static const int32_t rows[3] = {5, 0, 1}, groups[6] = {0, 1, 0, 1, 0, 1};

    ink_embed_rows(g, vocabulary, ids);
    expect(g, 0, 3 * 4 + 3 * 8 * (2 + 4));
    ink_gather_rows(g, wide, rows, 3);
    expect(g, 0, 2 * 3 * 80 * 4);
    ink_slice_columns(g, wide, 2, 5);
    expect(g, 0, 2 * 100 * 3 * 4);
    ink_step_row(g, table);
    expect(g, 0, 2 * 48 * 4);
    ink_store(g, wide, x, 3, 4);
    expect(g, 0, 2 * 6 * 8 * 4);
    ink_store_step(g, table, slot(g, "row", ink_shape1(48)));
    expect(g, 0, 2 * 48 * 4);
    /* Of a row of 48 columns a norm reads two vectors of 8, a gate one; of two rows twice as much. */
    const ink_value mod = slot(g, "mod", ink_shape1(48)), mods = slot(g, "mods", ink_shape2(2, 48));
    ink_layer_norm_modulate(g, x, mod, 0, 8, 1e-6f, NULL);
    expect(g, 0, (2 * 48 + 2 * 8) * 4);
    ink_layer_norm_modulate(g, x, mods, 0, 8, 1e-6f, groups);
    expect(g, 0, (2 * 48 + 2 * 2 * 8) * 4);
    ink_gated_add(g, x, mods, 16, y, groups);
    expect(g, 0, (3 * 48 + 2 * 8) * 4);
    ink_add(g, x, y);
    expect(g, 0, 3 * 48 * 4);
    ink_graph_destroy(g);
}

static void products_count_their_multiply_adds(void **state) {
    (void)state;
    ink_graph *g = new_graph();
    const ink_value x = slot(g, "x", ink_shape2(6, 8));
    ink_linear(g, x, ink_slot(g, "w", INK_BF16, ink_shape2(5, 8)), slot(g, "b", ink_shape1(5)), INK_ACT_NONE);
    expect(g, 2 * 6 * 8 * 5, (6 * 8 + 5 + 6 * 5) * 4 + 5 * 8 * 2);

    /* Only the last of three slices of time is multiplied. */
    const ink_value picture = slot(g, "picture", ink_shape3(4, 6, 2));
    const ink_shape kernel = {.rank = 5, .dim = {7, 2, 3, 3, 3}};
    const ink_conv_options same = {
        .stride = 1, .upsample = 1, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
    ink_conv2d(g, picture, slot(g, "k", kernel), slot(g, "bias", ink_shape1(7)), &same);
    expect(g, 2 * 24 * 7 * 2 * 9, (24 * 2 + 7 * 2 * 9 + 7 + 24 * 7) * 4);

    /* Two segments of 2 + 3 rows; what lies above the diagonal of causal attention is nothing. */
    const ink_value text = slot(g, "text", ink_shape2(4, 8)), image = slot(g, "image", ink_shape2(6, 8));
    const ink_attention_stream streams[2] = {{text, text, text}, {image, image, image}};
    const ink_segment segments[2] = {{{0, 0}, {2, 3}}, {{2, 3}, {2, 3}}};
    ink_value out[2];
    ink_attention(g, 2, streams, segments, 2, &(ink_attention_options){.heads = 2, .kv_heads = 2}, out);
    expect(g, 2 * 4 * 25 * 8, 4 * (4 + 6) * 8 * 4);
    const ink_segment whole = {{0}, {6}};
    ink_attention(g, 1, &streams[1], &whole, 1,
                  &(ink_attention_options){.heads = 2, .kv_heads = 2, .causal = true}, out);
    expect(g, 2 * 36 * 8, 4 * 6 * 8 * 4);
    ink_graph_destroy(g);
}

static void expect_label(const ink_graph *g, const char *label) {
    char text[INK_LABEL_BYTES];
    assert_string_equal(ink_node_label(g, last(g), text), label);
}

static void operations_are_called_after_weights(void **state) {
    (void)state;
    ink_weights *weights;
    assert_int_equal(ink_weights_create_synthetic(&weights, NULL), INK_OK);
    ink_graph *g = new_graph();
    const ink_value x = slot(g, "x", ink_shape2(2, 4)), mod = slot(g, "mod", ink_shape1(12));
    const ink_value row = ink_step_row(g, slot(g, "table", ink_shape2(3, 12)));
    expect_label(g, "table");
    const ink_value w = ink_weight_value(g, weights, ink_shape2(4, 4), "blocks.%d.mlp.weight", 7);
    const ink_value up = ink_linear(g, x, w, INK_NO_VALUE, INK_ACT_NONE);
    expect_label(g, "blocks.7.mlp");
    const ink_value sum = ink_gated_add(g, x, mod, 0, up, NULL);
    expect_label(g, "after blocks.7.mlp");
    const ink_value gain = ink_weight_value(g, weights, ink_shape1(4), "norm.gain");
    ink_rms_norm(g, sum, gain, 1e-6f);
    expect_label(g, "norm.gain");
    ink_layer_norm_modulate(g, sum, row, 0, 4, 1e-6f, NULL);
    expect_label(g, "after blocks.7.mlp");
    ink_store(g, x, sum, 0, 0);
    expect_label(g, "x");
    ink_silu(g, ink_silu(g, x));
    expect_label(g, "after x");
    const float one = 1;
    ink_silu(g, ink_constant(g, INK_F32, ink_shape1(1), &one));
    expect_label(g, "a constant");
    ink_graph_destroy(g);
    ink_weights_close(weights);
}

static void long_names_are_cut(void **state) {
    (void)state;
    ink_graph *g = new_graph();
    char name[300], text[INK_LABEL_BYTES];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    ink_silu(g, ink_silu(g, slot(g, name, ink_shape1(1))));
    assert_int_equal(strlen(ink_node_label(g, last(g), text)), INK_LABEL_BYTES - 1);
    ink_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_and_slots_count_as_far_as_they_are_touched),
        cmocka_unit_test(products_count_their_multiply_adds),
        cmocka_unit_test(operations_are_called_after_weights),
        cmocka_unit_test(long_names_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
