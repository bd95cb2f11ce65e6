#include "weights/files.h"

#include "base/quote.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int compare_entries(const void *a, const void *b) {
    const ink_tensor_entry *const *x = a, *const *y = b;
    return strcmp((*x)->weight.name, (*y)->weight.name);
}

static ink_tensor_entry *find_entry(const ink_file_weights *w, const char *name) {
    const ink_tensor_entry key = {.weight.name = name}, *pointer = &key;
    if (w->n_entries == 0) return NULL;
    ink_tensor_entry **found =
        bsearch(&pointer, w->entries, w->n_entries, sizeof *w->entries, compare_entries);
    return found ? *found : NULL;
}

/* The weight behind an entry, copied to aligned memory if the file misaligns it. Call with the lock held. */
static ink_status align_entry(ink_tensor_entry *entry, const ink_weight **weight, ink_error *error) {
    *weight = &entry->weight;
    if (entry->weight.data) return INK_OK;
    if (!entry->aligned) {
        ink_weight *copy = malloc(sizeof *copy + 16 + entry->n_bytes);
        if (!copy) return ink_fail_memory(error, entry->weight.name, entry->n_bytes);
        unsigned char *data = (unsigned char *)(copy + 1);
        data += (16 - (uintptr_t)data % 16) % 16;
        memcpy(data, entry->bytes, entry->n_bytes);
        *copy = entry->weight;
        copy->data = data;
        entry->aligned = copy;
    }
    *weight = entry->aligned;
    return INK_OK;
}

static ink_status readable_weight(ink_file_weights *w, ink_tensor_entry *entry, const ink_weight **weight,
                                  ink_error *error) {
    pthread_mutex_lock(&w->lock);
    const ink_status status = align_entry(entry, weight, error);
    pthread_mutex_unlock(&w->lock);
    return status;
}

static ink_status fail_unsupported(const ink_file_weights *w, const ink_tensor_entry *entry,
                                   ink_error *error) {
    return ink_fail(error, INK_ERROR_UNSUPPORTED, "%s: tensor \"%s\" %s", w->path, entry->weight.name,
                    entry->unsupported);
}

static bool can_compute(ink_dtype dtype) {
    return dtype == INK_F32 || dtype == INK_BF16 || dtype == INK_F16;
}

static ink_status get(ink_weights *base, const char *name, const ink_shape *shape, const ink_weight **weight,
                      ink_error *error) {
    ink_file_weights *w = (ink_file_weights *)base;
    ink_tensor_entry *entry = find_entry(w, name);
    char want[INK_SHAPE_TEXT_BYTES], has[INK_SHAPE_TEXT_BYTES];
    if (!entry) {
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s: tensor \"%s\" %s is missing: the file is incomplete or of another model",
                        w->path, name, ink_shape_text(shape, want));
    }
    if (entry->unsupported) return fail_unsupported(w, entry, error);
    if (!ink_shape_equal(&entry->weight.shape, shape)) {
        return ink_fail(error, INK_ERROR_FORMAT, "%s: tensor \"%s\" has shape %s, the configuration needs %s",
                        w->path, name, ink_shape_text(&entry->weight.shape, has),
                        ink_shape_text(shape, want));
    }
    if (!can_compute(entry->weight.dtype)) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED,
                        "%s: tensor \"%s\" is stored as %s; f32, bf16 and f16 can be computed with", w->path,
                        name, ink_dtype_name(entry->weight.dtype));
    }
    return readable_weight(w, entry, weight, error);
}

static ink_status align(ink_weights *base, const ink_weight **weight, ink_error *error) {
    ink_file_weights *w = (ink_file_weights *)base;
    ink_tensor_entry *entry = find_entry(w, (*weight)->name);
    if (entry->unsupported) return fail_unsupported(w, entry, error);
    return readable_weight(w, entry, weight, error);
}

static const ink_weight *visible(const ink_tensor_entry *entry) {
    return entry->aligned ? entry->aligned : &entry->weight;
}

static const ink_weight *find(const ink_weights *base, const char *name) {
    const ink_tensor_entry *entry = find_entry((const ink_file_weights *)base, name);
    return entry ? visible(entry) : NULL;
}

static const ink_weight *at(const ink_weights *base, size_t i) {
    const ink_file_weights *w = (const ink_file_weights *)base;
    return i < w->n_entries ? visible(w->entries[i]) : NULL;
}

static ink_status sort_entries(ink_file_weights *w, ink_error *error) {
    if (w->n_entries) qsort(w->entries, w->n_entries, sizeof(ink_tensor_entry *), compare_entries);
    for (size_t i = 1; i < w->n_entries; i++) {
        if (compare_entries(&w->entries[i - 1], &w->entries[i]) != 0) continue;
        char quoted[INK_QUOTE_BYTES];
        return ink_fail(error, INK_ERROR_FORMAT, "%s: tensor \"%s\" is there twice", w->path,
                        ink_quote(w->entries[i]->weight.name, quoted));
    }
    return INK_OK;
}

static ink_status strip_prefix(ink_weights *base, const char *prefix, ink_error *error) {
    ink_file_weights *w = (ink_file_weights *)base;
    const size_t length = strlen(prefix);
    for (size_t i = 0; i < w->n_entries; i++) {
        ink_tensor_entry *entry = w->entries[i];
        if (strncmp(entry->weight.name, prefix, length) == 0) entry->weight.name += length;
        if (entry->aligned) entry->aligned->name = entry->weight.name;
    }
    return sort_entries(w, error);
}

static const char *metadata(const ink_weights *base, const char *key) {
    const ink_file_weights *w = (const ink_file_weights *)base;
    if (w->n_files != 1) return NULL;
    const ink_safetensors *tensors = &w->files[0].tensors;
    for (size_t i = 0; i < tensors->metadata_count; i++) {
        if (strcmp(tensors->metadata[i].key, key) == 0) return tensors->metadata[i].value;
    }
    return NULL;
}

static void release(ink_weights *base) {
    const ink_file_weights *w = (const ink_file_weights *)base;
    for (size_t i = 0; i < w->n_files; i++) {
        ink_file_map_release(&w->files[i].map);
    }
}

static void close_files(ink_weights *base) {
    ink_file_weights *w = (ink_file_weights *)base;
    for (size_t i = 0; w->files && i < w->n_files; i++) {
        ink_safetensors_free(&w->files[i].tensors);
        ink_file_map_close(&w->files[i].map);
        free(w->files[i].path);
    }
    if (w->lock_ready) pthread_mutex_destroy(&w->lock);
    free(w->files);
    free(w->entries);
    free(w->path);
    free(w);
}

static const ink_weights_source file_source = {.get = get,
                                               .find = find,
                                               .at = at,
                                               .align = align,
                                               .strip_prefix = strip_prefix,
                                               .metadata = metadata,
                                               .release = release,
                                               .close = close_files};

ink_status ink_file_weights_create(const char *path, size_t n, ink_file_weights **weights, ink_error *error) {
    *weights = NULL;
    ink_file_weights *w = calloc(1, sizeof *w);
    if (!w) return ink_fail_memory(error, "weights", sizeof *w);
    w->base.source = &file_source;
    w->path = strdup(path);
    w->base.path = w->path;
    w->files = calloc(n ? n : 1, sizeof *w->files);
    w->lock_ready = pthread_mutex_init(&w->lock, NULL) == 0;
    if (!w->path || !w->files || !w->lock_ready) {
        close_files(&w->base);
        return ink_fail_memory(error, "weights", n * sizeof(ink_weights_file));
    }
    *weights = w;
    return INK_OK;
}

ink_status ink_file_weights_add(ink_file_weights *w, const char *folder, const char *name, ink_error *error) {
    ink_weights_file *file = &w->files[w->n_files];
    file->path = folder ? ink_path_join(folder, name) : strdup(name);
    if (!file->path) return ink_fail_memory(error, "a path", strlen(name));
    w->n_files++;
    INK_TRY(ink_file_map_open(file->path, &file->map, error));
    static const unsigned char nothing[1] = {0};
    return ink_safetensors_parse(file->map.data ? file->map.data : nothing, file->map.bytes, file->path,
                                 &file->tensors, error);
}

ink_status ink_file_weights_finish(ink_file_weights *w, ink_error *error) {
    size_t n = 0;
    for (size_t i = 0; i < w->n_files; i++) {
        n += w->files[i].tensors.count;
    }
    w->entries = calloc(n ? n : 1, sizeof(ink_tensor_entry *));
    if (!w->entries) return ink_fail_memory(error, "a tensor table", n * sizeof(ink_tensor_entry *));
    for (size_t i = 0; i < w->n_files; i++) {
        ink_safetensors *tensors = &w->files[i].tensors;
        for (size_t k = 0; k < tensors->count; k++) {
            w->entries[w->n_entries++] = &tensors->entries[k];
        }
    }
    return sort_entries(w, error);
}

/* A single file. */
static ink_status open_single(const char *path, const char *folder, const char *name, ink_weights **weights,
                              ink_error *error) {
    ink_file_weights *w;
    INK_TRY(ink_file_weights_create(path, 1, &w, error));
    ink_status status = ink_file_weights_add(w, folder, name, error);
    if (status == INK_OK) status = ink_file_weights_finish(w, error);
    if (status == INK_OK)
        *weights = &w->base;
    else
        close_files(&w->base);
    return status;
}

ink_status ink_weights_open_file(const char *path, ink_weights **weights, ink_error *error) {
    *weights = NULL;
    INK_TRY(open_single(path, NULL, path, weights, error));
    /* Readers of such files go through the list of tensors, which is to be complete. */
    ink_file_weights *w = (ink_file_weights *)*weights;
    ink_status status = INK_OK;
    for (size_t i = 0; i < w->n_entries && status == INK_OK; i++) {
        const ink_weight *weight;
        if (!w->entries[i]->unsupported) status = align_entry(w->entries[i], &weight, error);
    }
    if (status != INK_OK) {
        close_files(&w->base);
        *weights = NULL;
    }
    return status;
}

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The name of the only *.safetensors file of a folder, malloced; NULL in *name if there is not exactly one.
 */
static ink_status find_only(const char *folder, char **name, size_t *count, ink_error *error) {
    *name = NULL;
    *count = 0;
    DIR *directory = opendir(folder);
    if (!directory) return ink_fail_errno(error, "open the folder", folder, errno);
    ink_status status = INK_OK;
    for (const struct dirent *entry; status == INK_OK && (entry = readdir(directory)) != NULL;) {
        if (!ends_with(entry->d_name, ".safetensors") || entry->d_name[0] == '.') continue;
        free(*name);
        *name = strdup(entry->d_name);
        if (!*name) status = ink_fail_memory(error, "a path", strlen(entry->d_name));
        ++*count;
    }
    closedir(directory);
    if (status != INK_OK || *count != 1) {
        free(*name);
        *name = NULL;
    }
    return status;
}

static bool has_file(const char *folder, const char *name, bool *out_of_memory) {
    char *path = ink_path_join(folder, name);
    *out_of_memory = path == NULL;
    const bool found = path && ink_path_is_file(path);
    free(path);
    return found;
}

ink_status ink_weights_open(const char *folder, const char *stem, ink_weights **weights, ink_error *error) {
    *weights = NULL;
    char single[256], index[256];
    if (snprintf(single, sizeof single, "%s.safetensors", stem) >= (int)sizeof single ||
        snprintf(index, sizeof index, "%s.safetensors.index.json", stem) >= (int)sizeof index) {
        return ink_fail(error, INK_ERROR_INTERNAL, "the file name '%s' is too long", stem);
    }
    bool out_of_memory;
    if (has_file(folder, single, &out_of_memory)) return open_single(folder, folder, single, weights, error);
    if (!out_of_memory && has_file(folder, index, &out_of_memory)) {
        return ink_file_weights_open_index(folder, index, weights, error);
    }
    if (out_of_memory) return ink_fail_memory(error, "a path", strlen(folder));
    char *only;
    size_t count;
    INK_TRY(find_only(folder, &only, &count, error));
    if (!only) {
        return ink_fail(error, INK_ERROR_IO,
                        "%s has neither %s nor %s, and %zu other *.safetensors files: download the weights, "
                        "or keep only one file",
                        folder, single, index, count);
    }
    const ink_status status = open_single(folder, folder, only, weights, error);
    free(only);
    return status;
}
