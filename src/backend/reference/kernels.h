/*
 * Inside of the reference room: the kernels, one per operation, and how they read tensors. The contract of
 * each is in graph/ops.h; what a kernel's comment adds is only what the contract leaves open.
 */
#ifndef INK_BACKEND_REFERENCE_KERNELS_H
#define INK_BACKEND_REFERENCE_KERNELS_H

#include "backend/host/host.h"

/* Tensors read as matrices. */
static inline int64_t ink_tensor_rows(const ink_tensor *x) {
    return ink_shape_rows(&x->shape);
}
static inline int64_t ink_tensor_columns(const ink_tensor *x) {
    return ink_shape_columns(&x->shape);
}
static inline int64_t ink_tensor_count(const ink_tensor *x) {
    return ink_shape_count(&x->shape);
}

/* Element i of a weight, widened; 0 if the optional weight is absent. */
static inline double ink_weight_at(const ink_tensor *weight, int64_t i) {
    return weight->data ? (double)ink_element_f32(weight->data, weight->dtype, i) : 0;
}

/* matrices.c */
void ink_reference_embed_rows(const ink_kernel_args *args);
void ink_reference_linear(const ink_kernel_args *args);
size_t ink_reference_linear_scratch(const ink_node *node, const ink_tensor *in, const ink_tensor *out,
                                    int threads);
void ink_reference_conv2d(const ink_kernel_args *args);
size_t ink_reference_conv2d_scratch(const ink_node *node, const ink_tensor *in, const ink_tensor *out,
                                    int threads);

/* norms.c */
void ink_reference_rms_norm(const ink_kernel_args *args);
void ink_reference_channel_norm(const ink_kernel_args *args);
void ink_reference_layer_norm_modulate(const ink_kernel_args *args);

/* elements.c */
double ink_reference_silu(double z);
void ink_reference_add(const ink_kernel_args *args);
void ink_reference_gated_add(const ink_kernel_args *args);
void ink_reference_silu_each(const ink_kernel_args *args);
void ink_reference_silu_mul(const ink_kernel_args *args);
void ink_reference_channel_affine(const ink_kernel_args *args);
void ink_reference_affine_clamp(const ink_kernel_args *args);
void ink_reference_to_u8(const ink_kernel_args *args);
void ink_reference_stats(const ink_kernel_args *args);

/* attention.c */
void ink_reference_head_norm_rotary(const ink_kernel_args *args);
void ink_reference_attention(const ink_kernel_args *args);
size_t ink_reference_attention_scratch(const ink_node *node, const ink_tensor *in, const ink_tensor *out,
                                       int threads);

/* tables.c */
void ink_reference_rotary_table(const ink_kernel_args *args);
void ink_reference_timestep_embedding(const ink_kernel_args *args);

/* moving.c */
void ink_reference_gather_rows(const ink_kernel_args *args);
void ink_reference_slice_columns(const ink_kernel_args *args);
void ink_reference_step_row(const ink_kernel_args *args);
void ink_reference_store(const ink_kernel_args *args);
void ink_reference_store_step(const ink_kernel_args *args);
void ink_reference_pack_patches(const ink_kernel_args *args);
void ink_reference_unpack_patches(const ink_kernel_args *args);

/* loop.c */
void ink_reference_guidance(const ink_kernel_args *args);
void ink_reference_euler_step(const ink_kernel_args *args);

#endif
