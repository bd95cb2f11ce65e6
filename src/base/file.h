/*
 * Files that are read: mapped, or read whole. Only regular files are accepted; a pipe or a device is refused
 * and never waited for. Messages name the path and the system's reason.
 */
#ifndef INK_BASE_FILE_H
#define INK_BASE_FILE_H

#include "base/status.h"

/* A mapping for reading. An empty file has bytes 0 and data NULL. If another program shortens the file while
 * it is mapped, reading the lost pages ends the process (SIGBUS): files of models are replaced, not
 * rewritten. */
typedef struct ink_file_map {
    const unsigned char *data; /* aligned to a page */
    size_t bytes;
} ink_file_map;

/* Maps all of `path`. On failure *map is zeroed. */
ink_status ink_file_map_open(const char *path, ink_file_map *map, ink_error *error);
/* Unmaps; a zeroed map is allowed. */
void ink_file_map_close(ink_file_map *map);
/* Tells the system that the pages are not needed for now; they are read again from the file when touched. */
void ink_file_map_release(const ink_file_map *map);

/* Reads all of `path`, which may hold at most `limit` bytes (INK_ERROR_FORMAT otherwise). *text is owned by
 * the caller (free) and has a NUL after its *bytes bytes. */
ink_status ink_file_read(const char *path, size_t limit, char **text, size_t *bytes, ink_error *error);

/* "folder/name" on the heap; NULL when memory runs out. */
char *ink_path_join(const char *folder, const char *name);

/* Whether `path` (links followed) is a folder, or a regular file. */
bool ink_path_is_folder(const char *path);
bool ink_path_is_file(const char *path);

/* INK_ERROR_IO "cannot <action> <path>: <text of the errno value `code`>". */
ink_status ink_fail_errno(ink_error *error, const char *action, const char *path, int code);

#endif
