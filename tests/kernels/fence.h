/*
 * Fenced memory: inside of the harness.
 */
#ifndef INK_TESTS_KERNELS_FENCE_H
#define INK_TESTS_KERNELS_FENCE_H

#include "harness.h"

/* Memory of `bytes`, aligned to 64 and followed by 64 guard bytes or more; or, if `tight`, ending at the page
 * that cannot be touched. All around it is `guard`. False when memory runs out. */
bool fence_open(fenced *f, size_t bytes, bool tight, int guard);
void fence_close(fenced *f);

/* Keeps a copy of the contents; later: are they still the same? Are the guards? */
void fence_remember(fenced *f);
bool fence_unchanged(const fenced *f);
bool fence_intact(const fenced *f);

#endif
