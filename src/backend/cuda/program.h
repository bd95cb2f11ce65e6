/*
 * Inside of programs: lowered graphs that have a device to run on.
 *
 * At the first run the arena and the weights are taken (settle.h), plans are made, and the launches are
 * started one by one; from the second run on they are replayed as one CUDA graph. The number of the step lies
 * on the device and is set before each. Programs whose weights come and go (stream.h) are always started
 * launch by launch: what their copies wait for reaches from one run into the next.
 */
#ifndef INK_BACKEND_CUDA_PROGRAM_H
#define INK_BACKEND_CUDA_PROGRAM_H

#include "backend/cuda/context.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/lower.h"
#include "backend/cuda/step.h"

/* What a launch chose once. */
typedef struct ink_cuda_choice {
    const ink_cuda_linear *linear;          /* owned by the context */
    ink_cuda_attention_plan *attention;     /* owned */
    ink_cuda_conv_plan *conv;               /* owned */
    int64_t beside;                         /* if products are divided: so many columns run beside others */
    const ink_cuda_linear *rest;            /* for the other ones, if there are any */
    const struct ink_hopper_linear *united; /* of this launch and `more` after it, in one go; the context's */
} ink_cuda_choice;

typedef struct ink_cuda_program {
    ink_program base;
    ink_cuda_context *context;
    struct ink_cuda_program *next; /* of the context's */
    const ink_graph *graph;
    ink_cuda_lowered lowered;
    ink_cuda_weight **weights;      /* [lowered.n_wanted] */
    ink_cuda_choice *choices;       /* [lowered.n_launches] */
    ink_cuda_buffer **bound;        /* [value id] of slots; NULL: not bound */
    bool settled;                   /* it has its arena and its weights */
    int64_t used_at;                /* when it ran last, as the context counts */
    struct ink_cuda_stream *stream; /* for weights that come and go; NULL: all stay */
    size_t noted;                   /* bytes that choices take of the device */
    int beside;                     /* as ink_cuda_beside's processors */
    bool divided;                   /* as there */
    char *arena;
    int64_t *step; /* on the device */
    bool linked;   /* weights are there, and choices are made for what is bound */
    cudaGraphExec_t replay;
    int64_t runs, finished;
    cudaEvent_t *ends; /* [ends_cap], of runs finished ... runs - 1, at run % ends_cap */
    int64_t ends_cap;
} ink_cuda_program;

/* ---- link.c ---- */
/* Settles and makes choices. All slots must be bound. */
ink_status ink_cuda_link(ink_cuda_program *program, ink_error *error);
/* Forgets choices and the replay; waits until the device is done with them. */
void ink_cuda_unlink(ink_cuda_program *program);
/* ---- execute.c ---- */
void *ink_cuda_address(const ink_cuda_program *program, const ink_cuda_operand *operand);
ink_cuda_matrix ink_cuda_matrix_of(const ink_cuda_program *program, const ink_cuda_operand *operand);
ink_cuda_linear_problem ink_cuda_linear_problem_of(const ink_cuda_program *program,
                                                   const ink_cuda_launch *launch);
/* The columns of product i that do not run beside others if it is divided; all, if none do. */
ink_cuda_linear_problem ink_cuda_rest_of(const ink_cuda_program *program, int32_t i);
/* How many launches, from i on, are started together: they were chosen to be computed in one go, are a pair,
 * or it is one. */
int32_t ink_cuda_count_at(const ink_cuda_program *program, int32_t i);
/* Starts launch i, and the one after it if they are a pair. */
ink_status ink_cuda_execute(const ink_cuda_program *program, int32_t i, cudaStream_t stream,
                            ink_error *error);
/* The same in two steps: what of launch i runs beside others, with the few multiprocessors that are left for
 * it, and what does not. `early`: it may begin while the launch before it in the stream ends. */
ink_status ink_cuda_execute_beside(const ink_cuda_program *program, int32_t i, cudaStream_t stream,
                                   ink_error *error);
ink_status ink_cuda_execute_rest(const ink_cuda_program *program, int32_t i, bool early, cudaStream_t stream,
                                 ink_error *error);

/* ---- run.c ---- */
/* Starts all launches. `times` is nullable: launch i is followed by event i, if it is not NULL. */
ink_status ink_cuda_start(const ink_cuda_program *program, const cudaEvent_t *times, ink_error *error);
/* What a run checks first. */
ink_status ink_cuda_check_run(const ink_cuda_program *program, int64_t step, const ink_run_control *control,
                              ink_error *error);
/* Notes that the run that was started ends here. */
ink_status ink_cuda_note_end(ink_cuda_program *program, ink_error *error);

#endif
