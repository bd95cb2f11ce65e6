/*
 * Whose work attention is: items are dealt out to blocks that stay on their multiprocessors, and where whole
 * ones would leave some of those idle, the last of them are cut along the keys. Host arithmetic only.
 */
#ifndef INK_BACKEND_CUDA_ATTENTION_CUTS_H
#define INK_BACKEND_CUDA_ATTENTION_CUTS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The tiles [first, end) of an item's keys. If first > 0, the sums are left as part `part`; else they are
 * final, once the parts [part, part + parts) are added. */
typedef struct ink_cuda_attention_piece {
    int32_t item, first, end, part, parts;
} ink_cuda_attention_piece;

/* Block b does the pieces [starts[b], starts[b + 1]), in that order. What it leaves comes first, what it adds
 * parts to comes last, and those parts are left by blocks with lower numbers: whoever waits, waits for what
 * has begun. */
typedef struct ink_cuda_attention_cuts {
    ink_cuda_attention_piece *pieces; /* [starts[blocks]] */
    int32_t *starts;                  /* [blocks + 1] */
    int blocks, parts;                /* numbers of parts are below `parts` */
} ink_cuda_attention_cuts;

/* tiles[n]: how many the keys of each item are, longest first; n and multiprocessors are positive. Errors:
 * INK_ERROR_MEMORY, and then there is nothing to free. Free with ink_cuda_attention_cuts_free. */
ink_status ink_cuda_attention_cut(const int32_t *tiles, size_t n, int multiprocessors,
                                  ink_cuda_attention_cuts *cuts, ink_error *error);
void ink_cuda_attention_cuts_free(ink_cuda_attention_cuts *cuts);

#ifdef __cplusplus
}
#endif

#endif
