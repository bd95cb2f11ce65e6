#include "backend/cuda/weights.h"

#include "backend/cuda/fp8.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/memory.h"
#include "backend/cuda/upload.h"
#include "base/clock.h"

#include <stdlib.h>

enum {
    buckets = 4096,
    most_slab_bytes = 4 << 20,
    slab_part = 256, /* of a limit is a slab at most, */
    small_part = 16, /* of a slab a weight that shares one, */
    spare_part = 64, /* of a limit what loading takes for itself */
    alignment = 256
};
static const char streamed_weights[] = "weights that do not fit on the device";
static const size_t most_staging_bytes = (size_t)512 << 20, most_raw_bytes = (size_t)128 << 20;

/* Small weights share an allocation; it is freed with the last of them. */
typedef struct slab {
    char *memory;
    size_t bytes, used;
    int64_t users;
} slab;

struct ink_cuda_weight {
    ink_cuda_weight *next;
    ink_cuda_wanted wanted;
    int64_t users;   /* programs that know it */
    int64_t holders; /* programs that need what is on the device */
    void *memory;    /* NULL: not on the device */
    slab *slab;      /* that the memory belongs to; NULL: an allocation of its own */
    void *host;      /* a copy in pinned memory; NULL: none */
};

struct ink_cuda_weights {
    int device, threads;
    cudaStream_t stream;
    ink_cuda_memory *memory;
    ink_cuda_upload *upload; /* made when it is first needed */
    slab *open;              /* the slab with room, or NULL */
    size_t resident;
    double loaded_bytes, loading_seconds; /* from host memory, of files mostly */
    ink_cuda_weight *entries[buckets];
};

ink_status ink_cuda_weights_create(int device, cudaStream_t stream, int threads, ink_cuda_memory *memory,
                                   ink_cuda_weights **weights, ink_error *error) {
    *weights = calloc(1, sizeof **weights);
    if (!*weights) return ink_fail_memory(error, "weights", sizeof **weights);
    (*weights)->device = device;
    (*weights)->stream = stream;
    (*weights)->threads = threads;
    (*weights)->memory = memory;
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

static size_t padded(size_t bytes) {
    return (bytes + alignment - 1) & ~(size_t)(alignment - 1);
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

void *ink_cuda_weight_host(const ink_cuda_weight *weight) {
    return weight->host;
}

size_t ink_cuda_weight_padded(const ink_cuda_weight *weight) {
    return padded(ink_cuda_weight_bytes(weight));
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

/* At most one `part`th of a limit, if there is one. */
static size_t share(const ink_cuda_weights *weights, size_t most, size_t part) {
    const size_t bytes = weights->memory->limit / part;
    return weights->memory->limit && bytes < most ? bytes : most;
}

static ink_status allocate(ink_cuda_weights *weights, ink_cuda_weight *w, ink_error *error) {
    const size_t bytes = padded(ink_cuda_weight_bytes(w));
    const size_t slab_bytes = share(weights, most_slab_bytes, slab_part);
    if (bytes > slab_bytes / small_part) {
        INK_TRY(ink_cuda_allocate(weights->memory, bytes, "the weights", &w->memory, error));
        weights->resident += bytes;
        return INK_OK;
    }
    if (!weights->open || weights->open->used + bytes > weights->open->bytes) {
        slab *fresh = calloc(1, sizeof *fresh);
        if (!fresh) return ink_fail_memory(error, "a weight", sizeof *fresh);
        void *memory;
        const ink_status status =
            ink_cuda_allocate(weights->memory, slab_bytes, "the weights", &memory, error);
        if (status != INK_OK) {
            free(fresh);
            return status;
        }
        fresh->memory = memory;
        fresh->bytes = slab_bytes;
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
    const size_t bytes = padded(ink_cuda_weight_bytes(w));
    weights->resident -= bytes;
    if (!w->slab) {
        ink_cuda_free(weights->memory, w->memory, bytes);
    } else if (--w->slab->users == 0) {
        ink_cuda_free(weights->memory, w->slab->memory, w->slab->bytes);
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
    (void)cudaFreeHost(weight->host);
    free(weight);
}

void ink_cuda_weight_hold(ink_cuda_weight *weight, bool hold) {
    weight->holders += hold ? 1 : -1;
}

void ink_cuda_weights_trim(ink_cuda_weights *weights) {
    for (int i = 0; i < buckets; i++) {
        for (ink_cuda_weight *w = weights->entries[i]; w; w = w->next) {
            if (w->holders == 0) unload(weights, w);
        }
    }
}

ink_status ink_cuda_weight_copy_down(ink_cuda_weights *weights, ink_cuda_weight *weight, const void *from,
                                     ink_error *error) {
    const size_t bytes = ink_cuda_weight_bytes(weight);
    void *host;
    INK_TRY(ink_cuda_allocate_pinned(bytes, streamed_weights, &host, error));
    const ink_status status =
        ink_cuda_check(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, weights->stream),
                       "a copy of weights", error);
    if (status == INK_OK)
        weight->host = host;
    else
        (void)cudaFreeHost(host);
    return status;
}

void ink_cuda_weight_forget_host(ink_cuda_weight *weight) {
    (void)cudaFreeHost(weight->host);
    weight->host = NULL;
}

void ink_cuda_weights_speed(ink_cuda_weights *weights, double *bytes, double *seconds) {
    *bytes = weights->loaded_bytes;
    *seconds = weights->loading_seconds;
    weights->loaded_bytes = weights->loading_seconds = 0;
}

void ink_cuda_weights_destroy(ink_cuda_weights *weights) {
    if (!weights) return;
    ink_cuda_upload_destroy(weights->upload);
    free(weights);
}

/* ---- loading ---- */

typedef struct loading {
    ink_cuda_weight *const *list; /* [n] */
    void *const *to;              /* [n], where they go */
    size_t n;
    ink_cuda_transfer *transfers; /* [n_transfers], from host memory */
    size_t n_transfers;
    void **raw;    /* [n], convolution weights before they are packed; NULL: none */
    char *staging; /* weights that become e4m3, as bf16; NULL: none */
    size_t staging_bytes;
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

/* Of a convolution's weight as it is stored. */
static size_t raw_bytes(const ink_cuda_wanted *wanted) {
    return (size_t)elements(wanted) * ink_dtype_bytes(wanted->parts[0].dtype);
}

static ink_status bring_weight(ink_cuda_weights *weights, loading *l, size_t i, ink_error *error) {
    const ink_cuda_wanted *wanted = &l->list[i]->wanted;
    if (is_fp8(wanted)) return INK_OK; /* later */
    if (is_kernel(wanted)) {
        const ink_cuda_source *source = &wanted->parts[0];
        INK_TRY(ink_cuda_allocate(weights->memory, raw_bytes(wanted), "the packing of weights", &l->raw[i],
                                  error));
        return bring(weights, l, source, source->dtype, l->raw[i], error);
    }
    return bring_parts(weights, l, wanted, wanted->dtype, l->to[i], error);
}

static ink_status pack(ink_cuda_weights *weights, const loading *l, size_t i, ink_error *error) {
    const ink_cuda_wanted *wanted = &l->list[i]->wanted;
    const int64_t *k = wanted->kernel;
    return ink_cuda_check(ink_cuda_conv_pack_weight(weights->stream, l->raw[i], wanted->parts[0].dtype, k[0],
                                                    k[1], k[2], k[3], k[4], wanted->dtype, l->to[i]),
                          "the packing of weights", error);
}

/* The transfers so far. */
static ink_status transfer(ink_cuda_weights *weights, loading *l, ink_error *error) {
    if (l->n_transfers > 0 && !weights->upload)
        INK_TRY(ink_cuda_upload_create(weights->device, weights->threads, &weights->upload, error));
    const double begin = ink_clock_seconds();
    INK_TRY(ink_cuda_upload_run(weights->upload, l->transfers, l->n_transfers, weights->stream, error));
    for (size_t i = 0; i < l->n_transfers; i++) {
        const ink_cuda_transfer *t = &l->transfers[i];
        weights->loaded_bytes +=
            (double)(t->source.rows * t->source.columns) * (double)ink_dtype_bytes(t->dtype);
    }
    if (l->n_transfers > 0) weights->loading_seconds += ink_clock_seconds() - begin;
    l->n_transfers = 0;
    return INK_OK;
}

/* ---- weights that become e4m3: as many at a time as fit into the staging memory ---- */

static size_t staged_bytes(const ink_cuda_wanted *wanted) {
    return is_fp8(wanted) ? padded((size_t)elements(wanted) * ink_dtype_bytes(INK_BF16)) : 0;
}

static ink_status allocate_staging(const ink_cuda_weights *weights, loading *l, ink_error *error) {
    size_t all = 0, largest = 0;
    for (size_t i = 0; i < l->n; i++) {
        const size_t own = staged_bytes(&l->list[i]->wanted);
        all += own;
        if (own > largest) largest = own;
    }
    const size_t usual = share(weights, most_staging_bytes, spare_part);
    l->staging_bytes = all < usual ? all : largest > usual ? largest : usual;
    if (all == 0) return INK_OK;
    void *memory;
    const ink_status status =
        ink_cuda_allocate(weights->memory, l->staging_bytes, "the rounding of weights", &memory, error);
    l->staging = memory;
    return status;
}

/* Brings missing[begin ... end) to the staging memory and rounds them from there. What comes next waits for
 * that on the stream. */
static ink_status round_weights(ink_cuda_weights *weights, loading *l, size_t begin, size_t end,
                                ink_error *error) {
    char *to = l->staging;
    for (size_t i = begin; i < end; i++) {
        const ink_cuda_wanted *wanted = &l->list[i]->wanted;
        if (is_fp8(wanted)) INK_TRY(bring_parts(weights, l, wanted, INK_BF16, to, error));
        to += staged_bytes(wanted);
    }
    INK_TRY(transfer(weights, l, error));
    char *from = l->staging;
    for (size_t i = begin; i < end; i++) {
        const ink_cuda_wanted *wanted = &l->list[i]->wanted;
        if (!is_fp8(wanted)) continue;
        const int64_t columns = wanted->parts[0].columns, rows = elements(wanted) / columns;
        const ink_cuda_matrix x = {from, INK_BF16, rows, columns, columns},
                              out = {l->to[i], INK_F8_E4M3, rows, columns, columns};
        INK_TRY(ink_cuda_check(ink_cuda_quantise_rows(weights->stream, &x, INK_ACT_NONE, &out),
                               "the rounding of weights", error));
        from += staged_bytes(wanted);
    }
    return INK_OK;
}

static ink_status load_fp8(ink_cuda_weights *weights, loading *l, ink_error *error) {
    size_t used = 0, begin = 0;
    INK_TRY(allocate_staging(weights, l, error));
    if (!l->staging) return INK_OK;
    for (size_t i = 0; i < l->n; i++) {
        const size_t own = staged_bytes(&l->list[i]->wanted);
        if (used + own > l->staging_bytes) {
            INK_TRY(round_weights(weights, l, begin, i, error));
            begin = i;
            used = 0;
        }
        used += own;
    }
    return round_weights(weights, l, begin, l->n, error);
}

static ink_status bring_all(ink_cuda_weights *weights, loading *l, ink_error *error) {
    for (size_t i = 0; i < l->n; i++) {
        INK_TRY(bring_weight(weights, l, i, error));
    }
    INK_TRY(transfer(weights, l, error));
    for (size_t i = 0; i < l->n; i++) {
        if (l->raw[i]) INK_TRY(pack(weights, l, i, error));
    }
    return load_fp8(weights, l, error);
}

/* As many as share the memory for what is packed or rounded. */
static ink_status fetch_some(ink_cuda_weights *weights, ink_cuda_weight *const *list, size_t n,
                             void *const *to, ink_error *error) {
    loading l = {.list = list,
                 .to = to,
                 .n = n,
                 .transfers = calloc(n * ink_cuda_max_parts, sizeof *l.transfers),
                 .raw = calloc(n, sizeof *l.raw)};
    ink_status status = INK_OK;
    if (!l.transfers || !l.raw)
        status = ink_fail_memory(error, "loading weights", n * ink_cuda_max_parts * sizeof *l.transfers);
    if (status == INK_OK) status = bring_all(weights, &l, error);
    bool packed = l.staging != NULL;
    for (size_t i = 0; i < n && l.raw; i++) {
        packed = packed || l.raw[i];
    }
    if (packed || status != INK_OK) (void)cudaStreamSynchronize(weights->stream);
    for (size_t i = 0; i < n && l.raw; i++) {
        if (l.raw[i]) ink_cuda_free(weights->memory, l.raw[i], raw_bytes(&list[i]->wanted));
    }
    ink_cuda_free(weights->memory, l.staging, l.staging_bytes);
    free(l.transfers);
    free(l.raw);
    return status;
}

ink_status ink_cuda_weights_fetch(ink_cuda_weights *weights, ink_cuda_weight *const *list, size_t n,
                                  void *const *to, ink_error *error) {
    const size_t most = share(weights, most_raw_bytes, spare_part);
    for (size_t begin = 0, end = 0; begin < n; begin = end) {
        size_t raw = 0;
        do {
            if (is_kernel(&list[end]->wanted)) raw += raw_bytes(&list[end]->wanted);
            end++;
        } while (end < n && (!is_kernel(&list[end]->wanted) || raw + raw_bytes(&list[end]->wanted) <= most));
        INK_TRY(fetch_some(weights, list + begin, end - begin, to + begin, error));
    }
    return INK_OK;
}

ink_status ink_cuda_weights_load(ink_cuda_weights *weights, ink_cuda_weight *const *list, size_t n,
                                 ink_error *error) {
    ink_cuda_weight **missing = calloc(n + 1, sizeof *missing);
    void **to = calloc(n + 1, sizeof *to);
    size_t n_missing = 0;
    ink_status status = INK_OK;
    if (!missing || !to) status = ink_fail_memory(error, "loading weights", n * 2 * sizeof *to);
    for (size_t i = 0; i < n && status == INK_OK; i++) {
        if (list[i]->memory) continue; /* also if it stands twice in the list */
        status = allocate(weights, list[i], error);
        if (status != INK_OK) break;
        missing[n_missing] = list[i];
        to[n_missing++] = list[i]->memory;
    }
    if (status == INK_OK) status = ink_cuda_weights_fetch(weights, missing, n_missing, to, error);
    for (size_t i = 0; status != INK_OK && i < n_missing; i++) {
        unload(weights, missing[i]); /* without its data it must not be found */
    }
    free(missing);
    free(to);
    return status;
}
