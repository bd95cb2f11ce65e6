/*
 * The tensors of one component (text encoder, transformer, VAE): views into mapped safetensors files, or
 * synthetic values of the same names and shapes. Nothing is copied unless the file misaligns a tensor.
 *
 * Files are hostile: sizes, offsets, overlaps, duplicates, JSON depth and header length are checked when
 * opening.
 */
#ifndef INK_WEIGHTS_WEIGHTS_H
#define INK_WEIGHTS_WEIGHTS_H

#include "base/dtype.h"
#include "base/status.h"

/* A view of one tensor: row-major, contiguous, aligned to its element size. Lives as long as its ink_weights.
 */
typedef struct ink_weight {
    const char *name;
    ink_dtype dtype;
    ink_shape shape;
    const void *data;
    const struct ink_synthetic_recipe *recipe; /* of synthetic weights: how the values are made; else NULL */
} ink_weight;

typedef struct ink_weights ink_weights;

/* Opens the weight files of `folder`: `stem`.safetensors, or `stem`.safetensors.index.json with its shards.
 * If neither exists and the folder holds exactly one *.safetensors file, that one is taken. */
ink_status ink_weights_open(const char *folder, const char *stem, ink_weights **weights, ink_error *error);

/* Opens a single safetensors file (golden files, tests). Misaligned tensors are copied at once. */
ink_status ink_weights_open_file(const char *path, ink_weights **weights, ink_error *error);

/* Weights without files: any name asked for exists, with the shape asked for, bf16. Values come from a
 * counter-based generator keyed by the name in which every number between dots counts as 0, so that all
 * blocks of a network share one copy; matrices are uniform with variance 1 / fan-in, gains are near 1, biases
 * near 0. */
ink_status ink_weights_create_synthetic(ink_weights **weights, ink_error *error);

/* Like synthetic weights, but nothing is ever filled: `data` is NULL. For counting the tensors of a
 * configuration. */
ink_status ink_weights_create_census(ink_weights **weights, ink_error *error);

/* From now on synthetic weights are not filled: whoever reads them makes the values from `recipe` (see
 * weights/synthetic.h), and `data` is NULL. Nothing for weights of files. Call before sharing between
 * threads. */
void ink_weights_leave_unfilled(ink_weights *weights);

void ink_weights_close(ink_weights *weights);

/* The tensor called `name`, which must have `shape`. Errors: INK_ERROR_FORMAT "tensor is missing" or "has
 * shape X, Y is needed", with the path of the file or folder. Thread-safe. The dtype must be f32, bf16 or
 * f16. */
ink_status ink_weights_get(ink_weights *weights, const char *name, const ink_shape *shape,
                           const ink_weight **weight, ink_error *error);

/* The tensor called `name` in whatever shape and dtype, or NULL. Never creates one. Its data are NULL if the
 * file misaligns it and nobody asked for it by ink_weights_get or ink_weights_align. */
const ink_weight *ink_weights_find(const ink_weights *weights, const char *name);

/* Makes *weight, which ink_weights_find or ink_weights_at gave, a view that has data: a tensor that the file
 * misaligns is copied. INK_ERROR_UNSUPPORTED if this version cannot read it. Thread-safe. */
ink_status ink_weights_align(ink_weights *weights, const ink_weight **weight, ink_error *error);

/* All tensors in order of name. NULL past the end. */
const ink_weight *ink_weights_at(const ink_weights *weights, size_t i);

/* Strips a prefix from all names that carry it, e.g. "model.language_model." -> "". Call before sharing
 * between threads. Two names that become equal are an error. */
ink_status ink_weights_strip_prefix(ink_weights *weights, const char *prefix, ink_error *error);

/* String value of the `__metadata__` entry `key` of a single file, or NULL. */
const char *ink_weights_metadata(const ink_weights *weights, const char *key);

bool ink_weights_is_synthetic(const ink_weights *weights);

/* Path of the file or folder; "synthetic" for synthetic weights. */
const char *ink_weights_path(const ink_weights *weights);

/* Tells the system that the pages are not needed for now (they come back from the file, or are generated
 * again when a graph asks): the memory of the text encoder after encoding. All views of synthetic weights
 * become invalid; those of files stay valid. */
void ink_weights_release(ink_weights *weights);

#endif
