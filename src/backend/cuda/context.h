/*
 * Inside of the CUDA backend: what its parts share.
 */
#ifndef INK_BACKEND_CUDA_CONTEXT_H
#define INK_BACKEND_CUDA_CONTEXT_H

#include "backend/cuda/cuda.h"
#include "backend/cuda/linear.h"
#include "backend/cuda/memory.h"
#include "backend/cuda/weights.h"

struct ink_cuda_program;

typedef struct ink_cuda_context {
    ink_backend base;
    ink_cuda_memory memory;
    struct ink_cuda_program *programs;   /* all that there are */
    int64_t runs;                        /* of all programs, for who ran last */
    size_t stream_smallest, stream_slot; /* as ink_cuda_settings */
    int device, processors;              /* multiprocessors that it has */
    int major, minor;                    /* its compute capability */
    ink_dtype activation;                /* INK_BF16 or INK_F32 */
    ink_dtype residual;                  /* of the residual streams */
    const char *precision;
    unsigned fp8; /* groups of layers, as rules have them */
    bool separate, ununited;
    int beside;          /* as ink_cuda_settings */
    bool divided;        /* as there */
    cudaStream_t stream; /* everything happens on it, in order */
    ink_cuda_weights *weights;
    ink_cuda_linears *linears;
    struct ink_cuda_united *united; /* how to compute what is computed in one go, as far as it was tried */
    char description[192];
} ink_cuda_context;

typedef struct ink_cuda_buffer {
    ink_buffer base;
    ink_cuda_context *context;
    void *memory;
    size_t bytes;
} ink_cuda_buffer;

/* ---- program.c and profile.c: the functions of the backend's table ---- */
ink_status ink_cuda_compile(ink_backend *backend, const ink_graph *graph, ink_program **program,
                            ink_error *error);
void ink_cuda_program_destroy(ink_program *program);
ink_status ink_cuda_program_bind(ink_program *program, const char *slot, ink_buffer *buffer,
                                 ink_error *error);
ink_status ink_cuda_program_run(ink_program *program, int64_t step, const ink_run_control *control,
                                ink_error *error);
size_t ink_cuda_program_bytes(const ink_program *program);
ink_status ink_cuda_program_submit(ink_program *program, ink_error *error);
int64_t ink_cuda_program_finished(ink_program *program);
ink_status ink_cuda_program_profile(ink_program *program, int64_t step, const ink_run_control *control,
                                    const ink_profile *profile, ink_error *error);

#endif
