/*
 * What can be computed in one go: products of a layer of the image's stream and of the same layer of the
 * text's, with the norms and rotations of q and k where they make q, k and v; and pairs of norms or
 * rotations, one of each stream.
 */
#ifndef INK_BACKEND_CUDA_UNITE_H
#define INK_BACKEND_CUDA_UNITE_H

#include "backend/cuda/lower.h"

/* Sets `more` of the first launch of products, `paired` of the first of a pair, and `beside` of those with
 * few rows where a product has many; rotations go behind the products of both streams. Storages must have no
 * place yet. */
void ink_cuda_unite(ink_cuda_lowered *lowered);

/* The first attention after launch i, or the number of launches: streams meet there. */
int32_t ink_cuda_next_attention(const ink_cuda_lowered *lowered, int32_t i);

#endif
