/*
 * The causal-3D VAE for single pictures, decoder and encoder. For one frame only the last time slice of every
 * kernel meets anything but zeros, so the networks are two-dimensional.
 *
 * ref: diffusers models/autoencoders/autoencoder_kl_qwenimage.py, AutoencoderKLQwenImage
 */
#ifndef INK_MODELS_VAE_H
#define INK_MODELS_VAE_H

#include "graph/ops.h"

#define INK_VAE_MAX_STAGES   8
#define INK_VAE_MAX_CHANNELS 64

typedef struct ink_vae_config {
    int64_t base_dim, z_dim, num_res_blocks;
    int64_t stages; /* entries of dim_mult */
    int64_t dim_mult[INK_VAE_MAX_STAGES];
    float latents_mean[INK_VAE_MAX_CHANNELS], latents_std[INK_VAE_MAX_CHANNELS]; /* [z_dim] */
    int64_t scale; /* picture pixels per latent pixel: 2^(stages - 1) */
} ink_vae_config;

/* Reads `folder`/config.json. */
ink_status ink_vae_config_read(const char *folder, ink_vae_config *config, ink_error *error);

/* Decodes one picture of a batch; the step given to the run selects it.
 * reads   "latents" [pictures, grid_height * grid_width, z_dim * patch^2], normalised
 * writes  "image" [Y, X, 3] in [0, 1]; "pixels" u8 [Y, X, 3]; "signal_stats" [4] of the picture before it is
 * clamped */
void ink_vae_record_decode(ink_graph *g, const ink_vae_config *config, ink_weights *weights, int64_t pictures,
                           int64_t grid_height, int64_t grid_width, int64_t patch);

/* The decoder alone. reads "z" [height, width, z_dim], denormalised; writes "signal" [Y, X, 3] in [-1, 1] */
void ink_vae_record_decoder(ink_graph *g, const ink_vae_config *config, ink_weights *weights, int64_t height,
                            int64_t width);

/* The encoder alone. reads "signal" [height, width, 3] in [-1, 1], both sizes multiples of scale; writes
 * "mean" and "logvar" [height / scale, width / scale, z_dim], logvar clamped to [-30, 20] */
void ink_vae_record_encoder(ink_graph *g, const ink_vae_config *config, ink_weights *weights, int64_t height,
                            int64_t width);

#endif
