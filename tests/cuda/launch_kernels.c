#include "cuda/launch_kernels.h"

#include "cuda/device_matrix.h"

#include <stdlib.h>

static ink_error *failure;

/* One run of one kernel. Tensors that are one in host memory are one on the device. */
typedef struct call {
    const ink_kernel_args *args;
    uint64_t random;
    device_matrix memory[INK_MAX_INPUTS + 2];
    const void *host[INK_MAX_INPUTS + 2]; /* where memory[i] came from; NULL: it is an output of its own */
    bool written[INK_MAX_INPUTS + 2];
    int n;
    device_matrix step, extra; /* the step's number; row groups, rows to gather */
    bool good;
} call;

static void fail_call(call *c, const char *why) {
    if (c->good) ink_fail(failure, INK_ERROR_INTERNAL, "%s", why);
    c->good = false;
}

/* Matrices may lie anywhere; what launchers take as plain pointers has no gaps, but any alignment. */
static device_layout draw_layout(call *c, bool matrix) {
    const uint64_t draw = device_random(&c->random) % 4;
    if (!matrix) return DEVICE_PACKED;
    return draw == 0 ? DEVICE_ALIGNED : draw == 1 ? DEVICE_ODD : DEVICE_PACKED;
}

static ink_cuda_matrix open_memory(call *c, const ink_tensor *t, const void *values, const void *host,
                                   bool matrix) {
    device_matrix *m = &c->memory[c->n];
    const device_layout layout = draw_layout(c, matrix);
    c->host[c->n++] = host;
    if (!device_open(m, t->dtype, ink_shape_rows(&t->shape), ink_shape_columns(&t->shape), values, layout,
                     device_random(&c->random))) {
        fail_call(c, "device memory ran out");
    }
    return m->matrix;
}

static ink_cuda_matrix input_as(call *c, int i, bool matrix) {
    const ink_tensor *t = &c->args->in[i];
    if (!t->data) return (ink_cuda_matrix){0};
    for (int k = 0; k < c->n; k++) {
        if (c->host[k] == t->data) return c->memory[k].matrix;
    }
    return open_memory(c, t, t->data, t->data, matrix);
}

static ink_cuda_matrix input(call *c, int i) {
    return input_as(c, i, true);
}

/* Rows adjacent. */
static void *flat(call *c, int i) {
    return input_as(c, i, false).data;
}

static ink_cuda_matrix output_as(call *c, bool matrix) {
    const ink_tensor *t = &c->args->out[0];
    for (int k = 0; k < c->n; k++) {
        if (c->host[k] != t->data) continue;
        c->written[k] = true;
        return c->memory[k].matrix;
    }
    c->written[c->n] = true;
    return open_memory(c, t, NULL, NULL, matrix);
}

static ink_cuda_matrix output(call *c) {
    return output_as(c, true);
}

static const int64_t *step(call *c) {
    if (!device_open(&c->step, INK_I64, 1, 1, &c->args->step, DEVICE_PACKED, 0))
        fail_call(c, "device memory ran out");
    return c->step.matrix.data;
}

static const int32_t *ints(call *c, const int32_t *values, int64_t n) {
    if (!values) return NULL;
    if (!device_open(&c->extra, INK_I32, 1, n, values, DEVICE_PACKED, 0))
        fail_call(c, "device memory ran out");
    return c->extra.matrix.data;
}

static call begin(const ink_kernel_args *args) {
    call c = {.args = args, .good = true};
    c.random = (uint64_t)ink_pool_threads(args->pool) + 1;
    const unsigned char *data = args->in[0].data;
    for (size_t i = 0; i < ink_dtype_bytes(args->in[0].dtype); i++) {
        c.random = c.random * 257 + data[i]; /* so that a trial can be repeated */
    }
    return c;
}

/* Copies the written matrix to where the harness looks for it, which for a store operation is the slot. */
static void end(call *c, cudaError_t code) {
    const ink_kernel_args *args = c->args;
    const ink_tensor *result = args->node->n_outputs ? &args->out[0] : &args->in[0];
    if (code != cudaSuccess) fail_call(c, cudaGetErrorString(code));
    for (int k = 0; k < c->n; k++) {
        if (!device_read(&c->memory[k], c->written[k] ? result->data : NULL)) {
            fail_call(c, c->written[k] ? "the kernel failed or wrote outside of its output"
                                       : "the kernel failed or changed an input");
        }
        device_close(&c->memory[k]);
    }
    device_close(&c->step);
    device_close(&c->extra);
    if (!c->good) {
        memset(result->data, 0x77, (size_t)ink_shape_count(&result->shape) * ink_dtype_bytes(result->dtype));
    }
}

/* ---- norms ---- */

static void rms_norm(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), out = output(&c);
    end(&c, ink_cuda_rms_norm(NULL, &x, flat(&c, 1), args->in[1].dtype, args->node->params.norm.eps, &out));
}

static void channel_norm(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), out = output(&c);
    end(&c, ink_cuda_channel_norm(NULL, &x, flat(&c, 1), args->in[1].dtype, args->node->params.norm.eps,
                                  args->node->params.norm.activation, &out));
}

static ink_cuda_modulation modulation(call *c, const int32_t *row_groups) {
    return (ink_cuda_modulation){.table = {.data = flat(c, 1)},
                                 .stride = ink_shape_columns(&c->args->in[1].shape),
                                 .row_groups = ints(c, row_groups, ink_shape_rows(&c->args->in[0].shape))};
}

static void layer_norm_modulate(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), out = output(&c);
    const ink_cuda_modulation mod = modulation(&c, args->node->params.modulate.row_groups);
    const ink_cuda_layer_norm norm = {.x = x,
                                      .mod = mod,
                                      .shift_column = args->node->params.modulate.shift_column,
                                      .scale_column = args->node->params.modulate.scale_column,
                                      .eps = args->node->params.modulate.eps,
                                      .out = out};
    end(&c, ink_cuda_layer_norms(NULL, 1, &norm));
}

static void head_norm_rotary(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), out = output(&c);
    const ink_cuda_rotation rotation = {.count = 1,
                                        .x = {x},
                                        .out = {out},
                                        .weight = {flat(&c, 1)},
                                        .weight_dtype = args->in[1].dtype,
                                        .head_dim = args->node->params.rotary.head_dim,
                                        .eps = args->node->params.rotary.eps,
                                        .table = flat(&c, 2),
                                        .style = args->node->params.rotary.style};
    end(&c, ink_cuda_head_norm_rotaries(NULL, 1, &rotation));
}

/* ---- element by element ---- */

static void add(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), y = input(&c, 1), out = output(&c);
    end(&c, ink_cuda_add(NULL, &x, &y, &out));
}

static void gated_add(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), y = input(&c, 2), out = output(&c);
    const ink_cuda_modulation mod = modulation(&c, args->node->params.gated_add.row_groups);
    end(&c, ink_cuda_gated_add(NULL, &x, &mod, args->node->params.gated_add.gate_column, &y, &out));
}

static void silu(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), out = output(&c);
    end(&c, ink_cuda_silu(NULL, &x, &out));
}

static void silu_mul(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), y = input(&c, 1), out = output(&c);
    end(&c, ink_cuda_silu_mul(NULL, &x, &y, &out));
}

static void channel_affine(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), out = output(&c);
    end(&c, ink_cuda_channel_affine(NULL, &x, flat(&c, 1), flat(&c, 2), &out));
}

static void affine_clamp(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), out = output(&c);
    end(&c, ink_cuda_affine_clamp(NULL, &x, args->node->params.affine.scale, args->node->params.affine.offset,
                                  args->node->params.affine.low, args->node->params.affine.high, &out));
}

static void to_u8(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), out = output(&c);
    end(&c, ink_cuda_to_u8(NULL, &x, &out));
}

/* ---- moving ---- */

static void embed_rows(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix table = input(&c, 0), out = output(&c);
    end(&c, ink_cuda_embed_rows(NULL, &table, flat(&c, 1), &out));
}

static void gather_rows(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), out = output(&c);
    const int32_t *rows = ints(&c, args->node->params.gather.rows, args->node->params.gather.count);
    end(&c, ink_cuda_gather_rows(NULL, &x, rows, &out));
}

/* The part of a matrix that begins at (row, column). */
static ink_cuda_matrix part(const ink_cuda_matrix *x, int64_t row, int64_t column, int64_t rows,
                            int64_t columns) {
    const int64_t at = (row * x->stride + column) * (int64_t)ink_dtype_bytes(x->dtype);
    return (ink_cuda_matrix){(char *)x->data + at, x->dtype, rows, columns, x->stride};
}

static void slice_columns(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), out = output(&c);
    const ink_cuda_matrix from = part(&x, 0, args->node->params.slice.begin, x.rows, out.columns);
    end(&c, ink_cuda_copy(NULL, &from, &out));
}

static void step_row(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix out = output(&c);
    const ink_cuda_row row = {flat(&c, 0), step(&c), out.rows * out.columns};
    end(&c, ink_cuda_load_step(NULL, &row, &out));
}

static void store(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix slot = input(&c, 0), x = input(&c, 1);
    c.written[0] = true;
    const ink_cuda_matrix to =
        part(&slot, args->node->params.store.row, args->node->params.store.column, x.rows, x.columns);
    end(&c, ink_cuda_copy(NULL, &x, &to));
}

static void store_step(const ink_kernel_args *args) {
    call c = begin(args);
    ink_cuda_matrix slot = input_as(&c, 0, false);
    const ink_cuda_matrix x = input(&c, 1);
    c.written[0] = true;
    end(&c, ink_cuda_store_step(NULL, &x, step(&c), &slot));
}

static void pack_patches(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), out = output(&c);
    const ink_shape *shape = &args->in[0].shape;
    end(&c, ink_cuda_pack_patches(NULL, &x, shape->dim[0], shape->dim[1], args->node->params.patches.patch,
                                  &out));
}

static void unpack_patches(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), out = output(&c);
    end(&c, ink_cuda_unpack_patches(NULL, &x, args->node->params.patches.grid_height,
                                    args->node->params.patches.grid_width, args->node->params.patches.patch,
                                    &out));
}

/* ---- tables, and the loop ---- */

static void rotary_table(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix out = output_as(&c, false);
    end(&c, ink_cuda_rotary_table(
                NULL, flat(&c, 0), ink_shape_rows(&args->in[0].shape), args->node->params.rotary_table.axes,
                args->node->params.rotary_table.axis_dim, args->node->params.rotary_table.theta, out.data));
}

static void timestep_embedding(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix out = output(&c);
    end(&c, ink_cuda_timestep_embedding(NULL, flat(&c, 0), ink_shape_count(&args->in[0].shape),
                                        args->node->params.timestep.dim, args->node->params.timestep.scale,
                                        args->node->params.timestep.max_period, &out));
}

static void guidance(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix v = input(&c, 0), out = output(&c);
    const ink_cuda_row scale = {.data = flat(&c, 1)};
    end(&c, ink_cuda_guidance(NULL, &v, &scale, args->node->params.guidance.rescale, &out));
}

static void euler_step(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), v = input(&c, 1), out = output(&c);
    const ink_cuda_row dt = {.data = flat(&c, 2)};
    end(&c, ink_cuda_euler_step(NULL, &x, &v, &dt, &out));
}

static void stats(const ink_kernel_args *args) {
    call c = begin(args);
    const ink_cuda_matrix x = input(&c, 0), out = output_as(&c, false);
    device_matrix scratch = {0};
    if (!device_open(&scratch, INK_U8, 1, (int64_t)ink_cuda_stats_scratch(x.rows * x.columns), NULL,
                     DEVICE_PACKED, 0))
        fail_call(&c, "device memory ran out");
    char *result = malloc(scratch.bytes);
    const cudaError_t code = ink_cuda_stats(NULL, &x, scratch.matrix.data, out.data);
    if (!result || !device_read(&scratch, result))
        fail_call(&c, "the kernel wrote outside of its scratch memory");
    free(result);
    device_close(&scratch);
    end(&c, code);
}

void launch_kernels(ink_kernel_table *table, ink_error *message) {
    failure = message;
    *table = (ink_kernel_table){.kernel = {
                                    [INK_OP_EMBED_ROWS] = {.run = embed_rows},
                                    [INK_OP_RMS_NORM] = {.run = rms_norm},
                                    [INK_OP_CHANNEL_NORM] = {.run = channel_norm},
                                    [INK_OP_LAYER_NORM_MODULATE] = {.run = layer_norm_modulate},
                                    [INK_OP_ADD] = {.run = add},
                                    [INK_OP_GATED_ADD] = {.run = gated_add},
                                    [INK_OP_SILU] = {.run = silu},
                                    [INK_OP_SILU_MUL] = {.run = silu_mul},
                                    [INK_OP_HEAD_NORM_ROTARY] = {.run = head_norm_rotary},
                                    [INK_OP_ROTARY_TABLE] = {.run = rotary_table},
                                    [INK_OP_TIMESTEP_EMBEDDING] = {.run = timestep_embedding},
                                    [INK_OP_GATHER_ROWS] = {.run = gather_rows},
                                    [INK_OP_SLICE_COLUMNS] = {.run = slice_columns},
                                    [INK_OP_STEP_ROW] = {.run = step_row},
                                    [INK_OP_STORE] = {.run = store},
                                    [INK_OP_STORE_STEP] = {.run = store_step},
                                    [INK_OP_GUIDANCE] = {.run = guidance},
                                    [INK_OP_EULER_STEP] = {.run = euler_step},
                                    [INK_OP_PACK_PATCHES] = {.run = pack_patches},
                                    [INK_OP_UNPACK_PATCHES] = {.run = unpack_patches},
                                    [INK_OP_CHANNEL_AFFINE] = {.run = channel_affine},
                                    [INK_OP_AFFINE_CLAMP] = {.run = affine_clamp},
                                    [INK_OP_TO_U8] = {.run = to_u8},
                                    [INK_OP_STATS] = {.run = stats},
                                }};
}
