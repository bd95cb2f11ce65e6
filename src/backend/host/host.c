/*
 * The executor: walks the nodes in order and calls their kernels.
 */
#include "backend/host/host.h"

#include "base/clock.h"
#include "graph/plan.h"

#include <inttypes.h>
#include <stdlib.h>

enum { alignment = 64 };

typedef struct host_backend {
    ink_backend base;
    ink_backend_api api; /* this backend's own copy, for its name */
    ink_kernel_table table;
    ink_pool *pool;
    char description[128];
} host_backend;

typedef struct host_buffer {
    ink_buffer base;
    void *data;
} host_buffer;

/* What one node's kernel gets, besides the step. */
typedef struct host_call {
    const ink_kernel *kernel;
    ink_tensor in[INK_MAX_INPUTS], out[INK_MAX_OUTPUTS];
    void *prepared;
} host_call;

typedef struct host_program {
    ink_program base;
    host_backend *backend;
    const ink_graph *graph;
    host_call *calls; /* [nodes] */
    float **widened;  /* [value id], quantised weights as f32; NULL: none */
    void *arena, *scratch;
    size_t bytes;
} host_program;

static void *allocate(size_t bytes) {
    if (bytes > SIZE_MAX - alignment) return NULL;
    return aligned_alloc(alignment, (bytes + alignment - 1) & ~(size_t)(alignment - 1));
}

static void backend_destroy(ink_backend *backend) {
    host_backend *host = (host_backend *)backend;
    ink_pool_destroy(host->pool);
    free(host);
}

static const char *backend_describe(const ink_backend *backend) {
    return ((const host_backend *)backend)->description;
}

static ink_status buffer_create(ink_backend *backend, ink_dtype dtype, const ink_shape *shape,
                                ink_buffer **out, ink_error *error) {
    const int64_t count = ink_shape_count(shape);
    size_t bytes = 0;
    if (count <= 0 || !ink_size_mul((size_t)count, ink_dtype_bytes(dtype), &bytes)) {
        char text[INK_SHAPE_TEXT_BYTES];
        return ink_fail(error, INK_ERROR_INTERNAL, "a buffer cannot have the shape %s",
                        ink_shape_text(shape, text));
    }
    host_buffer *buffer = calloc(1, sizeof *buffer);
    void *data = buffer ? allocate(bytes) : NULL;
    if (!data) {
        free(buffer);
        return ink_fail_memory(error, "a buffer", bytes);
    }
    memset(data, 0, bytes);
    buffer->base = (ink_buffer){.api = backend->api, .dtype = dtype, .shape = *shape};
    buffer->data = data;
    *out = &buffer->base;
    return INK_OK;
}

static void buffer_destroy(ink_buffer *buffer) {
    free(((host_buffer *)buffer)->data);
    free(buffer);
}

static ink_status buffer_write(ink_buffer *buffer, const void *data, size_t bytes, ink_error *error) {
    (void)error;
    memcpy(((host_buffer *)buffer)->data, data, bytes);
    return INK_OK;
}

static ink_status buffer_read(ink_buffer *buffer, void *data, size_t bytes, ink_error *error) {
    (void)error;
    memcpy(data, ((host_buffer *)buffer)->data, bytes);
    return INK_OK;
}

static void program_destroy(ink_program *base) {
    host_program *program = (host_program *)base;
    if (program->calls) {
        for (int32_t n = 0; n < ink_graph_node_count(program->graph); n++) {
            free(program->calls[n].prepared);
        }
    }
    if (program->widened) {
        for (int32_t id = 0; id <= ink_graph_value_count(program->graph); id++) {
            free(program->widened[id]);
        }
    }
    free(program->widened);
    free(program->calls);
    free(program->arena);
    free(program->scratch);
    free(program);
}

/* Kernels know no quantised matrices: they get them as f32. */
static ink_status widen(host_program *program, ink_error *error) {
    const int32_t values = ink_graph_value_count(program->graph);
    program->widened = calloc((size_t)values + 1, sizeof *program->widened);
    if (!program->widened) return ink_fail_memory(error, "a program", sizeof *program);
    for (int32_t id = 1; id <= values; id++) {
        const ink_value_info *info = ink_graph_value(program->graph, id);
        if (!info->quantized) continue;
        const size_t bytes = (size_t)ink_shape_count(&info->shape) * sizeof(float);
        float *matrix = allocate(bytes);
        if (!matrix) return ink_fail_memory(error, "a quantised matrix as f32", bytes);
        program->widened[id] = matrix;
        program->bytes += bytes;
        for (int64_t o = 0; o < info->shape.dim[0]; o++) {
            ink_quantized_row(info->quantized, o, info->shape.dim[1], matrix + o * info->shape.dim[1]);
        }
    }
    return INK_OK;
}

/* The tensor of a value; data is NULL for slots (until bound) and absent values. */
static ink_tensor tensor_of(const host_program *program, const ink_plan *plan, char *arena, ink_value value) {
    if (!value.id) return (ink_tensor){0};
    const ink_value_info *info = ink_graph_value(program->graph, value.id);
    if (info->quantized)
        return (ink_tensor){.data = program->widened[value.id], .dtype = INK_F32, .shape = info->shape};
    ink_tensor tensor = {.dtype = info->dtype, .shape = info->shape};
    if (info->kind == INK_VALUE_COMPUTED && arena) {
        tensor.data = arena + plan->offsets[value.id];
    } else if (info->data) {
        /* Kernels only read weights and constants; a tensor is one type for inputs and outputs. */
        memcpy(&tensor.data, &info->data, sizeof tensor.data);
    }
    return tensor;
}

/* Chooses kernels, prepares weights and sums up memory. */
static ink_status prepare_calls(host_program *program, const ink_plan *plan, size_t *scratch_bytes,
                                ink_error *error) {
    const ink_graph *graph = program->graph;
    for (int32_t n = 0; n < ink_graph_node_count(graph); n++) {
        const ink_node *node = ink_graph_node(graph, n);
        host_call *call = &program->calls[n];
        call->kernel = &program->backend->table.kernel[node->op];
        for (int i = 0; i < node->n_inputs; i++) {
            call->in[i] = tensor_of(program, plan, NULL, node->inputs[i]);
        }
        for (int i = 0; i < node->n_outputs; i++) {
            call->out[i] = tensor_of(program, plan, NULL, node->outputs[i]);
        }
        if (call->kernel->scratch_bytes) {
            const size_t bytes = call->kernel->scratch_bytes(node, call->in, call->out,
                                                             ink_pool_threads(program->backend->pool));
            if (bytes > *scratch_bytes) *scratch_bytes = bytes;
        }
        if (call->kernel->prepare) {
            size_t bytes = 0;
            INK_TRY(call->kernel->prepare(node, call->in, &call->prepared, &bytes, error));
            program->bytes += bytes;
        }
    }
    return INK_OK;
}

static ink_status allocate_program(host_program *program, const ink_plan *plan, size_t scratch_bytes,
                                   ink_error *error) {
    program->bytes += plan->arena_bytes + scratch_bytes;
    if (plan->arena_bytes) {
        program->arena = allocate(plan->arena_bytes);
        if (!program->arena) return ink_fail_memory(error, "the activations of a program", plan->arena_bytes);
    }
    if (scratch_bytes) {
        program->scratch = allocate(scratch_bytes);
        if (!program->scratch) return ink_fail_memory(error, "the scratch space of a program", scratch_bytes);
    }
    for (int32_t n = 0; n < ink_graph_node_count(program->graph); n++) {
        const ink_node *node = ink_graph_node(program->graph, n);
        host_call *call = &program->calls[n];
        for (int i = 0; i < node->n_inputs; i++) {
            call->in[i] = tensor_of(program, plan, program->arena, node->inputs[i]);
        }
        for (int i = 0; i < node->n_outputs; i++) {
            call->out[i] = tensor_of(program, plan, program->arena, node->outputs[i]);
        }
    }
    return INK_OK;
}

static ink_status compile(ink_backend *backend, const ink_graph *graph, ink_program **out, ink_error *error) {
    ink_plan plan;
    INK_TRY(ink_plan_create(graph, &plan, error));
    host_program *program = calloc(1, sizeof *program);
    host_call *calls = calloc((size_t)ink_graph_node_count(graph) + 1, sizeof *calls);
    if (!program || !calls) {
        free(program);
        free(calls);
        ink_plan_destroy(&plan);
        return ink_fail_memory(error, "a program", sizeof *program);
    }
    program->base.api = backend->api;
    program->backend = (host_backend *)backend;
    program->graph = graph;
    program->calls = calls;
    size_t scratch_bytes = 0;
    ink_status status = widen(program, error);
    if (status == INK_OK) status = prepare_calls(program, &plan, &scratch_bytes, error);
    if (status == INK_OK) status = allocate_program(program, &plan, scratch_bytes, error);
    ink_plan_destroy(&plan);
    if (status != INK_OK) {
        program_destroy(&program->base);
        return status;
    }
    *out = &program->base;
    return INK_OK;
}

static ink_status bind_slot(ink_program *base, const char *name, ink_buffer *buffer, ink_error *error) {
    host_program *program = (host_program *)base;
    const ink_value slot = ink_graph_find_slot(program->graph, name);
    if (!slot.id) return ink_fail(error, INK_ERROR_INTERNAL, "the program has no slot '%s'", name);
    const ink_value_info *info = ink_graph_value(program->graph, slot.id);
    if (info->dtype != buffer->dtype || ink_shape_count(&info->shape) != ink_shape_count(&buffer->shape)) {
        char want[INK_SHAPE_TEXT_BYTES], got[INK_SHAPE_TEXT_BYTES];
        return ink_fail(error, INK_ERROR_INTERNAL, "slot '%s' is %s %s and cannot take a buffer of %s %s",
                        name, ink_dtype_name(info->dtype), ink_shape_text(&info->shape, want),
                        ink_dtype_name(buffer->dtype), ink_shape_text(&buffer->shape, got));
    }
    for (int32_t n = 0; n < ink_graph_node_count(program->graph); n++) {
        const ink_node *node = ink_graph_node(program->graph, n);
        for (int i = 0; i < node->n_inputs; i++) {
            if (node->inputs[i].id == slot.id) program->calls[n].in[i].data = ((host_buffer *)buffer)->data;
        }
    }
    return INK_OK;
}

/* Every slot must be bound, and the step must exist in the tables that the node reads. */
static ink_status check_call(const host_program *program, int32_t n, int64_t step, ink_error *error) {
    const ink_node *node = ink_graph_node(program->graph, n);
    const host_call *call = &program->calls[n];
    for (int i = 0; i < node->n_inputs; i++) {
        if (node->inputs[i].id && !call->in[i].data) {
            return ink_fail(error, INK_ERROR_INTERNAL, "slot '%s' is not bound",
                            ink_graph_value(program->graph, node->inputs[i].id)->name);
        }
    }
    if ((node->op == INK_OP_STEP_ROW || node->op == INK_OP_STORE_STEP) &&
        (step < 0 || step >= call->in[0].shape.dim[0])) {
        return ink_fail(error, INK_ERROR_INTERNAL, "step %" PRId64 " does not exist: the table has %" PRId64,
                        step, call->in[0].shape.dim[0]);
    }
    return INK_OK;
}

static void run_node(const host_program *program, int32_t n, int64_t step) {
    const host_call *call = &program->calls[n];
    call->kernel->run(&(ink_kernel_args){.node = ink_graph_node(program->graph, n),
                                         .in = call->in,
                                         .out = call->out,
                                         .step = step,
                                         .pool = program->backend->pool,
                                         .scratch = program->scratch,
                                         .prepared = call->prepared});
}

/* The same, with a clock. */
static void profile_node(const host_program *program, int32_t n, int64_t step, double run_begin,
                         const ink_profile *profile) {
    const ink_node *node = ink_graph_node(program->graph, n);
    char label[INK_LABEL_BYTES];
    ink_launch launch = {.kind = ink_op_name(node->op),
                         .label = ink_node_label(program->graph, node, label),
                         .flops = ink_node_flops(program->graph, node),
                         .bytes = ink_node_bytes(program->graph, node)};
    const double begin = ink_clock_seconds();
    run_node(program, n, step);
    launch.seconds = ink_clock_seconds() - begin;
    launch.begin = begin - run_begin;
    profile->on_launch(profile->user, &launch);
}

/* `profile` is nullable. */
static ink_status run_all(host_program *program, int64_t step, const ink_run_control *control,
                          const ink_profile *profile, ink_error *error) {
    const int32_t count = ink_graph_node_count(program->graph);
    for (int32_t n = 0; n < count; n++) {
        INK_TRY(check_call(program, n, step, error));
    }
    ink_pool *pool = program->backend->pool;
    const bool watched = control && control->cancelled;
    /* An attention over many tokens takes minutes: it is left in the middle. */
    if (watched) ink_pool_watch(pool, control->cancelled, control->user);
    bool cancelled = false;
    const double begin = ink_clock_seconds();
    for (int32_t n = 0; n < count && !cancelled; n++) {
        if (watched && control->cancelled(control->user)) {
            cancelled = true;
            break;
        }
        if (profile)
            profile_node(program, n, step, begin, profile);
        else
            run_node(program, n, step);
        cancelled = ink_pool_stopped(pool);
    }
    ink_pool_watch(pool, NULL, NULL);
    return cancelled ? ink_fail(error, INK_ERROR_CANCELLED, "the run was cancelled") : INK_OK;
}

static ink_status run(ink_program *base, int64_t step, const ink_run_control *control, ink_error *error) {
    return run_all((host_program *)base, step, control, NULL, error);
}

static ink_status profile_run(ink_program *base, int64_t step, const ink_run_control *control,
                              const ink_profile *profile, ink_error *error) {
    return run_all((host_program *)base, step, control, profile, error);
}

static size_t program_bytes(const ink_program *program) {
    return ((const host_program *)program)->bytes;
}

ink_status ink_host_backend_create(const char *api_name, const char *description,
                                   const ink_kernel_table *table, ink_pool *pool, ink_backend **backend,
                                   ink_error *error) {
    host_backend *host = calloc(1, sizeof *host);
    if (!host) {
        ink_pool_destroy(pool);
        return ink_fail_memory(error, "a backend", sizeof *host);
    }
    host->api = (ink_backend_api){
        .name = api_name,
        .synchronous = true,
        .destroy = backend_destroy,
        .describe = backend_describe,
        .buffer_create = buffer_create,
        .buffer_destroy = buffer_destroy,
        .buffer_write = buffer_write,
        .buffer_read = buffer_read,
        .compile = compile,
        .program_destroy = program_destroy,
        .bind = bind_slot,
        .run = run,
        .program_bytes = program_bytes,
        .profile = profile_run,
    };
    host->base.api = &host->api;
    host->table = *table;
    host->pool = pool;
    strncpy(host->description, description, sizeof host->description - 1);
    *backend = &host->base;
    return INK_OK;
}
