/*
 * Inside of the weights room: what the kinds of ink_weights (files, synthetic, census) have in common.
 */
#ifndef INK_WEIGHTS_SOURCE_H
#define INK_WEIGHTS_SOURCE_H

#include "weights/weights.h"

/* The functions of one kind; see weights.h. Nullable ones are for kinds that have no list of tensors. */
typedef struct ink_weights_source {
    ink_status (*get)(ink_weights *, const char *name, const ink_shape *, const ink_weight **, ink_error *);
    const ink_weight *(*find)(const ink_weights *, const char *name);           /* nullable */
    const ink_weight *(*at)(const ink_weights *, size_t i);                     /* nullable */
    ink_status (*align)(ink_weights *, const ink_weight **, ink_error *);       /* nullable */
    ink_status (*strip_prefix)(ink_weights *, const char *prefix, ink_error *); /* nullable */
    const char *(*metadata)(const ink_weights *, const char *key);              /* nullable */
    void (*leave_unfilled)(ink_weights *);                                      /* nullable */
    void (*release)(ink_weights *);
    void (*close)(ink_weights *);
} ink_weights_source;

/* Every kind's own struct begins with this. */
struct ink_weights {
    const ink_weights_source *source;
    const char *path; /* for messages; owned by the kind, or static */
    bool synthetic;
};

#endif
