/*
 * Memory planning: values that live at the same time never share bytes, and those that do not, do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph/ops.h"
#include "graph/plan.h"

#include <stdlib.h>

static uint32_t random_state;

static int64_t random_below(int64_t n) {
    random_state = random_state * 1664525u + 1013904223u;
    return (int64_t)(random_state >> 8) % n;
}

static size_t bytes_of(const ink_graph *g, int32_t id) {
    const ink_value_info *info = ink_graph_value(g, id);
    return (size_t)ink_shape_count(&info->shape) * ink_dtype_bytes(info->dtype);
}

/* The node after which nobody needs a value. */
static int32_t last_reader(const ink_graph *g, int32_t id) {
    int32_t last = ink_graph_value(g, id)->node;
    for (int32_t n = 0; n < ink_graph_node_count(g); n++) {
        const ink_node *node = ink_graph_node(g, n);
        for (int i = 0; i < node->n_inputs; i++) {
            if (node->inputs[i].id == id) last = n;
        }
    }
    return last;
}

/* True if b may take over a's bytes: b's operation may work in place on a, and is a's last reader. */
static bool takes_over(const ink_graph *g, int32_t a, int32_t b) {
    const ink_node *node = ink_graph_node(g, ink_graph_value(g, b)->node);
    const int donor = ink_op_inplace(node->op);
    return donor >= 0 && node->outputs[0].id == b && node->inputs[donor].id == a &&
           last_reader(g, a) == ink_graph_value(g, b)->node;
}

static void check_plan(const ink_graph *g) {
    ink_plan plan;
    assert_int_equal(ink_plan_create(g, &plan, NULL), INK_OK);
    const int32_t count = ink_graph_value_count(g);
    for (int32_t a = 1; a <= count; a++) {
        const ink_value_info *info = ink_graph_value(g, a);
        if (info->kind != INK_VALUE_COMPUTED) {
            assert_true(plan.offsets[a] == SIZE_MAX);
            continue;
        }
        assert_true(plan.offsets[a] % 64 == 0);
        assert_true(plan.offsets[a] + bytes_of(g, a) <= plan.arena_bytes);
        for (int32_t b = a + 1; b <= count; b++) {
            if (ink_graph_value(g, b)->kind != INK_VALUE_COMPUTED) continue;
            const bool apart = last_reader(g, a) < ink_graph_value(g, b)->node;
            const bool disjoint = plan.offsets[a] + bytes_of(g, a) <= plan.offsets[b] ||
                                  plan.offsets[b] + bytes_of(g, b) <= plan.offsets[a];
            if (!apart && !disjoint && !takes_over(g, a, b))
                fail_msg("values %d and %d share bytes while both are needed", a, b);
        }
    }
    ink_plan_destroy(&plan);
}

/* A random graph of additions, sums with old values, slices and two-stream attention. */
static ink_graph *random_graph(void) {
    enum { nodes = 60 };
    ink_graph *g;
    assert_int_equal(ink_graph_create(&g, NULL), INK_OK);
    ink_value values[2 * nodes + 2];
    int n = 0;
    const int64_t rows = 1 + random_below(5);
    values[n++] = ink_slot(g, "x", INK_F32, ink_shape2(rows, 8));
    for (int i = 0; i < nodes; i++) {
        const ink_value a = values[random_below(n)], b = values[n - 1];
        switch (random_below(4)) {
        case 0:
            values[n++] = ink_add(g, a, b);
            break;
        case 1:
            values[n++] = ink_silu(g, a);
            break;
        case 2:
            values[n++] = ink_silu_mul(g, b, a);
            break;
        default: {
            const ink_attention_stream streams[2] = {{a, b, a}, {b, a, b}};
            const ink_segment segment = {.begin = {0, 0}, .length = {rows, rows}};
            ink_attention(g, 2, streams, &segment, 1, &(ink_attention_options){.heads = 2, .kv_heads = 2},
                          &values[n]);
            n += 2;
        }
        }
    }
    assert_int_equal(ink_graph_status(g, NULL), INK_OK);
    return g;
}

static void live_values_never_share_bytes(void **state) {
    (void)state;
    for (uint32_t seed = 0; seed < 200; seed++) {
        random_state = seed;
        ink_graph *g = random_graph();
        check_plan(g);
        ink_graph_destroy(g);
    }
}

static void a_chain_needs_two_places(void **state) {
    (void)state;
    ink_graph *g;
    assert_int_equal(ink_graph_create(&g, NULL), INK_OK);
    const ink_value slot = ink_slot(g, "x", INK_F32, ink_shape2(16, 16));
    ink_value x = slot;
    for (int i = 0; i < 100; i++) {
        /* Not in place: guidance halves the rows, the gather doubles them again. */
        static const int32_t rows[16] = {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7};
        x = ink_guidance(g, x, ink_slot(g, "scale", INK_F32, ink_shape1(1)), false);
        x = ink_gather_rows(g, x, rows, 16);
    }
    ink_store(g, slot, x, 0, 0);
    ink_plan plan;
    assert_int_equal(ink_plan_create(g, &plan, NULL), INK_OK);
    assert_int_equal(plan.arena_bytes, (16 + 8) * 16 * sizeof(float));
    ink_plan_destroy(&plan);
    ink_graph_destroy(g);
}

static void an_output_takes_over_a_dying_input(void **state) {
    (void)state;
    ink_graph *g;
    assert_int_equal(ink_graph_create(&g, NULL), INK_OK);
    const ink_value slot = ink_slot(g, "x", INK_F32, ink_shape2(16, 16));
    const ink_value a = ink_silu(g, slot);
    const ink_value b = ink_silu(g, a);
    ink_store(g, slot, b, 0, 0);
    ink_plan plan;
    assert_int_equal(ink_plan_create(g, &plan, NULL), INK_OK);
    assert_int_equal(plan.offsets[a.id], plan.offsets[b.id]);
    assert_int_equal(plan.arena_bytes, 16 * 16 * sizeof(float));
    ink_plan_destroy(&plan);
    ink_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_values_never_share_bytes),
        cmocka_unit_test(a_chain_needs_two_places),
        cmocka_unit_test(an_output_takes_over_a_dying_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
