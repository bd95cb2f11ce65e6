#include "backend/cuda/lowering.h"

#include "backend/cuda/fp8.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/unite.h"

#include <assert.h>
#include <stdlib.h>

enum { alignment = 256 };

/* ---- growing lists ---- */

static bool grow(ink_cuda_lowering *l, void **list, int32_t count, int32_t *cap, size_t element) {
    if (count < *cap) return true;
    const int32_t larger = *cap ? *cap * 2 : 64;
    void *fresh = realloc(*list, (size_t)larger * element);
    if (!fresh) {
        l->out_of_memory = true;
        return false;
    }
    *list = fresh;
    *cap = larger;
    return true;
}

void ink_cuda_add_launch(ink_cuda_lowering *l, const ink_cuda_launch *launch) {
    ink_cuda_lowered *out = l->out;
    void *list = out->launches;
    const bool fits = grow(l, &list, out->n_launches, &out->launches_cap, sizeof *out->launches);
    out->launches = list;
    if (fits) out->launches[out->n_launches++] = *launch;
}

int32_t ink_cuda_add_storage(ink_cuda_lowering *l, size_t bytes) {
    ink_cuda_lowered *out = l->out;
    void *list = out->storages;
    const bool fits = grow(l, &list, out->n_storages, &out->storages_cap, sizeof *out->storages);
    out->storages = list;
    if (!fits) return 0;
    bytes = (bytes + alignment - 1) & ~(size_t)(alignment - 1);
    out->storages[out->n_storages] = (ink_plan_storage){.bytes = bytes, .first = -1};
    return out->n_storages++;
}

static int32_t add_wanted(ink_cuda_lowering *l, const ink_cuda_wanted *wanted) {
    ink_cuda_lowered *out = l->out;
    void *list = out->wanted;
    const bool fits = grow(l, &list, out->n_wanted, &out->wanted_cap, sizeof *out->wanted);
    out->wanted = list;
    if (!fits) return 0;
    out->wanted[out->n_wanted] = *wanted;
    return out->n_wanted++;
}

/* ---- operands ---- */

static const ink_value_info *info_of(const ink_cuda_lowering *l, ink_value value) {
    return ink_graph_value(l->graph, value.id);
}

static bool is_constant(const ink_cuda_lowering *l, ink_value value) {
    const ink_value_kind kind = info_of(l, value)->kind;
    return kind == INK_VALUE_WEIGHT || kind == INK_VALUE_CONSTANT;
}

ink_cuda_operand ink_cuda_operand_of(ink_cuda_where where, int32_t index, ink_dtype dtype, int64_t rows,
                                     int64_t columns) {
    return (ink_cuda_operand){
        .where = where, .index = index, .dtype = dtype, .rows = rows, .columns = columns, .stride = columns};
}

ink_cuda_operand ink_cuda_fresh_matrix(ink_cuda_lowering *l, ink_dtype dtype, int64_t rows, int64_t columns) {
    const size_t bytes = dtype == INK_F8_E4M3 ? ink_cuda_fp8_bytes(rows, columns)
                                              : (size_t)(rows * columns) * ink_dtype_bytes(dtype);
    const int32_t storage = ink_cuda_add_storage(l, bytes);
    return ink_cuda_operand_of(INK_CUDA_IN_ARENA, storage, dtype, rows, columns);
}

/* A weight or constant in the type it is stored in (INK_DTYPE_COUNT), or in another. */
static ink_cuda_operand constant_operand(ink_cuda_lowering *l, ink_value value, ink_dtype dtype) {
    ink_cuda_wanted wanted = {.n_parts = 1, .parts = {ink_cuda_source_of(info_of(l, value))}};
    const ink_cuda_source *source = &wanted.parts[0];
    wanted.dtype = dtype != INK_DTYPE_COUNT   ? dtype
                   : source->dtype == INK_U32 ? l->rules->activation
                                              : source->dtype;
    return ink_cuda_operand_of(INK_CUDA_IN_WEIGHT, add_wanted(l, &wanted), wanted.dtype, source->rows,
                               source->columns);
}

static ink_cuda_operand ints_operand(ink_cuda_lowering *l, const int32_t *data, int64_t count) {
    if (!data) return (ink_cuda_operand){0};
    const ink_cuda_wanted wanted = {
        .n_parts = 1, .parts = {ink_cuda_source_of_ints(data, count)}, .dtype = INK_I32};
    return ink_cuda_operand_of(INK_CUDA_IN_WEIGHT, add_wanted(l, &wanted), INK_I32, 1, count);
}

static ink_cuda_operand operand_of(ink_cuda_lowering *l, ink_value value) {
    if (!value.id) return (ink_cuda_operand){0};
    const ink_value_info *info = info_of(l, value);
    if (info->kind == INK_VALUE_COMPUTED) return l->home[value.id];
    if (info->kind != INK_VALUE_SLOT) return constant_operand(l, value, INK_DTYPE_COUNT);
    return ink_cuda_operand_of(INK_CUDA_IN_SLOT, value.id, info->dtype, ink_shape_rows(&info->shape),
                               ink_shape_columns(&info->shape));
}

/* The same in a type, converted if need be. `node` is what it is for. */
static ink_cuda_operand operand_in(ink_cuda_lowering *l, ink_value value, ink_dtype dtype,
                                   const ink_node *node) {
    if (!value.id) return (ink_cuda_operand){0};
    if (is_constant(l, value)) return constant_operand(l, value, dtype);
    const ink_cuda_operand from = operand_of(l, value);
    if (from.dtype == dtype) return from;
    const ink_op op = dtype == INK_F8_E4M3 ? INK_CUDA_QUANTISE : INK_CUDA_CONVERT;
    ink_cuda_launch launch = {.op = op, .n_nodes = 1, .nodes = {node}, .in = {from}};
    launch.out[0] = ink_cuda_fresh_matrix(l, dtype, from.rows, from.columns);
    ink_cuda_add_launch(l, &launch);
    return launch.out[0];
}

/* A part of a slot, as store says. */
static ink_cuda_operand slot_part(ink_cuda_lowering *l, const ink_node *store, int64_t rows,
                                  int64_t columns) {
    ink_cuda_operand part = operand_of(l, store->inputs[0]);
    part.offset = store->params.store.row * part.stride + store->params.store.column;
    part.rows = rows;
    part.columns = columns;
    return part;
}

/* May the output take the place of the input that the operation allows? */
static bool is_in_place(const ink_cuda_lowering *l, int32_t n) {
    const ink_node *node = ink_graph_node(l->graph, n);
    const int donor = ink_op_inplace(node->op);
    if (donor < 0 || l->rules->separate) return false;
    const int32_t from = node->inputs[donor].id, to = node->outputs[0].id;
    const ink_cuda_value *values = l->a.values;
    if (ink_graph_value(l->graph, from)->kind != INK_VALUE_COMPUTED || values[from].viewed ||
        values[from].view != INK_CUDA_NO_VIEW || values[from].dtype != values[to].dtype ||
        ink_cuda_last_use(&l->a, from) != n)
        return false;
    /* An operation that moved forward may not take what others still read. */
    if (l->a.leader[n] != n && values[from].n_uses > 1) return false;
    for (int i = 0; i < node->n_inputs; i++) {
        if (i != donor && node->inputs[i].id == from) return false;
    }
    return true;
}

/* Where output o of node n goes; notes it. */
static ink_cuda_operand output(ink_cuda_lowering *l, int32_t n, int o) {
    const ink_node *node = ink_graph_node(l->graph, n);
    const int32_t id = node->outputs[o].id;
    const ink_value_info *info = ink_graph_value(l->graph, id);
    const int64_t rows = ink_shape_rows(&info->shape), columns = ink_shape_columns(&info->shape);
    const ink_cuda_value *value = &l->a.values[id];
    if (value->store >= 0)
        l->home[id] = slot_part(l, ink_graph_node(l->graph, value->store), rows, columns);
    else if (o == 0 && is_in_place(l, n))
        l->home[id] = l->home[node->inputs[ink_op_inplace(node->op)].id];
    else
        l->home[id] = ink_cuda_fresh_matrix(l, value->dtype, rows, columns);
    return l->home[id];
}

/* A row of f32 numbers: a view of a step's, or a value. */
static ink_cuda_operand row_operand(ink_cuda_lowering *l, ink_value value) {
    if (l->a.values[value.id].view != INK_CUDA_STEP_VIEW) return operand_of(l, value);
    const ink_shape shape = ink_value_shape(l->graph, value);
    const ink_node *node = ink_graph_node(l->graph, info_of(l, value)->node);
    ink_cuda_operand row = ink_cuda_operand_of(INK_CUDA_IN_SLOT, node->inputs[0].id, INK_F32,
                                               ink_shape_rows(&shape), ink_shape_columns(&shape));
    row.per_step = ink_shape_count(&shape);
    return row;
}

/* ---- launches of several operations ---- */

/* Parts of one matrix [outputs, inputs]; `input` is 1 for weights, 2 for biases. */
static ink_cuda_operand joined_operand(ink_cuda_lowering *l, const ink_cuda_launch *launch, int input,
                                       ink_dtype dtype) {
    ink_cuda_wanted wanted = {.n_parts = launch->n_nodes, .dtype = dtype};
    int64_t count = 0;
    for (int i = 0; i < launch->n_nodes; i++) {
        wanted.parts[i] = ink_cuda_source_of(info_of(l, launch->nodes[i]->inputs[input]));
        count += wanted.parts[i].rows * wanted.parts[i].columns;
    }
    return ink_cuda_operand_of(INK_CUDA_IN_WEIGHT, add_wanted(l, &wanted), dtype, 1, count);
}

/* The type of both factors. */
static ink_dtype factor_type(const ink_cuda_lowering *l, const ink_cuda_launch *launch) {
    for (int i = 0; i < launch->n_nodes; i++) {
        if (!ink_cuda_is_fp8(l->graph, l->rules, launch->nodes[i])) return l->rules->activation;
    }
    return INK_F8_E4M3;
}

static void lower_linears(ink_cuda_lowering *l, int32_t n, ink_cuda_launch *launch) {
    const ink_node *first = launch->nodes[0];
    const ink_dtype factors = factor_type(l, launch);
    launch->in[0] = operand_in(l, first->inputs[0], factors, first);
    const ink_cuda_value *result = &l->a.values[first->outputs[0].id];
    if (launch->n_nodes == 1) {
        launch->out[0] = output(l, n, 0);
        /* What is to be e4m3 is rounded by another launch, which does the activation. */
        if (result->dtype == INK_F8_E4M3)
            launch->out[0] =
                ink_cuda_fresh_matrix(l, l->rules->activation, launch->in[0].rows, launch->out[0].columns);
        else
            launch->activation = first->params.linear.activation;
        launch->in[1] = operand_in(l, first->inputs[1], factors, first);
        launch->in[2] = operand_in(l, first->inputs[2], launch->out[0].dtype, first);
        return;
    }
    int64_t columns = 0;
    for (int i = 0; i < launch->n_nodes; i++) {
        const ink_shape shape = ink_value_shape(l->graph, launch->nodes[i]->outputs[0]);
        columns += ink_shape_columns(&shape);
    }
    launch->out[0] = ink_cuda_joint_result(l, n, result->dtype, launch->in[0].rows, columns);
    launch->in[1] = joined_operand(l, launch, 1, factors);
    if (first->inputs[2].id) launch->in[2] = joined_operand(l, launch, 2, result->dtype);
    int64_t column = 0;
    for (int i = 0; i < launch->n_nodes; i++) {
        const int32_t id = launch->nodes[i]->outputs[0].id;
        const ink_shape shape = ink_value_shape(l->graph, launch->nodes[i]->outputs[0]);
        l->home[id] = launch->out[0];
        l->home[id].offset += column;
        l->home[id].columns = ink_shape_columns(&shape);
        column += l->home[id].columns;
    }
}

/* After a product whose result is to be e4m3. */
static void round_result(ink_cuda_lowering *l, const ink_cuda_launch *product) {
    const ink_node *node = product->nodes[0];
    const ink_cuda_operand *to = &l->home[node->outputs[0].id];
    if (to->dtype != INK_F8_E4M3) return;
    const ink_cuda_launch launch = {.op = INK_CUDA_QUANTISE,
                                    .n_nodes = 1,
                                    .nodes = {node},
                                    .activation = node->params.linear.activation,
                                    .in = {product->out[0]},
                                    .out = {*to}};
    ink_cuda_add_launch(l, &launch);
}

static void lower_rotaries(ink_cuda_lowering *l, int32_t n, ink_cuda_launch *launch) {
    const ink_node *first = launch->nodes[0];
    launch->in[0] = operand_of(l, first->inputs[0]);
    launch->in[1] = operand_of(l, first->inputs[1]);
    launch->in[2] = operand_of(l, first->inputs[2]);
    launch->out[0] = output(l, n, 0);
    if (launch->n_nodes == 1) return;
    launch->in[3] = operand_of(l, launch->nodes[1]->inputs[0]);
    launch->in[4] = operand_of(l, launch->nodes[1]->inputs[1]);
    launch->out[1] = output(l, l->a.follower[n], 0);
}

static void lower_gated_add(ink_cuda_lowering *l, int32_t n, ink_cuda_launch *launch) {
    const ink_node *add = launch->nodes[0];
    launch->in[0] = operand_of(l, add->inputs[0]);
    launch->in[1] = row_operand(l, add->inputs[1]);
    launch->in[2] = operand_of(l, add->inputs[2]);
    launch->in[4] = ints_operand(l, add->params.gated_add.row_groups, launch->in[0].rows);
    launch->out[0] = output(l, n, 0);
    if (launch->n_nodes == 1) return;
    const ink_node *norm = launch->nodes[1];
    launch->in[3] = row_operand(l, norm->inputs[1]);
    launch->in[5] = ints_operand(l, norm->params.modulate.row_groups, launch->in[0].rows);
    const int32_t id = norm->outputs[0].id; /* never in the place of the sum, which is written too */
    launch->out[1] = l->home[id] =
        ink_cuda_fresh_matrix(l, l->a.values[id].dtype, launch->in[0].rows, launch->in[0].columns);
    assert(launch->out[0].where == launch->in[0].where && launch->out[0].index == launch->in[0].index);
}

/* ---- launches of one operation ---- */

static void lower_conv(ink_cuda_lowering *l, const ink_node *node, ink_cuda_launch *launch) {
    launch->in[0] = operand_of(l, node->inputs[0]);
    const ink_shape *w = &info_of(l, node->inputs[1])->shape;
    if (is_constant(l, node->inputs[1])) {
        ink_cuda_wanted wanted = {.n_parts = 1,
                                  .parts = {ink_cuda_source_of(info_of(l, node->inputs[1]))},
                                  .dtype = l->rules->activation,
                                  .kernel = {w->dim[0], w->dim[1], w->rank == 5 ? w->dim[2] : 1,
                                             w->dim[w->rank - 2], w->dim[w->rank - 1]}};
        launch->in[1] = ink_cuda_operand_of(INK_CUDA_IN_WEIGHT, add_wanted(l, &wanted), wanted.dtype, 1,
                                            ink_shape_count(w));
    } else if (!l->unsupported) {
        l->unsupported = node;
    }
    launch->in[2] = operand_in(l, node->inputs[2], INK_F32, node);
}

/* Inputs as the operation's roles say. */
static void lower_inputs(ink_cuda_lowering *l, const ink_node *node, ink_cuda_launch *launch) {
    for (int i = 0; i < node->n_inputs; i++) {
        launch->in[i] = ink_cuda_role_of(node->op, i) == INK_CUDA_ROLE_ROW ? row_operand(l, node->inputs[i])
                                                                           : operand_of(l, node->inputs[i]);
    }
}

static void lower_node(ink_cuda_lowering *l, int32_t n, ink_cuda_launch *launch) {
    const ink_node *node = launch->nodes[0];
    if (node->op == INK_OP_CONV2D)
        lower_conv(l, node, launch);
    else
        lower_inputs(l, node, launch);
    if (node->op == INK_OP_LAYER_NORM_MODULATE)
        launch->in[4] = ints_operand(l, node->params.modulate.row_groups, launch->in[0].rows);
    if (node->op == INK_OP_GATHER_ROWS)
        launch->in[1] = ints_operand(l, node->params.gather.rows, node->params.gather.count);
    if (node->op == INK_OP_STORE) {
        launch->out[0] = slot_part(l, node, launch->in[1].rows, launch->in[1].columns);
        launch->in[0] = (ink_cuda_operand){0};
    }
    for (int o = 0; o < node->n_outputs; o++) {
        launch->out[o] = output(l, n, o);
    }
    if (node->op == INK_OP_STATS) {
        const size_t bytes = ink_cuda_stats_scratch(launch->in[0].rows * launch->in[0].columns);
        launch->out[1] = ink_cuda_fresh_matrix(l, INK_U8, 1, (int64_t)bytes);
    }
}

static void lower_launch(ink_cuda_lowering *l, int32_t n) {
    ink_cuda_launch launch = {.op = ink_graph_node(l->graph, n)->op};
    for (int32_t m = n; m >= 0; m = l->a.follower[m]) {
        launch.nodes[launch.n_nodes++] = ink_graph_node(l->graph, m);
    }
    switch (launch.op) {
    case INK_OP_LINEAR:
        lower_linears(l, n, &launch);
        break;
    case INK_OP_HEAD_NORM_ROTARY:
        lower_rotaries(l, n, &launch);
        break;
    case INK_OP_GATED_ADD:
        lower_gated_add(l, n, &launch);
        break;
    case INK_OP_ATTENTION:
        if (ink_cuda_lower_joint(l, n, &launch)) return;
        lower_node(l, n, &launch);
        break;
    default:
        lower_node(l, n, &launch);
        break;
    }
    ink_cuda_add_launch(l, &launch);
    if (launch.op == INK_OP_LINEAR) round_result(l, &launch);
}

/* Columns of another value: the same memory. */
static void lower_view(ink_cuda_lowering *l, const ink_node *node) {
    if (node->op != INK_OP_SLICE_COLUMNS) return;
    ink_cuda_operand *home = &l->home[node->outputs[0].id];
    *home = operand_of(l, node->inputs[0]);
    home->offset += node->params.slice.begin;
    home->columns = node->params.slice.end - node->params.slice.begin;
}

/* ---- the arena ---- */

/* By some of the launches [first, last]. */
static void note_use(ink_cuda_lowering *l, const ink_cuda_operand *operand, int32_t first, int32_t last) {
    if (operand->where != INK_CUDA_IN_ARENA) return;
    ink_plan_storage *storage = &l->out->storages[operand->index];
    if (storage->first < 0 || first < storage->first) storage->first = first;
    if (last > storage->last) storage->last = last;
}

/* Of everything that a launch reads and writes. */
static void note_uses(ink_cuda_lowering *l, const ink_cuda_launch *launch, int32_t first, int32_t last) {
    for (int k = 0; k < ink_cuda_max_in; k++) {
        note_use(l, &launch->in[k], first, last);
    }
    for (int k = 0; k < ink_cuda_max_out; k++) {
        note_use(l, &launch->out[k], first, last);
    }
}

/* What runs beside others begins after the attention before it and is waited for by the one after it: its
 * memory is its own from the one to the other. */
static void note_beside(ink_cuda_lowering *l) {
    const ink_cuda_lowered *out = l->out;
    for (int32_t first = 0, end = 0; first < out->n_launches; first = end) {
        end = ink_cuda_next_attention(out, first);
        for (int32_t i = first; i < end; i++) {
            if (out->launches[i].beside) note_uses(l, &out->launches[i], first, end);
        }
    }
}

static ink_status place(ink_cuda_lowering *l, ink_error *error) {
    ink_cuda_lowered *out = l->out;
    if (!l->rules->separate) ink_cuda_unite(out);
    int32_t first = 0, last = -1; /* what is computed in one go needs all of its memory at the same time */
    for (int32_t i = 0; i < out->n_launches; i++) {
        if (i > last) first = i, last = i + out->launches[i].more;
        if (i == last && out->launches[i].paired) last = i + 1;
        note_uses(l, &out->launches[i], first, last);
    }
    note_beside(l);
    return ink_plan_place(out->storages, out->n_storages, &out->arena_bytes, error);
}

ink_status ink_cuda_lower(const ink_graph *graph, const ink_cuda_rules *rules, ink_cuda_lowered *lowered,
                          ink_error *error) {
    *lowered = (ink_cuda_lowered){0};
    ink_cuda_lowering l = {.graph = graph, .rules = rules, .out = lowered};
    INK_TRY(ink_cuda_analyse(graph, rules, &l.a, error));
    l.home = calloc((size_t)l.a.n_values + 1, sizeof *l.home);
    if (!l.home) l.out_of_memory = true;
    ink_cuda_find_joints(&l);
    for (int32_t n = 0; n < l.a.n_nodes && !l.out_of_memory; n++) {
        if (l.a.leader[n] == n)
            lower_launch(&l, n);
        else if (l.a.leader[n] < 0)
            lower_view(&l, ink_graph_node(graph, n));
    }
    ink_status status = INK_OK;
    if (l.out_of_memory)
        status = ink_fail_memory(error, "compiling a program", (size_t)l.a.n_nodes * sizeof(ink_cuda_launch));
    if (status == INK_OK && l.unsupported)
        status = ink_fail(error, INK_ERROR_UNSUPPORTED,
                          "backend 'cuda' needs the weights of %s to be constant; use --backend cpu",
                          ink_op_name(l.unsupported->op));
    if (status == INK_OK) status = place(&l, error);
    free(l.home);
    free(l.joints);
    ink_cuda_analysis_free(&l.a);
    if (status != INK_OK) ink_cuda_lowered_free(lowered);
    return status;
}

void ink_cuda_lowered_free(ink_cuda_lowered *lowered) {
    free(lowered->launches);
    free(lowered->storages);
    free(lowered->wanted);
    *lowered = (ink_cuda_lowered){0};
}
