/*
 * A graph: the operations of a network, recorded and not yet computed. A graph is data; a backend compiles
 * it.
 *
 * Values are numbered in the order of recording, and operations run in that order. There are four kinds of
 * value: slot      a named buffer outside the graph (inputs, results, state that lives across steps). It is
 * bound before running. Reading it in an operation sees what is in it at that point; ink_store writes to it.
 *   weight    a tensor of a checkpoint
 *   constant  small data recorded with the graph
 *   computed  the output of an operation
 *
 * Errors are sticky: the first one is kept, every later call returns INK_NO_VALUE, and ink_graph_status
 * reports it. Model code therefore needs no error checks between operations.
 *
 * Taps are how verification, inspection and the non-finite guard see inside: ink_tap marks a value with the
 * name that the reference uses. A tap costs nothing unless the graph was made with a tap mode.
 */
#ifndef INK_GRAPH_GRAPH_H
#define INK_GRAPH_GRAPH_H

#include "base/arena.h"
#include "base/dtype.h"
#include "base/status.h"
#include "weights/quantized.h"
#include "weights/weights.h"

typedef struct ink_graph ink_graph;

/* Index of a value in its graph, from 1. */
typedef struct ink_value {
    int32_t id;
} ink_value;

#define INK_NO_VALUE ((ink_value){0})

typedef enum ink_value_kind {
    INK_VALUE_SLOT,
    INK_VALUE_WEIGHT,
    INK_VALUE_CONSTANT,
    INK_VALUE_COMPUTED
} ink_value_kind;

typedef struct ink_value_info {
    ink_value_kind kind;
    ink_dtype dtype;
    ink_shape shape;
    const char *name;               /* of a slot or weight; NULL otherwise */
    const void *data;               /* of a weight or constant; NULL otherwise */
    int32_t node;                   /* computed: the operation it comes from; otherwise -1 */
    const ink_quantized *quantized; /* of a weight that is stored as small integers: dtype is u32 and data are
                                       the numbers, while shape is the matrix's; otherwise NULL */
    const struct ink_synthetic_recipe *recipe; /* of a weight that may have no data: how its values are made
                                                  (weights/synthetic.h); otherwise NULL */
} ink_value_info;

typedef enum ink_tap_mode {
    INK_TAP_NONE,   /* taps vanish */
    INK_TAP_VALUES, /* the value is stored to a slot called "tap:<name>", of the value's shape */
    INK_TAP_STATS   /* its statistics (see ink_stats) are stored to a slot called "tap:<name>", [4] */
} ink_tap_mode;

/* Selects the taps to record; return false to drop one. */
typedef bool (*ink_tap_filter)(void *user, const char *name);

ink_status ink_graph_create(ink_graph **graph, ink_error *error);
void ink_graph_destroy(ink_graph *graph);

/* Call before recording. `filter` is nullable: all taps. */
void ink_graph_set_taps(ink_graph *graph, ink_tap_mode mode, ink_tap_filter filter, void *user);

/* False if taps vanish: model code may then leave out what only taps would see. */
bool ink_graph_has_taps(const ink_graph *graph);

/* Says that the program will run once, or now and then: a backend may bring its weights to where it computes
 * for every run, in pieces, instead of holding all of them. */
void ink_graph_set_rare(ink_graph *graph);
bool ink_graph_is_rare(const ink_graph *graph);

/* INK_OK, or the first error of recording. */
ink_status ink_graph_status(const ink_graph *graph, ink_error *error);

/* Makes `graph` fail with this message unless it already failed (for model code that finds a bad
 * configuration). */
void ink_graph_fail(ink_graph *graph, ink_status status, const char *format, ...) INK_PRINTF(3, 4);

/* The slot called `name`, made at first use; the same name must always have the same dtype and shape. */
ink_value ink_slot(ink_graph *graph, const char *name, ink_dtype dtype, ink_shape shape);

/* The weight `name` of `weights`, which must have `shape`. Matrices may be quantised (weights/quantized.h):
 * ink_linear and ink_embed_rows take them. */
ink_value ink_weight_value(ink_graph *graph, ink_weights *weights, ink_shape shape, const char *name_format,
                           ...) INK_PRINTF(4, 5);

/* Data of any size, copied into the graph. */
ink_value ink_constant(ink_graph *graph, ink_dtype dtype, ink_shape shape, const void *data);

/* Marks a value; see above. */
void ink_tap(ink_graph *graph, ink_value value, const char *name_format, ...) INK_PRINTF(3, 4);

/* ---- what backends and the planner read ---- */

/* Shape of a value; rank 0 for INK_NO_VALUE. */
ink_shape ink_value_shape(const ink_graph *graph, ink_value value);
const ink_value_info *ink_graph_value(const ink_graph *graph, int32_t id); /* id from 1 */
int32_t ink_graph_value_count(const ink_graph *graph);                     /* ids are 1 ... count */

struct ink_node;
const struct ink_node *ink_graph_node(const ink_graph *graph, int32_t i); /* i from 0 */
int32_t ink_graph_node_count(const ink_graph *graph);

/* Slots in order of first use; NO_VALUE past the end. */
ink_value ink_graph_slot(const ink_graph *graph, size_t i);
/* The slot called `name`, or NO_VALUE. */
ink_value ink_graph_find_slot(const ink_graph *graph, const char *name);

#endif
