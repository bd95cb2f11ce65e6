/*
 * Values are first merged into storages (an output that takes over a dying input joins its storage), then
 * storages are placed largest first at the lowest offset that is free during their whole lifetime.
 */
#include "graph/plan.h"

#include "graph/ops.h"

#include <stdlib.h>

enum { alignment = 64 };

typedef ink_plan_storage storage;

static size_t value_bytes(const ink_graph *graph, int32_t id) {
    const ink_value_info *info = ink_graph_value(graph, id);
    const size_t bytes = (size_t)ink_shape_count(&info->shape) * ink_dtype_bytes(info->dtype);
    return (bytes + alignment - 1) & ~(size_t)(alignment - 1);
}

static bool is_computed(const ink_graph *graph, ink_value value) {
    return value.id && ink_graph_value(graph, value.id)->kind == INK_VALUE_COMPUTED;
}

static void find_last_uses(const ink_graph *graph, int32_t *last_use) {
    for (int32_t n = 0; n < ink_graph_node_count(graph); n++) {
        const ink_node *node = ink_graph_node(graph, n);
        for (int i = 0; i < node->n_inputs; i++) {
            last_use[node->inputs[i].id] = n; /* [0] is a dustbin for absent inputs */
        }
        for (int i = 0; i < node->n_outputs; i++) {
            last_use[node->outputs[i].id] = n;
        }
    }
}

/* Fills storage_of[value id] (-1: not computed) and the storages; returns how many there are. */
static int32_t merge_values(const ink_graph *graph, const int32_t *last_use, int32_t *storage_of,
                            storage *storages) {
    int32_t count = 0;
    for (int32_t n = 0; n < ink_graph_node_count(graph); n++) {
        const ink_node *node = ink_graph_node(graph, n);
        for (int o = 0; o < node->n_outputs; o++) {
            const int32_t id = node->outputs[o].id;
            const size_t bytes = value_bytes(graph, id);
            const int donor = o == 0 ? ink_op_inplace(node->op) : -1;
            int32_t s = -1;
            if (donor >= 0 && is_computed(graph, node->inputs[donor]) &&
                last_use[node->inputs[donor].id] == n) {
                s = storage_of[node->inputs[donor].id];
                if (storages[s].bytes != bytes) s = -1;
            }
            if (s < 0) {
                s = count++;
                storages[s] = (storage){.bytes = bytes, .first = n};
            }
            storages[s].last = last_use[id];
            storage_of[id] = s;
        }
    }
    return count;
}

static int larger_first(const void *a, const void *b) {
    const storage *const *x = a, *const *y = b;
    if ((*x)->bytes != (*y)->bytes) return (*x)->bytes < (*y)->bytes ? 1 : -1;
    return (*x)->first < (*y)->first ? -1 : (*x)->first > (*y)->first;
}

/* Places each storage; `order` is scratch for `count` pointers, `placed` likewise (kept sorted by offset). */
static size_t place(storage *storages, int32_t count, storage **order, storage **placed) {
    for (int32_t i = 0; i < count; i++) {
        order[i] = &storages[i];
    }
    qsort(order, (size_t)count, sizeof *order, larger_first);
    size_t total = 0;
    for (int32_t i = 0; i < count; i++) {
        storage *now = order[i];
        size_t offset = 0;
        for (int32_t p = 0; p < i; p++) {
            const storage *other = placed[p];
            if (other->last < now->first || now->last < other->first) continue;
            if (offset + now->bytes <= other->offset) break;
            if (other->offset + other->bytes > offset) offset = other->offset + other->bytes;
        }
        now->offset = offset;
        if (offset + now->bytes > total) total = offset + now->bytes;
        int32_t at = i;
        while (at > 0 && placed[at - 1]->offset > offset) {
            placed[at] = placed[at - 1];
            at--;
        }
        placed[at] = now;
    }
    return total;
}

ink_status ink_plan_place(ink_plan_storage *storages, int32_t count, size_t *bytes, ink_error *error) {
    *bytes = 0;
    if (count == 0) return INK_OK;
    storage **order = calloc(2 * (size_t)count, sizeof *order);
    if (!order) return ink_fail_memory(error, "planning a program", 2 * (size_t)count * sizeof *order);
    *bytes = place(storages, count, order, order + count);
    free(order);
    return INK_OK;
}

ink_status ink_plan_create(const ink_graph *graph, ink_plan *plan, ink_error *error) {
    *plan = (ink_plan){0};
    const size_t ids = (size_t)ink_graph_value_count(graph) + 1;
    plan->offsets = calloc(ids, sizeof *plan->offsets);
    plan->last_use = calloc(ids, sizeof *plan->last_use);
    int32_t *storage_of = calloc(ids, sizeof *storage_of);
    storage *storages = calloc(ids, sizeof *storages);
    ink_status status = INK_OK;
    if (plan->offsets && plan->last_use && storage_of && storages) {
        find_last_uses(graph, plan->last_use);
        for (size_t i = 0; i < ids; i++) {
            storage_of[i] = -1;
        }
        const int32_t count = merge_values(graph, plan->last_use, storage_of, storages);
        status = ink_plan_place(storages, count, &plan->arena_bytes, error);
        for (size_t i = 0; i < ids; i++) {
            plan->offsets[i] = storage_of[i] < 0 ? SIZE_MAX : storages[storage_of[i]].offset;
        }
    } else {
        status = ink_fail_memory(error, "planning a program", ids * 64);
    }
    if (status != INK_OK) ink_plan_destroy(plan);
    free(storage_of);
    free(storages);
    return status;
}

void ink_plan_destroy(ink_plan *plan) {
    free(plan->offsets);
    free(plan->last_use);
    *plan = (ink_plan){0};
}
