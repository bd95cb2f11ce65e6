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
    const ink_cuda_linear *linear;      /* owned by the context */
    ink_cuda_attention_plan *attention; /* owned */
    ink_cuda_conv_plan *conv;           /* owned */
} ink_cuda_choice;

/* How the device is divided between the lanes. */
typedef struct ink_cuda_division {
    int taken; /* multiprocessors for products of lane 1; 0: as many as they can get; -1: there is one lane */
    int left;  /* those that products of lane 0 leave */
    bool late; /* where both could start, lane 0 does */
    int wide;  /* products of lane 1 with so many percent of the most columns are not limited; 0: all are */
} ink_cuda_division;

/* How long a part of a program took so. */
typedef struct ink_cuda_trial {
    ink_cuda_division division;
    float milliseconds;
} ink_cuda_trial;
enum { ink_cuda_most_trials = 20 };

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
    char *arena;
    int64_t *step;      /* on the device */
    bool linked;        /* weights are there, and choices are made for what is bound */
    bool beside;        /* lane 1 runs on a stream of its own */
    cudaStream_t side;  /* which */
    cudaEvent_t *marks; /* [n_launches + 2] ends of launches that are awaited, begin and end of lane 1 */
    ink_cuda_trial trials[ink_cuda_most_trials]; /* of the last link; the first of them is one lane */
    int n_trials;
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
/* Chooses how launch i, a product, is computed on so many multiprocessors; 0: all. */
ink_status ink_cuda_choose_linear(ink_cuda_program *program, int32_t i, int processors, ink_error *error);

/* ---- split.c ---- */
/* Whether lane 1 runs beside lane 0, and on how much of the device: what is fastest. Choices must be made. */
ink_status ink_cuda_split(ink_cuda_program *program, ink_error *error);

/* ---- execute.c ---- */
void *ink_cuda_address(const ink_cuda_program *program, const ink_cuda_operand *operand);
ink_cuda_matrix ink_cuda_matrix_of(const ink_cuda_program *program, const ink_cuda_operand *operand);
ink_cuda_linear_problem ink_cuda_linear_problem_of(const ink_cuda_program *program,
                                                   const ink_cuda_launch *launch);
/* Starts launch i. */
ink_status ink_cuda_execute(const ink_cuda_program *program, int32_t i, cudaStream_t stream,
                            ink_error *error);

/* ---- run.c ---- */
/* Starts launches [begin, end). `times` is nullable: launch i is preceded by event 2 i, if it is not NULL,
 * and followed by event 2 i + 1. */
ink_status ink_cuda_start(const ink_cuda_program *program, int32_t begin, int32_t end,
                          const cudaEvent_t *times, ink_error *error);
/* Records launches [begin, end) as a graph that can be replayed. */
ink_status ink_cuda_capture(const ink_cuda_program *program, int32_t begin, int32_t end,
                            cudaGraphExec_t *replay, ink_error *error);
/* What a run checks first. */
ink_status ink_cuda_check_run(const ink_cuda_program *program, int64_t step, const ink_run_control *control,
                              ink_error *error);
/* Notes that the run that was started ends here. */
ink_status ink_cuda_note_end(ink_cuda_program *program, ink_error *error);

#endif
