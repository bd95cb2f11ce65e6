#include "backend/cuda/weights.h"

#include "backend/cuda/fp8.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/memory.h"
#include "backend/cuda/upload.h"

#include <stdlib.h>

enum { buckets = 4096, slab_bytes = 4 << 20, small_bytes = 1 << 18, alignment = 256 };
static const size_t staging_bytes = (size_t)512 << 20;

/* Small weights share an allocation; it is freed with the last of them. */
typedef struct slab {
    char *memory;
    size_t used;
    int64_t users;
} slab;

struct ink_cuda_weight {
    ink_cuda_weight *next;
    ink_cuda_wanted wanted;
    int64_t users;
    void *memory; /* NULL: not loaded */
    slab *slab;   /* that the memory belongs to; NULL: an allocation of its own */
};

struct ink_cuda_weights {
    int device, threads;
    cudaStream_t stream;
    ink_cuda_upload *upload; /* made when it is first needed */
    slab *open;              /* the slab with room, or NULL */
    size_t resident;
    ink_cuda_weight *entries[buckets];
};

ink_status ink_cuda_weights_create(int device, cudaStream_t stream, int threads, ink_cuda_weights **weights,
                                   ink_error *error) {
    *weights = calloc(1, sizeof **weights);
    if (!*weights) return ink_fail_memory(error, "weights", sizeof **weights);
    (*weights)->device = device;
    (*weights)->stream = stream;
    (*weights)->threads = threads;
    return INK_OK;
}

/* ---- entries ---- */

ink_cuda_source ink_cuda_source_of(const ink_value_info *info) {
    ink_cuda_source s = {.data = info->data,
                         .recipe = info->recipe,
                         .dtype = info->dtype,
                         .rows = ink_shape_rows(&info->shape),
                         .columns = ink_shape_columns(&info->shape)};
    s.key = (uint64_t)(uintptr_t)info->data;
    if (info->quantized) s.quantized = *info->quantized;
    if (!info->recipe) return s;
    s.key = info->recipe->key;
    for (const char *c = info->name; *c; c++) {
        s.key = (s.key ^ (unsigned char)*c) * 0x100000001B3u;
    }
    return s;
}

ink_cuda_source ink_cuda_source_of_ints(const int32_t *data, int64_t count) {
    return (ink_cuda_source){
        .key = (uint64_t)(uintptr_t)data, .data = data, .dtype = INK_I32, .rows = 1, .columns = count};
}

static bool same_source(const ink_cuda_source *a, const ink_cuda_source *b) {
    return a->key == b->key && a->dtype == b->dtype && a->rows == b->rows && a->columns == b->columns &&
           !a->recipe == !b->recipe;
}

static bool same_wanted(const ink_cuda_wanted *a, const ink_cuda_wanted *b) {
    if (a->n_parts != b->n_parts || a->dtype != b->dtype ||
        memcmp(a->kernel, b->kernel, sizeof a->kernel) != 0)
        return false;
    for (int i = 0; i < a->n_parts; i++) {
        if (!same_source(&a->parts[i], &b->parts[i])) return false;
    }
    return true;
}

static size_t bucket_of(const ink_cuda_wanted *wanted) {
    const uint64_t key = wanted->parts[0].key;
    return (size_t)((key ^ key >> 29) * 0x9E3779B97F4A7C15u >> 52) % buckets;
}

static int64_t elements(const ink_cuda_wanted *wanted) {
    int64_t count = 0;
    for (int i = 0; i < wanted->n_parts; i++) {
        count += wanted->parts[i].rows * wanted->parts[i].columns;
    }
    return count;
}

static bool is_kernel(const ink_cuda_wanted *wanted) {
    return wanted->kernel[0] > 0;
}

static bool is_fp8(const ink_cuda_wanted *wanted) {
    return wanted->dtype == INK_F8_E4M3;
}

size_t ink_cuda_weight_bytes(const ink_cuda_weight *weight) {
    int64_t count = elements(&weight->wanted);
    if (is_kernel(&weight->wanted)) count /= weight->wanted.kernel[2];
    if (is_fp8(&weight->wanted)) {
        const int64_t columns = weight->wanted.parts[0].columns;
        return ink_cuda_fp8_bytes(count / columns, columns);
    }
    return (size_t)count * ink_dtype_bytes(weight->wanted.dtype);
}

void *ink_cuda_weight_memory(const ink_cuda_weight *weight) {
    return weight->memory;
}

size_t ink_cuda_weights_resident(const ink_cuda_weights *weights) {
    return weights->resident;
}

ink_status ink_cuda_weight_acquire(ink_cuda_weights *weights, const ink_cuda_wanted *wanted,
                                   ink_cuda_weight **weight, ink_error *error) {
    ink_cuda_weight **bucket = &weights->entries[bucket_of(wanted)];
    for (ink_cuda_weight *w = *bucket; w; w = w->next) {
        if (!same_wanted(&w->wanted, wanted)) continue;
        w->users++;
        *weight = w;
        return INK_OK;
    }
    ink_cuda_weight *w = calloc(1, sizeof *w);
    if (!w) return ink_fail_memory(error, "a weight", sizeof *w);
    w->wanted = *wanted;
    w->users = 1;
    w->next = *bucket;
    *weight = *bucket = w;
    return INK_OK;
}

/* ---- memory ---- */

static size_t padded(size_t bytes) {
    return (bytes + alignment - 1) & ~(size_t)(alignment - 1);
}

static ink_status allocate(ink_cuda_weights *weights, ink_cuda_weight *w, ink_error *error) {
    const size_t bytes = padded(ink_cuda_weight_bytes(w));
    if (bytes > small_bytes) {
        INK_TRY(ink_cuda_allocate(bytes, "the weights", &w->memory, error));
        weights->resident += bytes;
        return INK_OK;
    }
    if (!weights->open || weights->open->used + bytes > slab_bytes) {
        slab *fresh = calloc(1, sizeof *fresh);
        if (!fresh) return ink_fail_memory(error, "a weight", sizeof *fresh);
        void *memory;
        const ink_status status = ink_cuda_allocate(slab_bytes, "the weights", &memory, error);
        if (status != INK_OK) {
            free(fresh);
            return status;
        }
        fresh->memory = memory;
        weights->open = fresh;
    }
    w->slab = weights->open;
    w->memory = w->slab->memory + w->slab->used;
    w->slab->used += bytes;
    w->slab->users++;
    weights->resident += bytes;
    return INK_OK;
}

static void unload(ink_cuda_weights *weights, ink_cuda_weight *w) {
    if (!w->memory) return;
    weights->resident -= padded(ink_cuda_weight_bytes(w));
    if (!w->slab) {
        (void)cudaFree(w->memory);
    } else if (--w->slab->users == 0) {
        (void)cudaFree(w->slab->memory);
        if (weights->open == w->slab) weights->open = NULL;
        free(w->slab);
    }
    w->slab = NULL;
    w->memory = NULL;
}

void ink_cuda_weight_release(ink_cuda_weights *weights, ink_cuda_weight *weight) {
    if (--weight->users > 0) return;
    ink_cuda_weight **at = &weights->entries[bucket_of(&weight->wanted)];
    while (*at != weight) {
        at = &(*at)->next;
    }
    *at = weight->next;
    unload(weights, weight);
    free(weight);
}

void ink_cuda_weights_destroy(ink_cuda_weights *weights) {
    if (!weights) return;
    ink_cuda_upload_destroy(weights->upload);
    free(weights);
}

/* ---- loading ---- */

typedef struct loading {
    ink_cuda_weight **missing; /* [n] */
    size_t n;
    ink_cuda_transfer *transfers; /* [n_transfers], from host memory */
    size_t n_transfers;
    void **raw;    /* [n], convolution weights before they are packed; NULL: none */
    char *staging; /* weights that become e4m3, as bf16; NULL: none */
} loading;

/* Brings one source to `to`: made here, or added to the transfers. */
static ink_status bring(ink_cuda_weights *weights, loading *l, const ink_cuda_source *source, ink_dtype dtype,
                        void *to, ink_error *error) {
    if (source->recipe) {
        const ink_synthetic_recipe *r = source->recipe;
        return ink_cuda_check(ink_cuda_synthetic_fill(weights->stream, r->key, r->scale, r->offset, dtype, 0,
                                                      source->rows * source->columns, to),
                              "synthetic weights", error);
    }
    l->transfers[l->n_transfers++] = (ink_cuda_transfer){.source = *source, .dtype = dtype, .to = to};
    return INK_OK;
}

/* All parts, one after the other, in one type. */
static ink_status bring_parts(ink_cuda_weights *weights, loading *l, const ink_cuda_wanted *wanted,
                              ink_dtype dtype, char *to, ink_error *error) {
    for (int p = 0; p < wanted->n_parts; p++) {
        const ink_cuda_source *source = &wanted->parts[p];
        INK_TRY(bring(weights, l, source, dtype, to, error));
        to += (size_t)(source->rows * source->columns) * ink_dtype_bytes(dtype);
    }
    return INK_OK;
}

static ink_status bring_weight(ink_cuda_weights *weights, loading *l, size_t i, ink_error *error) {
    const ink_cuda_weight *w = l->missing[i];
    const ink_cuda_wanted *wanted = &w->wanted;
    if (is_fp8(wanted)) return INK_OK; /* later */
    if (is_kernel(wanted)) {
        const ink_cuda_source *source = &wanted->parts[0];
        const size_t bytes = (size_t)elements(wanted) * ink_dtype_bytes(source->dtype);
        INK_TRY(ink_cuda_allocate(bytes, "the packing of weights", &l->raw[i], error));
        return bring(weights, l, source, source->dtype, l->raw[i], error);
    }
    return bring_parts(weights, l, wanted, wanted->dtype, w->memory, error);
}

static ink_status pack(ink_cuda_weights *weights, const loading *l, size_t i, ink_error *error) {
    const ink_cuda_wanted *wanted = &l->missing[i]->wanted;
    const int64_t *k = wanted->kernel;
    return ink_cuda_check(ink_cuda_conv_pack_weight(weights->stream, l->raw[i], wanted->parts[0].dtype, k[0],
                                                    k[1], k[2], k[3], k[4], wanted->dtype,
                                                    l->missing[i]->memory),
                          "the packing of weights", error);
}

/* The transfers so far. */
static ink_status transfer(ink_cuda_weights *weights, loading *l, ink_error *error) {
    if (l->n_transfers > 0 && !weights->upload)
        INK_TRY(ink_cuda_upload_create(weights->device, weights->threads, &weights->upload, error));
    INK_TRY(ink_cuda_upload_run(weights->upload, l->transfers, l->n_transfers, weights->stream, error));
    l->n_transfers = 0;
    return INK_OK;
}

/* ---- weights that become e4m3: as many at a time as fit into the staging memory ---- */

static size_t staged_bytes(const ink_cuda_wanted *wanted) {
    return is_fp8(wanted) ? padded((size_t)elements(wanted) * ink_dtype_bytes(INK_BF16)) : 0;
}

static ink_status allocate_staging(loading *l, size_t *bytes, ink_error *error) {
    size_t all = 0, largest = 0;
    for (size_t i = 0; i < l->n; i++) {
        const size_t own = staged_bytes(&l->missing[i]->wanted);
        all += own;
        if (own > largest) largest = own;
    }
    *bytes = all < staging_bytes ? all : largest > staging_bytes ? largest : staging_bytes;
    if (all == 0) return INK_OK;
    void *memory;
    const ink_status status = ink_cuda_allocate(*bytes, "the rounding of weights", &memory, error);
    l->staging = memory;
    return status;
}

/* Brings missing[begin ... end) to the staging memory and rounds them from there. What comes next waits for
 * that on the stream. */
static ink_status round_weights(ink_cuda_weights *weights, loading *l, size_t begin, size_t end,
                                ink_error *error) {
    char *to = l->staging;
    for (size_t i = begin; i < end; i++) {
        const ink_cuda_wanted *wanted = &l->missing[i]->wanted;
        if (is_fp8(wanted)) INK_TRY(bring_parts(weights, l, wanted, INK_BF16, to, error));
        to += staged_bytes(wanted);
    }
    INK_TRY(transfer(weights, l, error));
    char *from = l->staging;
    for (size_t i = begin; i < end; i++) {
        const ink_cuda_wanted *wanted = &l->missing[i]->wanted;
        if (!is_fp8(wanted)) continue;
        const int64_t columns = wanted->parts[0].columns, rows = elements(wanted) / columns;
        const ink_cuda_matrix x = {from, INK_BF16, rows, columns, columns},
                              out = {l->missing[i]->memory, INK_F8_E4M3, rows, columns, columns};
        INK_TRY(ink_cuda_check(ink_cuda_quantise_rows(weights->stream, &x, INK_ACT_NONE, &out),
                               "the rounding of weights", error));
        from += staged_bytes(wanted);
    }
    return INK_OK;
}

static ink_status load_fp8(ink_cuda_weights *weights, loading *l, ink_error *error) {
    size_t bytes = 0, used = 0, begin = 0;
    INK_TRY(allocate_staging(l, &bytes, error));
    if (!l->staging) return INK_OK;
    for (size_t i = 0; i < l->n; i++) {
        const size_t own = staged_bytes(&l->missing[i]->wanted);
        if (used + own > bytes) {
            INK_TRY(round_weights(weights, l, begin, i, error));
            begin = i;
            used = 0;
        }
        used += own;
    }
    return round_weights(weights, l, begin, l->n, error);
}

static ink_status load_missing(ink_cuda_weights *weights, loading *l, ink_error *error) {
    for (size_t i = 0; i < l->n; i++) {
        INK_TRY(bring_weight(weights, l, i, error));
    }
    INK_TRY(transfer(weights, l, error));
    for (size_t i = 0; i < l->n; i++) {
        if (l->raw[i]) INK_TRY(pack(weights, l, i, error));
    }
    return load_fp8(weights, l, error);
}

/* Allocates what is not there; says so early if it cannot fit. */
static ink_status allocate_missing(ink_cuda_weights *weights, ink_cuda_weight *const *list, size_t n,
                                   loading *l, ink_error *error) {
    size_t bytes = 0, free_bytes = 0, all_bytes = 0;
    for (size_t i = 0; i < n; i++) {
        if (!list[i]->memory) bytes += padded(ink_cuda_weight_bytes(list[i]));
    }
    if (bytes == 0) return INK_OK;
    if (cudaMemGetInfo(&free_bytes, &all_bytes) == cudaSuccess && bytes > free_bytes)
        return ink_cuda_fail_memory(error, "the weights", bytes);
    for (size_t i = 0; i < n; i++) {
        if (list[i]->memory) continue; /* also if it stands twice in the list */
        INK_TRY(allocate(weights, list[i], error));
        l->missing[l->n++] = list[i];
    }
    return INK_OK;
}

ink_status ink_cuda_weights_load(ink_cuda_weights *weights, ink_cuda_weight *const *list, size_t n,
                                 ink_error *error) {
    if (n == 0) return INK_OK;
    loading l = {.missing = calloc(n, sizeof *l.missing),
                 .transfers = calloc(n * ink_cuda_max_parts, sizeof *l.transfers),
                 .raw = calloc(n, sizeof *l.raw)};
    ink_status status = INK_OK;
    if (!l.missing || !l.transfers || !l.raw)
        status = ink_fail_memory(error, "loading weights", n * ink_cuda_max_parts * sizeof *l.transfers);
    if (status == INK_OK) status = allocate_missing(weights, list, n, &l, error);
    if (status == INK_OK) status = load_missing(weights, &l, error);
    bool packed = l.staging != NULL;
    for (size_t i = 0; i < l.n; i++) {
        packed = packed || l.raw[i];
    }
    if (packed || status != INK_OK) (void)cudaStreamSynchronize(weights->stream);
    for (size_t i = 0; i < l.n; i++) {
        (void)cudaFree(l.raw[i]);
        if (status != INK_OK) unload(weights, l.missing[i]); /* without its data it must not be found */
    }
    (void)cudaFree(l.staging);
    free(l.missing);
    free(l.transfers);
    free(l.raw);
    return status;
}
