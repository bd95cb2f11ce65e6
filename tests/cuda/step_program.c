#include "cuda/step_program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void open_slot(step_program *p, const ink_value_info *info, step_fill fill) {
    const size_t slot = p->n_buffers++, n = (size_t)ink_shape_count(&info->shape);
    ink_buffer **buffer = &p->buffers[slot];
    assert_int_equal(info->dtype, INK_F32);
    assert_int_equal(ink_buffer_create(p->backend, info->dtype, &info->shape, buffer, NULL), INK_OK);
    assert_int_equal(ink_program_bind(p->program, info->name, *buffer, NULL), INK_OK);
    if (strcmp(info->name, "latents") == 0) {
        p->latents = *buffer;
        p->n_latents = n;
    }
    if (!fill) return;
    float *values = malloc(n * sizeof *values);
    assert_non_null(values);
    fill(values, n, info->name, slot);
    assert_int_equal(ink_buffer_write(*buffer, values, n * sizeof *values, NULL), INK_OK);
    free(values);
}

void step_program_open(step_program *p, const ink_graph *graph, const ink_cuda_settings *settings,
                       step_fill fill) {
    *p = (step_program){0};
    ink_error error = {0};
    if (ink_cuda_backend_create_with(settings, &p->backend, &error) != INK_OK) fail_msg("%s", error.message);
    if (ink_compile(p->backend, graph, &p->program, &error) != INK_OK) fail_msg("%s", error.message);
    ink_value slot;
    while ((slot = ink_graph_slot(graph, p->n_buffers)).id) {
        assert_true(p->n_buffers < sizeof p->buffers / sizeof *p->buffers);
        open_slot(p, ink_graph_value(graph, slot.id), fill);
    }
    assert_non_null(p->latents);
}

float *step_program_run(const step_program *p, int runs, int steps) {
    ink_error error = {0};
    for (int run = 0; run < runs; run++) {
        if (ink_program_run(p->program, run % steps, NULL, &error) != INK_OK) fail_msg("%s", error.message);
    }
    float *result = malloc(p->n_latents * sizeof *result);
    assert_non_null(result);
    if (ink_buffer_read(p->latents, result, p->n_latents * sizeof *result, &error) != INK_OK)
        fail_msg("%s", error.message);
    return result;
}

void step_program_close(step_program *p) {
    ink_program_destroy(p->program);
    for (size_t i = 0; i < p->n_buffers; i++) {
        ink_buffer_destroy(p->buffers[i]);
    }
    ink_backend_destroy(p->backend);
}
