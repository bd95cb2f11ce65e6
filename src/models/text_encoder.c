#include "models/text_encoder.h"

#include "base/config.h"

#include <inttypes.h>
#include <stdlib.h>

/* The base of the rotary frequencies, wherever this generation of files keeps it. Only plain rotary embedding
 * is known; for text alone the multimodal kind is the same. */
static void read_rope(ink_config *file, ink_text_encoder_config *c) {
    c->rope_theta = ink_config_double(file, "rope_theta", 1, 1e12, 1e6);
    static const char *const places[] = {"rope_parameters", "rope_scaling"};
    json_t *outer = file->object;
    for (size_t i = 0; i < 2; i++) {
        if (!ink_config_has(file, places[i]) || !ink_config_enter(file, places[i])) continue;
        c->rope_theta = ink_config_double(file, "rope_theta", 1, 1e12, c->rope_theta);
        const char *type = ink_config_text(file, "rope_type", ink_config_text(file, "type", "default"));
        if (strcmp(type, "default") != 0 && strcmp(type, "mrope") != 0) {
            ink_config_fail(file, INK_ERROR_UNSUPPORTED, "rotary embedding of type '%.64s' is not supported",
                            type);
        }
        file->object = outer;
    }
}

ink_status ink_text_encoder_config_read(const char *folder, ink_text_encoder_config *c, ink_error *error) {
    *c = (ink_text_encoder_config){0};
    ink_config file;
    INK_TRY(ink_config_open(folder, "config.json", &file, error));
    ink_config_enter(&file, "text_config"); /* stays at the root if there is none */
    c->hidden_size = ink_config_require_int(&file, "hidden_size", 1, 65536);
    c->intermediate_size = ink_config_require_int(&file, "intermediate_size", 1, 1 << 20);
    c->num_layers = ink_config_require_int(&file, "num_hidden_layers", 1, 1000);
    c->num_heads = ink_config_require_int(&file, "num_attention_heads", 1, 1024);
    c->num_kv_heads = ink_config_int(&file, "num_key_value_heads", 1, 1024, c->num_heads);
    c->vocab_size = ink_config_require_int(&file, "vocab_size", 1, 1 << 24);
    c->rms_norm_eps = (float)ink_config_double(&file, "rms_norm_eps", 0, 1, 1e-6);
    const int64_t implied = c->num_heads > 0 ? c->hidden_size / c->num_heads : 0;
    c->head_dim = ink_config_int(&file, "head_dim", 2, 512, implied);
    const char *activation = ink_config_text(&file, "hidden_act", "silu");
    if (strcmp(activation, "silu") != 0) {
        ink_config_fail(&file, INK_ERROR_UNSUPPORTED, "hidden_act '%.64s' is not supported, only silu is",
                        activation);
    }
    if (ink_config_bool(&file, "use_sliding_window", false)) {
        ink_config_fail(&file, INK_ERROR_UNSUPPORTED, "use_sliding_window is not supported");
    }
    read_rope(&file, c);
    if (file.error.status == INK_OK && (c->num_heads % c->num_kv_heads != 0 || c->head_dim % 2 != 0)) {
        ink_config_fail(&file, INK_ERROR_FORMAT,
                        "%" PRId64 " heads of %" PRId64 " columns with %" PRId64
                        " key/value heads do not go together (the columns must be even)",
                        c->num_heads, c->head_dim, c->num_kv_heads);
    }
    return ink_config_close(&file, error);
}

ink_status ink_text_encoder_strip_names(ink_weights *weights, ink_error *error) {
    INK_TRY(ink_weights_strip_prefix(weights, "model.language_model.", error));
    INK_TRY(
        ink_weights_strip_prefix(weights, "language_model.model.", error)); /* another generation of names */
    return ink_weights_strip_prefix(weights, "model.", error);
}

/* linear for `layers.<layer>.<name>`; bias only where the network has one. */
static ink_value layer_linear(ink_graph *g, ink_weights *w, int64_t layer, const char *name, ink_value x,
                              int64_t outputs, bool has_bias) {
    const ink_shape shape = ink_value_shape(g, x);
    const ink_value weight = ink_weight_value(g, w, ink_shape2(outputs, ink_shape_columns(&shape)),
                                              "layers.%" PRId64 ".%s.weight", layer, name);
    const ink_value bias =
        has_bias ? ink_weight_value(g, w, ink_shape1(outputs), "layers.%" PRId64 ".%s.bias", layer, name)
                 : INK_NO_VALUE;
    return ink_linear(g, x, weight, bias, INK_ACT_NONE);
}

static ink_value norm(ink_graph *g, const ink_text_encoder_config *c, ink_weights *w, int64_t layer,
                      const char *name, ink_value x) {
    const ink_value gain =
        ink_weight_value(g, w, ink_shape1(c->hidden_size), "layers.%" PRId64 ".%s.weight", layer, name);
    return ink_rms_norm(g, x, gain, c->rms_norm_eps);
}

static ink_value record_layer(ink_graph *g, const ink_text_encoder_config *c, ink_weights *w, int64_t layer,
                              ink_value x, ink_value rotary, const ink_segment *segments, int64_t n) {
    const int64_t q_columns = c->num_heads * c->head_dim, kv_columns = c->num_kv_heads * c->head_dim;
    const ink_value u = norm(g, c, w, layer, "input_layernorm", x);
    const ink_value q = layer_linear(g, w, layer, "self_attn.q_proj", u, q_columns, true);
    const ink_value k = layer_linear(g, w, layer, "self_attn.k_proj", u, kv_columns, true);
    const ink_attention_stream qkv = {
        .q = ink_head_norm_rotary(g, q, c->head_dim, INK_NO_VALUE, 0, rotary, INK_ROTARY_HALF),
        .k = ink_head_norm_rotary(g, k, c->head_dim, INK_NO_VALUE, 0, rotary, INK_ROTARY_HALF),
        .v = layer_linear(g, w, layer, "self_attn.v_proj", u, kv_columns, true)};
    ink_value attended;
    ink_attention(
        g, 1, &qkv, segments, n,
        &(ink_attention_options){.heads = c->num_heads, .kv_heads = c->num_kv_heads, .causal = true},
        &attended);
    x = ink_add(g, x, layer_linear(g, w, layer, "self_attn.o_proj", attended, c->hidden_size, false));

    const ink_value m = norm(g, c, w, layer, "post_attention_layernorm", x);
    const ink_value gate = layer_linear(g, w, layer, "mlp.gate_proj", m, c->intermediate_size, false);
    const ink_value up = layer_linear(g, w, layer, "mlp.up_proj", m, c->intermediate_size, false);
    return ink_add(
        g, x, layer_linear(g, w, layer, "mlp.down_proj", ink_silu_mul(g, gate, up), c->hidden_size, false));
}

/* Segments, positions (row within its prompt) and the rows that are kept; all malloced. False without memory.
 */
static bool pack_prompts(const int64_t *tokens, int64_t n, int64_t drop, ink_segment **segments,
                         int32_t **positions, int32_t **kept, int64_t *rows, int64_t *kept_rows) {
    size_t total = 0, remain = 0;
    for (int64_t i = 0; i < n; i++) {
        total += (size_t)tokens[i];
        remain += tokens[i] > drop ? (size_t)(tokens[i] - drop) : 0;
    }
    *rows = (int64_t)total;
    *kept_rows = (int64_t)remain;
    *segments = calloc(n > 0 ? (size_t)n : 1, sizeof **segments);
    *positions = calloc(total + 1, sizeof **positions);
    *kept = calloc(remain + 1, sizeof **kept);
    if (!*segments || !*positions || !*kept) return false;
    int64_t row = 0, k = 0;
    for (int64_t i = 0; i < n; i++) {
        (*segments)[i] = (ink_segment){.begin = {row}, .length = {tokens[i]}};
        for (int64_t j = 0; j < tokens[i]; j++, row++) {
            (*positions)[row] = (int32_t)j;
            if (j >= drop) (*kept)[k++] = (int32_t)row;
        }
    }
    return true;
}

void ink_text_encoder_record(ink_graph *g, const ink_text_encoder_config *c, ink_weights *w,
                             const int64_t *tokens, int64_t n, int64_t drop) {
    ink_segment *segments;
    int32_t *positions, *kept;
    int64_t rows, kept_rows;
    if (pack_prompts(tokens, n, drop, &segments, &positions, &kept, &rows, &kept_rows)) {
        const ink_value ids = ink_slot(g, "ids", INK_I32, ink_shape1(rows));
        const ink_value table =
            ink_weight_value(g, w, ink_shape2(c->vocab_size, c->hidden_size), "embed_tokens.weight");
        const ink_value rotary = ink_rotary_table(g, ink_constant(g, INK_I32, ink_shape2(rows, 1), positions),
                                                  1, &c->head_dim, c->rope_theta);
        ink_value x = ink_embed_rows(g, table, ids);
        ink_tap(g, x, "hidden.0");
        for (int64_t layer = 0; layer < c->num_layers; layer++) {
            x = record_layer(g, c, w, layer, x, rotary, segments, n);
            if (layer + 1 < c->num_layers) ink_tap(g, x, "hidden.%" PRId64, layer + 1);
        }
        const ink_value gain = ink_weight_value(g, w, ink_shape1(c->hidden_size), "norm.weight");
        const ink_value out = ink_rms_norm(g, x, gain, c->rms_norm_eps);
        ink_tap(g, out, "hidden.%" PRId64, c->num_layers);
        ink_store(g, ink_slot(g, "embeds", INK_F32, ink_shape2(kept_rows, c->hidden_size)),
                  ink_gather_rows(g, out, kept, kept_rows), 0, 0);
    } else {
        ink_graph_fail(g, INK_ERROR_MEMORY, "out of memory for the layout of %" PRId64 " prompts", n);
    }
    free(segments);
    free(positions);
    free(kept);
}
