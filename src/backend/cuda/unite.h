/*
 * Products that can be computed in one go: a layer of the image's stream and the same layer of the text's,
 * each with the norm and rotation of its q and k where it makes q, k and v.
 */
#ifndef INK_BACKEND_CUDA_UNITE_H
#define INK_BACKEND_CUDA_UNITE_H

#include "backend/cuda/lower.h"

/* Sets `more` of the first launch of each. Storages must have no place yet. */
void ink_cuda_unite(ink_cuda_lowered *lowered);

#endif
