/*
 * What a program does once, before it runs: weights to the device, and a choice of how to compute products,
 * attention and convolutions.
 */
#include "backend/cuda/beside.h"
#include "backend/cuda/joint.h"
#include "backend/cuda/linear_thin_plan.h"
#include "backend/cuda/program.h"
#include "backend/cuda/settle.h"
#include "backend/cuda/united.h"

#include <stdint.h>
#include <stdlib.h>

static ink_status choose_linear(ink_cuda_program *p, int32_t i, ink_error *error) {
    const ink_cuda_linear_problem problem = ink_cuda_linear_problem_of(p, &p->lowered.launches[i]),
                                  rest = ink_cuda_rest_of(p, i);
    ink_cuda_linears *linears = p->context->linears;
    ink_cuda_choice *choice = &p->choices[i];
    INK_TRY(ink_cuda_linear_find(linears, &problem, p->context->stream, &choice->linear, error));
    if (choice->beside == 0 || rest.out.columns == 0) return INK_OK;
    return ink_cuda_linear_find(linears, &rest, p->context->stream, &choice->rest, error);
}

static ink_status choose_attention(ink_cuda_program *p, int32_t i, const ink_cuda_attention_plan *like,
                                   ink_error *error) {
    const ink_cuda_launch *l = &p->lowered.launches[i];
    const ink_node *node = l->nodes[0];
    ink_cuda_attention_problem problem = {.streams = node->params.attention.streams,
                                          .heads = node->params.attention.heads,
                                          .kv_heads = node->params.attention.kv_heads,
                                          .head_dim = node->params.attention.head_dim,
                                          .causal = node->params.attention.causal,
                                          .scale = node->params.attention.scale,
                                          .n_segments = node->params.attention.n_segments,
                                          .segments = node->params.attention.segments};
    ink_segment joint[ink_cuda_joint_segments] = {{{0}, {0}}};
    if (problem.streams == 2 && l->in[3].where == INK_CUDA_NOWHERE) {
        int64_t row = 0;
        for (int64_t k = 0; k < problem.n_segments; k++) {
            joint[k].begin[0] = row;
            joint[k].length[0] = problem.segments[k].length[0] + problem.segments[k].length[1];
            row += joint[k].length[0];
        }
        problem.streams = 1;
        problem.segments = joint;
    }
    for (int s = 0; s < problem.streams; s++) {
        problem.q[s] = ink_cuda_matrix_of(p, &l->in[3 * s]);
        problem.k[s] = ink_cuda_matrix_of(p, &l->in[3 * s + 1]);
        problem.v[s] = ink_cuda_matrix_of(p, &l->in[3 * s + 2]);
        problem.out[s] = ink_cuda_matrix_of(p, &l->out[s]);
    }
    return ink_cuda_attention_plan_create_like(&problem, like, p->context->stream, &p->choices[i].attention,
                                               error);
}

static ink_status choose_conv(ink_cuda_program *p, int32_t i, const ink_cuda_conv_plan *like,
                              ink_error *error) {
    const ink_cuda_launch *l = &p->lowered.launches[i];
    const ink_node *node = l->nodes[0];
    const ink_shape in = ink_value_shape(p->graph, node->inputs[0]),
                    out = ink_value_shape(p->graph, node->outputs[0]),
                    weight = ink_value_shape(p->graph, node->inputs[1]);
    const ink_cuda_conv_problem problem = {.x = ink_cuda_matrix_of(p, &l->in[0]),
                                           .out = ink_cuda_matrix_of(p, &l->out[0]),
                                           .height = in.dim[0],
                                           .width = in.dim[1],
                                           .out_height = out.dim[0],
                                           .out_width = out.dim[1],
                                           .kernel_y = weight.dim[weight.rank - 2],
                                           .kernel_x = weight.dim[weight.rank - 1],
                                           .weight = ink_cuda_address(p, &l->in[1]),
                                           .weight_dtype = l->in[1].dtype,
                                           .bias = ink_cuda_address(p, &l->in[2]),
                                           .stride = node->params.conv.stride,
                                           .upsample = node->params.conv.upsample,
                                           .pad_top = node->params.conv.pad_top,
                                           .pad_left = node->params.conv.pad_left,
                                           .pad_bottom = node->params.conv.pad_bottom,
                                           .pad_right = node->params.conv.pad_right};
    return ink_cuda_conv_plan_create_like(&problem, like, p->context->stream, &p->choices[i].conv, error);
}

/* Choices are made in the order of the launches, before any runs: trying candidates overwrites results. */
static ink_status choose_all(ink_cuda_program *p, ink_error *error) {
    const ink_cuda_attention_plan *attention = NULL;
    const ink_cuda_conv_plan *conv = NULL;
    for (int32_t i = 0; i < p->lowered.n_launches; i++) {
        switch (p->lowered.launches[i].op) {
        case INK_OP_LINEAR:
            INK_TRY(choose_linear(p, i, error));
            break;
        case INK_OP_ATTENTION:
            INK_TRY(choose_attention(p, i, attention, error));
            attention = p->choices[i].attention;
            break;
        case INK_OP_CONV2D:
            INK_TRY(choose_conv(p, i, conv, error));
            conv = p->choices[i].conv;
            break;
        default:
            break;
        }
    }
    return INK_OK;
}

/* What plans say that they need; those that are alike share it. */
static size_t choices_bytes(const ink_cuda_program *p) {
    size_t bytes = 0;
    for (int32_t i = 0; i < p->lowered.n_launches; i++) {
        if (p->choices[i].conv) bytes += ink_cuda_conv_bytes(p->choices[i].conv);
        if (p->choices[i].attention) bytes += ink_cuda_attention_bytes(p->choices[i].attention);
    }
    return bytes;
}

/* Of products that are divided. Where that was asked for, each is, whether it pays or not. */
static void choose_columns(ink_cuda_program *p) {
    const ink_cuda_context *c = p->context;
    const int64_t round = (int64_t)ink_beside_width * p->beside;
    for (int32_t i = 0; i < p->lowered.n_launches; i++) {
        const ink_cuda_launch *l = &p->lowered.launches[i];
        if (!l->beside || l->op != INK_OP_LINEAR) continue;
        int64_t columns = ink_cuda_beside_columns(&p->lowered, i, p->beside, c->processors);
        if (c->divided && columns == 0) columns = round < l->out[0].columns ? round : l->out[0].columns;
        p->choices[i].beside = columns;
    }
}

/* Whether some launches run beside others; all their products have a kernel for it, or none does. */
static ink_status choose_beside(ink_cuda_program *p, ink_error *error) {
    const ink_cuda_context *c = p->context;
    ink_cuda_beside beside = {0};
    if (!p->stream && c->beside > 0) beside = (ink_cuda_beside){c->beside, c->divided};
    if (!p->stream && c->beside == 0)
        beside = ink_cuda_beside_find(&p->lowered, c->major, c->minor, c->processors);
    for (int32_t i = 0; beside.processors > 0 && i < p->lowered.n_launches; i++) {
        const ink_cuda_launch *l = &p->lowered.launches[i];
        if (!l->beside || l->op != INK_OP_LINEAR) continue;
        const ink_cuda_linear_problem problem = ink_cuda_linear_problem_of(p, l);
        const ink_status status = ink_beside_linear_prepare(&problem, error);
        if (status == INK_ERROR_UNSUPPORTED)
            beside = (ink_cuda_beside){0};
        else
            INK_TRY(status);
    }
    p->beside = beside.processors;
    p->divided = beside.divided;
    if (p->divided) choose_columns(p);
    return INK_OK;
}

static ink_status choose(ink_cuda_program *p, ink_error *error) {
    INK_TRY(choose_beside(p, error));
    INK_TRY(choose_all(p, error));
    /* Launches take turns with what comes for them, or run in two lanes. */
    if (p->stream || p->beside) return INK_OK;
    for (int32_t i = 0; i < p->lowered.n_launches; i++) {
        INK_TRY(ink_cuda_choose_united(p, i, error));
    }
    return INK_OK;
}

ink_status ink_cuda_link(ink_cuda_program *p, ink_error *error) {
    if (!p->settled) INK_TRY(ink_cuda_settle(p, error));
    const size_t before = ink_cuda_memory_free();
    ink_status status = choose(p, error);
    if (status == INK_ERROR_MEMORY) { /* workspaces were not planned for */
        ink_cuda_unlink(p);
        (void)ink_cuda_make_room(p->context, SIZE_MAX, p);
        status = choose(p, error);
    }
    if (status != INK_OK) {
        ink_cuda_unlink(p);
        ink_cuda_unsettle(p);
        return status;
    }
    const size_t after = ink_cuda_memory_free(), said = choices_bytes(p);
    p->noted = after >= before ? 0 : before - after < said ? before - after : said;
    ink_cuda_memory_note(&p->context->memory, p->noted, 0);
    p->linked = true;
    return INK_OK;
}

void ink_cuda_unlink(ink_cuda_program *p) {
    (void)cudaStreamSynchronize(p->context->stream);
    if (p->replay) (void)cudaGraphExecDestroy(p->replay);
    p->replay = NULL;
    for (int32_t i = 0; p->choices && i < p->lowered.n_launches; i++) {
        ink_cuda_attention_plan_destroy(p->choices[i].attention);
        ink_cuda_conv_plan_destroy(p->choices[i].conv);
        p->choices[i] = (ink_cuda_choice){0};
    }
    ink_cuda_memory_note(&p->context->memory, 0, p->noted);
    p->noted = 0;
    p->linked = false;
}
