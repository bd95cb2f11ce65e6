/*
 * Weights in several files (shards): {"weight_map": {"<tensor>": "<file>", ...}}. The files lie beside the
 * index; a name that leads elsewhere is refused.
 */
#include "base/config.h"
#include "base/quote.h"
#include "weights/files.h"

#include <stdlib.h>

enum { max_shards = 4096 };

static bool is_plain_name(const char *name) {
    if (!name[0] || name[0] == '.' || strlen(name) > 255) return false;
    for (const char *c = name; *c; c++) {
        if (*c == '/' || *c == '\\' || (unsigned char)*c < 0x20 || *c == 0x7F) return false;
    }
    return true;
}

static int compare_texts(const void *a, const void *b) {
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* The distinct file names of the map, sorted and malloced; the strings belong to the JSON. */
static ink_status collect_shards(const char *path, json_t *map, const char ***shards, size_t *count,
                                 ink_error *error) {
    *shards = NULL;
    *count = 0;
    const size_t n = json_object_size(map);
    const char **names = calloc(n ? n : 1, sizeof *names);
    if (!names) return ink_fail_memory(error, path, n * sizeof *names);
    size_t used = 0;
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value) {
        const char *name = json_string_value(value);
        char tensor[INK_QUOTE_BYTES], file[INK_QUOTE_BYTES];
        if (!name || !is_plain_name(name)) {
            free(names);
            return ink_fail(
                error, INK_ERROR_FORMAT,
                "%s: tensor \"%s\" is said to be in \"%s\", which is not the name of a file beside it", path,
                ink_quote(key, tensor), ink_quote(name ? name : "(not a text)", file));
        }
        names[used++] = name;
    }
    if (used) qsort(names, used, sizeof *names, compare_texts);
    for (size_t i = 0; i < used; i++) {
        if (*count == 0 || strcmp(names[*count - 1], names[i]) != 0) names[(*count)++] = names[i];
    }
    if (*count == 0 || *count > max_shards) {
        free(names);
        return ink_fail(error, INK_ERROR_FORMAT, "%s names %zu files, from 1 to %d are accepted", path,
                        *count, max_shards);
    }
    *shards = names;
    return INK_OK;
}

/* Every tensor must be in the file that the index says. */
static ink_status check_map(const ink_file_weights *w, const char *path, json_t *map,
                            const char *const *shards, ink_error *error) {
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value) {
        const char *name = json_string_value(value);
        const char *const *shard = bsearch(&name, shards, w->n_files, sizeof *shards, compare_texts);
        if (shard && ink_safetensors_find(&w->files[shard - shards].tensors, key)) continue;
        char tensor[INK_QUOTE_BYTES];
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s: tensor \"%s\" is not in %s as it should be: the files do not belong together",
                        path, ink_quote(key, tensor), name);
    }
    return INK_OK;
}

/* A shard that is missing is what an interrupted download leaves. */
static ink_status add_shard(ink_file_weights *w, const char *path, const char *folder, const char *name,
                            ink_error *error) {
    char *shard = ink_path_join(folder, name);
    if (!shard) return ink_fail_memory(error, "a path", strlen(name));
    const bool there = ink_path_is_file(shard);
    free(shard);
    if (there) return ink_file_weights_add(w, folder, name, error);
    return ink_fail(error, INK_ERROR_IO, "%s needs %s beside it, which is not there: download it too", path,
                    name);
}

static ink_status open_shards(const char *folder, const char *path, json_t *map, ink_weights **weights,
                              ink_error *error) {
    if (!json_is_object(map)) {
        return ink_fail(error, INK_ERROR_FORMAT, "%s has no object \"weight_map\"", path);
    }
    const char **shards;
    size_t count;
    INK_TRY(collect_shards(path, map, &shards, &count, error));
    ink_file_weights *w = NULL;
    ink_status status = ink_file_weights_create(folder, count, &w, error);
    for (size_t i = 0; i < count && status == INK_OK; i++) {
        status = add_shard(w, path, folder, shards[i], error);
    }
    if (status == INK_OK) status = check_map(w, path, map, shards, error);
    if (status == INK_OK) status = ink_file_weights_finish(w, error);
    free(shards);
    if (status == INK_OK)
        *weights = &w->base;
    else
        ink_weights_close(w ? &w->base : NULL);
    return status;
}

ink_status ink_file_weights_open_index(const char *folder, const char *index, ink_weights **weights,
                                       ink_error *error) {
    ink_config config;
    INK_TRY(ink_config_open(folder, index, &config, error));
    const ink_status status =
        open_shards(folder, config.path, json_object_get(config.root, "weight_map"), weights, error);
    const ink_status closed = ink_config_close(&config, status == INK_OK ? error : NULL);
    return status != INK_OK ? status : closed;
}
