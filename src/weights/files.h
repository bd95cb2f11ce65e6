/*
 * Inside of the weights room: weights that are views of mapped safetensors files.
 */
#ifndef INK_WEIGHTS_FILES_H
#define INK_WEIGHTS_FILES_H

#include "base/file.h"
#include "weights/safetensors.h"
#include "weights/source.h"

#include <pthread.h>

typedef struct ink_weights_file {
    char *path;
    ink_file_map map;
    ink_safetensors tensors;
} ink_weights_file;

typedef struct ink_file_weights {
    ink_weights base;
    char *path;              /* of the folder or the single file */
    ink_weights_file *files; /* [n_files] */
    size_t n_files;
    ink_tensor_entry **entries; /* [n_entries], those of all files in order of name */
    size_t n_entries;
    pthread_mutex_t lock; /* guards the aligned copies */
    bool lock_ready;
} ink_file_weights;

/* Empty weights with room for n files, called `path`. Free with ink_weights_close. */
ink_status ink_file_weights_create(const char *path, size_t n, ink_file_weights **weights, ink_error *error);

/* Maps and parses one more file, `folder`/`name`, or `name` alone if folder is NULL. */
ink_status ink_file_weights_add(ink_file_weights *weights, const char *folder, const char *name,
                                ink_error *error);

/* Makes the list of all tensors. A name that two files have is INK_ERROR_FORMAT. */
ink_status ink_file_weights_finish(ink_file_weights *weights, ink_error *error);

/* The shards that `folder`/`index` (a *.safetensors.index.json) names. */
ink_status ink_file_weights_open_index(const char *folder, const char *index, ink_weights **weights,
                                       ink_error *error);

#endif
