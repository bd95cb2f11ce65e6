#include "backend/cuda/cudnn.h"

#include <dlfcn.h>
#include <stdlib.h>

enum { message_bytes = 256, oldest_version = 90000 };

struct ink_cudnn {
    void *library;
    cudnnHandle_t handle;
    size_t (*get_version)(void);
    const char *(*get_error_string)(cudnnStatus_t);
    void (*get_last_error_string)(char *, size_t);
    cudnnStatus_t (*create)(cudnnHandle_t *);
    cudnnStatus_t (*destroy)(cudnnHandle_t);
    cudnnStatus_t (*set_stream)(cudnnHandle_t, cudaStream_t);
    cudnnStatus_t (*create_descriptor)(cudnnBackendDescriptorType_t, cudnnBackendDescriptor_t *);
    cudnnStatus_t (*destroy_descriptor)(cudnnBackendDescriptor_t);
    cudnnStatus_t (*set_attribute)(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t,
                                   cudnnBackendAttributeType_t, int64_t, const void *);
    cudnnStatus_t (*get_attribute)(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t,
                                   cudnnBackendAttributeType_t, int64_t, int64_t *, void *);
    cudnnStatus_t (*finalize)(cudnnBackendDescriptor_t);
    cudnnStatus_t (*execute)(cudnnHandle_t, cudnnBackendDescriptor_t, cudnnBackendDescriptor_t);
};

/* ---- the library ---- */

/* Looks up one function; false if the library lacks it. */
static bool resolve(void *library, const char *name, void *function, size_t bytes) {
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, bytes); /* POSIX promises that a function's address fits */
    return symbol != NULL;
}

static bool resolve_all(ink_cudnn *c) {
    const struct {
        const char *name;
        void *function;
    } functions[] = {
        {"cudnnGetVersion", &c->get_version},
        {"cudnnGetErrorString", &c->get_error_string},
        {"cudnnGetLastErrorString", &c->get_last_error_string},
        {"cudnnCreate", &c->create},
        {"cudnnDestroy", &c->destroy},
        {"cudnnSetStream", &c->set_stream},
        {"cudnnBackendCreateDescriptor", &c->create_descriptor},
        {"cudnnBackendDestroyDescriptor", &c->destroy_descriptor},
        {"cudnnBackendSetAttribute", &c->set_attribute},
        {"cudnnBackendGetAttribute", &c->get_attribute},
        {"cudnnBackendFinalize", &c->finalize},
        {"cudnnBackendExecute", &c->execute},
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (!resolve(c->library, functions[i].name, functions[i].function, sizeof(void *))) return false;
    }
    return true;
}

ink_status ink_cudnn_open(ink_cudnn **cudnn, ink_error *error) {
    *cudnn = NULL;
    ink_cudnn *c = calloc(1, sizeof *c);
    if (!c) return ink_fail_memory(error, "cuDNN", sizeof *c);
    c->library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    if (!c->library) {
        ink_fail(error, INK_ERROR_UNSUPPORTED, "cuDNN 9 is not there: %s", dlerror());
    } else if (!resolve_all(c) || c->get_version() < oldest_version) {
        ink_fail(error, INK_ERROR_UNSUPPORTED, "the cuDNN that was found is too old; version 9 is needed");
    } else {
        const cudnnStatus_t status = c->create(&c->handle);
        if (status == CUDNN_STATUS_SUCCESS) {
            *cudnn = c;
            return INK_OK;
        }
        ink_fail(error, INK_ERROR_UNSUPPORTED, "cuDNN cannot be used: %s", c->get_error_string(status));
    }
    ink_cudnn_close(c);
    return INK_ERROR_UNSUPPORTED;
}

void ink_cudnn_close(ink_cudnn *c) {
    if (!c) return;
    if (c->handle) c->destroy(c->handle);
    if (c->library) dlclose(c->library);
    free(c);
}

size_t ink_cudnn_version(const ink_cudnn *cudnn) {
    return cudnn->get_version();
}

/* INK_ERROR_UNSUPPORTED with a sentence; what cuDNN cannot do, others can. */
static ink_status refuse(const ink_cudnn *c, const char *what, cudnnStatus_t status, const char *detail,
                         ink_error *error) {
    return ink_fail(error, INK_ERROR_UNSUPPORTED, "cuDNN could not %s: %s. %s", what,
                    c->get_error_string(status), detail);
}

/* ---- graphs ---- */

typedef struct cudnn_plan {
    cudnnBackendDescriptor_t descriptor;
    size_t workspace;
} cudnn_plan;

struct ink_cudnn_graph {
    ink_cudnn *cudnn;
    cudnnBackendDescriptor_t *owned; /* in the order of making */
    size_t n_owned, owned_cap;
    cudnn_plan *plans;
    int n_plans;
    cudnnStatus_t status; /* the first error */
    char message[message_bytes];
};

/* Is all well? Keeps the first error, with the library's own words. */
static bool keep(ink_cudnn_graph *g, cudnnStatus_t status) {
    if (g->status != CUDNN_STATUS_SUCCESS) return false;
    if (status == CUDNN_STATUS_SUCCESS) return true;
    g->status = status;
    g->cudnn->get_last_error_string(g->message, sizeof g->message);
    return false;
}

ink_status ink_cudnn_graph_create(ink_cudnn *cudnn, ink_cudnn_graph **graph, ink_error *error) {
    *graph = calloc(1, sizeof **graph);
    if (!*graph) return ink_fail_memory(error, "a graph of cuDNN", sizeof **graph);
    (*graph)->cudnn = cudnn;
    return INK_OK;
}

void ink_cudnn_graph_destroy(ink_cudnn_graph *g) {
    if (!g) return;
    for (int i = 0; i < g->n_plans; i++) {
        g->cudnn->destroy_descriptor(g->plans[i].descriptor);
    }
    while (g->n_owned > 0) {
        g->cudnn->destroy_descriptor(g->owned[--g->n_owned]);
    }
    free(g->plans);
    free(g->owned);
    free(g);
}

cudnnBackendDescriptor_t ink_cudnn_descriptor(ink_cudnn_graph *g, cudnnBackendDescriptorType_t type) {
    if (g->status != CUDNN_STATUS_SUCCESS) return NULL;
    if (g->n_owned == g->owned_cap) {
        const size_t cap = g->owned_cap ? 2 * g->owned_cap : 32;
        cudnnBackendDescriptor_t *more = realloc(g->owned, cap * sizeof *more);
        if (!more) {
            keep(g, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
            return NULL;
        }
        g->owned = more;
        g->owned_cap = cap;
    }
    cudnnBackendDescriptor_t made = NULL;
    if (!keep(g, g->cudnn->create_descriptor(type, &made))) return NULL;
    return g->owned[g->n_owned++] = made;
}

void ink_cudnn_set(ink_cudnn_graph *g, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    if (g->status != CUDNN_STATUS_SUCCESS) return;
    keep(g, g->cudnn->set_attribute(descriptor, name, type, count, values));
}

void ink_cudnn_set_descriptor(ink_cudnn_graph *g, cudnnBackendDescriptor_t descriptor,
                              cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value) {
    ink_cudnn_set(g, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

void ink_cudnn_finalize(ink_cudnn_graph *g, cudnnBackendDescriptor_t descriptor) {
    if (g->status != CUDNN_STATUS_SUCCESS) return;
    keep(g, g->cudnn->finalize(descriptor));
}

cudnnBackendDescriptor_t ink_cudnn_tensor(ink_cudnn_graph *g, int64_t id, cudnnDataType_t type, int rank,
                                          const int64_t *dims, const int64_t *strides,
                                          ink_cudnn_place place) {
    const int64_t alignment = 16;
    const bool is_virtual = place == INK_CUDNN_VIRTUAL, by_value = place == INK_CUDNN_BY_VALUE;
    cudnnBackendDescriptor_t t = ink_cudnn_descriptor(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    ink_cudnn_set(g, t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    ink_cudnn_set(g, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, rank, dims);
    ink_cudnn_set(g, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, rank, strides);
    ink_cudnn_set(g, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    ink_cudnn_set(g, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    if (is_virtual) ink_cudnn_set(g, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    if (by_value) ink_cudnn_set(g, t, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value);
    ink_cudnn_finalize(g, t);
    return t;
}

cudnnBackendDescriptor_t ink_cudnn_pointwise(ink_cudnn_graph *g, cudnnPointwiseMode_t mode,
                                             cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t b,
                                             cudnnBackendDescriptor_t y) {
    const cudnnDataType_t precision = CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t how = ink_cudnn_descriptor(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    ink_cudnn_set(g, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    ink_cudnn_set(g, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &precision);
    ink_cudnn_finalize(g, how);
    cudnnBackendDescriptor_t operation =
        ink_cudnn_descriptor(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    ink_cudnn_set_descriptor(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    ink_cudnn_set_descriptor(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b) ink_cudnn_set_descriptor(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    ink_cudnn_set_descriptor(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    ink_cudnn_finalize(g, operation);
    return operation;
}

/* ---- plans ---- */

/* One plan for an engine; false if it cannot be built or needs too much memory. This is no error of the
 * graph. */
static bool build_plan(ink_cudnn_graph *g, cudnnBackendDescriptor_t engine, size_t workspace,
                       cudnn_plan *plan) {
    ink_cudnn *c = g->cudnn;
    cudnnBackendDescriptor_t p = NULL;
    int64_t bytes = 0, n = 0;
    if (c->create_descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &p) != CUDNN_STATUS_SUCCESS)
        return false;
    if (c->set_attribute(p, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &c->handle) ==
            CUDNN_STATUS_SUCCESS &&
        c->set_attribute(p, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                         &engine) == CUDNN_STATUS_SUCCESS &&
        c->finalize(p) == CUDNN_STATUS_SUCCESS &&
        c->get_attribute(p, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n, &bytes) ==
            CUDNN_STATUS_SUCCESS &&
        bytes >= 0 && (uint64_t)bytes <= workspace) {
        *plan = (cudnn_plan){.descriptor = p, .workspace = (size_t)bytes};
        return true;
    }
    c->destroy_descriptor(p);
    return false;
}

/* Adds plans for the engines that this kind of heuristics lists. */
static void build_plans(ink_cudnn_graph *g, cudnnBackendDescriptor_t operations, cudnnBackendHeurMode_t mode,
                        size_t workspace, int most) {
    cudnnBackendDescriptor_t heuristics = ink_cudnn_descriptor(g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    ink_cudnn_set_descriptor(g, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, operations);
    ink_cudnn_set(g, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    ink_cudnn_finalize(g, heuristics);
    int64_t n = 0;
    if (g->status != CUDNN_STATUS_SUCCESS ||
        !keep(g, g->cudnn->get_attribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                         CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &n, NULL)) ||
        n < 1) {
        return;
    }
    cudnnBackendDescriptor_t *engines = calloc((size_t)n, sizeof *engines);
    if (!engines) {
        keep(g, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        engines[i] = ink_cudnn_descriptor(g, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    }
    int64_t found = 0;
    if (g->status == CUDNN_STATUS_SUCCESS &&
        keep(g, g->cudnn->get_attribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, n, &found, engines))) {
        for (int64_t i = 0; i < found && i < n && g->n_plans < most; i++) {
            if (build_plan(g, engines[i], workspace, &g->plans[g->n_plans])) g->n_plans++;
        }
    }
    free(engines);
}

ink_status ink_cudnn_build(ink_cudnn_graph *g, const cudnnBackendDescriptor_t *operations,
                           int64_t n_operations, size_t workspace, int most, ink_error *error) {
    g->plans = calloc((size_t)most, sizeof *g->plans);
    if (!g->plans) return ink_fail_memory(error, "plans of cuDNN", (size_t)most * sizeof *g->plans);
    cudnnBackendDescriptor_t all = ink_cudnn_descriptor(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    ink_cudnn_set(g, all, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &g->cudnn->handle);
    ink_cudnn_set(g, all, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n_operations,
                  operations);
    ink_cudnn_finalize(g, all);
    const bool good = g->status == CUDNN_STATUS_SUCCESS;
    build_plans(g, all, CUDNN_HEUR_MODE_A, workspace, most);
    if (g->n_plans == 0 && good) {
        g->status = CUDNN_STATUS_SUCCESS;
        build_plans(g, all, CUDNN_HEUR_MODE_FALLBACK, workspace, most);
    }
    if (g->n_plans > 0) return INK_OK;
    if (g->status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED)
        return ink_fail_memory(error, "a graph of cuDNN", message_bytes);
    if (g->status != CUDNN_STATUS_SUCCESS)
        return refuse(g->cudnn, "build a graph", g->status, g->message, error);
    return refuse(g->cudnn, "find an engine", CUDNN_STATUS_NOT_SUPPORTED,
                  "None of its engines takes the graph.", error);
}

int ink_cudnn_plan_count(const ink_cudnn_graph *g) {
    return g->n_plans;
}

size_t ink_cudnn_plan_workspace(const ink_cudnn_graph *g, int plan) {
    return g->plans[plan].workspace;
}

void ink_cudnn_keep_plan(ink_cudnn_graph *g, int plan) {
    for (int i = 0; i < g->n_plans; i++) {
        if (i != plan) g->cudnn->destroy_descriptor(g->plans[i].descriptor);
    }
    g->plans[0] = g->plans[plan];
    g->n_plans = 1;
}

/* ---- running ---- */

struct ink_cudnn_pack {
    ink_cudnn *cudnn;
    cudnnBackendDescriptor_t descriptor;
};

ink_status ink_cudnn_pack_create(ink_cudnn *c, int64_t n, const int64_t *ids, void *const *pointers,
                                 void *workspace, ink_cudnn_pack **pack, ink_error *error) {
    *pack = NULL;
    ink_cudnn_pack *p = calloc(1, sizeof *p);
    if (!p) return ink_fail_memory(error, "cuDNN's pointers", sizeof *p);
    p->cudnn = c;
    cudnnStatus_t status = c->create_descriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &p->descriptor);
    if (status == CUDNN_STATUS_SUCCESS) {
        status =
            c->set_attribute(p->descriptor, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, ids);
    }
    if (status == CUDNN_STATUS_SUCCESS) {
        status = c->set_attribute(p->descriptor, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                                  n, pointers);
    }
    if (status == CUDNN_STATUS_SUCCESS) {
        status = c->set_attribute(p->descriptor, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1,
                                  &workspace);
    }
    if (status == CUDNN_STATUS_SUCCESS) status = c->finalize(p->descriptor);
    if (status != CUDNN_STATUS_SUCCESS) {
        ink_cudnn_pack_destroy(p);
        return refuse(c, "take the pointers", status, "", error);
    }
    *pack = p;
    return INK_OK;
}

void ink_cudnn_pack_destroy(ink_cudnn_pack *pack) {
    if (!pack) return;
    if (pack->descriptor) pack->cudnn->destroy_descriptor(pack->descriptor);
    free(pack);
}

ink_status ink_cudnn_run(ink_cudnn_graph *g, int plan, const ink_cudnn_pack *pack, cudaStream_t stream,
                         ink_error *error) {
    ink_cudnn *c = g->cudnn;
    cudnnStatus_t status = c->set_stream(c->handle, stream);
    if (status == CUDNN_STATUS_SUCCESS)
        status = c->execute(c->handle, g->plans[plan].descriptor, pack->descriptor);
    if (status == CUDNN_STATUS_SUCCESS) return INK_OK;
    return ink_fail(error, INK_ERROR_INTERNAL, "cuDNN could not run a plan: %s", c->get_error_string(status));
}
