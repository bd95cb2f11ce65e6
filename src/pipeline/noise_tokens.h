/*
 * Start noise in the order of tokens.
 */
#ifndef INK_PIPELINE_NOISE_TOKENS_H
#define INK_PIPELINE_NOISE_TOKENS_H

#include "base/status.h"

/* tokens[(grid_height * grid_width) * (channels * patch^2)] = torch.randn(1, 1, channels, height, width) for
 * `seed`, cut into patches, features ordered channel, row, column. ref: diffusers pipeline_qwenimage.py,
 * _pack_latents */
ink_status ink_noise_tokens(ink_noise kind, uint64_t seed, int64_t grid_height, int64_t grid_width,
                            int64_t channels, int64_t patch, float *tokens, ink_error *error);

#endif
