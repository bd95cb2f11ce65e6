/*
 * The MLX backend: operations as lazy MLX arrays, on the GPU of Apple Silicon and, for testing, on the CPU of
 * Linux machines. This header is C; everything behind it is C++ and lets no exception out.
 *
 * A run records arrays and computes nothing. Work starts when a buffer is read, or when submit is called
 * (the denoising loop does that every few steps, without waiting).
 */
#ifndef INK_BACKEND_MLX_MLX_H
#define INK_BACKEND_MLX_MLX_H

#include "backend/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What ink_backend_options says, and what only tests and benchmarks choose. Zero is the default of all. */
typedef struct ink_mlx_settings {
    const char *precision;      /* "f32", "bf16"; NULL: bf16 on Metal, f32 elsewhere */
    const char *fused_modulate; /* "on", "off", "auto" (as "off" until measured on Apple hardware); NULL:
                                   auto. Without Metal it has no effect, and note() says so */
    const char *compile; /* trace a program once with mlx::core::compile: "on", "off", "auto" (on Metal:
                            on the CPU that needs a C++ compiler at run time); NULL: auto */
    int64_t max_ram;     /* bytes, as in ink_backend_options */
    bool page_views;     /* address weights by whole memory pages, as on Metal, where only those can be
                            used without a copy */
} ink_mlx_settings;

ink_status ink_mlx_backend_create_with(const ink_mlx_settings *settings, ink_backend **backend,
                                       ink_error *error);

/* options->threads and options->cpu_level have no meaning here. */
ink_status ink_mlx_backend_create(const ink_backend_options *options, ink_backend **backend,
                                  ink_error *error);

#ifdef __cplusplus
}
#endif

#endif
