#include "program_kernels.h"

#include "graph/record.h"

#include <stdio.h>

static ink_backend *subject;
static ink_error *subject_error;

enum { most_slots = INK_MAX_INPUTS + INK_MAX_OUTPUTS };

/* The slots of a program, with the memory that each is filled from or read into. */
typedef struct slots {
    int n;
    char names[most_slots][16];
    const ink_tensor *tensors[most_slots];
    bool result[most_slots];
    ink_buffer *buffers[most_slots];
} slots;

/* Weights are constants of the program, as those of a network are: they take the way of prepared operands. */
static bool is_weight(ink_op op, int input) {
    switch (op) {
    case INK_OP_EMBED_ROWS:
        return input == 0;
    case INK_OP_LINEAR:
    case INK_OP_CONV2D:
        return input == 1 || input == 2;
    case INK_OP_RMS_NORM:
    case INK_OP_CHANNEL_NORM:
    case INK_OP_HEAD_NORM_ROTARY:
        return input == 1;
    default:
        return false;
    }
}

static ink_value add_slot(ink_graph *g, slots *s, const char *kind, const ink_tensor *tensor, bool result) {
    snprintf(s->names[s->n], sizeof s->names[s->n], "%s%d", kind, s->n);
    s->tensors[s->n] = tensor;
    s->result[s->n] = result;
    return ink_slot(g, s->names[s->n++], tensor->dtype, tensor->shape);
}

/* The same operation in a graph of its own. */
static void record(ink_graph *g, const ink_kernel_args *args, slots *s) {
    ink_node node = *args->node;
    const bool stores = node.n_outputs == 0;
    for (int i = 0; i < node.n_inputs; i++) {
        if (!node.inputs[i].id) continue;
        const ink_tensor *tensor = stores && i == 0 ? &args->out[0] : &args->in[i];
        node.inputs[i] = is_weight(node.op, i) ? ink_constant(g, tensor->dtype, tensor->shape, tensor->data)
                                               : add_slot(g, s, "in", tensor, stores && i == 0);
    }
    for (int i = 0; i < node.n_outputs; i++) {
        const ink_value_info info = {
            .kind = INK_VALUE_COMPUTED, .dtype = args->out[i].dtype, .shape = args->out[i].shape, .node = 0};
        node.outputs[i] = ink_record_value(g, &info);
    }
    if (!ink_record_node(g, &node)) return;
    for (int i = 0; i < node.n_outputs; i++) {
        ink_store(g, add_slot(g, s, "out", &args->out[i], true), node.outputs[i], 0, 0);
    }
}

static size_t bytes_of(const ink_tensor *tensor) {
    return (size_t)ink_shape_count(&tensor->shape) * ink_dtype_bytes(tensor->dtype);
}

static ink_status run_graph(ink_graph *g, slots *s, int64_t step, ink_program **program, ink_error *error) {
    INK_TRY(ink_compile(subject, g, program, error));
    for (int i = 0; i < s->n; i++) {
        const ink_tensor *tensor = s->tensors[i];
        INK_TRY(ink_buffer_create(subject, tensor->dtype, &tensor->shape, &s->buffers[i], error));
        INK_TRY(ink_buffer_write(s->buffers[i], tensor->data, bytes_of(tensor), error));
        INK_TRY(ink_program_bind(*program, s->names[i], s->buffers[i], error));
    }
    INK_TRY(ink_program_run(*program, step, NULL, error));
    for (int i = 0; i < s->n; i++) {
        if (s->result[i])
            INK_TRY(ink_buffer_read(s->buffers[i], s->tensors[i]->data, bytes_of(s->tensors[i]), error));
    }
    return INK_OK;
}

static void run(const ink_kernel_args *args) {
    slots s = {0};
    ink_graph *g;
    if (ink_graph_create(&g, subject_error) != INK_OK) return;
    record(g, args, &s);
    ink_program *program = NULL;
    (void)run_graph(g, &s, args->step, &program, subject_error);
    ink_program_destroy(program);
    for (int i = 0; i < s.n; i++) {
        ink_buffer_destroy(s.buffers[i]);
    }
    ink_graph_destroy(g);
}

void program_kernels(ink_kernel_table *table, ink_backend *backend, ink_error *error) {
    subject = backend;
    subject_error = error;
    for (int op = 0; op < INK_OP_COUNT; op++) {
        table->kernel[op] = (ink_kernel){.run = run};
    }
}
