/*
 * Attention by cuDNN's fused kernels: bf16, not causal. cuDNN takes q, k, v and out as [batch, heads, rows,
 * columns] with any strides, so it works in place if a segment's rows of both streams are adjacent; if they
 * are not, every run gathers them first and scatters the outputs.
 *
 * A call is one execution: one segment, or several of equal length at equal distances. A family is what plans
 * share that differ in pointers only: the library, the graphs, the memory to gather into.
 */
#include "backend/cuda/attention_pack.h"
#include "backend/cuda/cudnn.h"

#include <stdlib.h>

enum { part_q, part_k, part_v, part_out, part_count };
enum { id_q = 1, id_scale = id_q + part_count };
enum { oldest_version = 91301 }; /* has attention as one operation */
enum { unit = 8, most_head_dim = 128, worthwhile_rows = 256, worthwhile_head_dim = 64 };
static const size_t most_workspace = (size_t)256 << 20;

/* What a graph depends on, besides the family's heads. */
typedef struct call_shape {
    int64_t batch, length;
    int64_t row_stride[part_count], batch_stride[part_count]; /* elements */
} call_shape;

typedef struct cudnn_call {
    call_shape shape;
    void *data[part_count];
    ink_cudnn_graph *graph; /* the family's */
    ink_cudnn_pack *pack;
} cudnn_call;

typedef struct family_graph {
    call_shape shape;
    ink_cudnn_graph *graph;
} family_graph;

typedef struct cudnn_family {
    int64_t references;
    ink_cudnn *cudnn;
    family_graph *graphs;
    size_t n_graphs;
    void *packed[part_count], *rows; /* device, if rows are gathered */
    void *workspace;                 /* device, nullable */
    size_t bytes;
} cudnn_family;

typedef struct cudnn_state {
    const ink_cuda_attention_problem *problem;
    cudnn_family *family;
    cudnn_call *calls;
    size_t n_calls;
    bool gathers;
    ink_cuda_attention_pack gather, scatter;
    float scale; /* read by every run */
} cudnn_state;

static const ink_cuda_matrix *matrix_of(const ink_cuda_attention_problem *p, int part, int stream) {
    const ink_cuda_matrix *matrices[part_count] = {p->q, p->k, p->v, p->out};
    return &matrices[part][stream];
}

/* ---- what it is for ---- */

static bool is_aligned(const ink_cuda_matrix *x) {
    return x->dtype == INK_BF16 && x->stride % unit == 0 && (uintptr_t)x->data % 16 == 0;
}

bool ink_cuda_attention_cudnn_can(const ink_cuda_attention_problem *problem,
                                  const ink_cuda_attention_device *device) {
    bool can = device->major >= 8 && !problem->causal && problem->head_dim % unit == 0 &&
               problem->head_dim <= most_head_dim && problem->n_segments > 0;
    for (int s = 0; s < problem->streams; s++) {
        for (int part = 0; part < part_count; part++) {
            can = can && is_aligned(matrix_of(problem, part, s));
        }
    }
    return can;
}

bool ink_cuda_attention_cudnn_worth(const ink_cuda_attention_problem *problem) {
    int64_t longest = 0;
    for (int64_t i = 0; i < problem->n_segments; i++) {
        const int64_t length = ink_cuda_attention_length(&problem->segments[i]);
        if (length > longest) longest = length;
    }
    return longest >= worthwhile_rows && problem->head_dim >= worthwhile_head_dim;
}

/* ---- calls ---- */

/* Where a part of a segment begins if its rows follow one another, those of stream `first` before the
 * other's; NULL if they do not. */
static char *adjacent(const ink_cuda_attention_problem *p, const ink_segment *segment, int part, int first) {
    const int second = 1 - first;
    if (segment->length[second] == 0) {
        return ink_cuda_attention_row(matrix_of(p, part, first), segment->begin[first]);
    }
    if (segment->length[first] == 0) {
        return ink_cuda_attention_row(matrix_of(p, part, second), segment->begin[second]);
    }
    const ink_cuda_matrix *x = matrix_of(p, part, first), *y = matrix_of(p, part, second);
    const char *end = ink_cuda_attention_row(x, segment->begin[first] + segment->length[first]);
    if (x->stride != y->stride || end != (char *)ink_cuda_attention_row(y, segment->begin[second]))
        return NULL;
    return ink_cuda_attention_row(x, segment->begin[first]);
}

/* One call per segment, in place; false if some segment is not adjacent. */
static bool calls_in_place(const ink_cuda_attention_problem *p, cudnn_call *calls) {
    for (int64_t i = 0; i < p->n_segments; i++) {
        const ink_segment *segment = &p->segments[i];
        bool found = false;
        for (int first = 0; first < INK_MAX_STREAMS && !found; first++) {
            found = true;
            for (int part = 0; part < part_count; part++) {
                const int stream = segment->length[0] ? 0 : 1;
                calls[i].data[part] = adjacent(p, segment, part, first);
                calls[i].shape.row_stride[part] = matrix_of(p, part, stream)->stride;
                found = found && calls[i].data[part];
            }
        }
        if (!found) return false;
        calls[i].shape.length = ink_cuda_attention_length(segment);
    }
    return true;
}

/* One call per segment, on the gathered rows. */
static void calls_on_packed(const ink_cuda_attention_problem *p, const cudnn_family *family,
                            cudnn_call *calls) {
    int64_t row = 0;
    for (int64_t i = 0; i < p->n_segments; i++) {
        calls[i].shape.length = ink_cuda_attention_length(&p->segments[i]);
        for (int part = 0; part < part_count; part++) {
            const int64_t columns = matrix_of(p, part, 0)->columns;
            calls[i].shape.row_stride[part] = columns;
            calls[i].data[part] = (char *)family->packed[part] + row * columns * (int64_t)sizeof(uint16_t);
        }
        row += calls[i].shape.length;
    }
}

/* May call b be one more element of a's batch? */
static bool joins(const cudnn_call *a, const cudnn_call *b) {
    if (a->shape.length != b->shape.length) return false;
    for (int part = 0; part < part_count; part++) {
        const int64_t bytes = (char *)b->data[part] - (char *)a->data[part],
                      stride = a->shape.row_stride[part];
        const int64_t distance = bytes / (int64_t)sizeof(uint16_t);
        if (stride != b->shape.row_stride[part] || bytes < 0 || distance % unit != 0) return false;
        if (a->shape.batch == 1 && distance < a->shape.length * stride) return false;
        if (a->shape.batch > 1 && distance != a->shape.batch * a->shape.batch_stride[part]) return false;
    }
    return true;
}

/* Makes calls of several segments where that is possible; returns the number of calls. */
static size_t join_calls(cudnn_call *calls, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        cudnn_call *last = kept > 0 ? &calls[kept - 1] : NULL;
        if (last && joins(last, &calls[i])) {
            for (int part = 0; part < part_count && last->shape.batch == 1; part++) {
                last->shape.batch_stride[part] =
                    ((char *)calls[i].data[part] - (char *)last->data[part]) / (int64_t)sizeof(uint16_t);
            }
            last->shape.batch++;
            continue;
        }
        calls[kept] = calls[i];
        calls[kept].shape.batch = 1;
        for (int part = 0; part < part_count; part++) {
            calls[kept].shape.batch_stride[part] =
                calls[kept].shape.length * calls[kept].shape.row_stride[part];
        }
        kept++;
    }
    return kept;
}

static bool same_shape(const call_shape *a, const call_shape *b) {
    return memcmp(a, b, sizeof *a) == 0; /* numbers of one size: no padding */
}

/* ---- graphs ---- */

static cudnnBackendDescriptor_t operand(ink_cudnn_graph *g, const ink_cuda_attention_problem *p, int part,
                                        const call_shape *shape) {
    const int64_t heads = part == part_k || part == part_v ? p->kv_heads : p->heads;
    const int64_t dims[] = {shape->batch, heads, shape->length, p->head_dim};
    const int64_t strides[] = {shape->batch_stride[part], p->head_dim, shape->row_stride[part], 1};
    return ink_cudnn_tensor(g, id_q + part, CUDNN_DATA_BFLOAT16, 4, dims, strides, INK_CUDNN_MEMORY);
}

/* The one operation softmax(scale q k^T) v. Spelled out as products, maximum, exponential and sum, the same
 * engines take it only if the logarithms of the sums are an output too. */
static ink_status build(ink_cudnn_graph *g, const ink_cuda_attention_problem *p, const call_shape *shape,
                        ink_error *error) {
    static const cudnnBackendAttributeName_t names[part_count] = {
        CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC,
        CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC};
    static const int64_t one[] = {1, 1, 1, 1};
    cudnnBackendDescriptor_t parts[part_count];
    for (int part = 0; part < part_count; part++) {
        parts[part] = operand(g, p, part, shape);
    }
    cudnnBackendDescriptor_t scale =
        ink_cudnn_tensor(g, id_scale, CUDNN_DATA_FLOAT, 4, one, one, INK_CUDNN_BY_VALUE);
    cudnnBackendDescriptor_t operation = ink_cudnn_descriptor(g, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);
    for (int part = 0; part < part_count; part++) {
        ink_cudnn_set_descriptor(g, operation, names[part], parts[part]);
    }
    ink_cudnn_set_descriptor(g, operation, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, scale);
    ink_cudnn_finalize(g, operation);
    return ink_cudnn_build(g, &operation, 1, most_workspace, 1, error);
}

static ink_cudnn_graph *find_graph(const cudnn_family *family, const call_shape *shape) {
    for (size_t i = 0; i < family->n_graphs; i++) {
        if (same_shape(&family->graphs[i].shape, shape)) return family->graphs[i].graph;
    }
    return NULL;
}

/* Builds the graphs of calls that have none yet, and their workspace. */
static ink_status build_graphs(cudnn_family *family, const ink_cuda_attention_problem *p,
                               const cudnn_call *calls, size_t n, ink_error *error) {
    family->graphs = calloc(n, sizeof *family->graphs);
    if (!family->graphs) return ink_fail_memory(error, "attention's graphs", n * sizeof *family->graphs);
    size_t workspace = 0;
    for (size_t i = 0; i < n; i++) {
        if (find_graph(family, &calls[i].shape)) continue;
        family_graph *made = &family->graphs[family->n_graphs];
        INK_TRY(ink_cudnn_graph_create(family->cudnn, &made->graph, error));
        made->shape = calls[i].shape;
        family->n_graphs++;
        INK_TRY(build(made->graph, p, &calls[i].shape, error));
        const size_t bytes = ink_cudnn_plan_workspace(made->graph, 0);
        if (bytes > workspace) workspace = bytes;
    }
    if (workspace > 0) {
        INK_TRY(ink_cuda_check(cudaMalloc(&family->workspace, workspace), "attention's workspace", error));
    }
    family->bytes += workspace;
    return INK_OK;
}

/* ---- gathering ---- */

static int64_t total_rows(const ink_cuda_attention_problem *p) {
    int64_t rows = 0;
    for (int64_t i = 0; i < p->n_segments; i++) {
        rows += ink_cuda_attention_length(&p->segments[i]);
    }
    return rows;
}

static ink_status make_packed(cudnn_family *family, const ink_cuda_attention_problem *p, cudaStream_t stream,
                              ink_error *error) {
    const int64_t rows = total_rows(p);
    for (int part = 0; part < part_count; part++) {
        const size_t bytes = (size_t)(rows * matrix_of(p, part, 0)->columns) * sizeof(uint16_t);
        INK_TRY(ink_cuda_check(cudaMalloc(&family->packed[part], bytes), "attention's rows", error));
        family->bytes += bytes;
    }
    const size_t bytes = (size_t)rows * sizeof(ink_cuda_attention_packed_row);
    ink_cuda_attention_packed_row *table = malloc(bytes);
    if (!table) return ink_fail_memory(error, "attention's rows", bytes);
    int64_t n = 0;
    for (int64_t i = 0; i < p->n_segments; i++) {
        for (int s = 0; s < p->streams; s++) {
            for (int64_t row = 0; row < p->segments[i].length[s]; row++) {
                table[n++] = (ink_cuda_attention_packed_row){s, (int32_t)(p->segments[i].begin[s] + row)};
            }
        }
    }
    const ink_status status =
        ink_cuda_copy_to_device(table, bytes, "attention's tables", stream, &family->rows, error);
    free(table);
    family->bytes += bytes;
    return status;
}

static void set_pack(ink_cuda_attention_pack *pack, const cudnn_state *state, int first, int parts) {
    const ink_cuda_attention_problem *p = state->problem;
    *pack = (ink_cuda_attention_pack){
        .parts = parts, .scatter = first == part_out, .rows = state->family->rows, .n_rows = total_rows(p)};
    for (int i = 0; i < parts; i++) {
        ink_cuda_attention_packed_part *part = &pack->part[i];
        part->packed = state->family->packed[first + i];
        part->row_bytes = matrix_of(p, first + i, 0)->columns * (int64_t)sizeof(uint16_t);
        for (int s = 0; s < p->streams; s++) {
            part->apart[s] = matrix_of(p, first + i, s)->data;
            part->apart_bytes[s] = matrix_of(p, first + i, s)->stride * (int64_t)sizeof(uint16_t);
        }
    }
}

/* ---- states ---- */

static void family_release(cudnn_family *family) {
    if (!family || --family->references > 0) return;
    for (size_t i = 0; i < family->n_graphs; i++) {
        ink_cudnn_graph_destroy(family->graphs[i].graph);
    }
    free(family->graphs);
    for (int part = 0; part < part_count; part++) {
        (void)cudaFree(family->packed[part]);
    }
    (void)cudaFree(family->rows);
    (void)cudaFree(family->workspace);
    ink_cudnn_close(family->cudnn);
    free(family);
}

/* A family of its own for this state, whose calls are not made yet if rows are gathered. */
static ink_status family_create(cudnn_state *state, cudaStream_t stream, ink_error *error) {
    cudnn_family *family = calloc(1, sizeof *family);
    if (!family) return ink_fail_memory(error, "an attention plan", sizeof *family);
    state->family = family;
    family->references = 1;
    INK_TRY(ink_cudnn_open(&family->cudnn, error));
    if (ink_cudnn_version(family->cudnn) < oldest_version) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED, "attention needs cuDNN 9.13.1 or newer, not %zu",
                        ink_cudnn_version(family->cudnn));
    }
    if (state->gathers) {
        INK_TRY(make_packed(family, state->problem, stream, error));
        calls_on_packed(state->problem, family, state->calls);
        state->n_calls = join_calls(state->calls, state->n_calls);
    }
    return build_graphs(family, state->problem, state->calls, state->n_calls, error);
}

/* Does the other state's family have all graphs that these calls need? */
static bool suits(const cudnn_state *like, const cudnn_state *state) {
    if (like->gathers || state->gathers) return like->gathers && state->gathers;
    for (size_t i = 0; i < state->n_calls; i++) {
        if (!find_graph(like->family, &state->calls[i].shape)) return false;
    }
    return true;
}

static ink_status make_packs(cudnn_state *state, ink_error *error) {
    const int64_t ids[] = {id_q + part_q, id_q + part_k, id_q + part_v, id_q + part_out, id_scale};
    for (size_t i = 0; i < state->n_calls; i++) {
        cudnn_call *call = &state->calls[i];
        void *const pointers[] = {call->data[part_q], call->data[part_k], call->data[part_v],
                                  call->data[part_out], &state->scale};
        call->graph = find_graph(state->family, &call->shape);
        INK_TRY(ink_cudnn_pack_create(state->family->cudnn, 5, ids, pointers, state->family->workspace,
                                      &call->pack, error));
    }
    return INK_OK;
}

static ink_status state_fill(cudnn_state *state, const cudnn_state *like, cudaStream_t stream,
                             ink_error *error) {
    state->gathers = !calls_in_place(state->problem, state->calls);
    if (!state->gathers) state->n_calls = join_calls(state->calls, state->n_calls);
    if (like && suits(like, state)) {
        state->family = like->family;
        state->family->references++;
        if (state->gathers) {
            calls_on_packed(state->problem, state->family, state->calls);
            state->n_calls = join_calls(state->calls, state->n_calls);
        }
    } else {
        INK_TRY(family_create(state, stream, error));
    }
    if (state->gathers) {
        set_pack(&state->gather, state, part_q, 3);
        set_pack(&state->scatter, state, part_out, 1);
    }
    return make_packs(state, error);
}

ink_status ink_cuda_attention_cudnn_create(const ink_cuda_attention_problem *problem,
                                           const ink_cuda_attention_device *device, const void *like,
                                           cudaStream_t stream, void **out, ink_error *error) {
    (void)device;
    *out = NULL;
    const size_t n = (size_t)problem->n_segments;
    cudnn_state *state = calloc(1, sizeof *state);
    cudnn_call *calls = calloc(n, sizeof *calls);
    if (!state || !calls) {
        free(state), free(calls);
        return ink_fail_memory(error, "an attention plan", sizeof *state + n * sizeof *calls);
    }
    state->problem = problem;
    state->scale = problem->scale;
    state->calls = calls;
    state->n_calls = n;
    const ink_status status = state_fill(state, like, stream, error);
    if (status != INK_OK) {
        ink_cuda_attention_cudnn_destroy(state);
        return status;
    }
    *out = state;
    return INK_OK;
}

ink_status ink_cuda_attention_cudnn_run(void *opaque, cudaStream_t stream, ink_error *error) {
    const cudnn_state *state = opaque;
    const char *what = "copying the rows of attention";
    if (state->gathers) {
        INK_TRY(ink_cuda_check(ink_cuda_attention_pack_run(stream, &state->gather), what, error));
    }
    for (size_t i = 0; i < state->n_calls; i++) {
        INK_TRY(ink_cudnn_run(state->calls[i].graph, 0, state->calls[i].pack, stream, error));
    }
    if (!state->gathers) return INK_OK;
    return ink_cuda_check(ink_cuda_attention_pack_run(stream, &state->scatter), what, error);
}

size_t ink_cuda_attention_cudnn_bytes(const void *state) {
    return ((const cudnn_state *)state)->family->bytes;
}

void ink_cuda_attention_cudnn_destroy(void *opaque) {
    cudnn_state *state = opaque;
    for (size_t i = 0; i < state->n_calls; i++) {
        ink_cudnn_pack_destroy(state->calls[i].pack);
    }
    family_release(state->family);
    free(state->calls);
    free(state);
}
