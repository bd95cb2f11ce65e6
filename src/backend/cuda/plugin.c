/*
 * What the plug-in exports.
 */
#include "backend/plugin.h"

#include "backend/cuda/cuda.h"

#define EXPORTED __attribute__((visibility("default")))

EXPORTED const ink_plugin *ink_backend_plugin(void);

const ink_plugin *ink_backend_plugin(void) {
    static const ink_plugin plugin = {.version = INK_VERSION_STRING,
                                      .layout = INK_PLUGIN_LAYOUT,
                                      .usable = ink_cuda_usable,
                                      .create = ink_cuda_backend_create};
    return &plugin;
}
