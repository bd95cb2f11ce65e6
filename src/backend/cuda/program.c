#include "backend/cuda/program.h"

#include "backend/cuda/settle.h"
#include "backend/cuda/stream.h"

#include <stdlib.h>

static ink_cuda_program *program_of(ink_program *program) {
    return (ink_cuda_program *)program;
}

void ink_cuda_program_destroy(ink_program *base) {
    ink_cuda_program *p = program_of(base);
    ink_cuda_unlink(p);
    ink_cuda_unsettle(p);
    for (ink_cuda_program **at = &p->context->programs; *at; at = &(*at)->next) {
        if (*at != p) continue;
        *at = p->next;
        break;
    }
    for (int32_t i = 0; p->weights && i < p->lowered.n_wanted; i++) {
        if (p->weights[i]) ink_cuda_weight_release(p->context->weights, p->weights[i]);
    }
    for (int64_t i = 0; i < p->ends_cap; i++) {
        if (p->ends[i]) (void)cudaEventDestroy(p->ends[i]);
    }
    ink_cuda_free(&p->context->memory, p->step, sizeof *p->step);
    ink_cuda_lowered_free(&p->lowered);
    free(p->weights);
    free(p->choices);
    free(p->bound);
    free(p->ends);
    free(p);
}

/* Our attention for these devices takes rows from where they are, others want those of a segment together. */
static bool hopper_attends(const ink_cuda_context *context) {
    return context->major == 9 && context->minor == 0;
}

static ink_status prepare(ink_cuda_program *p, ink_error *error) {
    const ink_cuda_rules rules = {.activation = p->context->activation,
                                  .residual = p->context->residual,
                                  .fp8 = p->context->fp8,
                                  .separate = p->context->separate,
                                  .apart = hopper_attends(p->context)};
    INK_TRY(ink_cuda_lower(p->graph, &rules, &p->lowered, error));
    p->weights = calloc((size_t)p->lowered.n_wanted + 1, sizeof *p->weights);
    p->choices = calloc((size_t)p->lowered.n_launches + 1, sizeof *p->choices);
    p->bound = calloc((size_t)ink_graph_value_count(p->graph) + 1, sizeof *p->bound);
    if (!p->weights || !p->choices || !p->bound)
        return ink_fail_memory(error, "a program", (size_t)p->lowered.n_launches * sizeof *p->choices);
    for (int32_t i = 0; i < p->lowered.n_wanted; i++) {
        INK_TRY(ink_cuda_weight_acquire(p->context->weights, &p->lowered.wanted[i], &p->weights[i], error));
    }
    void *memory;
    INK_TRY(ink_cuda_allocate(&p->context->memory, sizeof *p->step, "the step", &memory, error));
    p->step = memory;
    return INK_OK;
}

ink_status ink_cuda_compile(ink_backend *backend, const ink_graph *graph, ink_program **program,
                            ink_error *error) {
    ink_cuda_program *p = calloc(1, sizeof *p);
    if (!p) return ink_fail_memory(error, "a program", sizeof *p);
    p->base.api = backend->api;
    p->context = (ink_cuda_context *)backend;
    p->graph = graph;
    p->next = p->context->programs;
    p->context->programs = p;
    const ink_status status = prepare(p, error);
    if (status != INK_OK) {
        ink_cuda_program_destroy(&p->base);
        return status;
    }
    *program = &p->base;
    return INK_OK;
}

ink_status ink_cuda_program_bind(ink_program *base, const char *name, ink_buffer *buffer, ink_error *error) {
    ink_cuda_program *p = program_of(base);
    const ink_value slot = ink_graph_find_slot(p->graph, name);
    if (!slot.id) return ink_fail(error, INK_ERROR_INTERNAL, "the program has no slot '%s'", name);
    const ink_value_info *info = ink_graph_value(p->graph, slot.id);
    if (info->dtype != buffer->dtype || ink_shape_count(&info->shape) != ink_shape_count(&buffer->shape)) {
        char want[INK_SHAPE_TEXT_BYTES], got[INK_SHAPE_TEXT_BYTES];
        return ink_fail(error, INK_ERROR_INTERNAL, "slot '%s' is %s %s and cannot take a buffer of %s %s",
                        name, ink_dtype_name(info->dtype), ink_shape_text(&info->shape, want),
                        ink_dtype_name(buffer->dtype), ink_shape_text(&buffer->shape, got));
    }
    if (p->bound[slot.id] == (ink_cuda_buffer *)buffer) return INK_OK;
    p->bound[slot.id] = (ink_cuda_buffer *)buffer;
    if (p->linked) ink_cuda_unlink(p); /* addresses are part of what was chosen and recorded */
    return INK_OK;
}

size_t ink_cuda_program_bytes(const ink_program *base) {
    const ink_cuda_program *p = (const ink_cuda_program *)base;
    size_t bytes = p->lowered.arena_bytes;
    if (p->stream) bytes += (size_t)p->stream->n_slots * p->stream->slot_bytes;
    for (int32_t i = 0; i < p->lowered.n_wanted; i++) {
        bytes += ink_cuda_weight_bytes(p->weights[i]);
    }
    return bytes + p->noted;
}
