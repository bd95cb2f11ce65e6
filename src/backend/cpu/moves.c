/*
 * Kernels that are the same for every level: they move memory or fill small tables once per picture.
 */
#include "backend/cpu/levels.h"

#include <math.h>

enum { task_bytes = 65536 };

/* Row i of a copy: `to` and `from` are chosen by a rule per operation. */
typedef struct copy_job {
    char *to;
    const char *from;
    size_t to_pitch, from_pitch, bytes; /* bytes per row */
    const int32_t *from_rows;           /* NULL: row i comes from row i */
    int64_t rows, rows_per_task;
} copy_job;

static void copy_task(void *context, int64_t task, int thread) {
    (void)thread;
    const copy_job *job = context;
    const int64_t begin = task * job->rows_per_task;
    const int64_t end = begin + job->rows_per_task < job->rows ? begin + job->rows_per_task : job->rows;
    for (int64_t i = begin; i < end; i++) {
        const size_t from = (size_t)(job->from_rows ? job->from_rows[i] : i);
        memcpy(job->to + (size_t)i * job->to_pitch, job->from + from * job->from_pitch, job->bytes);
    }
}

static void run_copy(ink_pool *pool, copy_job *job) {
    job->rows_per_task = job->bytes < task_bytes ? (int64_t)(task_bytes / job->bytes) : 1;
    ink_pool_run(pool, (job->rows + job->rows_per_task - 1) / job->rows_per_task, copy_task, job);
}

static size_t row_bytes(const ink_tensor *t) {
    return (size_t)ink_shape_columns(&t->shape) * ink_dtype_bytes(t->dtype);
}

static void gather_rows(const ink_kernel_args *args) {
    const size_t bytes = row_bytes(&args->in[0]);
    run_copy(args->pool, &(copy_job){.to = args->out[0].data,
                                     .from = args->in[0].data,
                                     .to_pitch = bytes,
                                     .from_pitch = bytes,
                                     .bytes = bytes,
                                     .from_rows = args->node->params.gather.rows,
                                     .rows = args->node->params.gather.count});
}

static void slice_columns(const ink_kernel_args *args) {
    const size_t offset = (size_t)args->node->params.slice.begin * sizeof(float);
    run_copy(args->pool, &(copy_job){.to = args->out[0].data,
                                     .from = (const char *)args->in[0].data + offset,
                                     .to_pitch = row_bytes(&args->out[0]),
                                     .from_pitch = row_bytes(&args->in[0]),
                                     .bytes = row_bytes(&args->out[0]),
                                     .rows = ink_shape_rows(&args->in[0].shape)});
}

static void step_row(const ink_kernel_args *args) {
    const size_t bytes = (size_t)ink_shape_count(&args->out[0].shape) * sizeof(float);
    memcpy(args->out[0].data, (const char *)args->in[0].data + (size_t)args->step * bytes, bytes);
}

static void store(const ink_kernel_args *args) {
    const ink_tensor *slot = &args->in[0], *x = &args->in[1];
    const size_t pitch = row_bytes(slot);
    char *to = (char *)slot->data + (size_t)args->node->params.store.row * pitch +
               (size_t)args->node->params.store.column * ink_dtype_bytes(slot->dtype);
    run_copy(args->pool, &(copy_job){.to = to,
                                     .from = x->data,
                                     .to_pitch = pitch,
                                     .from_pitch = row_bytes(x),
                                     .bytes = row_bytes(x),
                                     .rows = ink_shape_rows(&x->shape)});
}

static void store_step(const ink_kernel_args *args) {
    const ink_tensor *slot = &args->in[0], *x = &args->in[1];
    const size_t bytes = (size_t)ink_shape_count(&x->shape) * ink_dtype_bytes(x->dtype);
    memcpy((char *)slot->data + (size_t)args->step * bytes, x->data, bytes);
}

static void embed_rows(const ink_kernel_args *args) {
    const ink_tensor *table = &args->in[0];
    const int32_t *ids = args->in[1].data;
    const int64_t rows = ink_shape_count(&args->in[1].shape), columns = ink_shape_columns(&table->shape);
    float *out = args->out[0].data;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c++) {
            out[r * columns + c] = ink_element_f32(table->data, table->dtype, ids[r] * columns + c);
        }
    }
}

/* Patches */

typedef struct patch_job {
    float *picture, *patches;
    int64_t patch, grid_width, channels;
    bool pack;
} patch_job;

/* One row of patches: runs of `patch` pixels of one channel lie together in a token. */
static void patch_task(void *context, int64_t grid_y, int thread) {
    (void)thread;
    const patch_job *job = context;
    const int64_t p = job->patch, features = job->channels * p * p, width = job->grid_width * p;
    for (int64_t grid_x = 0; grid_x < job->grid_width; grid_x++) {
        float *token = job->patches + (grid_y * job->grid_width + grid_x) * features;
        for (int64_t dy = 0; dy < p; dy++) {
            float *pixels = job->picture + ((grid_y * p + dy) * width + grid_x * p) * job->channels;
            for (int64_t dx = 0; dx < p; dx++) {
                for (int64_t c = 0; c < job->channels; c++) {
                    float *feature = token + (c * p + dy) * p + dx, *pixel = pixels + dx * job->channels + c;
                    if (job->pack)
                        *feature = *pixel;
                    else
                        *pixel = *feature;
                }
            }
        }
    }
}

static void run_patches(const ink_kernel_args *args, float *picture, float *patches, bool pack) {
    const ink_tensor *image = pack ? &args->in[0] : &args->out[0];
    patch_job job = {.picture = picture,
                     .patches = patches,
                     .patch = args->node->params.patches.patch,
                     .grid_width = args->node->params.patches.grid_width,
                     .channels = ink_shape_columns(&image->shape),
                     .pack = pack};
    ink_pool_run(args->pool, args->node->params.patches.grid_height, patch_task, &job);
}

static void pack_patches(const ink_kernel_args *args) {
    run_patches(args, args->in[0].data, args->out[0].data, true);
}

static void unpack_patches(const ink_kernel_args *args) {
    run_patches(args, args->out[0].data, args->in[0].data, false);
}

/* Tables of sines and cosines: the float32 roundings are the frameworks', see graph/ops.h. */

static void rotary_task(void *context, int64_t row, int thread) {
    (void)thread;
    const ink_kernel_args *args = context;
    const ink_node *node = args->node;
    const int axes = node->params.rotary_table.axes;
    const int32_t *positions = (const int32_t *)args->in[0].data + row * axes;
    float *out = (float *)args->out[0].data + row * args->out[0].shape.dim[1] * 2;
    const float *frequencies = args->scratch;
    for (int a = 0; a < axes; a++) {
        for (int64_t i = 0; i < node->params.rotary_table.axis_dim[a] / 2; i++) {
            const float angle = (float)positions[a] * *frequencies++;
            *out++ = (float)cos((double)angle);
            *out++ = (float)sin((double)angle);
        }
    }
}

static size_t rotary_scratch(const ink_node *node, const ink_tensor *in, const ink_tensor *out, int threads) {
    (void)node, (void)in, (void)threads;
    return (size_t)out[0].shape.dim[1] * sizeof(float);
}

static void rotary_table(const ink_kernel_args *args) {
    const ink_node *node = args->node;
    float *frequency = args->scratch;
    for (int a = 0; a < node->params.rotary_table.axes; a++) {
        const int64_t dim = node->params.rotary_table.axis_dim[a];
        for (int64_t i = 0; i < dim / 2; i++) {
            const float exponent = (float)(2 * i) / (float)dim;
            *frequency++ = 1.0f / (float)pow(node->params.rotary_table.theta, (double)exponent);
        }
    }
    ink_kernel_args copy = *args;
    ink_pool_run(args->pool, ink_shape_rows(&args->in[0].shape), rotary_task, &copy);
}

static void timestep_embedding(const ink_kernel_args *args) {
    const float *t = args->in[0].data;
    float *out = args->out[0].data;
    const int64_t rows = ink_shape_count(&args->in[0].shape), half = args->node->params.timestep.dim / 2;
    const float rate = (float)-log((double)args->node->params.timestep.max_period);
    for (int64_t i = 0; i < half; i++) {
        const float frequency = (float)exp((double)(rate * (float)i / (float)half));
        for (int64_t r = 0; r < rows; r++) {
            const float angle = args->node->params.timestep.scale * (t[r] * frequency);
            out[2 * r * half + i] = (float)cos((double)angle);
            out[2 * r * half + half + i] = (float)sin((double)angle);
        }
    }
}

void ink_cpu_kernels_moves(ink_kernel_table *table) {
    ink_kernel *k = table->kernel;
    k[INK_OP_EMBED_ROWS] = (ink_kernel){.run = embed_rows};
    k[INK_OP_GATHER_ROWS] = (ink_kernel){.run = gather_rows};
    k[INK_OP_SLICE_COLUMNS] = (ink_kernel){.run = slice_columns};
    k[INK_OP_STEP_ROW] = (ink_kernel){.run = step_row};
    k[INK_OP_STORE] = (ink_kernel){.run = store};
    k[INK_OP_STORE_STEP] = (ink_kernel){.run = store_step};
    k[INK_OP_PACK_PATCHES] = (ink_kernel){.run = pack_patches};
    k[INK_OP_UNPACK_PATCHES] = (ink_kernel){.run = unpack_patches};
    k[INK_OP_ROTARY_TABLE] = (ink_kernel){.run = rotary_table, .scratch_bytes = rotary_scratch};
    k[INK_OP_TIMESTEP_EMBEDDING] = (ink_kernel){.run = timestep_embedding};
}
