/*
 * The multimodal diffusion transformer, as three graphs: what is computed once per picture (text stream and
 * rotary tables), once per schedule (the modulation vectors of every block for every step), and one denoising
 * step.
 *
 * ref: diffusers models/transformers/transformer_qwenimage.py, QwenImageTransformer2DModel
 */
#ifndef INK_MODELS_TRANSFORMER_H
#define INK_MODELS_TRANSFORMER_H

#include "models/layout.h"

typedef struct ink_transformer_config {
    int64_t patch_size;   /* latent pixels per token side */
    int64_t in_channels;  /* features of a token: latent channels * patch_size^2 */
    int64_t out_channels; /* latent channels */
    int64_t num_layers;
    int64_t num_heads, head_dim;
    int64_t joint_attention_dim; /* features of the text encoder */
    int64_t axes[3];             /* rotary dims of frame, row, column; their sum is head_dim */
    /* derived */
    int64_t dim;                /* num_heads * head_dim */
    int64_t modulation_columns; /* num_layers * 12 dim + 2 dim */
} ink_transformer_config;

/* Reads `folder`/config.json. A flag of a model variant that is not implemented is INK_ERROR_UNSUPPORTED. */
ink_status ink_transformer_config_read(const char *folder, ink_transformer_config *config, ink_error *error);

/* Keeps the first `layers` blocks alone. */
void ink_transformer_config_cut(ink_transformer_config *config, int64_t layers);

/* Once per picture.
 * reads   "embeds" [prompt_rows, joint_attention_dim]
 *
 * writes  "text_stream" [text_rows, dim], "text_rotary" [text_rows, head_dim/2, 2],
 *         "image_rotary" [image_rows, ..] */
void ink_transformer_record_prepare(ink_graph *g, const ink_transformer_config *config, ink_weights *weights,
                                    const ink_layout *layout);

/* Once per schedule: a third of all weights are read for this alone. `steps` is the number of rows of the
 * step tables.
 *
 * reads   "sigmas" [steps]
 *
 * writes  "modulation" [steps, modulation_columns]: for each block image shift, scale, gate, shift, scale,
 *         gate, then the same for text; at the end scale and shift of the output norm */
void ink_transformer_record_modulation(ink_graph *g, const ink_transformer_config *config,
                                       ink_weights *weights, int64_t steps);

/* One step. The step index handed to the run selects the rows of the tables.
 * reads   what prepare wrote; "latents" [pictures, image_tokens, in_channels]; "dt" [steps, 1];
 *         "guidance" [steps, 1] if there are two passes
 * writes  "previous" := latents as they were; "velocity_stats" [steps, 4]; "latents" := latents + dt *
 * velocity */
void ink_transformer_record_step(ink_graph *g, const ink_transformer_config *config, ink_weights *weights,
                                 const ink_layout *layout, int64_t steps);

#endif
