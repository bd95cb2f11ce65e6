/*
 * What a backend is: it holds buffers, compiles graphs into programs and runs them. Nothing outside a
 * backend's folder knows more than this header.
 *
 * ink_program_run only has to start the work, in order with earlier runs of the same backend; ink_buffer_read
 * is where the caller waits. Host backends happen to be finished when run returns.
 *
 * One backend object is used by one thread at a time.
 */
#ifndef INK_BACKEND_BACKEND_H
#define INK_BACKEND_BACKEND_H

#include "graph/graph.h"

typedef struct ink_backend ink_backend;
typedef struct ink_buffer ink_buffer;
typedef struct ink_program ink_program;

/* Checked now and then while a program runs. */
typedef struct ink_run_control {
    bool (*cancelled)(void *user); /* nullable */
    void *user;
} ink_run_control;

/* One launch of a profiled run: an operation, or several that were fused. Texts are valid during the call. */
typedef struct ink_launch {
    const char *kind;    /* as ink_op_name; of several: "gated_add + layer_norm_modulate" */
    const char *label;   /* which one of them: ink_node_label */
    double begin;        /* seconds since the run began */
    double seconds;      /* how long it took */
    double flops, bytes; /* ink_node_flops, ink_node_bytes; a backend that computes in other types than the
                            graph says counts those bytes */
    int track;           /* launches of one track follow each other; those of different tracks may overlap */
} ink_launch;

/* Receives the launches of a profiled run, in the order of their begins on each track. */
typedef struct ink_profile {
    void (*on_launch)(void *user, const ink_launch *launch);
    void *user;
} ink_profile;

typedef struct ink_backend_options {
    int threads;                /* 0: one per processor */
    const char *cpu_level;      /* NULL, "scalar", "avx2", "avx512" */
    const char *precision;      /* of activations: "f32", "bf16", "fp8"; NULL: the backend's own choice */
    const char *fused_modulate; /* norm, scale and shift as one kernel: "auto", "on", "off"; NULL: auto */
    int64_t max_ram;            /* bytes of memory to stay below, where a backend can; 0: its own limits */
    int64_t max_vram;           /* bytes of a device's memory, likewise: what does not fit comes and goes */
} ink_backend_options;

/* What a backend takes of its device's memory, in bytes, and how fast it read weights. */
typedef struct ink_backend_memory {
    size_t used, peak;   /* that it allocated: now, and at most since the last question */
    size_t device_peak;  /* what the device had given to everybody then, as it says; 0: it does not say */
    double loaded_bytes; /* of weights, from files to the device, since the last question */
    double loading_seconds;
} ink_backend_memory;

/* The functions that a backend fills in. All pointers are required, except where NULL is said to be allowed.
 */
typedef struct ink_backend_api {
    const char *name;
    bool synchronous; /* runs are finished when `run` returns: reading a buffer costs no wait */
    void (*destroy)(ink_backend *backend);
    const char *(*describe)(const ink_backend *backend); /* one line, owned by the backend */
    ink_status (*buffer_create)(ink_backend *, ink_dtype, const ink_shape *, ink_buffer **, ink_error *);
    void (*buffer_destroy)(ink_buffer *);
    ink_status (*buffer_write)(ink_buffer *, const void *, size_t bytes, ink_error *);
    ink_status (*buffer_read)(ink_buffer *, void *, size_t bytes, ink_error *);
    ink_status (*compile)(ink_backend *, const ink_graph *, ink_program **, ink_error *);
    void (*program_destroy)(ink_program *);
    ink_status (*bind)(ink_program *, const char *slot, ink_buffer *, ink_error *);
    ink_status (*run)(ink_program *, int64_t step, const ink_run_control *, ink_error *);
    size_t (*program_bytes)(const ink_program *); /* arena, scratch and packed weights */
    /* NULL if synchronous. Starts computing what was recorded by runs; does not wait for it. */
    ink_status (*submit)(ink_program *, ink_error *);
    /* NULL if synchronous. How many of the program's runs are known to be finished; does not wait. */
    int64_t (*finished)(ink_program *);
    /* Nullable. A sentence about an option that has no effect here, or NULL. Owned by the backend. */
    const char *(*note)(const ink_backend *);
    /* Nullable: f32. What is computed with, as options->precision has it. Static storage. */
    const char *(*precision)(const ink_backend *);
    /* Nullable. Like run, but waits for the run and then has told `profile` of every launch. Launches may be
     * kept apart for that, so the whole takes longer than a run. It counts as a run for `finished`. */
    ink_status (*profile)(ink_program *, int64_t step, const ink_run_control *, const ink_profile *profile,
                          ink_error *);
    /* Makes the values of synthetic weights itself: they need no data, only their recipe. */
    bool makes_synthetic;
    /* Programs that are not running cost nothing that the backend could not use otherwise: they may be kept.
     */
    bool keeps_programs;
    /* Nullable. Maxima count from this question to the next. */
    void (*memory)(ink_backend *, ink_backend_memory *);
} ink_backend_api;

/* A backend's own structs begin with these. */
struct ink_backend {
    const ink_backend_api *api;
};
struct ink_buffer {
    const ink_backend_api *api;
    ink_dtype dtype;
    ink_shape shape;
};
struct ink_program {
    const ink_backend_api *api;
};

/* Makes the backend called `name` (NULL: the preferred one). INK_ERROR_UNSUPPORTED names the ones there are.
 */
ink_status ink_backend_create(const char *name, const ink_backend_options *options, ink_backend **backend,
                              ink_error *error);
void ink_backend_destroy(ink_backend *backend);
const char *ink_backend_describe(const ink_backend *backend);
/* A sentence about an option that has no effect here, or NULL. */
const char *ink_backend_note(const ink_backend *backend);
/* "f32", "bf16", "fp8". Static storage. */
const char *ink_backend_precision(const ink_backend *backend);

/* Zeros if the backend does not count. */
void ink_backend_ask_memory(ink_backend *backend, ink_backend_memory *memory);

/* A zero-filled buffer. Destroy it before its backend. */
ink_status ink_buffer_create(ink_backend *backend, ink_dtype dtype, const ink_shape *shape,
                             ink_buffer **buffer, ink_error *error);
void ink_buffer_destroy(ink_buffer *buffer);
/* Copies the whole buffer; `bytes` must be its size. Reading waits for the runs before it. */
ink_status ink_buffer_write(ink_buffer *buffer, const void *data, size_t bytes, ink_error *error);
ink_status ink_buffer_read(ink_buffer *buffer, void *data, size_t bytes, ink_error *error);

/* Plans memory, chooses kernels. The graph and its weights must outlive the program.
 */
ink_status ink_compile(ink_backend *backend, const ink_graph *graph, ink_program **program, ink_error *error);
void ink_program_destroy(ink_program *program);
/* Connects a slot to a buffer of the same dtype and number of elements. A buffer may be bound to several
 * programs; it must outlive the runs. */
ink_status ink_program_bind(ink_program *program, const char *slot, ink_buffer *buffer, ink_error *error);
/* Starts one run. All slots must be bound. `control` is nullable. */
ink_status ink_program_run(ink_program *program, int64_t step, const ink_run_control *control,
                           ink_error *error);
/* Backends that are not synchronous may only record in run. Submitting starts what was recorded; finished
 * says how many of the program's runs are known to be computed. Neither waits. On synchronous backends:
 * nothing, and 0. */
ink_status ink_program_submit(ink_program *program, ink_error *error);
int64_t ink_program_finished(ink_program *program);
size_t ink_program_bytes(const ink_program *program);
/* Runs once, waits, and tells `profile` of every launch. INK_ERROR_UNSUPPORTED if the backend cannot. */
bool ink_backend_profiles(const ink_backend *backend);
ink_status ink_program_profile(ink_program *program, int64_t step, const ink_run_control *control,
                               const ink_profile *profile, ink_error *error);

#endif
