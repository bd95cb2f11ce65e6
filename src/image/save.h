/*
 * Files that appear whole or not at all.
 */
#ifndef INK_IMAGE_SAVE_H
#define INK_IMAGE_SAVE_H

#include "base/status.h"

/* Writes `bytes` bytes to `path`: first to a new file beside it, which is synced and then renamed, so that
 * nobody ever sees half a file and a failure leaves what was there before.
 *  - A new file gets the permissions of the umask, a replaced one keeps its own.
 *  - A symbolic link stays; the file it leads to is replaced.
 *  - A device or pipe cannot be renamed over; it is written to directly.
 * Errors: INK_ERROR_ARGUMENT (no path), INK_ERROR_IO, INK_ERROR_MEMORY. */
ink_status ink_save_file(const char *path, const void *data, size_t bytes, ink_error *error);

#endif
