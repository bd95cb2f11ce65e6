#include "models/vae.h"

#include "base/config.h"
#include "models/vae_parts.h"

#include <inttypes.h>
#include <stdio.h>

enum { name_bytes = 96, picture_channels = 3 };

static void read_latent_scale(ink_config *file, ink_vae_config *c) {
    double mean[INK_VAE_MAX_CHANNELS], deviation[INK_VAE_MAX_CHANNELS];
    const size_t n_mean = ink_config_doubles(file, "latents_mean", mean, INK_VAE_MAX_CHANNELS);
    const size_t n_std = ink_config_doubles(file, "latents_std", deviation, INK_VAE_MAX_CHANNELS);
    if (file->error.status != INK_OK) return;
    if (n_mean != (size_t)c->z_dim || n_std != (size_t)c->z_dim) {
        ink_config_fail(file, INK_ERROR_FORMAT,
                        "latents_mean and latents_std have %zu and %zu numbers, z_dim %" PRId64 " are needed",
                        n_mean, n_std, c->z_dim);
        return;
    }
    for (int64_t i = 0; i < c->z_dim; i++) {
        c->latents_mean[i] = (float)mean[i];
        c->latents_std[i] = (float)deviation[i];
    }
}

ink_status ink_vae_config_read(const char *folder, ink_vae_config *c, ink_error *error) {
    *c = (ink_vae_config){0};
    ink_config file;
    INK_TRY(ink_config_open(folder, "config.json", &file, error));
    c->base_dim = ink_config_int(&file, "base_dim", 1, 4096, 96);
    c->z_dim = ink_config_int(&file, "z_dim", 1, INK_VAE_MAX_CHANNELS, 16);
    c->num_res_blocks = ink_config_int(&file, "num_res_blocks", 1, 64, 2);
    c->stages = (int64_t)ink_config_ints(&file, "dim_mult", 1, 64, c->dim_mult, INK_VAE_MAX_STAGES);
    bool temporal[INK_VAE_MAX_STAGES];
    const int64_t resamplers =
        (int64_t)ink_config_bools(&file, "temperal_downsample", temporal, INK_VAE_MAX_STAGES);
    if (c->stages < 1 || resamplers != c->stages - 1) {
        ink_config_fail(&file, INK_ERROR_FORMAT,
                        "dim_mult has %" PRId64 " entries and temperal_downsample %" PRId64
                        ", which must be one less",
                        c->stages, resamplers);
    }
    double attention_scale;
    if (ink_config_doubles(&file, "attn_scales", &attention_scale, 1) != 0) {
        ink_config_fail(&file, INK_ERROR_UNSUPPORTED, "attn_scales must be empty");
    }
    if (ink_config_int(&file, "input_channels", 1, 64, picture_channels) != picture_channels) {
        ink_config_fail(&file, INK_ERROR_UNSUPPORTED,
                        "input_channels is not 3: a VAE with transparency (layers) cannot be run");
    }
    read_latent_scale(&file, c);
    c->scale = (int64_t)1 << (c->stages > 0 ? c->stages - 1 : 0);
    return ink_config_close(&file, error);
}

static int64_t stage_channels(const ink_vae_config *c, int64_t stage) {
    return c->base_dim * c->dim_mult[stage];
}

/* z [h, w, z_dim], denormalised -> signal [Y, X, 3], not clamped. */
static ink_value decode(const ink_vae_recorder *r, const ink_vae_config *c, ink_value z) {
    char name[name_bytes];
    ink_value x = ink_vae_conv(r, z, c->z_dim, 1, "post_quant_conv");
    x = ink_vae_conv(r, x, stage_channels(c, c->stages - 1), 3, "decoder.conv_in");
    x = ink_vae_mid_block(r, x, "decoder.mid_block");
    for (int64_t i = 0; i < c->stages; i++) {
        const int64_t channels = stage_channels(c, c->stages - 1 - i);
        for (int64_t j = 0; j <= c->num_res_blocks; j++) {
            snprintf(name, sizeof name, "decoder.up_blocks.%" PRId64 ".resnets.%" PRId64, i, j);
            x = ink_vae_resnet(r, x, channels, name);
        }
        if (i + 1 < c->stages) {
            snprintf(name, sizeof name, "decoder.up_blocks.%" PRId64 ".upsamplers.0", i);
            x = ink_vae_upsample(r, x, channels / 2, name);
        }
    }
    return ink_vae_head(r, x, picture_channels, "decoder");
}

void ink_vae_record_decode(ink_graph *g, const ink_vae_config *c, ink_weights *weights, int64_t pictures,
                           int64_t grid_height, int64_t grid_width, int64_t patch) {
    const ink_vae_recorder r = {.g = g, .w = weights};
    const ink_value latents = ink_slot(
        g, "latents", INK_F32, ink_shape3(pictures, grid_height * grid_width, c->z_dim * patch * patch));
    ink_value z = ink_unpack_patches(g, ink_step_row(g, latents), grid_height, grid_width, patch);
    z = ink_channel_affine(g, z, ink_constant(g, INK_F32, ink_shape1(c->z_dim), c->latents_std),
                           ink_constant(g, INK_F32, ink_shape1(c->z_dim), c->latents_mean));
    const ink_value decoded = decode(&r, c, z);
    ink_store(g, ink_slot(g, "signal_stats", INK_F32, ink_shape1(4)), ink_stats(g, decoded), 0, 0);
    const ink_value signal = ink_affine_clamp(g, decoded, 1, 0, -1, 1);
    const ink_value image = ink_affine_clamp(g, signal, 0.5f, 0.5f, 0, 1);
    ink_store(g, ink_slot(g, "image", INK_F32, ink_value_shape(g, image)), image, 0, 0);
    ink_store(g, ink_slot(g, "pixels", INK_U8, ink_value_shape(g, image)), ink_to_u8(g, image), 0, 0);
}

void ink_vae_record_decoder(ink_graph *g, const ink_vae_config *c, ink_weights *weights, int64_t height,
                            int64_t width) {
    const ink_vae_recorder r = {.g = g, .w = weights};
    const ink_value z = ink_slot(g, "z", INK_F32, ink_shape3(height, width, c->z_dim));
    const ink_value signal = ink_affine_clamp(g, decode(&r, c, z), 1, 0, -1, 1);
    ink_store(g, ink_slot(g, "signal", INK_F32, ink_value_shape(g, signal)), signal, 0, 0);
}

void ink_vae_record_encoder(ink_graph *g, const ink_vae_config *c, ink_weights *weights, int64_t height,
                            int64_t width) {
    const ink_vae_recorder r = {.g = g, .w = weights};
    if (height % c->scale != 0 || width % c->scale != 0) {
        ink_graph_fail(g, INK_ERROR_ARGUMENT,
                       "a picture of %" PRId64 " x %" PRId64
                       " cannot be encoded: sizes must be multiples of %" PRId64,
                       width, height, c->scale);
        return;
    }
    char name[name_bytes];
    int64_t index = 0; /* resnets and resamplers share one list */
    ink_value x = ink_slot(g, "signal", INK_F32, ink_shape3(height, width, picture_channels));
    x = ink_vae_conv(&r, x, c->base_dim, 3, "encoder.conv_in");
    for (int64_t i = 0; i < c->stages; i++) {
        for (int64_t j = 0; j < c->num_res_blocks; j++) {
            snprintf(name, sizeof name, "encoder.down_blocks.%" PRId64, index++);
            x = ink_vae_resnet(&r, x, stage_channels(c, i), name);
        }
        if (i + 1 < c->stages) {
            snprintf(name, sizeof name, "encoder.down_blocks.%" PRId64, index++);
            x = ink_vae_downsample(&r, x, stage_channels(c, i), name);
        }
    }
    x = ink_vae_mid_block(&r, x, "encoder.mid_block");
    x = ink_vae_head(&r, x, 2 * c->z_dim, "encoder");
    const ink_value moments = ink_vae_conv(&r, x, 2 * c->z_dim, 1, "quant_conv");
    const ink_value mean = ink_slice_columns(g, moments, 0, c->z_dim);
    const ink_value logvar =
        ink_affine_clamp(g, ink_slice_columns(g, moments, c->z_dim, 2 * c->z_dim), 1, 0, -30, 20);
    ink_store(g, ink_slot(g, "mean", INK_F32, ink_value_shape(g, mean)), mean, 0, 0);
    ink_store(g, ink_slot(g, "logvar", INK_F32, ink_value_shape(g, logvar)), logvar, 0, 0);
}
