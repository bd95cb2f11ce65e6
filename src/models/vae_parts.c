#include "models/vae_parts.h"

#include <inttypes.h>
#include <stdio.h>

enum { name_bytes = 128 };
static const float norm_floor = 1e-12f;

static int64_t channels_of(const ink_vae_recorder *r, ink_value x) {
    const ink_shape shape = ink_value_shape(r->g, x);
    return ink_shape_columns(&shape);
}

ink_value ink_vae_conv(const ink_vae_recorder *r, ink_value x, int64_t outputs, int64_t size,
                       const char *name) {
    const ink_shape shape = {.rank = 5, .dim = {outputs, channels_of(r, x), size, size, size}};
    const ink_value weight = ink_weight_value(r->g, r->w, shape, "%s.weight", name);
    const ink_value bias = ink_weight_value(r->g, r->w, ink_shape1(outputs), "%s.bias", name);
    if (size == 1) return ink_linear(r->g, x, weight, bias, INK_ACT_NONE);
    const int64_t pad = size / 2;
    return ink_conv2d(r->g, x, weight, bias,
                      &(ink_conv_options){.stride = 1,
                                          .upsample = 1,
                                          .pad_top = pad,
                                          .pad_left = pad,
                                          .pad_bottom = pad,
                                          .pad_right = pad});
}

static ink_value resample(const ink_vae_recorder *r, ink_value x, int64_t outputs, const char *name,
                          const ink_conv_options *options) {
    const ink_shape shape = ink_shape4(outputs, channels_of(r, x), 3, 3);
    const ink_value weight = ink_weight_value(r->g, r->w, shape, "%s.resample.1.weight", name);
    const ink_value bias = ink_weight_value(r->g, r->w, ink_shape1(outputs), "%s.resample.1.bias", name);
    return ink_conv2d(r->g, x, weight, bias, options);
}

ink_value ink_vae_upsample(const ink_vae_recorder *r, ink_value x, int64_t outputs, const char *name) {
    return resample(
        r, x, outputs, name,
        &(ink_conv_options){
            .stride = 1, .upsample = 2, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1});
}

ink_value ink_vae_downsample(const ink_vae_recorder *r, ink_value x, int64_t outputs, const char *name) {
    return resample(r, x, outputs, name,
                    &(ink_conv_options){.stride = 2, .upsample = 1, .pad_bottom = 1, .pad_right = 1});
}

static ink_value norm_silu(const ink_vae_recorder *r, ink_value x, const char *name) {
    const ink_value gain =
        ink_weight_value(r->g, r->w, ink_shape4(channels_of(r, x), 1, 1, 1), "%s.gamma", name);
    return ink_channel_norm(r->g, x, gain, norm_floor, INK_ACT_SILU);
}

ink_value ink_vae_resnet(const ink_vae_recorder *r, ink_value x, int64_t outputs, const char *name) {
    char part[name_bytes];
    ink_value shortcut = x;
    if (channels_of(r, x) != outputs) {
        snprintf(part, sizeof part, "%s.conv_shortcut", name);
        shortcut = ink_vae_conv(r, x, outputs, 1, part);
    }
    for (int i = 1; i <= 2; i++) {
        snprintf(part, sizeof part, "%s.norm%d", name, i);
        x = norm_silu(r, x, part);
        snprintf(part, sizeof part, "%s.conv%d", name, i);
        x = ink_vae_conv(r, x, outputs, 3, part);
    }
    return ink_add(r->g, x, shortcut);
}

/* One head over all positions; to_qkv and proj are 1x1 convolutions. */
static ink_value attention(const ink_vae_recorder *r, ink_value x, const char *name) {
    const int64_t c = channels_of(r, x);
    const ink_value gain = ink_weight_value(r->g, r->w, ink_shape3(c, 1, 1), "%s.norm.gamma", name);
    const ink_value normed = ink_channel_norm(r->g, x, gain, norm_floor, INK_ACT_NONE);
    const ink_value qkv = ink_linear(
        r->g, normed, ink_weight_value(r->g, r->w, ink_shape4(3 * c, c, 1, 1), "%s.to_qkv.weight", name),
        ink_weight_value(r->g, r->w, ink_shape1(3 * c), "%s.to_qkv.bias", name), INK_ACT_NONE);
    const ink_attention_stream stream = {.q = ink_slice_columns(r->g, qkv, 0, c),
                                         .k = ink_slice_columns(r->g, qkv, c, 2 * c),
                                         .v = ink_slice_columns(r->g, qkv, 2 * c, 3 * c)};
    const ink_shape shape = ink_value_shape(r->g, x);
    const ink_segment all = {.length = {ink_shape_rows(&shape)}};
    ink_value attended;
    ink_attention(r->g, 1, &stream, &all, 1, &(ink_attention_options){.heads = 1, .kv_heads = 1}, &attended);
    const ink_value projected = ink_linear(
        r->g, attended, ink_weight_value(r->g, r->w, ink_shape4(c, c, 1, 1), "%s.proj.weight", name),
        ink_weight_value(r->g, r->w, ink_shape1(c), "%s.proj.bias", name), INK_ACT_NONE);
    return ink_add(r->g, projected, x);
}

ink_value ink_vae_mid_block(const ink_vae_recorder *r, ink_value x, const char *name) {
    const int64_t c = channels_of(r, x);
    char part[name_bytes];
    snprintf(part, sizeof part, "%s.resnets.0", name);
    x = ink_vae_resnet(r, x, c, part);
    snprintf(part, sizeof part, "%s.attentions.0", name);
    x = attention(r, x, part);
    snprintf(part, sizeof part, "%s.resnets.1", name);
    return ink_vae_resnet(r, x, c, part);
}

ink_value ink_vae_head(const ink_vae_recorder *r, ink_value x, int64_t outputs, const char *name) {
    char part[name_bytes];
    snprintf(part, sizeof part, "%s.norm_out", name);
    x = norm_silu(r, x, part);
    snprintf(part, sizeof part, "%s.conv_out", name);
    return ink_vae_conv(r, x, outputs, 3, part);
}
