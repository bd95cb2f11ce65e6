/*
 * One safetensors file: 8 bytes with the length n of the header (little-endian), n bytes of JSON, then the
 * data of the tensors. Parsing checks everything that can be checked without reading the data and touches
 * only the header's pages.
 *
 * Cost: time n log n, memory about six times the header at worst (a header full of tensors with names of one
 * letter).
 */
#ifndef INK_WEIGHTS_SAFETENSORS_H
#define INK_WEIGHTS_SAFETENSORS_H

#include "base/arena.h"
#include "weights/weights.h"

/* As in the reference implementation. */
#define INK_SAFETENSORS_MAX_HEADER 100000000

typedef struct ink_tensor_entry {
    /* data is NULL if the file misaligns the tensor. Bytes of no meaning if `unsupported`. */
    ink_weight weight;
    const unsigned char *bytes; /* where the data lie in the file */
    size_t n_bytes;
    const char *unsupported; /* NULL, or why it cannot be read: "is stored as F4, ..." */
    ink_weight *aligned;     /* a copy that somebody asked for; guarded by the owner's mutex */
} ink_tensor_entry;

typedef struct ink_metadata_entry {
    const char *key, *value;
} ink_metadata_entry;

/* Views into the file; names and metadata are in the arena. */
typedef struct ink_safetensors {
    ink_arena arena;
    ink_tensor_entry *entries; /* in order of name, which is unique */
    size_t count;
    ink_metadata_entry *metadata; /* in order of key */
    size_t metadata_count;
} ink_safetensors;

/* Parses a file of `bytes` bytes at `file`, which must stay. On failure *tensors is zeroed. */
ink_status ink_safetensors_parse(const unsigned char *file, size_t bytes, const char *path,
                                 ink_safetensors *tensors, ink_error *error);

/* Also frees the aligned copies of the entries. */
void ink_safetensors_free(ink_safetensors *tensors);

/* The entry called `name`, or NULL. */
ink_tensor_entry *ink_safetensors_find(const ink_safetensors *tensors, const char *name);

#endif
