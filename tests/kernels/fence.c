/*
 * Memory that notices when somebody leaves it.
 */
#define _DEFAULT_SOURCE  /* MAP_ANONYMOUS */
#define _DARWIN_C_SOURCE /* the same on macOS */
#include "fence.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { least_guard = 64 };

bool fence_open(fenced *f, size_t bytes, bool tight, int guard) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room = (bytes + 3 * least_guard + page - 1) / page * page;
    char *map = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return false;
    *f = (fenced){.map = map, .map_bytes = room + page, .bytes = bytes, .guard = guard};
    f->copy = malloc(bytes + 1);
    if (!f->copy || mprotect(map + room, page, PROT_NONE) != 0) {
        fence_close(f);
        return false;
    }
    memset(map, guard, room);
    size_t offset = room - bytes;
    if (!tight) offset = (offset - least_guard) / least_guard * least_guard;
    f->data = map + offset;
    return true;
}

void fence_close(fenced *f) {
    if (f->map) munmap(f->map, f->map_bytes);
    free(f->copy);
    *f = (fenced){0};
}

void fence_remember(fenced *f) {
    memcpy(f->copy, f->data, f->bytes);
}

bool fence_unchanged(const fenced *f) {
    return memcmp(f->copy, f->data, f->bytes) == 0;
}

bool fence_intact(const fenced *f) {
    const char *end = f->map + f->map_bytes - (size_t)sysconf(_SC_PAGESIZE);
    for (const char *p = f->map; p < f->data; p++) {
        if (*p != (char)f->guard) return false;
    }
    for (const char *p = f->data + f->bytes; p < end; p++) {
        if (*p != (char)f->guard) return false;
    }
    return true;
}
