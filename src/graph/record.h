/*
 * Inside of the graph room: what the recording functions share. Not for other rooms.
 */
#ifndef INK_GRAPH_RECORD_H
#define INK_GRAPH_RECORD_H

#include "graph/ops.h"

struct ink_graph {
    ink_arena arena;
    ink_error error;        /* the first one */
    ink_value_info *values; /* [n_values], values[id - 1] */
    int32_t n_values, values_cap;
    ink_node *nodes; /* [n_nodes] */
    int32_t n_nodes, nodes_cap;
    ink_value *slots; /* [n_slots], in order of first use */
    int32_t n_slots, slots_cap;
    ink_tap_mode tap_mode;
    ink_tap_filter tap_filter;
    void *tap_user;
    bool rare;
};

/* True if the graph has no error and every value in `values` is one of its own. A missing value fails the
 * graph. */
bool ink_record_ready(ink_graph *g, ink_op op, int n, const ink_value *values);

/* Fails the graph with "<op>: <message>". */
void ink_record_fail(ink_graph *g, ink_op op, const char *format, ...) INK_PRINTF(3, 4);

/* Appends a value / a node; INK_NO_VALUE / false when memory runs out (the graph then fails). */
ink_value ink_record_value(ink_graph *g, const ink_value_info *info);
bool ink_record_node(ink_graph *g, const ink_node *node);

/* Appends `node` with one computed output. */
ink_value ink_record_output(ink_graph *g, ink_node *node, ink_dtype dtype, ink_shape shape);

/* Copies `bytes` into the graph; NULL (graph failed) when memory runs out or data is NULL. */
void *ink_record_copy(ink_graph *g, const void *data, size_t bytes);

/* "'img_in.weight' [128, 64]" or "value 17 [20, 96]", for messages. */
#define INK_VALUE_TEXT_BYTES 256
const char *ink_value_text(const ink_graph *g, ink_value value, char text[INK_VALUE_TEXT_BYTES]);

/* Checks shared by the recording functions; each fails the graph and returns false if it does not hold. */
bool ink_expect_f32(ink_graph *g, ink_op op, ink_value value);         /* an activation */
bool ink_expect_weight_type(ink_graph *g, ink_op op, ink_value value); /* f32, bf16 or f16 */
bool ink_expect_matrix_type(ink_graph *g, ink_op op, ink_value value); /* the same, or quantised */
bool ink_expect_same_shape(ink_graph *g, ink_op op, ink_value a, ink_value b);
bool ink_expect_count(ink_graph *g, ink_op op, ink_value value, int64_t count, const char *what);
bool ink_expect_groups(ink_graph *g, ink_op op, const int32_t *groups, int64_t rows, int64_t n_groups);

#endif
