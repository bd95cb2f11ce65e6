#include "graph/graph.h"

#include "graph/record.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

ink_status ink_graph_create(ink_graph **graph, ink_error *error) {
    *graph = calloc(1, sizeof **graph);
    return *graph ? INK_OK : ink_fail_memory(error, "a graph", sizeof **graph);
}

void ink_graph_destroy(ink_graph *graph) {
    if (!graph) return;
    ink_arena_free(&graph->arena);
    free(graph->values);
    free(graph->nodes);
    free(graph->slots);
    free(graph);
}

void ink_graph_set_taps(ink_graph *graph, ink_tap_mode mode, ink_tap_filter filter, void *user) {
    graph->tap_mode = mode;
    graph->tap_filter = filter;
    graph->tap_user = user;
}

bool ink_graph_has_taps(const ink_graph *graph) {
    return graph->tap_mode != INK_TAP_NONE;
}

void ink_graph_set_rare(ink_graph *graph) {
    graph->rare = true;
}

bool ink_graph_is_rare(const ink_graph *graph) {
    return graph->rare;
}

ink_status ink_graph_status(const ink_graph *graph, ink_error *error) {
    if (graph->error.status != INK_OK && error) *error = graph->error;
    return graph->error.status;
}

void ink_graph_fail(ink_graph *graph, ink_status status, const char *format, ...) {
    if (graph->error.status != INK_OK) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(graph->error.message, sizeof graph->error.message, format, arguments);
    va_end(arguments);
    graph->error.status = status;
}

/* Makes room for one more element; fails the graph otherwise. */
static bool grow(ink_graph *g, void **array, int32_t count, int32_t *cap, size_t element_bytes) {
    if (count < *cap) return true;
    const int32_t larger = *cap ? *cap * 2 : 256;
    void *moved = realloc(*array, (size_t)larger * element_bytes);
    if (!moved) {
        ink_graph_fail(g, INK_ERROR_MEMORY, "out of memory while recording a graph of %d values",
                       g->n_values);
        return false;
    }
    *array = moved;
    *cap = larger;
    return true;
}

ink_value ink_record_value(ink_graph *g, const ink_value_info *info) {
    void *values = g->values;
    const bool fits = grow(g, &values, g->n_values, &g->values_cap, sizeof *g->values);
    g->values = values;
    if (!fits) return INK_NO_VALUE;
    g->values[g->n_values++] = *info;
    return (ink_value){g->n_values};
}

bool ink_record_node(ink_graph *g, const ink_node *node) {
    void *nodes = g->nodes;
    const bool fits = grow(g, &nodes, g->n_nodes, &g->nodes_cap, sizeof *g->nodes);
    g->nodes = nodes;
    if (!fits) return false;
    g->nodes[g->n_nodes++] = *node;
    return true;
}

void *ink_record_copy(ink_graph *g, const void *data, size_t bytes) {
    void *copy = data ? ink_arena_alloc(&g->arena, bytes) : NULL;
    if (!copy) {
        ink_graph_fail(g, INK_ERROR_MEMORY, "out of memory while recording a graph: %zu bytes", bytes);
        return NULL;
    }
    memcpy(copy, data, bytes);
    return copy;
}

/* A name that vprintf made in the arena, or NULL with the graph failed. */
static const char *format_name(ink_graph *g, const char *format, va_list arguments) {
    const char *name = ink_arena_vprintf(&g->arena, format, arguments);
    if (!name) ink_graph_fail(g, INK_ERROR_MEMORY, "out of memory while recording a graph");
    return name;
}

ink_value ink_slot(ink_graph *g, const char *name, ink_dtype dtype, ink_shape shape) {
    if (g->error.status != INK_OK) return INK_NO_VALUE;
    const ink_value known = ink_graph_find_slot(g, name);
    if (known.id) {
        const ink_value_info *info = ink_graph_value(g, known.id);
        if (info->dtype == dtype && ink_shape_equal(&info->shape, &shape)) return known;
        char before[INK_SHAPE_TEXT_BYTES], now[INK_SHAPE_TEXT_BYTES];
        ink_graph_fail(g, INK_ERROR_INTERNAL, "slot '%s' was %s %s before and is %s %s now", name,
                       ink_dtype_name(info->dtype), ink_shape_text(&info->shape, before),
                       ink_dtype_name(dtype), ink_shape_text(&shape, now));
        return INK_NO_VALUE;
    }
    if (ink_shape_count(&shape) <= 0) {
        char text[INK_SHAPE_TEXT_BYTES];
        ink_graph_fail(g, INK_ERROR_INTERNAL, "slot '%s' has the impossible shape %s", name,
                       ink_shape_text(&shape, text));
        return INK_NO_VALUE;
    }
    const char *copy = ink_record_copy(g, name, strlen(name) + 1);
    void *slots = g->slots;
    const bool fits = grow(g, &slots, g->n_slots, &g->slots_cap, sizeof *g->slots);
    g->slots = slots;
    if (!copy || !fits) return INK_NO_VALUE;
    const ink_value slot = ink_record_value(
        g,
        &(ink_value_info){.kind = INK_VALUE_SLOT, .dtype = dtype, .shape = shape, .name = copy, .node = -1});
    if (slot.id) g->slots[g->n_slots++] = slot;
    return slot;
}

static ink_value record_quantized(ink_graph *g, const char *name, ink_shape shape,
                                  const ink_quantized *quantized) {
    const ink_quantized *copy = ink_record_copy(g, quantized, sizeof *quantized);
    if (!copy) return INK_NO_VALUE;
    return ink_record_value(g, &(ink_value_info){.kind = INK_VALUE_WEIGHT,
                                                 .dtype = INK_U32,
                                                 .shape = shape,
                                                 .name = name,
                                                 .data = copy->numbers->data,
                                                 .node = -1,
                                                 .quantized = copy});
}

ink_value ink_weight_value(ink_graph *g, ink_weights *weights, ink_shape shape, const char *name_format,
                           ...) {
    if (g->error.status != INK_OK) return INK_NO_VALUE;
    va_list arguments;
    va_start(arguments, name_format);
    const char *name = format_name(g, name_format, arguments);
    va_end(arguments);
    if (!name) return INK_NO_VALUE;
    ink_quantized quantized;
    bool is_quantized;
    if (ink_quantized_find(weights, name, &shape, &quantized, &is_quantized, &g->error) != INK_OK)
        return INK_NO_VALUE;
    if (is_quantized) return record_quantized(g, name, shape, &quantized);
    const ink_weight *weight = NULL;
    if (ink_weights_get(weights, name, &shape, &weight, &g->error) != INK_OK) return INK_NO_VALUE;
    return ink_record_value(g, &(ink_value_info){.kind = INK_VALUE_WEIGHT,
                                                 .dtype = weight->dtype,
                                                 .shape = weight->shape,
                                                 .name = name,
                                                 .data = weight->data,
                                                 .node = -1,
                                                 .recipe = weight->recipe});
}

ink_value ink_constant(ink_graph *g, ink_dtype dtype, ink_shape shape, const void *data) {
    if (g->error.status != INK_OK) return INK_NO_VALUE;
    const int64_t count = ink_shape_count(&shape);
    if (count <= 0) {
        char text[INK_SHAPE_TEXT_BYTES];
        ink_graph_fail(g, INK_ERROR_INTERNAL, "a constant has the impossible shape %s",
                       ink_shape_text(&shape, text));
        return INK_NO_VALUE;
    }
    const void *copy = ink_record_copy(g, data, (size_t)count * ink_dtype_bytes(dtype));
    if (!copy) return INK_NO_VALUE;
    return ink_record_value(
        g, &(ink_value_info){
               .kind = INK_VALUE_CONSTANT, .dtype = dtype, .shape = shape, .data = copy, .node = -1});
}

void ink_tap(ink_graph *g, ink_value value, const char *name_format, ...) {
    if (g->tap_mode == INK_TAP_NONE || g->error.status != INK_OK || !value.id) return;
    va_list arguments;
    va_start(arguments, name_format);
    const char *name = format_name(g, name_format, arguments);
    va_end(arguments);
    if (!name || (g->tap_filter && !g->tap_filter(g->tap_user, name))) return;
    char slot_name[256];
    if ((size_t)snprintf(slot_name, sizeof slot_name, "tap:%s", name) >= sizeof slot_name) {
        ink_graph_fail(g, INK_ERROR_INTERNAL, "the tap name '%.64s...' is too long", name);
        return;
    }
    if (ink_graph_find_slot(g, slot_name).id) {
        ink_graph_fail(g, INK_ERROR_INTERNAL, "two taps are called '%s'", name);
        return;
    }
    const ink_value tapped = g->tap_mode == INK_TAP_STATS ? ink_stats(g, value) : value;
    const ink_value slot = ink_slot(g, slot_name, INK_F32, ink_value_shape(g, tapped));
    ink_store(g, slot, tapped, 0, 0);
}

ink_shape ink_value_shape(const ink_graph *g, ink_value value) {
    return value.id ? g->values[value.id - 1].shape : (ink_shape){0};
}

const ink_value_info *ink_graph_value(const ink_graph *g, int32_t id) {
    return &g->values[id - 1];
}

int32_t ink_graph_value_count(const ink_graph *g) {
    return g->n_values;
}

const ink_node *ink_graph_node(const ink_graph *g, int32_t i) {
    return &g->nodes[i];
}

int32_t ink_graph_node_count(const ink_graph *g) {
    return g->n_nodes;
}

ink_value ink_graph_slot(const ink_graph *g, size_t i) {
    return i < (size_t)g->n_slots ? g->slots[i] : INK_NO_VALUE;
}

ink_value ink_graph_find_slot(const ink_graph *g, const char *name) {
    for (int32_t i = 0; i < g->n_slots; i++) {
        if (strcmp(g->values[g->slots[i].id - 1].name, name) == 0) return g->slots[i];
    }
    return INK_NO_VALUE;
}
