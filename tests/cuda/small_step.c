#include "cuda/small_step.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

void small_step_open(small_step *m, int64_t tokens, int64_t side) {
    const ink_transformer_config config = {.patch_size = 2,
                                           .in_channels = 16,
                                           .out_channels = 4,
                                           .num_layers = small_step_blocks,
                                           .num_heads = 1,
                                           .head_dim = 128,
                                           .joint_attention_dim = 24,
                                           .axes = {16, 56, 56},
                                           .dim = 128,
                                           .modulation_columns = (small_step_blocks * 12 + 2) * 128};
    const int64_t both[2] = {tokens, tokens - 1};
    assert_int_equal(ink_weights_create_synthetic(&m->weights, NULL), INK_OK);
    assert_int_equal(ink_layout_init(&m->layout, 1, 2, both, side, side, NULL), INK_OK);
    assert_int_equal(ink_graph_create(&m->graph, NULL), INK_OK);
    ink_transformer_record_step(m->graph, &config, m->weights, &m->layout, small_step_steps);
}

void small_step_close(small_step *m) {
    ink_graph_destroy(m->graph);
    ink_layout_fini(&m->layout);
    ink_weights_close(m->weights);
}

void small_step_fill(float *values, size_t n, const char *name, size_t slot) {
    (void)name;
    for (size_t i = 0; i < n; i++) {
        values[i] = (float)((i * 2654435761u + slot * 97) % 1000) / 1000 - 0.4f;
    }
}
