#include "backend/backend.h"

#include "backend/cpu/cpu.h"
#ifdef INK_HAVE_MLX
#include "backend/mlx/mlx.h"
#endif
#include "backend/plugin.h"
#include "backend/reference/reference.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct backend_entry {
    const char *name;
    /* NULL: a plug-in, which may be missing where the program runs. */
    ink_status (*create)(const ink_backend_options *, ink_backend **, ink_error *);
    /* Of a plug-in: the library without which it need not be looked for, and what that belongs to. */
    const char *driver, *driver_name;
    bool f32_only;
} backend_entry;

/* The backends of this build, the preferred one first. */
static const backend_entry backends[] = {
    {"cuda", NULL, .driver = "libcuda.so.1", .driver_name = "the NVIDIA driver", .f32_only = false},
    {"cpu", ink_cpu_backend_create, .f32_only = true},
#ifdef INK_HAVE_MLX
    {"mlx", ink_mlx_backend_create, .f32_only = false},
#endif
    {"reference", ink_reference_backend_create, .f32_only = true},
};

enum { n_backends = sizeof backends / sizeof backends[0] };

const char *ink_backend_name(size_t i) {
    return i < n_backends ? backends[i].name : NULL;
}

/* A plug-in comes with large libraries, which are not worth reading where the driver is missing. */
static ink_status open_plugin(const backend_entry *entry, const ink_plugin **plugin, ink_error *error) {
    if (!ink_plugin_driver(entry->driver)) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED, "no device can be used: %s (%s) is missing",
                        entry->driver_name, entry->driver);
    }
    return ink_plugin_open(entry->name, plugin, error);
}

static ink_status create(const backend_entry *entry, const ink_backend_options *options,
                         ink_backend **backend, ink_error *error) {
    if (options->precision && entry->f32_only && strcmp(options->precision, "f32") != 0) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED,
                        "backend '%s' computes in f32 alone and cannot do '%.32s'; leave the precision out",
                        entry->name, options->precision);
    }
    if (entry->create) return entry->create(options, backend, error);
    const ink_plugin *plugin;
    INK_TRY(open_plugin(entry, &plugin, error));
    return plugin->create(options, backend, error);
}

static bool is_usable(const backend_entry *entry, char *text, size_t size) {
    if (entry->create) {
        snprintf(text, size, "part of this library");
        return true;
    }
    const ink_plugin *plugin;
    ink_error error;
    if (open_plugin(entry, &plugin, &error) == INK_OK) return plugin->usable(text, size);
#ifdef INK_HAVE_CUDA
    snprintf(text, size, "%s", error.message);
#else
    snprintf(text, size, "not built; %s", error.message);
#endif
    return false;
}

bool ink_backend_usable(const char *name, char *text, size_t size) {
    char unread[1];
    if (!text || size == 0) text = unread, size = sizeof unread;
    for (size_t i = 0; name && i < n_backends; i++) {
        if (strcmp(name, backends[i].name) == 0) return is_usable(&backends[i], text, size);
    }
    snprintf(text, size, "not in this build");
    return false;
}

/* A plug-in is preferred where it can be used; whoever limits the processor's instructions wants that one. */
static const backend_entry *preferred(const ink_backend_options *options) {
    for (size_t i = 0; i < n_backends; i++) {
        char text[1];
        if (backends[i].create || (!options->cpu_level && is_usable(&backends[i], text, sizeof text)))
            return &backends[i];
    }
    return &backends[n_backends - 1];
}

ink_status ink_backend_create(const char *name, const ink_backend_options *options, ink_backend **backend,
                              ink_error *error) {
    *backend = NULL;
    if (!name) return create(preferred(options), options, backend, error);
    char known[128] = "";
    for (size_t i = 0; i < n_backends; i++) {
        if (strcmp(name, backends[i].name) == 0) return create(&backends[i], options, backend, error);
        const size_t used = strlen(known);
        strncat(known, i ? ", " : "", sizeof known - used - 1);
        strncat(known, backends[i].name, sizeof known - strlen(known) - 1);
    }
    return ink_fail(error, INK_ERROR_UNSUPPORTED, "backend '%.64s' is not in this build; there are: %s", name,
                    known);
}

void ink_backend_destroy(ink_backend *backend) {
    if (backend) backend->api->destroy(backend);
}

const char *ink_backend_note(const ink_backend *backend) {
    return backend->api->note ? backend->api->note(backend) : NULL;
}

const char *ink_backend_precision(const ink_backend *backend) {
    return backend->api->precision ? backend->api->precision(backend) : "f32";
}

const char *ink_backend_describe(const ink_backend *backend) {
    return backend->api->describe(backend);
}

void ink_backend_ask_memory(ink_backend *backend, ink_backend_memory *memory) {
    *memory = (ink_backend_memory){0};
    if (backend->api->memory) backend->api->memory(backend, memory);
}

ink_status ink_buffer_create(ink_backend *backend, ink_dtype dtype, const ink_shape *shape,
                             ink_buffer **buffer, ink_error *error) {
    *buffer = NULL;
    return backend->api->buffer_create(backend, dtype, shape, buffer, error);
}

void ink_buffer_destroy(ink_buffer *buffer) {
    if (buffer) buffer->api->buffer_destroy(buffer);
}

static ink_status check_size(const ink_buffer *buffer, size_t bytes, ink_error *error) {
    const size_t size = (size_t)ink_shape_count(&buffer->shape) * ink_dtype_bytes(buffer->dtype);
    if (bytes == size) return INK_OK;
    return ink_fail(error, INK_ERROR_INTERNAL, "a buffer of %zu bytes was accessed with %zu", size, bytes);
}

ink_status ink_buffer_write(ink_buffer *buffer, const void *data, size_t bytes, ink_error *error) {
    INK_TRY(check_size(buffer, bytes, error));
    return buffer->api->buffer_write(buffer, data, bytes, error);
}

ink_status ink_buffer_read(ink_buffer *buffer, void *data, size_t bytes, ink_error *error) {
    INK_TRY(check_size(buffer, bytes, error));
    return buffer->api->buffer_read(buffer, data, bytes, error);
}

ink_status ink_compile(ink_backend *backend, const ink_graph *graph, ink_program **program,
                       ink_error *error) {
    *program = NULL;
    INK_TRY(ink_graph_status(graph, error));
    return backend->api->compile(backend, graph, program, error);
}

void ink_program_destroy(ink_program *program) {
    if (program) program->api->program_destroy(program);
}

ink_status ink_program_bind(ink_program *program, const char *slot, ink_buffer *buffer, ink_error *error) {
    return program->api->bind(program, slot, buffer, error);
}

ink_status ink_program_run(ink_program *program, int64_t step, const ink_run_control *control,
                           ink_error *error) {
    return program->api->run(program, step, control, error);
}

ink_status ink_program_submit(ink_program *program, ink_error *error) {
    return program->api->submit ? program->api->submit(program, error) : INK_OK;
}

int64_t ink_program_finished(ink_program *program) {
    return program->api->finished ? program->api->finished(program) : 0;
}

size_t ink_program_bytes(const ink_program *program) {
    return program->api->program_bytes(program);
}

bool ink_backend_profiles(const ink_backend *backend) {
    return backend->api->profile != NULL;
}

ink_status ink_program_profile(ink_program *program, int64_t step, const ink_run_control *control,
                               const ink_profile *profile, ink_error *error) {
    if (program->api->profile) return program->api->profile(program, step, control, profile, error);
    return ink_fail(error, INK_ERROR_UNSUPPORTED, "backend '%s' cannot time single operations",
                    program->api->name);
}
