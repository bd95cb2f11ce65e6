/*
 * A graph with its program and the buffers that only it needs.
 */
#ifndef INK_PIPELINE_EXECUTABLE_H
#define INK_PIPELINE_EXECUTABLE_H

#include "backend/backend.h"

typedef struct ink_executable_slot {
    const char *name; /* owned by the graph */
    ink_buffer *buffer;
} ink_executable_slot;

typedef struct ink_executable {
    ink_backend *backend;
    ink_graph *graph;
    ink_program *program;
    ink_executable_slot *owned; /* [n_owned] */
    size_t n_owned;
} ink_executable;

/* Makes an empty graph to record into. On failure `e` is zeroed. */
ink_status ink_executable_init(ink_executable *e, ink_backend *backend, ink_error *error);

/* Compiles what was recorded. */
ink_status ink_executable_compile(ink_executable *e, ink_error *error);

/* Makes a zero-filled buffer for a slot and binds it; `e` owns it. `buffer` is nullable. */
ink_status ink_executable_bind_new(ink_executable *e, const char *slot, ink_buffer **buffer,
                                   ink_error *error);

/* The buffer that ink_executable_bind_new made for a slot; NULL if it made none. */
ink_buffer *ink_executable_buffer(const ink_executable *e, const char *slot);

/* Makes buffers for all slots called "tap:..." and binds them. */
ink_status ink_executable_bind_taps(ink_executable *e, ink_error *error);

/* The name (without "tap:") and buffer of the i-th tap; false past the end. Values are f32. */
bool ink_executable_tap(const ink_executable *e, size_t i, const char **name, ink_buffer **buffer);

/* Frees the program with what it prepared, and keeps its buffers: for what runs once. */
void ink_executable_release(ink_executable *e);

/* Reads a whole f32 buffer into *values (free with free()), *count elements. */
ink_status ink_buffer_read_f32(ink_buffer *buffer, float **values, size_t *count, ink_error *error);

/* Frees everything; a zeroed executable is allowed. */
void ink_executable_fini(ink_executable *e);

#endif
