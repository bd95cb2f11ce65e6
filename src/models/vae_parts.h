/*
 * What the VAE's decoder and encoder share. Not for other rooms.
 */
#ifndef INK_MODELS_VAE_PARTS_H
#define INK_MODELS_VAE_PARTS_H

#include "models/vae.h"

typedef struct ink_vae_recorder {
    ink_graph *g;
    ink_weights *w;
} ink_vae_recorder;

/* Causal convolution `name` with a kernel of size x size (x size in time), padded to keep the picture's size.
 */
ink_value ink_vae_conv(const ink_vae_recorder *r, ink_value x, int64_t outputs, int64_t size,
                       const char *name);

/* The plain 3x3 convolution `<name>.resample.1`, after doubling the picture or with stride 2. */
ink_value ink_vae_upsample(const ink_vae_recorder *r, ink_value x, int64_t outputs, const char *name);
ink_value ink_vae_downsample(const ink_vae_recorder *r, ink_value x, int64_t outputs, const char *name);

/* norm, silu, conv, norm, silu, conv, plus the input (through conv_shortcut if the channels change). */
ink_value ink_vae_resnet(const ink_vae_recorder *r, ink_value x, int64_t outputs, const char *name);

/* resnet, attention over all positions, resnet. */
ink_value ink_vae_mid_block(const ink_vae_recorder *r, ink_value x, const char *name);

/* norm_out and conv_out of `name`. */
ink_value ink_vae_head(const ink_vae_recorder *r, ink_value x, int64_t outputs, const char *name);

#endif
