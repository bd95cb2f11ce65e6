/*
 * The table of reference kernels, and a backend made of it.
 */
#include "backend/reference/reference.h"

#include "backend/reference/kernels.h"

static const ink_kernel_table reference_table = {
    .kernel = {
        [INK_OP_EMBED_ROWS] = {.run = ink_reference_embed_rows},
        [INK_OP_LINEAR] = {.run = ink_reference_linear, .scratch_bytes = ink_reference_linear_scratch},
        [INK_OP_RMS_NORM] = {.run = ink_reference_rms_norm},
        [INK_OP_CHANNEL_NORM] = {.run = ink_reference_channel_norm},
        [INK_OP_LAYER_NORM_MODULATE] = {.run = ink_reference_layer_norm_modulate},
        [INK_OP_ADD] = {.run = ink_reference_add},
        [INK_OP_GATED_ADD] = {.run = ink_reference_gated_add},
        [INK_OP_SILU] = {.run = ink_reference_silu_each},
        [INK_OP_SILU_MUL] = {.run = ink_reference_silu_mul},
        [INK_OP_HEAD_NORM_ROTARY] = {.run = ink_reference_head_norm_rotary},
        [INK_OP_ATTENTION] = {.run = ink_reference_attention,
                              .scratch_bytes = ink_reference_attention_scratch},
        [INK_OP_ROTARY_TABLE] = {.run = ink_reference_rotary_table},
        [INK_OP_TIMESTEP_EMBEDDING] = {.run = ink_reference_timestep_embedding},
        [INK_OP_GATHER_ROWS] = {.run = ink_reference_gather_rows},
        [INK_OP_SLICE_COLUMNS] = {.run = ink_reference_slice_columns},
        [INK_OP_STEP_ROW] = {.run = ink_reference_step_row},
        [INK_OP_STORE] = {.run = ink_reference_store},
        [INK_OP_STORE_STEP] = {.run = ink_reference_store_step},
        [INK_OP_GUIDANCE] = {.run = ink_reference_guidance},
        [INK_OP_EULER_STEP] = {.run = ink_reference_euler_step},
        [INK_OP_PACK_PATCHES] = {.run = ink_reference_pack_patches},
        [INK_OP_UNPACK_PATCHES] = {.run = ink_reference_unpack_patches},
        [INK_OP_CHANNEL_AFFINE] = {.run = ink_reference_channel_affine},
        [INK_OP_AFFINE_CLAMP] = {.run = ink_reference_affine_clamp},
        [INK_OP_CONV2D] = {.run = ink_reference_conv2d, .scratch_bytes = ink_reference_conv2d_scratch},
        [INK_OP_TO_U8] = {.run = ink_reference_to_u8},
        [INK_OP_STATS] = {.run = ink_reference_stats},
    }};

void ink_reference_kernels(ink_kernel_table *table) {
    *table = reference_table;
}

ink_status ink_reference_backend_create(const ink_backend_options *options, ink_backend **backend,
                                        ink_error *error) {
    (void)options;
    return ink_host_backend_create("reference", "reference: plain C, one thread", &reference_table, NULL,
                                   backend, error);
}
