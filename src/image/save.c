#include "image/save.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { max_links = 40, max_target = 4096, max_attempts = 1000 };

/* What happened, and what the person can do about it. */
static ink_status fail(ink_error *error, const char *path, int code) {
    char action[160];
    const char *remedy = NULL;
    switch (code) {
    case ENOENT:
    case ENOTDIR:
        remedy = "its folder does not exist; make it first";
        break;
    case EACCES:
    case EPERM:
    case EROFS:
        remedy = "no permission; choose a folder that you may write to";
        break;
    case ENOSPC:
    case EDQUOT:
        remedy = "the disk is full; free some space";
        break;
    case EFBIG:
        remedy = "the file would be larger than the limit that is set for files (ulimit -f)";
        break;
    case EPIPE:
        remedy = "its reader is gone";
        break;
    default:
        return ink_fail_errno(error, "write", path, code);
    }
    if (strerror_r(code, action, sizeof action) != 0) snprintf(action, sizeof action, "error %d", code);
    return ink_fail(error, INK_ERROR_IO, "cannot write %s: %s (%s)", path, remedy, action);
}

/* errno of the failure, or 0. */
static int write_all(int fd, const void *data, size_t bytes) {
    const char *at = data;
    while (bytes > 0) {
        const ssize_t n = write(fd, at, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0) return ENOSPC; /* never seen on a regular file; do not spin */
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* A device or a pipe: nothing to rename, so it is written to as it is. */
static ink_status write_direct(const char *path, const void *data, size_t bytes, ink_error *error) {
    const int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return fail(error, path, errno);
    int code = write_all(fd, data, bytes);
    if (close(fd) != 0 && !code) code = errno;
    return code ? fail(error, path, code) : INK_OK;
}

/* The folder part of `path` on the heap, with its last slash; "" if there is none. */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    char *folder = malloc(n + 1);
    if (!folder) return NULL;
    memcpy(folder, path, n);
    folder[n] = '\0';
    return folder;
}

static char *joined(const char *folder, const char *name) {
    const size_t n = strlen(folder), m = strlen(name);
    char *path = malloc(n + m + 1);
    if (!path) return NULL;
    memcpy(path, folder, n);
    memcpy(path + n, name, m + 1);
    return path;
}

/* Replaces *path, a symbolic link, by what it points to. */
static ink_status follow_link(char **path, ink_error *error) {
    char target[max_target];
    const ssize_t n = readlink(*path, target, sizeof target - 1);
    if (n < 0) return fail(error, *path, errno);
    if ((size_t)n >= sizeof target - 1) return fail(error, *path, ENAMETOOLONG);
    target[n] = '\0';
    char *folder = target[0] == '/' ? strdup("") : folder_of(*path);
    char *next = folder ? joined(folder, target) : NULL;
    free(folder);
    if (!next) return ink_fail_memory(error, "a path", (size_t)n);
    free(*path);
    *path = next;
    return INK_OK;
}

/* The path behind symbolic links, which need not exist, on the heap. */
static ink_status resolve(const char *path, char **resolved, ink_error *error) {
    *resolved = strdup(path);
    if (!*resolved) return ink_fail_memory(error, "a path", strlen(path));
    struct stat info;
    ink_status status = INK_OK;
    for (int i = 0; status == INK_OK && lstat(*resolved, &info) == 0 && S_ISLNK(info.st_mode); i++) {
        status = i < max_links ? follow_link(resolved, error) : fail(error, path, ELOOP);
    }
    if (status != INK_OK) {
        free(*resolved);
        *resolved = NULL;
    }
    return status;
}

/* Opens `folder`'s file for attempt `i`. The name does not depend on that of the target, which may already be
 * as long as a name can be. */
static ink_status open_attempt(const char *path, const char *folder, int i, char **temporary, int *descriptor,
                               ink_error *error) {
    char name[64];
    snprintf(name, sizeof name, ".inkstone-%ld-%d.tmp", (long)getpid(), i);
    *temporary = joined(folder, name);
    if (!*temporary) return ink_fail_memory(error, "a path", strlen(folder) + sizeof name);
    *descriptor = open(*temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (*descriptor >= 0) return INK_OK;
    const int code = errno;
    free(*temporary);
    *temporary = NULL;
    return code == EEXIST && i < max_attempts ? INK_OK : fail(error, path, code);
}

/* Opens a new file in the folder of `path`. */
static ink_status open_beside(const char *path, char **temporary, int *descriptor, ink_error *error) {
    *temporary = NULL;
    *descriptor = -1;
    char *folder = folder_of(path);
    if (!folder) return ink_fail_memory(error, "a path", strlen(path));
    ink_status status = INK_OK;
    for (int i = 0; status == INK_OK && *descriptor < 0; i++) {
        status = open_attempt(path, folder, i, temporary, descriptor, error);
    }
    free(folder);
    return status;
}

/* Fills the new file and gives it the name. Returns the errno of the failure, or 0. */
static int fill_and_rename(int fd, const char *temporary, const char *path, const struct stat *old,
                           const void *data, size_t bytes) {
    int code = write_all(fd, data, bytes);
    if (!code && old && fchmod(fd, old->st_mode & 0777) != 0) code = errno;
    /* Some file systems cannot sync and say EINVAL: they have nothing better to offer. */
    if (!code && fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP) code = errno;
    if (close(fd) != 0 && !code) code = errno;
    if (!code && rename(temporary, path) != 0) code = errno;
    if (code) unlink(temporary);
    return code;
}

static ink_status replace(const char *path, const struct stat *old, const void *data, size_t bytes,
                          ink_error *error) {
    /* A file that may not be written to is not to be replaced either. */
    if (old && access(path, W_OK) != 0) return fail(error, path, errno);
    char *temporary;
    int fd;
    INK_TRY(open_beside(path, &temporary, &fd, error));
    const int code = fill_and_rename(fd, temporary, path, old, data, bytes);
    free(temporary);
    return code ? fail(error, path, code) : INK_OK;
}

ink_status ink_save_file(const char *path, const void *data, size_t bytes, ink_error *error) {
    if (!path || !path[0]) return ink_fail(error, INK_ERROR_ARGUMENT, "no file name is given to write to");
    struct stat info;
    const bool exists = stat(path, &info) == 0;
    const size_t n = strlen(path);
    if (path[n - 1] == '/' || (exists && S_ISDIR(info.st_mode))) {
        return ink_fail(error, INK_ERROR_IO, "cannot write %s: it is a folder; add a file name", path);
    }
    if (exists && !S_ISREG(info.st_mode)) return write_direct(path, data, bytes, error);
    char *resolved;
    INK_TRY(resolve(path, &resolved, error));
    const ink_status status = replace(resolved, exists ? &info : NULL, data, bytes, error);
    free(resolved);
    return status;
}
