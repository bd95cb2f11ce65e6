/*
 * Backends that are shared libraries of their own, opened when they are wanted: so that the same program runs
 * where their hardware, or what drives it, is missing.
 *
 * The library of the backend NAME is libinkstone-NAME.so. It exports ink_backend_plugin, nothing else.
 */
#ifndef INK_BACKEND_PLUGIN_H
#define INK_BACKEND_PLUGIN_H

#include "backend/backend.h"
#include "graph/ops.h"

typedef struct ink_plugin {
    /* First and never moved: which library this belongs to. Both must be equal. */
    const char *version; /* INK_VERSION_STRING */
    size_t layout;       /* INK_PLUGIN_LAYOUT */
    /* Whether it can be used on this machine; `text` receives what it computes on, or what is missing. */
    bool (*usable)(char *text, size_t size);
    ink_status (*create)(const ink_backend_options *, ink_backend **, ink_error *);
} ink_plugin;

/* What both sides must see alike changes with these sizes, nearly always. */
#define INK_PLUGIN_LAYOUT                                                                                    \
    (sizeof(ink_plugin) + 3 * sizeof(ink_backend_api) + 5 * sizeof(ink_node) + 7 * sizeof(ink_value_info) +  \
     11 * sizeof(ink_backend_options) + 13 * sizeof(ink_launch) + 17 * sizeof(ink_error) + INK_OP_COUNT)

#define INK_PLUGIN_SYMBOL "ink_backend_plugin"
typedef const ink_plugin *(*ink_plugin_fn)(void);

/* Opens the plug-in of the backend `name`: beside the program or the library that this code is in, in ../lib,
 * where it was installed, or wherever the system looks. It stays open until the process ends.
 * INK_ERROR_UNSUPPORTED says what is missing. */
ink_status ink_plugin_open(const char *name, const ink_plugin **plugin, ink_error *error);

/* Whether the system has this library, such as a driver's. It stays open until the process ends. */
bool ink_plugin_driver(const char *file);

#endif
