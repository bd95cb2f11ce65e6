/*
 * Images of safetensors files for tests.
 */
#ifndef INK_TESTS_UNIT_TENSOR_FILE_H
#define INK_TESTS_UNIT_TENSOR_FILE_H

#include <stddef.h>

/* The header's entry of one tensor; all arguments are string literals. */
#define TENSOR(name, dtype, shape, offsets)                                                                  \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

/* The length, the header with spaces up to a multiple of 8, then `data_bytes` bytes 0, 1, 2, ... *bytes is
 * the size of all. Free with free(). */
unsigned char *tensor_file(const char *header, size_t data_bytes, size_t *bytes);

/* Writes such a file to `folder`/`name`. */
void tensor_file_write(const char *folder, const char *name, const char *header, size_t data_bytes);

#endif
