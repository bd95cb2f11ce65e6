#include "weights/safetensors.h"

#include "base/quote.h"
#include "weights/json_scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Where the parser is. */
typedef struct parser {
    ink_scan scan;
    ink_safetensors *out;
    size_t capacity, metadata_capacity;
    const unsigned char *data; /* behind the header */
    size_t data_bytes;
    bool has_metadata;
} parser;

/* "<path>: tensor "<name>" <sentence>" */
static ink_status INK_PRINTF(3, 4) fail_tensor(const parser *p, const char *name, const char *format, ...) {
    char sentence[INK_MESSAGE_BYTES / 2], quoted[INK_QUOTE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(sentence, sizeof sentence, format, arguments) < 0) sentence[0] = '\0';
    va_end(arguments);
    return ink_fail(p->scan.error, INK_ERROR_FORMAT, "%s: tensor \"%s\" %s", p->scan.what,
                    ink_quote(name, quoted), sentence);
}

/* Makes room for one more element of `size` bytes; NULL if memory runs out. */
static void *grown(void *array, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity) return array;
    const size_t more = *capacity ? *capacity * 2 : 64;
    size_t bytes;
    if (!ink_size_mul(more, size, &bytes)) return NULL;
    void *moved = realloc(array, bytes);
    if (moved) *capacity = more;
    return moved;
}

/* One tensor */

static const struct {
    const char *name;
    ink_dtype dtype;
} stored_types[] = {
    {"F32", INK_F32},         {"BF16", INK_BF16},       {"F16", INK_F16},   {"F64", INK_F64},
    {"F8_E4M3", INK_F8_E4M3}, {"F8_E5M2", INK_F8_E5M2}, {"I8", INK_I8},     {"I16", INK_I16},
    {"I32", INK_I32},         {"I64", INK_I64},         {"U8", INK_U8},     {"U16", INK_U16},
    {"U32", INK_U32},         {"U64", INK_U64},         {"BOOL", INK_BOOL},
};

/* What the header says about a tensor. */
typedef struct description {
    bool has_dtype, has_shape, has_offsets;
    char dtype[24];
    ink_shape shape; /* the first dimensions; rank may be more than INK_MAX_RANK */
    int64_t elements;
    bool too_many; /* elements do not fit */
    int64_t begin, end;
} description;

static ink_status scan_shape(parser *p, description *d) {
    int64_t product = 1; /* of the dimensions that are not 0, so that it is the same in every order */
    bool empty = false;
    INK_TRY(ink_scan_expect(&p->scan, '['));
    for (bool first = true, more;;) {
        INK_TRY(ink_scan_item(&p->scan, ']', &first, &more));
        if (!more) break;
        int64_t dim;
        INK_TRY(ink_scan_count(&p->scan, &dim));
        if (d->shape.rank < INK_MAX_RANK) d->shape.dim[d->shape.rank] = dim;
        d->shape.rank++; /* at most one per byte of the header: no overflow */
        if (dim == 0) {
            empty = true;
        } else if (__builtin_mul_overflow(product, dim, &product)) {
            d->too_many = true;
            product = 1;
        }
    }
    d->elements = empty ? 0 : product;
    return INK_OK;
}

static ink_status scan_offsets(parser *p, description *d) {
    INK_TRY(ink_scan_expect(&p->scan, '['));
    INK_TRY(ink_scan_count(&p->scan, &d->begin));
    INK_TRY(ink_scan_expect(&p->scan, ','));
    INK_TRY(ink_scan_count(&p->scan, &d->end));
    return ink_scan_expect(&p->scan, ']');
}

static ink_status scan_description(parser *p, const char *name, description *d) {
    INK_TRY(ink_scan_expect(&p->scan, '{'));
    for (bool first = true, more;;) {
        INK_TRY(ink_scan_item(&p->scan, '}', &first, &more));
        if (!more) break;
        char key[16];
        INK_TRY(ink_scan_word(&p->scan, key, sizeof key));
        INK_TRY(ink_scan_expect(&p->scan, ':'));
        bool *seen = strcmp(key, "dtype") == 0          ? &d->has_dtype
                     : strcmp(key, "shape") == 0        ? &d->has_shape
                     : strcmp(key, "data_offsets") == 0 ? &d->has_offsets
                                                        : NULL;
        if (!seen) {
            INK_TRY(ink_scan_skip(&p->scan));
            continue;
        }
        if (*seen) return fail_tensor(p, name, "has the key \"%s\" twice", key);
        *seen = true;
        if (seen == &d->has_dtype) {
            INK_TRY(ink_scan_word(&p->scan, d->dtype, sizeof d->dtype));
        } else if (seen == &d->has_shape) {
            INK_TRY(scan_shape(p, d));
        } else {
            INK_TRY(scan_offsets(p, d));
        }
    }
    const char *missing = !d->has_dtype     ? "dtype"
                          : !d->has_shape   ? "shape"
                          : !d->has_offsets ? "data_offsets"
                                            : NULL;
    return missing ? fail_tensor(p, name, "has no \"%s\"", missing) : INK_OK;
}

/* Text about what this version cannot read, in the arena. */
static ink_status INK_PRINTF(3, 4)
    mark_unsupported(parser *p, ink_tensor_entry *entry, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    entry->unsupported = ink_arena_vprintf(&p->out->arena, format, arguments);
    va_end(arguments);
    /* So that its bytes are counted right. */
    entry->weight.dtype = INK_U8;
    entry->weight.shape = ink_shape1((int64_t)entry->n_bytes);
    return entry->unsupported ? INK_OK : ink_fail_memory(p->scan.error, "a tensor table", 64);
}

/* Checks a description against the file and fills the entry. */
static ink_status take_description(parser *p, const description *d, ink_tensor_entry *entry) {
    const char *name = entry->weight.name;
    if (d->end < d->begin) {
        return fail_tensor(p, name, "ends at offset %" PRId64 ", before it begins at %" PRId64, d->end,
                           d->begin);
    }
    if ((uint64_t)d->end > p->data_bytes) {
        return fail_tensor(
            p, name,
            "ends at offset %" PRId64
            ", but the file holds only %zu bytes of data: it is cut or was not downloaded whole",
            d->end, p->data_bytes);
    }
    if (d->too_many) return fail_tensor(p, name, "has more than 2^63 elements");
    entry->bytes = p->data + d->begin;
    entry->n_bytes = (size_t)(d->end - d->begin);

    const size_t n_types = sizeof stored_types / sizeof *stored_types;
    size_t type = 0;
    while (type < n_types && strcmp(stored_types[type].name, d->dtype) != 0) {
        type++;
    }
    if (type == n_types) {
        char quoted[INK_QUOTE_BYTES];
        return mark_unsupported(p, entry, "is stored as \"%s\", which this version cannot read",
                                ink_quote(d->dtype, quoted));
    }
    entry->weight.dtype = stored_types[type].dtype;
    const size_t unit = ink_dtype_bytes(entry->weight.dtype);
    if (entry->n_bytes / unit != (uint64_t)d->elements || entry->n_bytes % unit != 0) {
        return fail_tensor(p, name,
                           "has %zu bytes, but its shape of %" PRId64 " elements of %s needs another size",
                           entry->n_bytes, d->elements, d->dtype);
    }
    if (d->shape.rank > INK_MAX_RANK) {
        return mark_unsupported(p, entry, "has %d dimensions, at most %d can be read", d->shape.rank,
                                INK_MAX_RANK);
    }
    entry->weight.shape = d->shape;
    entry->weight.data = (uintptr_t)entry->bytes % unit == 0 ? entry->bytes : NULL;
    return INK_OK;
}

static ink_status check_name(const parser *p, const char *name) {
    for (const char *c = name; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7F) {
            return fail_tensor(p, name, "has the control character 0x%02x in its name", (unsigned)*c);
        }
    }
    return INK_OK;
}

static ink_status scan_tensor(parser *p, const char *name) {
    ink_safetensors *out = p->out;
    INK_TRY(check_name(p, name));
    ink_tensor_entry *entries = grown(out->entries, out->count, &p->capacity, sizeof *entries);
    if (!entries) return ink_fail_memory(p->scan.error, "a tensor table", p->capacity * 2 * sizeof *entries);
    out->entries = entries;
    ink_tensor_entry *entry = &entries[out->count];
    *entry = (ink_tensor_entry){.weight.name = name};
    description d = {0};
    INK_TRY(scan_description(p, name, &d));
    INK_TRY(take_description(p, &d, entry));
    out->count++;
    return INK_OK;
}

/* The whole header */

static ink_status scan_metadata(parser *p) {
    if (p->has_metadata) return ink_scan_fail(&p->scan, "\"__metadata__\" is there twice");
    p->has_metadata = true;
    ink_safetensors *out = p->out;
    if (ink_scan_peek(&p->scan) == 'n') return ink_scan_skip(&p->scan); /* null */
    INK_TRY(ink_scan_expect(&p->scan, '{'));
    for (bool first = true, more;;) {
        INK_TRY(ink_scan_item(&p->scan, '}', &first, &more));
        if (!more) return INK_OK;
        ink_metadata_entry *metadata =
            grown(out->metadata, out->metadata_count, &p->metadata_capacity, sizeof *metadata);
        if (!metadata) {
            return ink_fail_memory(p->scan.error, "metadata", p->metadata_capacity * 2 * sizeof *metadata);
        }
        out->metadata = metadata;
        ink_metadata_entry *entry = &metadata[out->metadata_count];
        INK_TRY(ink_scan_string(&p->scan, &out->arena, &entry->key));
        INK_TRY(ink_scan_expect(&p->scan, ':'));
        INK_TRY(ink_scan_string(&p->scan, &out->arena, &entry->value));
        out->metadata_count++;
    }
}

static ink_status scan_header(parser *p) {
    INK_TRY(ink_scan_expect(&p->scan, '{'));
    for (bool first = true, more;;) {
        INK_TRY(ink_scan_item(&p->scan, '}', &first, &more));
        if (!more) break;
        const char *name;
        INK_TRY(ink_scan_string(&p->scan, &p->out->arena, &name));
        INK_TRY(ink_scan_expect(&p->scan, ':'));
        INK_TRY(strcmp(name, "__metadata__") == 0 ? scan_metadata(p) : scan_tensor(p, name));
    }
    if (ink_scan_peek(&p->scan) != '\0' || p->scan.at != p->scan.end) {
        return ink_scan_fail(&p->scan, "something follows the JSON object");
    }
    return INK_OK;
}

static int compare_positions(const void *a, const void *b) {
    const ink_tensor_entry *x = a, *y = b;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int compare_names(const void *a, const void *b) {
    const ink_tensor_entry *x = a, *y = b;
    return strcmp(x->weight.name, y->weight.name);
}

static int compare_keys(const void *a, const void *b) {
    const ink_metadata_entry *x = a, *y = b;
    return strcmp(x->key, y->key);
}

/* Gaps between tensors are accepted (some writers align), bytes that belong to two tensors are not. */
static ink_status check_overlaps(const parser *p) {
    ink_tensor_entry *entries = p->out->entries;
    if (p->out->count) qsort(entries, p->out->count, sizeof *entries, compare_positions);
    const ink_tensor_entry *before = NULL;
    for (size_t i = 0; i < p->out->count; i++) {
        if (entries[i].n_bytes == 0) continue;
        if (before && entries[i].bytes < before->bytes + before->n_bytes) {
            char quoted[INK_QUOTE_BYTES];
            return fail_tensor(p, entries[i].weight.name, "overlaps tensor \"%s\"",
                               ink_quote(before->weight.name, quoted));
        }
        before = &entries[i];
    }
    return INK_OK;
}

/* Sorting finds them in n log n however the names were chosen, which a hash table does not. */
static ink_status check_duplicates(const parser *p) {
    const ink_safetensors *out = p->out;
    if (out->count) qsort(out->entries, out->count, sizeof *out->entries, compare_names);
    for (size_t i = 1; i < out->count; i++) {
        if (compare_names(&out->entries[i - 1], &out->entries[i]) == 0) {
            return fail_tensor(p, out->entries[i].weight.name, "is there twice");
        }
    }
    if (out->metadata_count) qsort(out->metadata, out->metadata_count, sizeof *out->metadata, compare_keys);
    for (size_t i = 1; i < out->metadata_count; i++) {
        if (compare_keys(&out->metadata[i - 1], &out->metadata[i]) == 0) {
            char quoted[INK_QUOTE_BYTES];
            return ink_fail(p->scan.error, INK_ERROR_FORMAT, "%s: the metadata has the key \"%s\" twice",
                            p->scan.what, ink_quote(out->metadata[i].key, quoted));
        }
    }
    return INK_OK;
}

/* The first 8 bytes. */
static ink_status check_header_bytes(const unsigned char *file, size_t bytes, const char *path,
                                     size_t *header, ink_error *error) {
    static const char pointer[] = "version https://git-lfs";
    if (bytes >= sizeof pointer - 1 && memcmp(file, pointer, sizeof pointer - 1) == 0) {
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s is only a Git LFS pointer: fetch the file itself with \"git lfs pull\"", path);
    }
    if (bytes < 8) {
        return ink_fail(error, INK_ERROR_FORMAT, "%s has %zu bytes, too few for a safetensors file", path,
                        bytes);
    }
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) {
        n = n << 8 | file[i];
    }
    if (n > INK_SAFETENSORS_MAX_HEADER) {
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s announces a header of %" PRIu64
                        " bytes, but at most %d are accepted: it may not be a safetensors file",
                        path, n, INK_SAFETENSORS_MAX_HEADER);
    }
    if (n > bytes - 8) {
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s announces a header of %" PRIu64
                        " bytes, but has only %zu: it is cut or was not downloaded whole",
                        path, n, bytes);
    }
    *header = (size_t)n;
    return INK_OK;
}

ink_status ink_safetensors_parse(const unsigned char *file, size_t bytes, const char *path,
                                 ink_safetensors *tensors, ink_error *error) {
    *tensors = (ink_safetensors){0};
    size_t header = 0;
    INK_TRY(check_header_bytes(file, bytes, path, &header, error));
    const char *text = (const char *)file + 8;
    parser p = {
        .scan = {.begin = text, .at = text, .end = text + header, .what = path, .error = error},
        .out = tensors,
        .data = file + 8 + header,
        .data_bytes = bytes - 8 - header,
    };
    ink_status status = scan_header(&p);
    if (status == INK_OK) status = check_overlaps(&p);
    if (status == INK_OK) status = check_duplicates(&p);
    if (status != INK_OK) ink_safetensors_free(tensors);
    return status;
}

void ink_safetensors_free(ink_safetensors *tensors) {
    for (size_t i = 0; i < tensors->count; i++) {
        free(tensors->entries[i].aligned);
    }
    free(tensors->entries);
    free(tensors->metadata);
    ink_arena_free(&tensors->arena);
    *tensors = (ink_safetensors){0};
}

ink_tensor_entry *ink_safetensors_find(const ink_safetensors *tensors, const char *name) {
    const ink_tensor_entry key = {.weight.name = name};
    if (tensors->count == 0) return NULL;
    return bsearch(&key, tensors->entries, tensors->count, sizeof *tensors->entries, compare_names);
}
