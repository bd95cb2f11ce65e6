/*
 * A state shares with the others of its family the library, and for every shape the graph, its fastest plan
 * and the plan's workspace. Of its own it has the pointers, and for an upsampled picture the folded weight
 * and the results before they are put in order.
 *
 * Two graphs are tried for every shape: with the bias, and without it, to be added by a pass of our own.
 */
#include "backend/cuda/conv_cudnn.h"
#include "backend/cuda/cudnn.h"

#include <stdlib.h>

enum {
    unit = 8,       /* channels that the fast engines want a multiple of */
    most_plans = 3, /* of a graph: every one may be compiled first */
    timed_runs = 3,
    id_x = 1,
    id_weight,
    id_bias,
    id_out,
    id_sum, /* before the bias */
};
static const size_t most_workspace = (size_t)64 << 20;

/* What a graph depends on. */
typedef struct conv_key {
    int64_t height, width, inputs, x_stride;
    int64_t out_height, out_width, outputs, out_stride;
    int64_t kernel_y, kernel_x, stride, pad_top, pad_left, pad_bottom, pad_right;
    int64_t bias; /* 0 or 1 */
} conv_key;

typedef struct conv_shape {
    struct conv_shape *next;
    conv_key key;
    ink_cudnn_graph *graph; /* with one plan */
    bool bias_inside;
    void *workspace; /* nullable; device */
} conv_shape;

typedef struct conv_family {
    int64_t references;
    ink_cudnn *cudnn;
    conv_shape *shapes;
} conv_family;

typedef struct conv_state {
    const ink_cuda_conv_problem *problem;
    conv_family *family;
    ink_cuda_conv_problem inner; /* what cuDNN computes: the problem, or the one over the small picture */
    void *folded_weight, *folded_out; /* nullable; device */
    size_t folded_bytes;
    conv_shape *shape;
    ink_cudnn_pack *pack;
} conv_state;

static bool aligned(const ink_cuda_matrix *x) {
    return x->dtype == INK_BF16 && x->columns % unit == 0 && x->stride % unit == 0 &&
           (uintptr_t)x->data % 16 == 0;
}

bool ink_cuda_conv_cudnn_can(const ink_cuda_conv_problem *p) {
    return aligned(&p->x) && aligned(&p->out) && p->weight_dtype == INK_BF16 &&
           (uintptr_t)p->weight % 16 == 0 && (p->upsample == 1 || ink_cuda_conv_can_fold(p));
}

/* ---- graphs ---- */

static conv_key key_of(const ink_cuda_conv_problem *p) {
    return (conv_key){.height = p->height,
                      .width = p->width,
                      .inputs = p->x.columns,
                      .x_stride = p->x.stride,
                      .out_height = p->out_height,
                      .out_width = p->out_width,
                      .outputs = p->out.columns,
                      .out_stride = p->out.stride,
                      .kernel_y = p->kernel_y,
                      .kernel_x = p->kernel_x,
                      .stride = p->stride,
                      .pad_top = p->pad_top,
                      .pad_left = p->pad_left,
                      .pad_bottom = p->pad_bottom,
                      .pad_right = p->pad_right,
                      .bias = p->bias != NULL};
}

/* A picture, channels-last: cuDNN names the dims [N, C, Y, X] in any case. */
static cudnnBackendDescriptor_t picture(ink_cudnn_graph *g, int64_t id, cudnnDataType_t type,
                                        int64_t channels, int64_t height, int64_t width, int64_t stride,
                                        ink_cudnn_place place) {
    return ink_cudnn_tensor(g, id, type, 4, (const int64_t[]){1, channels, height, width},
                            (const int64_t[]){height * width * stride, 1, width * stride, stride}, place);
}

static cudnnBackendDescriptor_t convolution(ink_cudnn_graph *g, const conv_key *k,
                                            cudnnBackendDescriptor_t out) {
    const cudnnDataType_t precision = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t dims = 2;
    const float one = 1, zero = 0;
    cudnnBackendDescriptor_t how = ink_cudnn_descriptor(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    ink_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &precision);
    ink_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    ink_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dims);
    ink_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, dims, (const int64_t[]){1, 1});
    ink_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, dims,
                  (const int64_t[]){k->stride, k->stride});
    ink_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, dims,
                  (const int64_t[]){k->pad_top, k->pad_left});
    ink_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, dims,
                  (const int64_t[]){k->pad_bottom, k->pad_right});
    ink_cudnn_finalize(g, how);
    cudnnBackendDescriptor_t x =
        picture(g, id_x, CUDNN_DATA_BFLOAT16, k->inputs, k->height, k->width, k->x_stride, INK_CUDNN_MEMORY);
    const int64_t row = k->kernel_x * k->inputs;
    cudnnBackendDescriptor_t weight =
        ink_cudnn_tensor(g, id_weight, CUDNN_DATA_BFLOAT16, 4,
                         (const int64_t[]){k->outputs, k->inputs, k->kernel_y, k->kernel_x},
                         (const int64_t[]){k->kernel_y * row, 1, row, k->inputs}, INK_CUDNN_MEMORY);
    cudnnBackendDescriptor_t operation =
        ink_cudnn_descriptor(g, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    ink_cudnn_set_descriptor(g, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, how);
    ink_cudnn_set_descriptor(g, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    ink_cudnn_set_descriptor(g, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, weight);
    ink_cudnn_set_descriptor(g, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, out);
    ink_cudnn_set(g, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
    ink_cudnn_set(g, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
    ink_cudnn_finalize(g, operation);
    return operation;
}

/* The graph of a shape, with its candidate plans. */
static ink_status build(ink_cudnn *cudnn, const conv_key *k, bool bias_inside, ink_cudnn_graph **graph,
                        ink_error *error) {
    INK_TRY(ink_cudnn_graph_create(cudnn, graph, error));
    ink_cudnn_graph *g = *graph;
    cudnnBackendDescriptor_t out = picture(g, id_out, CUDNN_DATA_BFLOAT16, k->outputs, k->out_height,
                                           k->out_width, k->out_stride, INK_CUDNN_MEMORY);
    cudnnBackendDescriptor_t operations[2];
    int64_t n = 0;
    if (bias_inside) {
        cudnnBackendDescriptor_t sum = picture(g, id_sum, CUDNN_DATA_FLOAT, k->outputs, k->out_height,
                                               k->out_width, k->outputs, INK_CUDNN_VIRTUAL);
        cudnnBackendDescriptor_t bias =
            picture(g, id_bias, CUDNN_DATA_FLOAT, k->outputs, 1, 1, k->outputs, INK_CUDNN_MEMORY);
        operations[n++] = convolution(g, k, sum);
        operations[n++] = ink_cudnn_pointwise(g, CUDNN_POINTWISE_ADD, sum, bias, out);
    } else {
        operations[n++] = convolution(g, k, out);
    }
    const ink_status status = ink_cudnn_build(g, operations, n, most_workspace, most_plans, error);
    if (status != INK_OK) {
        ink_cudnn_graph_destroy(g);
        *graph = NULL;
    }
    return status;
}

/* ---- running ---- */

static ink_status make_pack(ink_cudnn *cudnn, const ink_cuda_conv_problem *p, bool bias_inside,
                            void *workspace, ink_cudnn_pack **pack, ink_error *error) {
    union {
        const void *in;
        void *out;
    } weight = {p->weight}, bias = {p->bias}; /* cuDNN only reads them */
    const int64_t ids[] = {id_x, id_weight, id_out, id_bias};
    void *const pointers[] = {p->x.data, weight.out, p->out.data, bias.out};
    return ink_cudnn_pack_create(cudnn, bias_inside ? 4 : 3, ids, pointers, workspace, pack, error);
}

static ink_status run_plan(const ink_cuda_conv_problem *p, ink_cudnn_graph *graph, int plan, bool bias_inside,
                           const ink_cudnn_pack *pack, cudaStream_t stream, ink_error *error) {
    INK_TRY(ink_cudnn_run(graph, plan, pack, stream, error));
    if (!p->bias || bias_inside) return INK_OK;
    return ink_cuda_check(ink_cuda_bias_activation(stream, &p->out, p->bias, INK_F32, INK_ACT_NONE, &p->out),
                          "the bias of a convolution", error);
}

/* ---- choosing ---- */

/* The candidate that was the fastest so far. */
typedef struct conv_choice {
    ink_cudnn_graph *graph;
    int plan;
    bool bias_inside;
    float milliseconds;
} conv_choice;

/* Milliseconds of the fastest of some runs; negative if a run fails. */
static float time_plan(const ink_cuda_conv_problem *p, ink_cudnn_graph *graph, int plan, bool bias_inside,
                       const ink_cudnn_pack *pack, cudaStream_t stream) {
    cudaEvent_t begin = NULL, end = NULL;
    float best = -1;
    bool good = cudaEventCreate(&begin) == cudaSuccess && cudaEventCreate(&end) == cudaSuccess;
    for (int i = 0; good && i <= timed_runs; i++) {
        float milliseconds = 0;
        good = cudaEventRecord(begin, stream) == cudaSuccess &&
               run_plan(p, graph, plan, bias_inside, pack, stream, NULL) == INK_OK &&
               cudaEventRecord(end, stream) == cudaSuccess && cudaEventSynchronize(end) == cudaSuccess &&
               cudaEventElapsedTime(&milliseconds, begin, end) == cudaSuccess;
        if (i > 0 && (best < 0 || milliseconds < best)) best = milliseconds; /* the first one warms up */
    }
    if (begin) (void)cudaEventDestroy(begin);
    if (end) (void)cudaEventDestroy(end);
    return good ? best : -1;
}

/* Builds one of the graphs and compares its plans with the choice so far. */
static ink_status try_graph(ink_cudnn *cudnn, const ink_cuda_conv_problem *p, const conv_key *key,
                            bool bias_inside, cudaStream_t stream, conv_choice *choice, ink_error *error) {
    ink_cudnn_graph *graph = NULL;
    INK_TRY(build(cudnn, key, bias_inside, &graph, error));
    void *workspace = NULL;
    ink_cudnn_pack *pack = NULL;
    size_t bytes = 0;
    for (int i = 0; i < ink_cudnn_plan_count(graph); i++) {
        if (ink_cudnn_plan_workspace(graph, i) > bytes) bytes = ink_cudnn_plan_workspace(graph, i);
    }
    ink_status status =
        bytes ? ink_cuda_check(cudaMalloc(&workspace, bytes), "a convolution's workspace", error) : INK_OK;
    if (status == INK_OK) status = make_pack(cudnn, p, bias_inside, workspace, &pack, error);
    int best = -1;
    for (int i = 0; status == INK_OK && i < ink_cudnn_plan_count(graph); i++) {
        const float milliseconds = time_plan(p, graph, i, bias_inside, pack, stream);
        if (milliseconds < 0 || (choice->graph && milliseconds >= choice->milliseconds)) continue;
        if (choice->graph != graph) ink_cudnn_graph_destroy(choice->graph);
        *choice = (conv_choice){graph, best = i, bias_inside, milliseconds};
    }
    ink_cudnn_pack_destroy(pack);
    (void)cudaFree(workspace);
    if (best < 0) ink_cudnn_graph_destroy(graph);
    return status;
}

static void destroy_shape(conv_shape *shape) {
    ink_cudnn_graph_destroy(shape->graph);
    (void)cudaFree(shape->workspace);
    free(shape);
}

/* The family's shape for the problem, made if there is none yet. */
static ink_status find_shape(conv_family *family, const ink_cuda_conv_problem *p, cudaStream_t stream,
                             conv_shape **shape, ink_error *error) {
    const conv_key key = key_of(p);
    for (conv_shape *s = family->shapes; s; s = s->next) {
        if (memcmp(&s->key, &key, sizeof key) == 0) {
            *shape = s;
            return INK_OK;
        }
    }
    conv_choice choice = {0};
    ink_status status = INK_OK;
    for (int inside = p->bias != NULL; inside >= 0; inside--) {
        const ink_status tried = try_graph(family->cudnn, p, &key, inside != 0, stream, &choice, error);
        if (tried != INK_OK && tried != INK_ERROR_UNSUPPORTED) status = tried;
    }
    if (status == INK_OK && !choice.graph) {
        status = ink_fail(error, INK_ERROR_UNSUPPORTED, "cuDNN has no plan that can run this convolution");
    }
    conv_shape *s = status == INK_OK ? calloc(1, sizeof *s) : NULL;
    if (!s) {
        ink_cudnn_graph_destroy(choice.graph);
        return status != INK_OK ? status : ink_fail_memory(error, "a convolution plan", sizeof *s);
    }
    ink_cudnn_keep_plan(choice.graph, choice.plan);
    *s = (conv_shape){.key = key, .graph = choice.graph, .bias_inside = choice.bias_inside};
    const size_t bytes = ink_cudnn_plan_workspace(s->graph, 0);
    if (bytes) status = ink_cuda_check(cudaMalloc(&s->workspace, bytes), "a convolution's workspace", error);
    if (status != INK_OK) {
        destroy_shape(s);
        return status;
    }
    s->next = family->shapes;
    family->shapes = *shape = s;
    return INK_OK;
}

/* ---- states ---- */

static void leave(conv_family *family) {
    if (!family || --family->references > 0) return;
    while (family->shapes) {
        conv_shape *next = family->shapes->next;
        destroy_shape(family->shapes);
        family->shapes = next;
    }
    ink_cudnn_close(family->cudnn);
    free(family);
}

static ink_status join(const conv_state *like, conv_family **family, ink_error *error) {
    if (like) {
        *family = like->family;
        (*family)->references++;
        return INK_OK;
    }
    conv_family *f = calloc(1, sizeof *f);
    if (!f) return ink_fail_memory(error, "a convolution plan", sizeof *f);
    f->references = 1;
    const ink_status status = ink_cudnn_open(&f->cudnn, error);
    if (status != INK_OK) {
        free(f);
        return status;
    }
    *family = f;
    return INK_OK;
}

/* The convolution over the small picture whose results ink_cuda_conv_unfold puts in order. */
static ink_status fold(conv_state *s, cudaStream_t stream, ink_error *error) {
    const ink_cuda_conv_problem *p = s->problem;
    const int64_t outputs = 4 * p->out.columns, rows = (p->height + 1) * (p->width + 1);
    const size_t weight_bytes = (size_t)(4 * outputs * p->x.columns) * sizeof(uint16_t);
    const size_t out_bytes = (size_t)(rows * outputs) * sizeof(uint16_t);
    INK_TRY(ink_cuda_check(cudaMalloc(&s->folded_weight, weight_bytes), "a folded weight", error));
    INK_TRY(ink_cuda_check(cudaMalloc(&s->folded_out, out_bytes), "an upsampled picture", error));
    INK_TRY(ink_cuda_check(ink_cuda_conv_fold_weight(stream, p, s->folded_weight), "a folded weight", error));
    s->folded_bytes = weight_bytes + out_bytes;
    s->inner.weight = s->folded_weight;
    s->inner.out = (ink_cuda_matrix){s->folded_out, INK_BF16, rows, outputs, outputs};
    s->inner.out_height = p->height + 1;
    s->inner.out_width = p->width + 1;
    s->inner.kernel_y = s->inner.kernel_x = 2;
    s->inner.upsample = 1;
    s->inner.bias = NULL;
    return INK_OK;
}

static ink_status prepare(conv_state *s, const void *like, cudaStream_t stream, ink_error *error) {
    INK_TRY(join(like, &s->family, error));
    if (s->problem->upsample == 2) INK_TRY(fold(s, stream, error));
    INK_TRY(find_shape(s->family, &s->inner, stream, &s->shape, error));
    return make_pack(s->family->cudnn, &s->inner, s->shape->bias_inside, s->shape->workspace, &s->pack,
                     error);
}

ink_status ink_cuda_conv_cudnn_create(const ink_cuda_conv_problem *problem, const void *like,
                                      cudaStream_t stream, void **state, ink_error *error) {
    conv_state *s = calloc(1, sizeof *s);
    if (!s) return ink_fail_memory(error, "a convolution plan", sizeof *s);
    s->problem = problem;
    s->inner = *problem;
    const ink_status status = prepare(s, like, stream, error);
    if (status != INK_OK) {
        ink_cuda_conv_cudnn_destroy(s);
        return status;
    }
    *state = s;
    return INK_OK;
}

ink_status ink_cuda_conv_cudnn_run(void *state, cudaStream_t stream, ink_error *error) {
    const conv_state *s = state;
    INK_TRY(run_plan(&s->inner, s->shape->graph, 0, s->shape->bias_inside, s->pack, stream, error));
    if (!s->folded_out) return INK_OK;
    return ink_cuda_check(ink_cuda_conv_unfold(stream, s->problem, s->folded_out), "an upsampled picture",
                          error);
}

size_t ink_cuda_conv_cudnn_bytes(const void *state) {
    const conv_state *s = state;
    return s->folded_bytes + ink_cudnn_plan_workspace(s->shape->graph, 0);
}

void ink_cuda_conv_cudnn_destroy(void *state) {
    conv_state *s = state;
    if (!s) return;
    ink_cudnn_pack_destroy(s->pack);
    (void)cudaFree(s->folded_weight);
    (void)cudaFree(s->folded_out);
    leave(s->family);
    free(s);
}
