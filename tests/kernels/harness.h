/*
 * Tests kernels against the plain-C reference, one operation at a time.
 *
 * A case records one operation with random shapes and values. The harness runs the reference once, then the
 * kernel under test without a pool and with pools of 1, 2 and 3 threads, beside its inputs and in place, and
 * checks after each run that
 *   - every element is within the case's tolerance of the reference (without one: bit for bit), and is not
 *     finite exactly where the reference is not;
 *   - every element was written, nothing around the outputs and the scratch memory was, and no input changed;
 *   - the result has the same bits for any number of threads.
 * Weights end at a page that cannot be read, as those of a mapped file may, and are aligned to their elements
 * only. All other inputs are surrounded by NaN, so that what is read past them shows.
 */
#ifndef INK_TESTS_KERNELS_HARNESS_H
#define INK_TESTS_KERNELS_HARNESS_H

#include "backend/host/host.h"

enum { n_pools = 4, most_results = 2, message_bytes = 1024 };

/* A table of kernels, and the pools that they run with: none, then 1, 2 and 3 threads. */
typedef struct kernel_subject {
    const char *name;
    ink_kernel_table table;
    ink_pool *pools[n_pools];
} kernel_subject;

/* Memory with guard bytes around it, a page that cannot be touched behind it, and a copy of what was put in.
 */
typedef struct fenced {
    char *map; /* nullable */
    size_t map_bytes;
    char *data, *copy;
    size_t bytes;
    int guard;
} fenced;

/* What random numbers look like. */
typedef enum values {
    VALUES_NORMAL = 1,   /* standard normal */
    VALUES_HUGE = 2,     /* 5e7, the residual stream's */
    VALUES_TINY = 4,     /* 1e-20: squares vanish in float32 */
    VALUES_OFFSET = 8,   /* 1000 with a deviation of 1 */
    VALUES_SPECIAL = 16, /* normal, with some NaN and infinities */
    VALUES_UNIT = 32,    /* from -0.25 to 1.25 */
    VALUES_ANY = 31      /* without unit */
} values;

typedef struct trial {
    const struct kernel_case *which;
    const kernel_subject *subject;
    uint64_t seed, random;
    ink_graph *graph;
    int64_t step;
    bool late_weights; /* prepare does not see them */
    const ink_node *node;
    fenced inputs[INK_MAX_INPUTS + 1]; /* [value id] */
    bool is_weight[INK_MAX_INPUTS + 1];
    ink_tensor in[INK_MAX_INPUTS]; /* of the node, for the tolerance */
    ink_tensor out[most_results];  /* the results, for the tolerance */
    int64_t memo;                  /* for the tolerance: which row `memo_value` belongs to; -1 at first */
    double memo_value;
    double *bounds[most_results]; /* what the tolerance allows for each element; NULL: nothing */
    char message[message_bytes];  /* after a failure */
} trial;

typedef struct kernel_case {
    ink_op op;
    int trials;
    /* Records the one operation; inputs come from the functions below. */
    void (*record)(trial *t);
    /* Allowed distance from `want`, element `index` of result `result`. NULL: the bits must be equal. */
    double (*tolerance)(trial *t, int result, int64_t index, double want);
} kernel_case;

/* Draws. Both ends belong to the range. */
int64_t draw_int(trial *t, int64_t low, int64_t high);
bool draw_chance(trial *t, int one_in);
float draw_float(trial *t, float low, float high);
/* A length from 1 to `most`: small ones, and neighbours of powers of two, are likely. */
int64_t draw_length(trial *t, int64_t most);
/* One of the kinds in `allowed`; mostly normal. */
values draw_values(trial *t, unsigned allowed);

void draw_floats(trial *t, float *to, int64_t count, values kind);
void draw_weights(trial *t, void *to, ink_dtype dtype, int64_t count, float deviation);

/* A shape whose last dim is `columns`, of rank 1 to 3, with about `rows` rows. */
ink_shape draw_shape(trial *t, int64_t rows, int64_t columns);

/* New inputs. */
ink_value new_activation(trial *t, ink_shape shape, values kind);
ink_value new_weight(trial *t, ink_shape shape, float deviation);
ink_value new_ints(trial *t, ink_shape shape, int64_t low, int64_t high);
ink_value new_bytes(trial *t, ink_dtype dtype, ink_shape shape);
/* Group numbers in [0, groups), to be freed; NULL now and then if there is one group. */
int32_t *new_groups(trial *t, int64_t rows, int64_t groups);

/* Runs one trial. False and a message if the kernel is wrong. */
bool trial_run(trial *t, const kernel_case *which, const kernel_subject *subject, uint64_t seed);

/* The seed of trial i of a case. */
uint64_t trial_seed(const kernel_case *which, int i);

/* All cases, NULL past the end. */
const kernel_case *kernel_case_at(size_t i);

/* False if memory or threads are missing. */
bool subject_open(kernel_subject *s, const char *name);
void subject_close(kernel_subject *s);

#endif
