/*
 * A launch: its operands as addresses, and the kernel that computes it.
 */
#include "backend/cuda/fp8.h"
#include "backend/cuda/linear_thin_plan.h"
#include "backend/cuda/program.h"
#include "backend/cuda/stream.h"

void *ink_cuda_address(const ink_cuda_program *program, const ink_cuda_operand *operand) {
    char *base = NULL;
    switch (operand->where) {
    case INK_CUDA_NOWHERE:
        return NULL;
    case INK_CUDA_IN_ARENA:
        base = program->arena + program->lowered.storages[operand->index].offset;
        break;
    case INK_CUDA_IN_SLOT:
        base = program->bound[operand->index]->memory;
        break;
    case INK_CUDA_IN_WEIGHT:
        base = program->stream && program->stream->places[operand->index] != SIZE_MAX
                   ? program->stream->ring + program->stream->places[operand->index]
                   : ink_cuda_weight_memory(program->weights[operand->index]);
        break;
    }
    return base + operand->offset * (int64_t)ink_dtype_bytes(operand->dtype);
}

ink_cuda_matrix ink_cuda_matrix_of(const ink_cuda_program *program, const ink_cuda_operand *operand) {
    return (ink_cuda_matrix){.data = ink_cuda_address(program, operand),
                             .dtype = operand->dtype,
                             .rows = operand->rows,
                             .columns = operand->columns,
                             .stride = operand->stride};
}

ink_cuda_linear_problem ink_cuda_linear_problem_of(const ink_cuda_program *program,
                                                   const ink_cuda_launch *launch) {
    return (ink_cuda_linear_problem){.x = ink_cuda_matrix_of(program, &launch->in[0]),
                                     .weight = ink_cuda_address(program, &launch->in[1]),
                                     .bias = ink_cuda_address(program, &launch->in[2]),
                                     .activation = launch->activation,
                                     .out = ink_cuda_matrix_of(program, &launch->out[0]),
                                     .early = !program->stream && !program->beside,
                                     .beside = launch->beside && !program->divided ? 0 : program->beside,
                                     .place = (int32_t)(launch - program->lowered.launches) + 1};
}

/* Some columns of the result alone; of e4m3, whose scales lie behind the matrices, only all of them. */
static ink_cuda_linear_problem columns_of(const ink_cuda_linear_problem *all, int64_t first, int64_t count) {
    ink_cuda_linear_problem p = *all;
    const int64_t x_bytes = (int64_t)ink_dtype_bytes(p.x.dtype),
                  out_bytes = (int64_t)ink_dtype_bytes(p.out.dtype);
    p.weight = (const char *)p.weight + first * p.x.columns * x_bytes;
    if (p.bias) p.bias = (const char *)p.bias + first * out_bytes;
    p.out.data = (char *)p.out.data + first * out_bytes;
    p.out.columns = count;
    return p;
}

ink_cuda_linear_problem ink_cuda_rest_of(const ink_cuda_program *program, int32_t i) {
    const ink_cuda_linear_problem all = ink_cuda_linear_problem_of(program, &program->lowered.launches[i]);
    const int64_t beside = program->choices[i].beside;
    return columns_of(&all, beside, all.out.columns - beside);
}

static ink_cuda_row row_of(const ink_cuda_program *program, const ink_cuda_operand *operand) {
    return (ink_cuda_row){.data = ink_cuda_address(program, operand),
                          .step = operand->per_step ? program->step : NULL,
                          .per_step = operand->per_step};
}

static ink_cuda_modulation modulation_of(const ink_cuda_program *program, const ink_cuda_operand *table,
                                         const ink_cuda_operand *groups) {
    return (ink_cuda_modulation){.table = row_of(program, table),
                                 .stride = table->stride,
                                 .row_groups = ink_cuda_address(program, groups)};
}

/* ---- kernels by kind; each gets the matrices of in[0] and out[0] ---- */

typedef struct call {
    const ink_cuda_program *program;
    const ink_cuda_launch *launch;
    int count; /* launches: 2 of a pair */
    const ink_node *node;
    cudaStream_t stream;
    ink_cuda_matrix x, out;
} call;

static void *in_at(const call *c, int i) {
    return ink_cuda_address(c->program, &c->launch->in[i]);
}

static ink_cuda_matrix in_matrix(const call *c, int i) {
    return ink_cuda_matrix_of(c->program, &c->launch->in[i]);
}

static ink_cuda_rotation rotation_of(const ink_cuda_program *p, const ink_cuda_launch *l) {
    const ink_node *node = l->nodes[0];
    return (ink_cuda_rotation){.count = l->n_nodes,
                               .x = {ink_cuda_matrix_of(p, &l->in[0]), ink_cuda_matrix_of(p, &l->in[3])},
                               .out = {ink_cuda_matrix_of(p, &l->out[0]), ink_cuda_matrix_of(p, &l->out[1])},
                               .weight = {ink_cuda_address(p, &l->in[1]), ink_cuda_address(p, &l->in[4])},
                               .weight_dtype = l->in[1].dtype,
                               .head_dim = node->params.rotary.head_dim,
                               .eps = node->params.rotary.eps,
                               .table = ink_cuda_address(p, &l->in[2]),
                               .style = node->params.rotary.style};
}

/* Of a norm alone, or of what is added first and the norm of the sum. */
static ink_cuda_layer_norm layer_norm_of(const ink_cuda_program *p, const ink_cuda_launch *l) {
    const bool adds = l->op == INK_OP_GATED_ADD;
    const ink_node *norm = l->nodes[adds ? 1 : 0];
    ink_cuda_layer_norm n = {.x = ink_cuda_matrix_of(p, &l->in[0]),
                             .mod = modulation_of(p, &l->in[adds ? 3 : 1], &l->in[adds ? 5 : 4]),
                             .shift_column = norm->params.modulate.shift_column,
                             .scale_column = norm->params.modulate.scale_column,
                             .eps = norm->params.modulate.eps,
                             .adds = adds,
                             .out = ink_cuda_matrix_of(p, &l->out[adds ? 1 : 0])};
    if (!adds) return n;
    n.add = ink_cuda_matrix_of(p, &l->in[2]);
    n.gate = modulation_of(p, &l->in[1], &l->in[4]);
    n.gate_column = l->nodes[0]->params.gated_add.gate_column;
    return n;
}

/* The launch, or both of a pair. */
static cudaError_t normalise_layers(const call *c) {
    ink_cuda_layer_norm norms[2];
    for (int i = 0; i < c->count; i++) {
        norms[i] = layer_norm_of(c->program, c->launch + i);
    }
    return ink_cuda_layer_norms(c->stream, c->count, norms);
}

static cudaError_t rotate_heads(const call *c) {
    ink_cuda_rotation rotations[2];
    for (int i = 0; i < c->count; i++) {
        rotations[i] = rotation_of(c->program, c->launch + i);
    }
    return ink_cuda_head_norm_rotaries(c->stream, c->count, rotations);
}

static cudaError_t add_gated(const call *c) {
    const ink_cuda_launch *l = c->launch;
    if (l->n_nodes > 1) return normalise_layers(c);
    const ink_cuda_modulation gate = modulation_of(c->program, &l->in[1], &l->in[4]);
    const ink_cuda_matrix y = in_matrix(c, 2);
    return ink_cuda_gated_add(c->stream, &c->x, &gate, c->node->params.gated_add.gate_column, &y, &c->out);
}

static cudaError_t normalise(const call *c) {
    const ink_cuda_launch *l = c->launch;
    const ink_dtype weight = l->in[1].dtype;
    if (l->op == INK_OP_RMS_NORM) {
        return ink_cuda_rms_norm(c->stream, &c->x, in_at(c, 1), weight, c->node->params.norm.eps, &c->out);
    }
    if (l->op == INK_OP_CHANNEL_NORM) {
        return ink_cuda_channel_norm(c->stream, &c->x, in_at(c, 1), weight, c->node->params.norm.eps,
                                     c->node->params.norm.activation, &c->out);
    }
    return normalise_layers(c);
}

static cudaError_t compute_elements(const call *c) {
    const ink_cuda_matrix y = in_matrix(c, 1);
    switch (c->launch->op) {
    case INK_OP_ADD:
        return ink_cuda_add(c->stream, &c->x, &y, &c->out);
    case INK_OP_SILU:
        return ink_cuda_silu(c->stream, &c->x, &c->out);
    case INK_OP_SILU_MUL:
        return ink_cuda_silu_mul(c->stream, &c->x, &y, &c->out);
    case INK_OP_CHANNEL_AFFINE:
        return ink_cuda_channel_affine(c->stream, &c->x, in_at(c, 1), in_at(c, 2), &c->out);
    case INK_OP_AFFINE_CLAMP:
        return ink_cuda_affine_clamp(c->stream, &c->x, c->node->params.affine.scale,
                                     c->node->params.affine.offset, c->node->params.affine.low,
                                     c->node->params.affine.high, &c->out);
    default:
        return ink_cuda_to_u8(c->stream, &c->x, &c->out);
    }
}

static cudaError_t move_elements(const call *c) {
    ink_cuda_matrix x = c->x;
    const ink_cuda_matrix y = in_matrix(c, 1);
    const int64_t elements = c->out.rows * c->out.columns;
    switch (c->launch->op) {
    case INK_OP_EMBED_ROWS:
        return ink_cuda_embed_rows(c->stream, &x, in_at(c, 1), &c->out);
    case INK_OP_GATHER_ROWS:
        return ink_cuda_gather_rows(c->stream, &x, in_at(c, 1), &c->out);
    case INK_OP_SLICE_COLUMNS:
        x.data = (char *)x.data + c->node->params.slice.begin * (int64_t)ink_dtype_bytes(x.dtype);
        x.columns = c->out.columns;
        return ink_cuda_copy(c->stream, &x, &c->out);
    case INK_OP_STEP_ROW: {
        const ink_cuda_row row = {.data = x.data, .step = c->program->step, .per_step = elements};
        return ink_cuda_load_step(c->stream, &row, &c->out);
    }
    case INK_OP_STORE:
        return ink_cuda_copy(c->stream, &y, &c->out);
    case INK_OP_STORE_STEP:
        return ink_cuda_store_step(c->stream, &y, c->program->step, &x);
    case INK_OP_PACK_PATCHES:
        return ink_cuda_pack_patches(c->stream, &x,
                                     c->node->params.patches.grid_height * c->node->params.patches.patch,
                                     c->node->params.patches.grid_width * c->node->params.patches.patch,
                                     c->node->params.patches.patch, &c->out);
    case INK_OP_UNPACK_PATCHES:
        return ink_cuda_unpack_patches(c->stream, &x, c->node->params.patches.grid_height,
                                       c->node->params.patches.grid_width, c->node->params.patches.patch,
                                       &c->out);
    default:
        return ink_cuda_copy(c->stream, &x, &c->out);
    }
}

static cudaError_t make_tables(const call *c) {
    if (c->launch->op == INK_OP_ROTARY_TABLE) {
        return ink_cuda_rotary_table(c->stream, c->x.data, c->x.rows, c->node->params.rotary_table.axes,
                                     c->node->params.rotary_table.axis_dim,
                                     c->node->params.rotary_table.theta, c->out.data);
    }
    return ink_cuda_timestep_embedding(c->stream, c->x.data, c->out.rows, c->node->params.timestep.dim,
                                       c->node->params.timestep.scale, c->node->params.timestep.max_period,
                                       &c->out);
}

static cudaError_t advance(const call *c) {
    if (c->launch->op == INK_OP_STATS) {
        return ink_cuda_stats(c->stream, &c->x, ink_cuda_address(c->program, &c->launch->out[1]),
                              c->out.data);
    }
    if (c->launch->op == INK_OP_GUIDANCE) {
        const ink_cuda_row scale = row_of(c->program, &c->launch->in[1]);
        return ink_cuda_guidance(c->stream, &c->x, &scale, c->node->params.guidance.rescale, &c->out);
    }
    const ink_cuda_matrix v = in_matrix(c, 1);
    const ink_cuda_row dt = row_of(c->program, &c->launch->in[2]);
    return ink_cuda_euler_step(c->stream, &c->x, &v, &dt, &c->out);
}

/* One matrix, or two. */
static cudaError_t convert(const call *c) {
    const cudaError_t code = ink_cuda_copy(c->stream, &c->x, &c->out);
    if (code != cudaSuccess || c->launch->out[1].where == INK_CUDA_NOWHERE) return code;
    const ink_cuda_matrix x = in_matrix(c, 1), out = ink_cuda_matrix_of(c->program, &c->launch->out[1]);
    return ink_cuda_copy(c->stream, &x, &out);
}

static cudaError_t start_kernel(const call *c) {
    if (c->launch->op == INK_CUDA_CONVERT) return convert(c);
    if (c->launch->op == INK_CUDA_QUANTISE)
        return ink_cuda_quantise_rows(c->stream, &c->x, c->launch->activation, &c->out);
    switch (c->launch->op) {
    case INK_OP_HEAD_NORM_ROTARY:
        return rotate_heads(c);
    case INK_OP_GATED_ADD:
        return add_gated(c);
    case INK_OP_RMS_NORM:
    case INK_OP_CHANNEL_NORM:
    case INK_OP_LAYER_NORM_MODULATE:
        return normalise(c);
    case INK_OP_ADD:
    case INK_OP_SILU:
    case INK_OP_SILU_MUL:
    case INK_OP_CHANNEL_AFFINE:
    case INK_OP_AFFINE_CLAMP:
    case INK_OP_TO_U8:
        return compute_elements(c);
    case INK_OP_ROTARY_TABLE:
    case INK_OP_TIMESTEP_EMBEDDING:
        return make_tables(c);
    case INK_OP_GUIDANCE:
    case INK_OP_EULER_STEP:
    case INK_OP_STATS:
        return advance(c);
    default:
        return move_elements(c);
    }
}

int32_t ink_cuda_count_at(const ink_cuda_program *program, int32_t i) {
    /* Launches take turns with what comes for them, or those of a pair are in two lanes. */
    if (program->stream || (program->beside && !program->divided)) return 1;
    if (program->choices[i].united) return 1 + program->lowered.launches[i].more;
    return program->lowered.launches[i].paired ? 2 : 1;
}

ink_status ink_cuda_execute(const ink_cuda_program *program, int32_t i, cudaStream_t stream,
                            ink_error *error) {
    const ink_cuda_launch *launch = &program->lowered.launches[i];
    const ink_cuda_choice *choice = &program->choices[i];
    if (launch->op == INK_OP_LINEAR) {
        const ink_cuda_linear_problem problem = ink_cuda_linear_problem_of(program, launch);
        return ink_cuda_linear_run(program->context->linears, choice->linear, &problem, stream, error);
    }
    if (choice->attention) return ink_cuda_attention_run(choice->attention, stream, error);
    if (choice->conv) return ink_cuda_conv_run(choice->conv, stream, error);
    const call c = {.program = program,
                    .launch = launch,
                    .count = ink_cuda_count_at(program, i),
                    .node = launch->nodes[0],
                    .stream = stream,
                    .x = ink_cuda_matrix_of(program, &launch->in[0]),
                    .out = ink_cuda_matrix_of(program, &launch->out[0])};
    const char *what = launch->op >= INK_OP_COUNT ? "a conversion" : ink_op_name(launch->op);
    return ink_cuda_check(start_kernel(&c), what, error);
}

ink_status ink_cuda_execute_beside(const ink_cuda_program *program, int32_t i, cudaStream_t stream,
                                   ink_error *error) {
    const ink_cuda_launch *launch = &program->lowered.launches[i];
    if (launch->op != INK_OP_LINEAR) return ink_cuda_execute(program, i, stream, error);
    ink_cuda_linear_problem problem = ink_cuda_linear_problem_of(program, launch);
    if (program->divided) problem = columns_of(&problem, 0, program->choices[i].beside);
    return ink_beside_linear_run(&problem, program->beside, stream, error);
}

ink_status ink_cuda_execute_rest(const ink_cuda_program *program, int32_t i, bool early, cudaStream_t stream,
                                 ink_error *error) {
    const ink_cuda_choice *choice = &program->choices[i];
    if (program->lowered.launches[i].op != INK_OP_LINEAR) return ink_cuda_execute(program, i, stream, error);
    ink_cuda_linear_problem problem = ink_cuda_rest_of(program, i);
    if (problem.out.columns == 0) return INK_OK;
    problem.early = early;
    return ink_cuda_linear_run(program->context->linears, choice->beside > 0 ? choice->rest : choice->linear,
                               &problem, stream, error);
}
