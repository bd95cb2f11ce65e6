#include "backend/cuda/linear.h"

#include "backend/cuda/fp8.h"
#include "backend/cuda/linear_thin_plan.h"
#include "backend/cuda/linear_trial.h"
#include "backend/cuda/memory.h"

#include <assert.h>
#include <cublasLt.h>
#include <stdlib.h>

enum { workspace_bytes = 32 << 20, most_candidates = 24 };
/* Algorithms that need no more than a counter have one of their own in each launch of a program. */
enum { most_counters = 2048 };
/* A product that touches less finds it in the caches if it is run again. */
static const double beyond_caches = 80e6;
/* Below this many multiply-adds any candidate is as good as another. */
static const double worth_timing = 1e8;

/* What makes problems alike. */
typedef struct linear_key {
    int64_t m, n, k, x_stride, out_stride;
    int beside;
    ink_dtype x, out;
    ink_activation activation;
    bool bias;
    uint32_t x_alignment, weight_alignment, out_alignment, bias_alignment;
} linear_key;

struct ink_cuda_linear {
    ink_cuda_linear *next;
    linear_key key;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t x, weight, out;
    cublasLtMatmulAlgo_t algorithm;
    bool bias_inside, activation_inside; /* the product's epilogue does it */
    bool counts;                         /* its workspace is a counter, which is 0 at the begin */
    bool plain;                          /* of e4m3: no library can, our own kernel does all */
    int thin; /* our own kernel does all, with this width of linear_thin.h; or -1 */
};

struct ink_cuda_linears {
    cublasLtHandle_t handle;
    int major, minor, multiprocessors;
    char *workspace, *counters;
    ink_cuda_linear *found;
};

static ink_status check(cublasStatus_t code, const char *what, ink_error *error) {
    if (code == CUBLAS_STATUS_SUCCESS) return INK_OK;
    return ink_fail(error, code == CUBLAS_STATUS_ALLOC_FAILED ? INK_ERROR_MEMORY : INK_ERROR_INTERNAL,
                    "cuBLASLt could not do %s: %s", what, cublasLtGetStatusString(code));
}

static ink_status ask_device(ink_cuda_linears *l, ink_error *error) {
    const struct {
        enum cudaDeviceAttr name;
        int *value;
    } wanted[] = {{cudaDevAttrComputeCapabilityMajor, &l->major},
                  {cudaDevAttrComputeCapabilityMinor, &l->minor},
                  {cudaDevAttrMultiProcessorCount, &l->multiprocessors}};
    int device = 0;
    INK_TRY(ink_cuda_check(cudaGetDevice(&device), "products", error));
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        INK_TRY(ink_cuda_check(cudaDeviceGetAttribute(wanted[i].value, wanted[i].name, device), "products",
                               error));
    }
    return INK_OK;
}

static ink_status allocate(char **memory, size_t bytes, ink_error *error) {
    void *taken = NULL;
    INK_TRY(ink_cuda_check(cudaMalloc(&taken, bytes), "products", error));
    *memory = taken;
    return INK_OK;
}

ink_status ink_cuda_linears_create(ink_cuda_linears **linears, ink_error *error) {
    *linears = NULL;
    ink_cuda_linears *l = calloc(1, sizeof *l);
    if (!l) return ink_fail_memory(error, "products", sizeof *l);
    ink_status status = check(cublasLtCreate(&l->handle), "its start", error);
    if (status == INK_OK) status = ask_device(l, error);
    if (status == INK_OK) status = allocate(&l->workspace, workspace_bytes, error);
    if (status == INK_OK) status = allocate(&l->counters, ink_cuda_counter_bytes * most_counters, error);
    if (status != INK_OK) {
        ink_cuda_linears_destroy(l);
        return status;
    }
    *linears = l;
    return INK_OK;
}

static void destroy_linear(ink_cuda_linear *l) {
    if (!l) return;
    if (l->operation) (void)cublasLtMatmulDescDestroy(l->operation);
    if (l->x) (void)cublasLtMatrixLayoutDestroy(l->x);
    if (l->weight) (void)cublasLtMatrixLayoutDestroy(l->weight);
    if (l->out) (void)cublasLtMatrixLayoutDestroy(l->out);
    free(l);
}

void ink_cuda_linears_destroy(ink_cuda_linears *linears) {
    if (!linears) return;
    while (linears->found) {
        ink_cuda_linear *l = linears->found;
        linears->found = l->next;
        destroy_linear(l);
    }
    (void)cudaFree(linears->workspace);
    (void)cudaFree(linears->counters);
    if (linears->handle) (void)cublasLtDestroy(linears->handle);
    free(linears);
}

size_t ink_cuda_linears_bytes(const ink_cuda_linears *linears) {
    (void)linears;
    return workspace_bytes;
}

void *ink_cuda_linears_counters(const ink_cuda_linears *linears, size_t *bytes) {
    *bytes = (size_t)ink_cuda_counter_bytes * most_counters;
    return linears->counters;
}

void *ink_cuda_linears_scratch(const ink_cuda_linears *linears) {
    return linears->workspace;
}

/* ---- what a problem looks like to the library ---- */

/* The largest power of two up to 256 that divides an address. */
static uint32_t alignment_of(const void *address) {
    const uintptr_t bits = (uintptr_t)address | 256;
    return (uint32_t)(bits & (~bits + 1));
}

static linear_key key_of(const ink_cuda_linear_problem *p) {
    linear_key key;
    memset(&key, 0, sizeof key); /* compared as bytes */
    key.m = p->x.rows;
    key.n = p->out.columns;
    key.k = p->x.columns;
    key.beside = p->beside;
    key.x_stride = p->x.stride;
    key.out_stride = p->out.stride;
    key.x = p->x.dtype;
    key.out = p->out.dtype;
    key.activation = p->activation;
    key.bias = p->bias != NULL;
    key.x_alignment = alignment_of(p->x.data);
    key.weight_alignment = alignment_of(p->weight);
    key.out_alignment = alignment_of(p->out.data);
    key.bias_alignment = alignment_of(p->bias);
    return key;
}

static cudaDataType_t type_of(ink_dtype dtype) {
    return dtype == INK_F8_E4M3 ? CUDA_R_8F_E4M3 : dtype == INK_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static ink_status set_fast_sums(ink_cuda_linear *l, bool on, ink_error *error) {
    const int8_t fast = on;
    return check(
        cublasLtMatmulDescSetAttribute(l->operation, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &fast, sizeof fast),
        "sums", error);
}

/* Each row of x and of W has a scale. Sums of the fast kind are short of some bits, which is little beside
 * the rounding of the factors. */
static ink_status describe_fp8(ink_cuda_linear *l, ink_error *error) {
    const int32_t rows = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    INK_TRY(check(
        cublasLtMatmulDescSetAttribute(l->operation, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &rows, sizeof rows),
        "scales", error));
    INK_TRY(check(
        cublasLtMatmulDescSetAttribute(l->operation, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &rows, sizeof rows),
        "scales", error));
    return set_fast_sums(l, true, error);
}

/* The product is to run on so many multiprocessors. */
static ink_status leave_alone(ink_cuda_linear *l, int multiprocessors, ink_error *error) {
    const int32_t target = multiprocessors;
    return check(cublasLtMatmulDescSetAttribute(l->operation, CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, &target,
                                                sizeof target),
                 "a product on a part of the device", error);
}

/* The library counts columns first: to it our row-major x [M, K] is a K x M matrix whose columns lie x.stride
 * apart, W [N, K] is K x N and is transposed, and out [M, N] is N x M = W^T x. The bias runs along out's rows
 * in its sense. */
static ink_status describe(ink_cuda_linear *l, int multiprocessors, ink_error *error) {
    const linear_key *key = &l->key;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    INK_TRY(
        check(cublasLtMatmulDescCreate(&l->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a product", error));
    INK_TRY(check(cublasLtMatmulDescSetAttribute(l->operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                                 sizeof transposed),
                  "a product", error));
    if (key->x == INK_F8_E4M3) INK_TRY(describe_fp8(l, error));
    if (key->beside > 0) INK_TRY(leave_alone(l, multiprocessors - key->beside, error));
    const uint64_t m = (uint64_t)key->m, n = (uint64_t)key->n, k = (uint64_t)key->k;
    INK_TRY(check(cublasLtMatrixLayoutCreate(&l->weight, type_of(key->x), k, n, key->k), "a product", error));
    INK_TRY(
        check(cublasLtMatrixLayoutCreate(&l->x, type_of(key->x), k, m, key->x_stride), "a product", error));
    return check(cublasLtMatrixLayoutCreate(&l->out, type_of(key->out), n, m, key->out_stride), "a product",
                 error);
}

/* What the epilogue is to do. There is none for SiLU. */
static ink_status set_epilogue(ink_cuda_linear *l, bool bias, bool activation, ink_error *error) {
    l->bias_inside = bias;
    l->activation_inside = activation;
    const cublasLtEpilogue_t epilogue = activation
                                            ? bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU
                                        : bias ? CUBLASLT_EPILOGUE_BIAS
                                               : CUBLASLT_EPILOGUE_DEFAULT;
    INK_TRY(check(cublasLtMatmulDescSetAttribute(l->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                                 sizeof epilogue),
                  "a product's epilogue", error));
    if (!bias) return INK_OK;
    const int32_t type = (int32_t)type_of(l->key.out);
    return check(
        cublasLtMatmulDescSetAttribute(l->operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type),
        "a product's epilogue", error);
}

/* What the operation knows of a problem's memory. */
static ink_status set_pointers(const ink_cuda_linear *l, const ink_cuda_linear_problem *p, ink_error *error) {
    if (l->bias_inside) {
        INK_TRY(check(cublasLtMatmulDescSetAttribute(l->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                                     &p->bias, sizeof p->bias),
                      "a product's bias", error));
    }
    if (l->key.x != INK_F8_E4M3) return INK_OK;
    const float *of_x = ink_cuda_fp8_scales(p->x.data, p->x.rows, p->x.columns),
                *of_weight = ink_cuda_fp8_scales(p->weight, p->out.columns, p->x.columns);
    INK_TRY(check(cublasLtMatmulDescSetAttribute(l->operation, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER,
                                                 &of_weight, sizeof of_weight),
                  "a product's scales", error));
    return check(cublasLtMatmulDescSetAttribute(l->operation, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &of_x,
                                                sizeof of_x),
                 "a product's scales", error);
}

/* ---- candidates ---- */

static ink_status set_preferences(const linear_key *key, cublasLtMatmulPreference_t preference,
                                  ink_error *error) {
    const size_t workspace = workspace_bytes;
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        uint32_t value;
    } alignments[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key->weight_alignment},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key->x_alignment},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key->out_alignment},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key->out_alignment}};
    INK_TRY(check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                       &workspace, sizeof workspace),
                  "a choice", error));
    for (size_t i = 0; i < sizeof alignments / sizeof alignments[0]; i++) {
        INK_TRY(check(cublasLtMatmulPreferenceSetAttribute(preference, alignments[i].name,
                                                           &alignments[i].value, sizeof(uint32_t)),
                      "a choice", error));
    }
    return INK_OK;
}

/* The library's guesses, best first; *n may become 0. */
static ink_status ask(const ink_cuda_linears *linears, const ink_cuda_linear *l,
                      const ink_cuda_linear_problem *p, cublasLtMatmulHeuristicResult_t *results, int *n,
                      ink_error *error) {
    *n = 0;
    INK_TRY(set_pointers(l, p, error));
    cublasLtMatmulPreference_t preference;
    INK_TRY(check(cublasLtMatmulPreferenceCreate(&preference), "a choice", error));
    ink_status status = set_preferences(&l->key, preference, error);
    if (status == INK_OK) {
        const cublasStatus_t code =
            cublasLtMatmulAlgoGetHeuristic(linears->handle, l->operation, l->weight, l->x, l->out, l->out,
                                           preference, most_candidates, results, n);
        if (code != CUBLAS_STATUS_SUCCESS) *n = 0; /* mostly: not supported */
    }
    (void)cublasLtMatmulPreferenceDestroy(preference);
    int good = 0;
    for (int i = 0; i < *n; i++) {
        if (results[i].state == CUBLAS_STATUS_SUCCESS) results[good++] = results[i];
    }
    *n = good;
    return status;
}

/* Candidates with as much in the epilogue as the library can do; there may be none. Its GELU is good to 17
 * bits or so, which is plenty for bf16 and too little for f32. */
static ink_status ask_for_less(const ink_cuda_linears *linears, ink_cuda_linear *l,
                               const ink_cuda_linear_problem *p, cublasLtMatmulHeuristicResult_t *results,
                               int *n, ink_error *error) {
    const bool activation = l->key.activation == INK_ACT_GELU_TANH && l->key.out != INK_F32;
    /* With e4m3 factors it says that it can add a bias of f32, and then cannot. */
    const bool bias = l->key.bias && (l->key.x != INK_F8_E4M3 || l->key.out != INK_F32);
    const struct {
        bool bias, activation;
    } wishes[] = {{bias, activation && bias == l->key.bias}, {bias, false}, {false, false}};
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        INK_TRY(set_epilogue(l, wishes[i].bias, wishes[i].activation, error));
        INK_TRY(ask(linears, l, p, results, n, error));
        if (*n > 0) return INK_OK;
    }
    return INK_OK;
}

static ink_status find_candidates(const ink_cuda_linears *linears, ink_cuda_linear *l,
                                  const ink_cuda_linear_problem *p, cublasLtMatmulHeuristicResult_t *results,
                                  int *n, ink_error *error) {
    INK_TRY(ask_for_less(linears, l, p, results, n, error));
    if (*n > 0) return INK_OK;
    if (l->key.x == INK_F8_E4M3) {
        INK_TRY(set_fast_sums(l, false, error));
        INK_TRY(ask_for_less(linears, l, p, results, n, error));
        l->plain = *n == 0;
        return INK_OK;
    }
    return ink_fail(
        error, INK_ERROR_UNSUPPORTED,
        "cuBLASLt has no product of %lld x %lld by %lld x %lld (%s) on this device; use --precision "
        "f32 or --backend cpu",
        (long long)l->key.m, (long long)l->key.k, (long long)l->key.k, (long long)l->key.n,
        ink_dtype_name(l->key.x));
}

/* ---- running ---- */

static cublasStatus_t multiply(const ink_cuda_linears *linears, const ink_cuda_linear *l,
                               const cublasLtMatmulAlgo_t *algorithm, const ink_cuda_linear_problem *p,
                               cudaStream_t stream) {
    const float one = 1, zero = 0;
    const bool counts = l->counts && p->place > 0 && p->place < most_counters;
    return cublasLtMatmul(linears->handle, l->operation, &one, p->weight, l->weight, p->x.data, l->x, &zero,
                          p->out.data, l->out, p->out.data, l->out, algorithm,
                          counts ? linears->counters + ink_cuda_counter_bytes * p->place : linears->workspace,
                          counts ? ink_cuda_counter_bytes : workspace_bytes, stream);
}

bool ink_cuda_linear_is_plain(const ink_cuda_linear *l) {
    return l->plain;
}

ink_status ink_cuda_linear_run(ink_cuda_linears *linears, const ink_cuda_linear *l,
                               const ink_cuda_linear_problem *p, cudaStream_t stream, ink_error *error) {
    if (l->plain) {
        return ink_cuda_check(ink_cuda_fp8_linear(stream, &p->x, p->weight, p->bias, p->activation, &p->out),
                              "a product", error);
    }
    if (l->thin >= 0) return ink_thin_linear_run(p, l->thin, stream, error);
    INK_TRY(set_pointers(l, p, error));
    INK_TRY(check(multiply(linears, l, &l->algorithm, p, stream), "a product", error));
    const bool bias = p->bias && !l->bias_inside,
               activation = p->activation != INK_ACT_NONE && !l->activation_inside;
    if (!bias && !activation) return INK_OK;
    return ink_cuda_check(ink_cuda_bias_activation(stream, &p->out, bias ? p->bias : NULL, p->out.dtype,
                                                   activation ? p->activation : INK_ACT_NONE, &p->out),
                          "bias and activation", error);
}

/* ---- choosing ---- */

static double bytes_touched(const linear_key *key) {
    const double m = (double)key->m, n = (double)key->n, k = (double)key->k;
    return (m * k + n * k) * (double)ink_dtype_bytes(key->x) + m * n * (double)ink_dtype_bytes(key->out);
}

/* Products of e4m3 numbers may be offered and then refused. */
static void drop_refused(const ink_cuda_linears *linears, ink_cuda_linear *l,
                         const ink_cuda_linear_problem *p, cublasLtMatmulHeuristicResult_t *results, int *n,
                         cudaStream_t stream) {
    int good = 0;
    for (int i = 0; i < *n; i++) {
        if (multiply(linears, l, &results[i].algo, p, stream) == CUBLAS_STATUS_SUCCESS)
            results[good++] = results[i];
    }
    *n = good;
    l->plain = good == 0;
}

static_assert(most_candidates + 1 <= ink_cuda_most_candidates, "a trial takes all candidates");

typedef struct contest {
    const ink_cuda_linears *linears;
    const ink_cuda_linear *linear;
    const ink_cuda_linear_problem *problem;
    const cublasLtMatmulHeuristicResult_t *results; /* [n] */
    int n, thin;
} contest;

/* In a step our own takes longer than in a trial where it has two bands of rows: 36 us on an H200, where the
 * library took 31, for 12288 columns of a text of 128 rows. */
static const float own_counts = 1.1f;

/* The library's candidates, and after them our own. */
static bool run_candidate(void *user, int i, cudaStream_t stream) {
    const contest *c = user;
    if (i == c->n) return ink_thin_linear_run(c->problem, c->thin, stream, NULL) == INK_OK;
    return multiply(c->linears, c->linear, &c->results[i].algo, c->problem, stream) == CUBLAS_STATUS_SUCCESS;
}

static ink_status choose(const ink_cuda_linears *linears, ink_cuda_linear *l,
                         const ink_cuda_linear_problem *p, const cublasLtMatmulHeuristicResult_t *results,
                         int n, cudaStream_t stream, ink_error *error) {
    if (n == 0) return INK_OK;
    const int left = linears->multiprocessors - p->beside;
    contest c = {linears, l, p, results, n, ink_thin_width_of(p, linears->major, linears->minor, left)};
    if (c.thin >= 0 && ink_thin_linear_prepare(p, c.thin, NULL) != INK_OK) c.thin = -1;
    int best = 0;
    if ((double)l->key.m * (double)l->key.n * (double)l->key.k >= worth_timing) {
        const ink_cuda_trial trial = {
            .run = run_candidate,
            .user = &c,
            .candidates = c.thin >= 0 ? n + 1 : n,
            .last_counts = c.thin >= 0 && l->key.m > ink_thin_band_rows ? own_counts : 1,
            .flush = bytes_touched(&l->key) < beyond_caches ? linears->workspace : NULL,
            .flush_bytes = workspace_bytes};
        INK_TRY(ink_cuda_trial_run(&trial, stream, &best, error));
    }
    if (best == n) {
        l->thin = c.thin;
        return INK_OK;
    }
    l->algorithm = results[best].algo;
    l->counts = results[best].workspaceSize > 0 && results[best].workspaceSize <= ink_cuda_counter_bytes;
    return INK_OK;
}

ink_status ink_cuda_linear_find(ink_cuda_linears *linears, const ink_cuda_linear_problem *p,
                                cudaStream_t stream, const ink_cuda_linear **linear, ink_error *error) {
    const linear_key key = key_of(p);
    for (const ink_cuda_linear *l = linears->found; l; l = l->next) {
        if (memcmp(&l->key, &key, sizeof key) != 0) continue;
        *linear = l;
        return INK_OK;
    }
    ink_cuda_linear *l = calloc(1, sizeof *l);
    if (!l) return ink_fail_memory(error, "a product", sizeof *l);
    l->key = key;
    l->thin = -1;
    cublasLtMatmulHeuristicResult_t results[most_candidates];
    int n = 0;
    ink_status status = describe(l, linears->multiprocessors, error);
    if (status == INK_OK) status = find_candidates(linears, l, p, results, &n, error);
    if (status == INK_OK) status = set_pointers(l, p, error);
    if (status == INK_OK && key.x == INK_F8_E4M3) drop_refused(linears, l, p, results, &n, stream);
    if (status == INK_OK) status = choose(linears, l, p, results, n, stream, error);
    if (status != INK_OK) {
        destroy_linear(l);
        return status;
    }
    l->next = linears->found;
    *linear = linears->found = l;
    return INK_OK;
}
