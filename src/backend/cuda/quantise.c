/*
 * Which products are done with e4m3 numbers, and which of their inputs are made so by the operation that they
 * come from.
 */
#include "backend/cuda/analysis.h"
#include "backend/cuda/fp8.h"

/* The layers of the transformer's blocks: nearly everything that a step multiplies. What is around them, and
 * the other networks, stay as they are. */
static const struct {
    const char *name; /* after transformer_blocks.<block>. */
    unsigned group;
} layers[] = {
    {"attn.to_q", INK_CUDA_FP8_ATTENTION},      {"attn.to_k", INK_CUDA_FP8_ATTENTION},
    {"attn.to_v", INK_CUDA_FP8_ATTENTION},      {"attn.to_out.0", INK_CUDA_FP8_ATTENTION},
    {"img_mlp.net.0.proj", INK_CUDA_FP8_WIDEN}, {"img_mlp.net.2", INK_CUDA_FP8_NARROW},
    {"attn.add_q_proj", INK_CUDA_FP8_TEXT},     {"attn.add_k_proj", INK_CUDA_FP8_TEXT},
    {"attn.add_v_proj", INK_CUDA_FP8_TEXT},     {"attn.to_add_out", INK_CUDA_FP8_TEXT},
    {"txt_mlp.net.0.proj", INK_CUDA_FP8_TEXT},  {"txt_mlp.net.2", INK_CUDA_FP8_TEXT},
};

/* The layer's part of "transformer_blocks.12.attn.to_q.weight", or NULL. */
static const char *layer_name(const char *weight) {
    static const char blocks[] = "transformer_blocks.";
    if (!weight || strncmp(weight, blocks, sizeof blocks - 1) != 0) return NULL;
    const char *rest = weight + sizeof blocks - 1 + strspn(weight + sizeof blocks - 1, "0123456789");
    return *rest == '.' ? rest + 1 : NULL;
}

bool ink_cuda_is_fp8(const ink_graph *graph, const ink_cuda_rules *rules, const ink_node *node) {
    if (!rules->fp8 || node->op != INK_OP_LINEAR) return false;
    const ink_value_info *weight = ink_graph_value(graph, node->inputs[1].id);
    const char *name = weight->kind == INK_VALUE_WEIGHT ? layer_name(weight->name) : NULL;
    for (size_t i = 0; name && i < sizeof layers / sizeof layers[0]; i++) {
        const size_t length = strlen(layers[i].name);
        if (strncmp(name, layers[i].name, length) == 0 && strcmp(name + length, ".weight") == 0)
            return (rules->fp8 & layers[i].group) != 0;
    }
    return false;
}

/* Can what computes a value write it as e4m3? */
static bool can_quantise(const ink_cuda_analysis *a, int32_t id) {
    const ink_value_info *info = ink_graph_value(a->graph, id);
    if (info->kind != INK_VALUE_COMPUTED) return false;
    const ink_node *node = ink_graph_node(a->graph, info->node);
    if (node->op == INK_OP_LAYER_NORM_MODULATE)
        return ink_shape_columns(&info->shape) <= ink_cuda_most_fp8_norm_columns;
    /* The activation is left to the rounding, which then follows the product. */
    return node->op == INK_OP_LINEAR && node->params.linear.activation != INK_ACT_NONE;
}

void ink_cuda_choose_fp8(ink_cuda_analysis *a, const ink_cuda_rules *rules) {
    for (int32_t id = 1; id <= a->n_values; id++) {
        ink_cuda_value *value = &a->values[id];
        bool all = value->n_uses > 0 && value->dtype == INK_BF16 && can_quantise(a, id);
        for (int32_t u = value->first_use; all && u < value->first_use + value->n_uses; u++) {
            all = a->uses[u].input == 0 &&
                  ink_cuda_is_fp8(a->graph, rules, ink_graph_node(a->graph, a->uses[u].node));
        }
        if (all) value->dtype = INK_F8_E4M3;
    }
}
