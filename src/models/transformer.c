#include "models/transformer.h"

#include "base/config.h"

#include <inttypes.h>
#include <stdio.h>

/* Widths of the reference that no configuration file carries. */
enum { timestep_dim = 256, mlp_ratio = 4, vectors_per_stream = 6 };
static const float norm_eps = 1e-6f;
static const double rotary_theta = 10000;

static ink_status check_config(const ink_transformer_config *c, const char *path, ink_error *error) {
    if (c->axes[0] + c->axes[1] + c->axes[2] != c->head_dim || c->axes[0] % 2 || c->axes[1] % 2 ||
        c->axes[2] % 2) {
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s: axes_dims_rope [%" PRId64 ", %" PRId64 ", %" PRId64
                        "] must be even and add up to attention_head_dim %" PRId64,
                        path, c->axes[0], c->axes[1], c->axes[2], c->head_dim);
    }
    if (c->in_channels != c->out_channels * c->patch_size * c->patch_size) {
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s: in_channels %" PRId64 " must be out_channels %" PRId64
                        " times patch_size %" PRId64 " squared",
                        path, c->in_channels, c->out_channels, c->patch_size);
    }
    return INK_OK;
}

void ink_transformer_config_cut(ink_transformer_config *c, int64_t layers) {
    c->num_layers = layers;
    c->dim = c->num_heads * c->head_dim;
    c->modulation_columns = (layers * 2 * vectors_per_stream + 2) * c->dim;
}

ink_status ink_transformer_config_read(const char *folder, ink_transformer_config *c, ink_error *error) {
    *c = (ink_transformer_config){.axes = {16, 56, 56}};
    ink_config file;
    INK_TRY(ink_config_open(folder, "config.json", &file, error));
    c->patch_size = ink_config_int(&file, "patch_size", 1, 16, 2);
    c->in_channels = ink_config_int(&file, "in_channels", 1, 65536, 64);
    c->out_channels = ink_config_int(&file, "out_channels", 1, 65536, 16);
    c->num_layers = ink_config_int(&file, "num_layers", 1, 1000, 60);
    c->head_dim = ink_config_int(&file, "attention_head_dim", 2, 512, 128);
    c->num_heads = ink_config_int(&file, "num_attention_heads", 1, 1024, 24);
    c->joint_attention_dim = ink_config_int(&file, "joint_attention_dim", 1, 65536, 3584);
    int64_t axes[3];
    const size_t n_axes = ink_config_ints(&file, "axes_dims_rope", 0, 512, axes, 3);
    if (n_axes == 3)
        memcpy(c->axes, axes, sizeof axes);
    else if (n_axes != 0) {
        ink_config_fail(&file, INK_ERROR_FORMAT, "axes_dims_rope has %zu numbers, 3 are needed", n_axes);
    }
    static const char *const variants[] = {"guidance_embeds", "zero_cond_t", "use_additional_t_cond",
                                           "use_layer3d_rope"};
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        if (ink_config_bool(&file, variants[i], false)) {
            ink_config_fail(
                &file, INK_ERROR_UNSUPPORTED,
                "'%s' is true: this is a variant of the model (editing, layers) that Inkstone cannot run; "
                "use a text-to-image checkpoint",
                variants[i]);
        }
    }
    ink_transformer_config_cut(c, c->num_layers);
    INK_TRY(ink_config_close(&file, error));
    return check_config(c, folder, error);
}

/* linear with `name`.weight and `name`.bias */
static ink_value linear(ink_graph *g, ink_weights *w, ink_value x, int64_t outputs, ink_activation activation,
                        const char *name) {
    const ink_shape shape = ink_value_shape(g, x);
    const ink_value weight =
        ink_weight_value(g, w, ink_shape2(outputs, ink_shape_columns(&shape)), "%s.weight", name);
    const ink_value bias = ink_weight_value(g, w, ink_shape1(outputs), "%s.bias", name);
    return ink_linear(g, x, weight, bias, activation);
}

/* The same for a layer of a block: `transformer_blocks.<block>.<name>`. */
static ink_value block_linear(ink_graph *g, ink_weights *w, int64_t block, const char *name, ink_value x,
                              int64_t outputs, ink_activation activation) {
    char full[128];
    snprintf(full, sizeof full, "transformer_blocks.%" PRId64 ".%s", block, name);
    return linear(g, w, x, outputs, activation, full);
}

/* Column of a stream's six vectors in the modulation table; stream 0 text, 1 image. */
static int64_t modulation_column(const ink_transformer_config *c, int64_t block, int stream) {
    return (2 * block + (stream == 0 ? 1 : 0)) * vectors_per_stream * c->dim;
}

void ink_transformer_record_modulation(ink_graph *g, const ink_transformer_config *c, ink_weights *w,
                                       int64_t steps) {
    const ink_value sigmas = ink_slot(g, "sigmas", INK_F32, ink_shape1(steps));
    const ink_value table = ink_slot(g, "modulation", INK_F32, ink_shape2(steps, c->modulation_columns));
    const ink_value sinusoids = ink_timestep_embedding(g, sigmas, timestep_dim, 1000.0f, 10000.0f);
    const ink_value hidden =
        linear(g, w, sinusoids, c->dim, INK_ACT_SILU, "time_text_embed.timestep_embedder.linear_1");
    const ink_value temb =
        linear(g, w, hidden, c->dim, INK_ACT_NONE, "time_text_embed.timestep_embedder.linear_2");
    ink_tap(g, temb, "time_text_embed");
    const ink_value condition = ink_silu(g, temb);
    for (int64_t b = 0; b < c->num_layers; b++) {
        static const char *const names[2] = {"txt_mod.1", "img_mod.1"};
        static const char *const taps[2] = {"txt_mod", "img_mod"};
        for (int stream = 0; stream < 2; stream++) {
            const ink_value vectors =
                block_linear(g, w, b, names[stream], condition, vectors_per_stream * c->dim, INK_ACT_NONE);
            ink_tap(g, vectors, "transformer_blocks.%" PRId64 ".%s", b, taps[stream]);
            ink_store(g, table, vectors, 0, modulation_column(c, b, stream));
        }
    }
    const ink_value last = linear(g, w, condition, 2 * c->dim, INK_ACT_NONE, "norm_out.linear");
    ink_store(g, table, last, 0, c->num_layers * 2 * vectors_per_stream * c->dim);
}

static void record_rotary(ink_graph *g, const ink_transformer_config *c, const char *slot,
                          const int32_t *positions, int64_t rows) {
    const ink_value table = ink_rotary_table(g, ink_constant(g, INK_I32, ink_shape2(rows, 3), positions), 3,
                                             c->axes, rotary_theta);
    ink_store(g, ink_slot(g, slot, INK_F32, ink_shape3(rows, c->head_dim / 2, 2)), table, 0, 0);
}

void ink_transformer_record_prepare(ink_graph *g, const ink_transformer_config *c, ink_weights *w,
                                    const ink_layout *l) {
    const ink_value embeds =
        ink_slot(g, "embeds", INK_F32, ink_shape2(l->prompt_rows, c->joint_attention_dim));
    const ink_value gain = ink_weight_value(g, w, ink_shape1(c->joint_attention_dim), "txt_norm.weight");
    const ink_value normed = ink_rms_norm(g, embeds, gain, norm_eps);
    ink_tap(g, normed, "txt_norm");
    const ink_value prompts = linear(g, w, normed, c->dim, INK_ACT_NONE, "txt_in");
    ink_tap(g, prompts, "txt_in");
    const ink_value text = ink_gather_rows(g, prompts, l->text_source, l->text_rows);
    ink_store(g, ink_slot(g, "text_stream", INK_F32, ink_shape2(l->text_rows, c->dim)), text, 0, 0);

    record_rotary(g, c, "text_rotary", l->text_positions, l->text_rows);
    record_rotary(g, c, "image_rotary", l->image_positions, l->image_rows);
}

/* What the blocks of a step share. Stream 0 is text, stream 1 the image. */
typedef struct step_context {
    const ink_transformer_config *config;
    const ink_layout *layout;
    ink_weights *weights;
    ink_value modulation; /* [modulation_columns], this step's */
    ink_value rotary[2];
} step_context;

static const char *const stream_names[2] = {"txt", "img"};

/* q or k of one stream: projection, RMS norm per head, rotation. */
static ink_value head_projection(ink_graph *g, const step_context *s, int64_t block, int stream, ink_value x,
                                 const char *projection, const char *norm) {
    const ink_transformer_config *c = s->config;
    const ink_value heads = block_linear(g, s->weights, block, projection, x, c->dim, INK_ACT_NONE);
    const ink_value gain = ink_weight_value(g, s->weights, ink_shape1(c->head_dim),
                                            "transformer_blocks.%" PRId64 ".attn.%s.weight", block, norm);
    return ink_head_norm_rotary(g, heads, c->head_dim, gain, norm_eps, s->rotary[stream],
                                INK_ROTARY_ADJACENT);
}

/* out[stream] = attention of the modulated streams, before the output projection. What the two streams have
 * alike is recorded side by side, so that both can be computed in one go. */
static void joint_attention(ink_graph *g, const step_context *s, int64_t block, const ink_value *x,
                            ink_value *out) {
    static const char *const q_names[2] = {"attn.add_q_proj", "attn.to_q"};
    static const char *const k_names[2] = {"attn.add_k_proj", "attn.to_k"};
    static const char *const v_names[2] = {"attn.add_v_proj", "attn.to_v"};
    static const char *const q_norms[2] = {"norm_added_q", "norm_q"};
    static const char *const k_norms[2] = {"norm_added_k", "norm_k"};
    const ink_transformer_config *c = s->config;
    ink_value normed[2];
    for (int i = 0; i < 2; i++) {
        const int64_t column = modulation_column(c, block, i);
        normed[i] = ink_layer_norm_modulate(g, x[i], s->modulation, column, column + c->dim, norm_eps, NULL);
    }
    ink_attention_stream qkv[2];
    for (int i = 0; i < 2; i++) {
        qkv[i].q = head_projection(g, s, block, i, normed[i], q_names[i], q_norms[i]);
        qkv[i].k = head_projection(g, s, block, i, normed[i], k_names[i], k_norms[i]);
        qkv[i].v = block_linear(g, s->weights, block, v_names[i], normed[i], c->dim, INK_ACT_NONE);
    }
    ink_attention(g, 2, qkv, s->layout->segments, s->layout->n_segments,
                  &(ink_attention_options){.heads = c->num_heads, .kv_heads = c->num_heads}, out);
}

/* The rest of a block, for the streams from `first` on: output projection, gate, MLP, gate. */
static void finish_streams(ink_graph *g, const step_context *s, int64_t block, int first, ink_value *x,
                           const ink_value *attended) {
    static const char *const out_names[2] = {"attn.to_add_out", "attn.to_out.0"};
    static const char *const up_names[2] = {"txt_mlp.net.0.proj", "img_mlp.net.0.proj"};
    static const char *const down_names[2] = {"txt_mlp.net.2", "img_mlp.net.2"};
    const ink_transformer_config *c = s->config;
    ink_value y[2];
    for (int i = first; i < 2; i++) {
        y[i] = block_linear(g, s->weights, block, out_names[i], attended[i], c->dim, INK_ACT_NONE);
        ink_tap(g, y[i], "transformer_blocks.%" PRId64 ".attn.%s", block, stream_names[i]);
    }
    for (int i = first; i < 2; i++) {
        const int64_t column = modulation_column(c, block, i);
        x[i] = ink_gated_add(g, x[i], s->modulation, column + 2 * c->dim, y[i], NULL);
        y[i] = ink_layer_norm_modulate(g, x[i], s->modulation, column + 3 * c->dim, column + 4 * c->dim,
                                       norm_eps, NULL);
    }
    for (int i = first; i < 2; i++) {
        y[i] = block_linear(g, s->weights, block, up_names[i], y[i], mlp_ratio * c->dim, INK_ACT_GELU_TANH);
    }
    for (int i = first; i < 2; i++) {
        y[i] = block_linear(g, s->weights, block, down_names[i], y[i], c->dim, INK_ACT_NONE);
        ink_tap(g, y[i], "transformer_blocks.%" PRId64 ".%s_mlp", block, stream_names[i]);
    }
    for (int i = first; i < 2; i++) {
        x[i] = ink_gated_add(g, x[i], s->modulation, modulation_column(c, block, i) + 5 * c->dim, y[i], NULL);
        ink_tap(g, x[i], "transformer_blocks.%" PRId64 ".%s", block, stream_names[i]);
    }
}

/* [image_rows, in_channels] velocity of all passes. */
static ink_value record_velocity(ink_graph *g, const step_context *s, ink_value latents) {
    const ink_transformer_config *c = s->config;
    const ink_layout *l = s->layout;
    const ink_value projected = linear(g, s->weights, latents, c->dim, INK_ACT_NONE, "img_in");
    ink_value x[2];
    x[0] = ink_slot(g, "text_stream", INK_F32, ink_shape2(l->text_rows, c->dim));
    x[1] = ink_gather_rows(g, projected, l->image_source, l->image_rows);
    ink_tap(g, x[1], "img_in");
    for (int64_t b = 0; b < c->num_layers; b++) {
        ink_value attended[2];
        joint_attention(g, s, b, x, attended);
        /* Nobody reads the text stream after the last block. */
        const bool text = b + 1 < c->num_layers || ink_graph_has_taps(g);
        finish_streams(g, s, b, text ? 0 : 1, x, attended);
    }
    const int64_t column = c->num_layers * 2 * vectors_per_stream * c->dim;
    const ink_value normed =
        ink_layer_norm_modulate(g, x[1], s->modulation, column + c->dim, column, norm_eps, NULL);
    ink_tap(g, normed, "norm_out");
    const ink_value velocity = linear(g, s->weights, normed, c->in_channels, INK_ACT_NONE, "proj_out");
    ink_tap(g, velocity, "proj_out");
    return velocity;
}

void ink_transformer_record_step(ink_graph *g, const ink_transformer_config *c, ink_weights *w,
                                 const ink_layout *l, int64_t steps) {
    const ink_shape latents_shape = ink_shape3(l->pictures, l->image_tokens, c->in_channels);
    const ink_value latents = ink_slot(g, "latents", INK_F32, latents_shape);
    const ink_value table = ink_slot(g, "modulation", INK_F32, ink_shape2(steps, c->modulation_columns));
    const step_context s = {
        .config = c,
        .layout = l,
        .weights = w,
        .modulation = ink_step_row(g, table),
        .rotary = {ink_slot(g, "text_rotary", INK_F32, ink_shape3(l->text_rows, c->head_dim / 2, 2)),
                   ink_slot(g, "image_rotary", INK_F32, ink_shape3(l->image_rows, c->head_dim / 2, 2))}};
    ink_store(g, ink_slot(g, "previous", INK_F32, latents_shape), latents, 0, 0);
    ink_value velocity = record_velocity(g, &s, latents);
    if (l->passes == 2) {
        const ink_value scale = ink_step_row(g, ink_slot(g, "guidance", INK_F32, ink_shape2(steps, 1)));
        velocity = ink_guidance(g, velocity, scale, true);
    }
    ink_tap(g, velocity, "output");
    const ink_value stats = ink_stats(g, velocity);
    ink_store_step(g, ink_slot(g, "velocity_stats", INK_F32, ink_shape2(steps, 4)), stats);
    const ink_value dt = ink_step_row(g, ink_slot(g, "dt", INK_F32, ink_shape2(steps, 1)));
    ink_store(g, latents, ink_euler_step(g, latents, velocity, dt), 0, 0);
}
