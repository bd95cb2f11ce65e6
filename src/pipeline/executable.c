#include "pipeline/executable.h"

#include <stdlib.h>

static const char tap_prefix[] = "tap:";

ink_status ink_executable_init(ink_executable *e, ink_backend *backend, ink_error *error) {
    *e = (ink_executable){.backend = backend};
    return ink_graph_create(&e->graph, error);
}

static size_t slot_count(const ink_graph *graph) {
    size_t n = 0;
    while (ink_graph_slot(graph, n).id) {
        n++;
    }
    return n;
}

ink_status ink_executable_compile(ink_executable *e, ink_error *error) {
    INK_TRY(ink_graph_status(e->graph, error));
    const size_t slots = slot_count(e->graph);
    e->owned = calloc(slots + 1, sizeof *e->owned);
    if (!e->owned) return ink_fail_memory(error, "the buffers of a program", slots * sizeof *e->owned);
    return ink_compile(e->backend, e->graph, &e->program, error);
}

ink_status ink_executable_bind_new(ink_executable *e, const char *slot, ink_buffer **buffer,
                                   ink_error *error) {
    const ink_value value = ink_graph_find_slot(e->graph, slot);
    if (!value.id) return ink_fail(error, INK_ERROR_INTERNAL, "the program has no slot '%s'", slot);
    const ink_value_info *info = ink_graph_value(e->graph, value.id);
    ink_buffer *made = NULL;
    INK_TRY(ink_buffer_create(e->backend, info->dtype, &info->shape, &made, error));
    e->owned[e->n_owned++] = (ink_executable_slot){.name = info->name, .buffer = made};
    if (buffer) *buffer = made;
    return ink_program_bind(e->program, slot, made, error);
}

ink_buffer *ink_executable_buffer(const ink_executable *e, const char *slot) {
    for (size_t i = 0; i < e->n_owned; i++) {
        if (strcmp(e->owned[i].name, slot) == 0) return e->owned[i].buffer;
    }
    return NULL;
}

static bool is_tap(const char *slot) {
    return strncmp(slot, tap_prefix, sizeof tap_prefix - 1) == 0;
}

ink_status ink_executable_bind_taps(ink_executable *e, ink_error *error) {
    ink_value slot;
    for (size_t i = 0; (slot = ink_graph_slot(e->graph, i)).id; i++) {
        const char *name = ink_graph_value(e->graph, slot.id)->name;
        if (is_tap(name)) INK_TRY(ink_executable_bind_new(e, name, NULL, error));
    }
    return INK_OK;
}

bool ink_executable_tap(const ink_executable *e, size_t i, const char **name, ink_buffer **buffer) {
    for (size_t k = 0; k < e->n_owned; k++) {
        if (!is_tap(e->owned[k].name) || i-- != 0) continue;
        *name = e->owned[k].name + sizeof tap_prefix - 1;
        *buffer = e->owned[k].buffer;
        return true;
    }
    return false;
}

ink_status ink_buffer_read_f32(ink_buffer *buffer, float **values, size_t *count, ink_error *error) {
    *values = NULL;
    *count = (size_t)ink_shape_count(&buffer->shape);
    float *copy = malloc(*count * sizeof *copy);
    if (!copy) return ink_fail_memory(error, "reading a buffer", *count * sizeof *copy);
    const ink_status status = ink_buffer_read(buffer, copy, *count * sizeof *copy, error);
    if (status == INK_OK)
        *values = copy;
    else
        free(copy);
    return status;
}

void ink_executable_release(ink_executable *e) {
    ink_program_destroy(e->program);
    e->program = NULL;
}

void ink_executable_fini(ink_executable *e) {
    ink_program_destroy(e->program);
    for (size_t i = 0; i < e->n_owned; i++) {
        ink_buffer_destroy(e->owned[i].buffer);
    }
    free(e->owned);
    ink_graph_destroy(e->graph);
    *e = (ink_executable){0};
}
