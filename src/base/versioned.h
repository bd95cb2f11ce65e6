/*
 * Structs that begin with `size_t struct_size`, so that programs and library may be of different age.
 */
#ifndef INK_BASE_VERSIONED_H
#define INK_BASE_VERSIONED_H

#include "base/status.h"

/* Copies the caller's struct `given` (of given_size bytes, as its first field says) over `known` (of
 * known_size bytes, already filled with defaults): fields that the caller's older header did not have keep
 * their defaults. A size that no header ever had, or a newer one than the library's, is INK_ERROR_ARGUMENT.
 */
ink_status ink_struct_copy(void *known, size_t known_size, const void *given, size_t given_size,
                           const char *name, ink_error *error);

#endif
