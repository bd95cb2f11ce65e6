#include "backend/cuda/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* CUDA's own: its context, its code, the libraries' handles. A part of small limits, which are for tests. */
enum { own_part = 16 };
static const size_t own_bytes = (size_t)768 << 20;
/* The device is asked again after so much more was allocated: asking takes time. */
static const size_t asking_bytes = (size_t)32 << 20;

static double gigabytes(size_t bytes) {
    return 1e-9 * (double)bytes;
}

/* ---- accounting ---- */

/* Of the limit. */
static size_t left_of(const ink_cuda_memory *m) {
    return m->limit > m->used ? m->limit - m->used : 0;
}

void ink_cuda_memory_init(ink_cuda_memory *m, size_t wished) {
    const size_t own = wished / own_part < own_bytes ? wished / own_part : own_bytes;
    *m = (ink_cuda_memory){.wished = wished, .limit = wished - own};
}

void ink_cuda_memory_ask(ink_cuda_memory *m) {
    size_t free_bytes = 0, all_bytes = 0;
    m->asked_at = m->used;
    if (cudaMemGetInfo(&free_bytes, &all_bytes) == cudaSuccess && all_bytes - free_bytes > m->device_peak)
        m->device_peak = all_bytes - free_bytes;
}

void ink_cuda_memory_restart(ink_cuda_memory *m) {
    m->peak = m->used;
    m->device_peak = 0;
    ink_cuda_memory_ask(m);
}

size_t ink_cuda_memory_free(void) {
    size_t free_bytes = 0, all_bytes = 0;
    return cudaMemGetInfo(&free_bytes, &all_bytes) == cudaSuccess ? free_bytes : 0;
}

size_t ink_cuda_memory_room(const ink_cuda_memory *m) {
    size_t free_bytes = SIZE_MAX, all_bytes = 0;
    if (cudaMemGetInfo(&free_bytes, &all_bytes) != cudaSuccess) free_bytes = SIZE_MAX;
    if (!m->limit) return free_bytes;
    return left_of(m) < free_bytes ? left_of(m) : free_bytes;
}

void ink_cuda_memory_note(ink_cuda_memory *m, size_t more, size_t less) {
    m->used += more;
    m->used -= less < m->used ? less : m->used;
    if (m->used <= m->peak) return;
    m->peak = m->used;
    if (m->used > m->asked_at + asking_bytes) ink_cuda_memory_ask(m);
}

/* ---- failures ---- */

ink_status ink_cuda_check(cudaError_t code, const char *what, ink_error *error) {
    if (code == cudaSuccess) return INK_OK;
    if (code == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError(); /* this one is over; others stay */
        return ink_fail(error, INK_ERROR_MEMORY,
                        "out of device memory for %s; use --max-vram, --precision fp8 or a smaller size",
                        what);
    }
    return ink_fail(error, INK_ERROR_INTERNAL, "CUDA could not do %s: %s", what, cudaGetErrorString(code));
}

/* What is left for weights when some of them come from the host: whole gigabytes below what is free. */
static unsigned long long advised(size_t free_bytes) {
    const unsigned long long whole = free_bytes >> 30;
    return whole > 1 ? whole - 1 : whole;
}

ink_status ink_cuda_fail_memory(const ink_cuda_memory *m, ink_error *error, const char *what, size_t bytes) {
    size_t free_bytes = 0, all_bytes = 0;
    (void)cudaMemGetInfo(&free_bytes, &all_bytes);
    if (m->limit) {
        return ink_fail(error, INK_ERROR_MEMORY,
                        "out of device memory for %s: %.2f GB are needed, %.2f GB are left of --max-vram "
                        "(%.2f GB) and %.2f GB are free; allow more, or use a smaller size",
                        what, gigabytes(bytes), gigabytes(left_of(m)), gigabytes(m->wished),
                        gigabytes(free_bytes));
    }
    char stream[48] = "";
    if (advised(free_bytes) > 0) snprintf(stream, sizeof stream, "--max-vram %lluG, ", advised(free_bytes));
    return ink_fail(error, INK_ERROR_MEMORY,
                    "out of device memory for %s: %.2f GB are needed, %.2f of %.2f GB are free; use "
                    "%s--precision fp8, a smaller size or --backend cpu",
                    what, gigabytes(bytes), gigabytes(free_bytes), gigabytes(all_bytes), stream);
}

/* ---- the device's memory ---- */

ink_status ink_cuda_copy_to_device(const void *host, size_t bytes, const char *what, cudaStream_t stream,
                                   void **device, ink_error *error) {
    *device = NULL;
    void *memory = NULL;
    INK_TRY(ink_cuda_check(cudaMalloc(&memory, bytes ? bytes : 1), what, error));
    /* Pageable memory: the call returns once `host` has been read. */
    ink_status status =
        ink_cuda_check(cudaMemcpyAsync(memory, host, bytes, cudaMemcpyHostToDevice, stream), what, error);
    if (status != INK_OK) {
        (void)cudaFree(memory);
        return status;
    }
    *device = memory;
    return INK_OK;
}

ink_status ink_cuda_allocate(ink_cuda_memory *m, size_t bytes, const char *what, void **out,
                             ink_error *error) {
    *out = NULL;
    if (m->limit && bytes > left_of(m)) return ink_cuda_fail_memory(m, error, what, bytes);
    const cudaError_t code = cudaMalloc(out, bytes ? bytes : 1);
    if (code == cudaSuccess) {
        ink_cuda_memory_note(m, bytes, 0);
        return INK_OK;
    }
    *out = NULL;
    if (code != cudaErrorMemoryAllocation) return ink_cuda_check(code, what, error);
    (void)cudaGetLastError();
    return ink_cuda_fail_memory(m, error, what, bytes);
}

void ink_cuda_free(ink_cuda_memory *m, void *data, size_t bytes) {
    if (!data) return;
    (void)cudaFree(data);
    ink_cuda_memory_note(m, 0, bytes);
}

/* ---- pinned memory of the host ---- */

/* A number in a file of the system, behind `key`; SIZE_MAX if there is none. */
static size_t read_number(const char *path, const char *key, size_t unit) {
    FILE *file = fopen(path, "r");
    if (!file) return SIZE_MAX;
    char line[128];
    size_t found = SIZE_MAX;
    const size_t n = strlen(key);
    while (found == SIZE_MAX && fgets(line, sizeof line, file)) {
        char *end;
        if (strncmp(line, key, n) != 0) continue;
        const unsigned long long value = strtoull(line + n, &end, 10);
        if (end != line + n && value < SIZE_MAX / unit) found = (size_t)value * unit;
    }
    (void)fclose(file);
    return found;
}

/* What the system can give without taking from others; of the container's limit, the part that is not used
 * for more than copies of files. */
static size_t host_room(void) {
    const size_t available = read_number("/proc/meminfo", "MemAvailable:", 1024);
    const size_t most = read_number("/sys/fs/cgroup/memory.max", "", 1);
    const size_t taken = read_number("/sys/fs/cgroup/memory.stat", "anon ", 1);
    if (most == SIZE_MAX || taken == SIZE_MAX) return available;
    const size_t left = most > taken ? most - taken : 0;
    return left < available ? left : available;
}

static ink_status fail_pinned(ink_error *error, const char *what, size_t bytes, size_t room) {
    char there[64] = "";
    if (room != SIZE_MAX) snprintf(there, sizeof there, ", and %.1f GB are available", gigabytes(room));
    return ink_fail(
        error, INK_ERROR_MEMORY,
        "%s need %.1f GB of the host's memory, pinned%s; raise --max-vram, use --precision fp8, or "
        "end what else runs",
        what, gigabytes(bytes), there);
}

ink_status ink_cuda_check_pinned(size_t bytes, const char *what, ink_error *error) {
    const size_t room = host_room();
    return bytes <= room ? INK_OK : fail_pinned(error, what, bytes, room);
}

ink_status ink_cuda_allocate_pinned(size_t bytes, const char *what, void **out, ink_error *error) {
    *out = NULL;
    const cudaError_t code = cudaHostAlloc(out, bytes ? bytes : 1, cudaHostAllocDefault);
    if (code == cudaSuccess) return INK_OK;
    *out = NULL;
    if (code != cudaErrorMemoryAllocation) return ink_cuda_check(code, what, error);
    (void)cudaGetLastError();
    return fail_pinned(error, what, bytes, host_room());
}
