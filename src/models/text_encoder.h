/*
 * The language model of Qwen2.5-VL without its head and vision tower: prompts in, hidden states out.
 *
 * ref: transformers models/qwen2_5_vl/modeling_qwen2_5_vl.py, Qwen2_5_VLTextModel
 */
#ifndef INK_MODELS_TEXT_ENCODER_H
#define INK_MODELS_TEXT_ENCODER_H

#include "graph/ops.h"

typedef struct ink_text_encoder_config {
    int64_t hidden_size, intermediate_size, num_layers;
    int64_t num_heads, num_kv_heads, head_dim;
    int64_t vocab_size;
    float rms_norm_eps;
    double rope_theta;
} ink_text_encoder_config;

/* Reads `folder`/config.json, flat or with a text_config object. */
ink_status ink_text_encoder_config_read(const char *folder, ink_text_encoder_config *config,
                                        ink_error *error);

/* Names of both generations of checkpoints ("model.", "model.language_model.") become bare. */
ink_status ink_text_encoder_strip_names(ink_weights *weights, ink_error *error);

/* Encodes n packed prompts of tokens[i] tokens each, dropping the first `drop` rows of each (the template).
 * reads   "ids" i32 [sum(tokens)], each in [0, vocab_size)
 * writes  "embeds" [sum(tokens - drop), hidden_size], after the last norm */
void ink_text_encoder_record(ink_graph *g, const ink_text_encoder_config *config, ink_weights *weights,
                             const int64_t *tokens, int64_t n, int64_t drop);

#endif
