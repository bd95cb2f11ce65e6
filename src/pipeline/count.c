/*
 * What a model consists of. Recording the graphs is cheap and touches no weight data, so it also is the check
 * that every tensor the networks need is there and has the right shape.
 */
#include "graph/graph.h"
#include "pipeline/model.h"

#include <stdio.h>

/* Smallest shapes that record every layer. */
enum { text_tokens = 1, grid_side = 2 };

typedef void (*record_fn)(ink_graph *g, const ink_model *model, ink_weights *weights,
                          const ink_layout *layout);

static void record_text_encoder(ink_graph *g, const ink_model *m, ink_weights *w, const ink_layout *layout) {
    (void)layout;
    const int64_t tokens = text_tokens;
    ink_text_encoder_record(g, &m->text_encoder, w, &tokens, 1, 0);
}

static void record_prepare(ink_graph *g, const ink_model *m, ink_weights *w, const ink_layout *layout) {
    ink_transformer_record_prepare(g, &m->transformer, w, layout);
    ink_transformer_record_modulation(g, &m->transformer, w, 1);
}

static void record_step(ink_graph *g, const ink_model *m, ink_weights *w, const ink_layout *layout) {
    ink_transformer_record_step(g, &m->transformer, w, layout, 1);
}

static void record_decoder(ink_graph *g, const ink_model *m, ink_weights *w, const ink_layout *layout) {
    (void)layout;
    ink_vae_record_decoder(g, &m->vae, w, grid_side, grid_side);
}

static void record_encoder(ink_graph *g, const ink_model *m, ink_weights *w, const ink_layout *layout) {
    (void)layout;
    ink_vae_record_encoder(g, &m->vae, w, grid_side * m->vae.scale, grid_side * m->vae.scale);
}

typedef struct weight_count {
    int64_t tensors, parameters, bytes;
} weight_count;

/* Adds the weights of one graph to *count. Taps make the transformer record what only they would see. */
static ink_status count_graph(const ink_model *m, ink_weights *w, const ink_layout *layout, record_fn record,
                              weight_count *count, ink_error *error) {
    ink_graph *g = NULL;
    INK_TRY(ink_graph_create(&g, error));
    ink_graph_set_taps(g, INK_TAP_VALUES, NULL, NULL);
    record(g, m, w, layout);
    const ink_status status = ink_graph_status(g, error);
    for (int32_t id = 1; status == INK_OK && id <= ink_graph_value_count(g); id++) {
        const ink_value_info *info = ink_graph_value(g, id);
        if (info->kind != INK_VALUE_WEIGHT) continue;
        const int64_t elements = ink_shape_count(&info->shape);
        count->tensors++;
        count->parameters += elements;
        count->bytes += info->quantized ? ink_quantized_bytes(info->quantized)
                                        : elements * (int64_t)ink_dtype_bytes(info->dtype);
    }
    ink_graph_destroy(g);
    return status;
}

/* "bf16, f32": the formats in the files, the one with most bytes first. */
static void describe_precision(ink_model_component_info *info, const int64_t *bytes_of) {
    bool named[INK_DTYPE_COUNT] = {false};
    size_t n = 0;
    info->precision[0] = '\0';
    for (;;) {
        int best = -1;
        for (int d = 0; d < INK_DTYPE_COUNT; d++) {
            if (!named[d] && bytes_of[d] > 0 && (best < 0 || bytes_of[d] > bytes_of[best])) best = d;
        }
        if (best < 0 || n >= sizeof info->precision) return;
        named[best] = true;
        n += (size_t)snprintf(info->precision + n, sizeof info->precision - n, "%s%s", n ? ", " : "",
                              ink_dtype_name((ink_dtype)best));
    }
}

static void count_files(ink_model_component_info *info) {
    int64_t bytes_of[INK_DTYPE_COUNT] = {0};
    const ink_weight *weight;
    for (size_t i = 0; (weight = ink_weights_at(info->weights, i)) != NULL; i++) {
        const int64_t elements = ink_shape_count(&weight->shape);
        const int64_t bytes = elements * (int64_t)ink_dtype_bytes(weight->dtype);
        info->tensors++;
        info->parameters += elements;
        info->bytes += bytes;
        bytes_of[weight->dtype] += bytes;
    }
    describe_precision(info, bytes_of);
}

/* The graphs of a component: what text-to-image runs, and what only other uses need. */
static const struct {
    record_fn used[2], others[1];
} graphs[ink_model_components] = {
    {.used = {record_text_encoder}},
    {.used = {record_prepare, record_step}},
    {.used = {record_decoder}, .others = {record_encoder}},
};

static ink_status count_component(ink_model *m, int c, ink_weights *weights, const ink_layout *layout,
                                  ink_error *error) {
    ink_model_component_info *info = &m->components[c];
    weight_count used = {0};
    for (size_t i = 0; i < 2 && graphs[c].used[i]; i++) {
        INK_TRY(count_graph(m, weights, layout, graphs[c].used[i], &used, error));
    }
    info->used = used.parameters;
    if (!m->synthetic) {
        count_files(info);
        return INK_OK;
    }
    if (graphs[c].others[0]) INK_TRY(count_graph(m, weights, layout, graphs[c].others[0], &used, error));
    info->tensors = used.tensors;
    info->parameters = used.parameters;
    info->bytes = used.bytes;
    snprintf(info->precision, sizeof info->precision, "bf16, synthetic");
    return INK_OK;
}

ink_status ink_model_count(ink_model *m, ink_error *error) {
    ink_layout layout;
    const int64_t tokens = text_tokens;
    INK_TRY(ink_layout_init(&layout, 1, 1, &tokens, grid_side, grid_side, error));
    ink_weights *census = NULL;
    ink_status status = m->synthetic ? ink_weights_create_census(&census, error) : INK_OK;
    for (int c = 0; c < ink_model_components && status == INK_OK; c++) {
        status = count_component(m, c, census ? census : m->components[c].weights, &layout, error);
    }
    ink_weights_close(census);
    ink_layout_fini(&layout);
    return status;
}
