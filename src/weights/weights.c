#include "weights/source.h"

void ink_weights_close(ink_weights *weights) {
    if (weights) weights->source->close(weights);
}

ink_status ink_weights_get(ink_weights *weights, const char *name, const ink_shape *shape,
                           const ink_weight **weight, ink_error *error) {
    *weight = NULL;
    return weights->source->get(weights, name, shape, weight, error);
}

const ink_weight *ink_weights_find(const ink_weights *weights, const char *name) {
    return weights->source->find ? weights->source->find(weights, name) : NULL;
}

ink_status ink_weights_align(ink_weights *weights, const ink_weight **weight, ink_error *error) {
    return weights->source->align ? weights->source->align(weights, weight, error) : INK_OK;
}

const ink_weight *ink_weights_at(const ink_weights *weights, size_t i) {
    return weights->source->at ? weights->source->at(weights, i) : NULL;
}

ink_status ink_weights_strip_prefix(ink_weights *weights, const char *prefix, ink_error *error) {
    return weights->source->strip_prefix ? weights->source->strip_prefix(weights, prefix, error) : INK_OK;
}

const char *ink_weights_metadata(const ink_weights *weights, const char *key) {
    return weights->source->metadata ? weights->source->metadata(weights, key) : NULL;
}

void ink_weights_leave_unfilled(ink_weights *weights) {
    if (weights->source->leave_unfilled) weights->source->leave_unfilled(weights);
}

bool ink_weights_is_synthetic(const ink_weights *weights) {
    return weights->synthetic;
}

const char *ink_weights_path(const ink_weights *weights) {
    return weights->path;
}

void ink_weights_release(ink_weights *weights) {
    weights->source->release(weights);
}
