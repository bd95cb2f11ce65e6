/*
 * The CUDA backend, as its plug-in and its tests see it.
 */
#ifndef INK_BACKEND_CUDA_CUDA_H
#define INK_BACKEND_CUDA_CUDA_H

#include "backend/backend.h"

/* What ink_backend_options says, and what only tests and benchmarks choose. Zero is the default of all. */
typedef struct ink_cuda_settings {
    /* "bf16": activations and matrices; "fp8": like bf16, but for products of the transformer's blocks;
     * "f32": everything, no TF32. NULL: bf16. */
    const char *precision;
    unsigned fp8_groups; /* with fp8: INK_CUDA_FP8_... of analysis.h; 0: those that are good */
    size_t max_vram;     /* bytes of the device's memory to stay below; 0: no limit */
    size_t stream_smallest, stream_slot; /* of weights that come and go (stream.h): bytes of the smallest, and
                                            of a slot; 0: what is good */
    int threads;                         /* that read weights; 0: up to 8 */
    bool separate;                       /* every operation a launch of its own: nothing is fused */
    bool wide_residual; /* with bf16 and fp8: f32 residual streams, which are bf16 otherwise */
    bool ununited;      /* what could be computed in one go (unite.h) is not */
    int beside;   /* multiprocessors for what may run beside others (beside.h); -1: nothing does; 0: chosen */
    bool divided; /* with `beside` of more than 0: as ink_cuda_beside has it */
} ink_cuda_settings;

ink_status ink_cuda_backend_create_with(const ink_cuda_settings *settings, ink_backend **backend,
                                        ink_error *error);

ink_status ink_cuda_backend_create(const ink_backend_options *options, ink_backend **backend,
                                   ink_error *error);

/* Whether there is a device and its driver; `text` receives what they are, or what is missing. */
bool ink_cuda_usable(char *text, size_t size);

#endif
