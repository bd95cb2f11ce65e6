#define _DEFAULT_SOURCE  /* madvise on glibc */
#define _DARWIN_C_SOURCE /* madvise on macOS */

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

ink_status ink_fail_errno(ink_error *error, const char *action, const char *path, int code) {
    char reason[128];
    if (strerror_r(code, reason, sizeof reason) != 0) snprintf(reason, sizeof reason, "error %d", code);
    return ink_fail(error, INK_ERROR_IO, "cannot %s %s: %s", action, path, reason);
}

/* Opens a regular file and tells its size. O_NONBLOCK keeps a named pipe from blocking the open; it has no
 * effect on regular files. */
static ink_status open_regular(const char *path, int *descriptor, size_t *bytes, ink_error *error) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return ink_fail_errno(error, "open", path, errno);
    struct stat info;
    ink_status status = INK_OK;
    if (fstat(fd, &info) != 0) {
        status = ink_fail_errno(error, "examine", path, errno);
    } else if (!S_ISREG(info.st_mode)) {
        status = ink_fail(error, INK_ERROR_IO, "%s is %s, but a file is needed", path,
                          S_ISDIR(info.st_mode) ? "a folder" : "a pipe or a device");
    } else if (info.st_size < 0 || (uintmax_t)info.st_size > SIZE_MAX / 2) {
        status =
            ink_fail(error, INK_ERROR_UNSUPPORTED, "%s is too large for this machine's address space", path);
    }
    if (status != INK_OK) {
        close(fd);
        return status;
    }
    *descriptor = fd;
    *bytes = (size_t)info.st_size;
    return INK_OK;
}

ink_status ink_file_map_open(const char *path, ink_file_map *map, ink_error *error) {
    *map = (ink_file_map){0};
    int fd = -1;
    size_t bytes = 0;
    INK_TRY(open_regular(path, &fd, &bytes, error));
    ink_status status = INK_OK;
    if (bytes > 0) {
        void *data = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            status = ink_fail_errno(error, "map", path, errno);
        } else {
            *map = (ink_file_map){data, bytes};
        }
    }
    close(fd);
    return status;
}

/* munmap and madvise take a pointer to non-const memory although they write nothing. */
static void *without_const(const void *data) {
    union {
        const void *in;
        void *out;
    } pointer = {data};
    return pointer.out;
}

void ink_file_map_close(ink_file_map *map) {
    if (map->data) munmap(without_const(map->data), map->bytes);
    *map = (ink_file_map){0};
}

void ink_file_map_release(const ink_file_map *map) {
    /* Not posix_madvise: glibc ignores POSIX_MADV_DONTNEED. Nothing is lost because the mapping is read-only.
     * A refusal would cost memory only, so it is no error. */
    if (map->data) (void)madvise(without_const(map->data), map->bytes, MADV_DONTNEED);
}

/* Reads until the end of the file or `size` bytes. */
static ink_status read_up_to(int fd, const char *path, char *text, size_t size, size_t *got,
                             ink_error *error) {
    size_t n = 0;
    while (n < size) {
        const ssize_t k = read(fd, text + n, size - n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return ink_fail_errno(error, "read", path, errno);
        if (k == 0) break;
        n += (size_t)k;
    }
    *got = n;
    return INK_OK;
}

ink_status ink_file_read(const char *path, size_t limit, char **text, size_t *bytes, ink_error *error) {
    *text = NULL;
    *bytes = 0;
    int fd = -1;
    size_t size = 0;
    INK_TRY(open_regular(path, &fd, &size, error));
    ink_status status;
    char *buffer = NULL;
    if (size > limit) {
        status = ink_fail(error, INK_ERROR_FORMAT, "%s has %zu bytes, but at most %zu are accepted", path,
                          size, limit);
    } else if (!(buffer = malloc(size + 1))) {
        status = ink_fail_memory(error, path, size + 1);
    } else {
        /* The file may have become shorter since fstat; what it grew by is left out. */
        status = read_up_to(fd, path, buffer, size, &size, error);
    }
    close(fd);
    if (status != INK_OK) {
        free(buffer);
        return status;
    }
    buffer[size] = '\0';
    *text = buffer;
    *bytes = size;
    return INK_OK;
}

char *ink_path_join(const char *folder, const char *name) {
    const size_t a = strlen(folder), b = strlen(name);
    const bool slash = a > 0 && folder[a - 1] != '/';
    char *path = malloc(a + slash + b + 1);
    if (!path) return NULL;
    memcpy(path, folder, a);
    if (slash) path[a] = '/';
    memcpy(path + a + slash, name, b + 1);
    return path;
}

bool ink_path_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool ink_path_is_file(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}
