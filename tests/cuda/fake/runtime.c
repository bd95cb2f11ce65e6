/*
 * Memory, streams, events and graphs of the stand-in. Objects are counted; everything is done when it is
 * asked for, so waiting is nothing.
 */
#include "fake.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct record {
    struct record *next;
    fake_kernel kernel;
    void *arguments;
} record;

struct fake_graph {
    record *first, **last;
};
struct fake_stream {
    struct fake_graph *captured; /* NULL: nothing is */
};
struct fake_event {
    int nothing;
};

static atomic_int objects, launches;
static atomic_size_t device_bytes;
static size_t limit = (size_t)1 << 40;

int fake_leaks(void) {
    return atomic_load(&objects);
}
void fake_limit_memory(size_t bytes) {
    limit = atomic_load(&device_bytes) + bytes;
}
int fake_launches(void) {
    return atomic_exchange(&launches, 0);
}

/* ---- the device ---- */

cudaError_t cudaGetDeviceCount(int *count) {
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr name, int device) {
    (void)name, (void)device;
    *value = 9;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device) {
    (void)device;
    *properties = (struct cudaDeviceProp){.name = "stand-in", .totalGlobalMem = (size_t)1 << 40};
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version) {
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    return device == 0 ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *all_bytes) {
    *all_bytes = limit;
    *free_bytes = limit - atomic_load(&device_bytes);
    return cudaSuccess;
}
const char *cudaGetErrorString(cudaError_t code) {
    return code == cudaSuccess ? "no error" : "an error of the stand-in";
}
cudaError_t cudaGetLastError(void) {
    return cudaSuccess;
}

/* ---- memory: a header of 256 bytes holds the size ---- */

enum { header_bytes = 256 };

static cudaError_t allocate(void **memory, size_t bytes) {
    char *all = aligned_alloc(header_bytes, (bytes + 2 * header_bytes - 1) / header_bytes * header_bytes);
    if (!all) return cudaErrorMemoryAllocation;
    memcpy(all, &bytes, sizeof bytes);
    memset(all + header_bytes, 0xFF, bytes);
    *memory = all + header_bytes;
    atomic_fetch_add(&objects, 1);
    return cudaSuccess;
}

static size_t release(void *memory) {
    size_t bytes;
    char *all = (char *)memory - header_bytes;
    memcpy(&bytes, all, sizeof bytes);
    free(all);
    atomic_fetch_sub(&objects, 1);
    return bytes;
}

cudaError_t cudaMalloc(void **memory, size_t bytes) {
    if (bytes > limit - atomic_load(&device_bytes)) return cudaErrorMemoryAllocation;
    const cudaError_t code = allocate(memory, bytes);
    if (code == cudaSuccess) atomic_fetch_add(&device_bytes, bytes);
    return code;
}
cudaError_t cudaFree(void *memory) {
    if (memory) atomic_fetch_sub(&device_bytes, release(memory));
    return cudaSuccess;
}
cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned flags) {
    (void)flags;
    return allocate(memory, bytes);
}
cudaError_t cudaFreeHost(void *memory) {
    if (memory) release(memory);
    return cudaSuccess;
}

/* Copies are never captured by the backend. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    (void)kind;
    if (stream->captured) return cudaErrorInvalidValue;
    memcpy(to, from, bytes);
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
    if (stream->captured) return cudaErrorInvalidValue;
    memset(to, value, bytes);
    return cudaSuccess;
}

/* ---- streams and events ---- */

static void *make(size_t bytes) {
    void *object = calloc(1, bytes);
    if (object) atomic_fetch_add(&objects, 1);
    return object;
}
static cudaError_t destroy(void *object) {
    if (object) atomic_fetch_sub(&objects, 1);
    free(object);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    (void)flags;
    *stream = make(sizeof **stream);
    return *stream ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    return destroy(stream);
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    return stream->captured ? cudaErrorInvalidValue : cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    (void)stream, (void)event, (void)flags;
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *event) {
    *event = make(sizeof **event);
    return *event ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    (void)flags;
    return cudaEventCreate(event);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    return destroy(event);
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    (void)event, (void)stream;
    return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
    (void)event;
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    (void)event;
    return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    (void)begin, (void)end;
    *milliseconds = 0;
    return cudaSuccess;
}

/* ---- capturing ---- */

cudaError_t fake_start(cudaStream_t stream, fake_kernel kernel, const void *arguments, size_t bytes) {
    if (!stream->captured) {
        atomic_fetch_add(&launches, 1);
        kernel(arguments);
        return cudaSuccess;
    }
    record *r = calloc(1, sizeof *r);
    void *copy = r ? malloc(bytes) : NULL;
    if (!copy) {
        free(r);
        return cudaErrorMemoryAllocation;
    }
    memcpy(copy, arguments, bytes);
    *r = (record){.kernel = kernel, .arguments = copy};
    *stream->captured->last = r;
    stream->captured->last = &r->next;
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    (void)mode;
    stream->captured = make(sizeof *stream->captured);
    if (!stream->captured) return cudaErrorMemoryAllocation;
    stream->captured->last = &stream->captured->first;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    *graph = stream->captured;
    stream->captured = NULL;
    return cudaSuccess;
}
/* Takes the records over. */
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *replay, cudaGraph_t graph, unsigned long long flags) {
    (void)flags;
    *replay = make(sizeof **replay);
    if (!*replay) return cudaErrorMemoryAllocation;
    (*replay)->first = graph->first;
    graph->first = NULL;
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t replay, cudaStream_t stream) {
    if (stream->captured) return cudaErrorInvalidValue;
    for (const record *r = replay->first; r; r = r->next) {
        atomic_fetch_add(&launches, 1);
        r->kernel(r->arguments);
    }
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    while (graph->first) {
        record *r = graph->first;
        graph->first = r->next;
        free(r->arguments);
        free(r);
    }
    return destroy(graph);
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t replay) {
    return cudaGraphDestroy(replay);
}

/* ---- elements ---- */

double fake_weight(const void *data, ink_dtype dtype, int64_t i) {
    return (double)ink_element_f32(data, dtype, i);
}

double fake_get(const ink_cuda_matrix *m, int64_t row, int64_t column) {
    const int64_t at = row * m->stride + column;
    if (m->dtype == INK_I32) return (double)((const int32_t *)m->data)[at];
    if (m->dtype == INK_U8) return (double)((const uint8_t *)m->data)[at];
    return fake_weight(m->data, m->dtype, at);
}

void fake_put(const ink_cuda_matrix *m, int64_t row, int64_t column, double value) {
    const int64_t at = row * m->stride + column;
    switch (m->dtype) {
    case INK_F32:
        ((float *)m->data)[at] = (float)value;
        break;
    case INK_BF16:
        ((uint16_t *)m->data)[at] = ink_bf16_from_f32((float)value);
        break;
    case INK_I32:
        ((int32_t *)m->data)[at] = (int32_t)value;
        break;
    default:
        ((uint8_t *)m->data)[at] = (uint8_t)value;
        break;
    }
}

void fake_move(const ink_cuda_matrix *to, int64_t row, int64_t column, const ink_cuda_matrix *from,
               int64_t from_row, int64_t from_column) {
    if (to->dtype != from->dtype) {
        fake_put(to, row, column, fake_get(from, from_row, from_column));
        return;
    }
    const int64_t bytes = (int64_t)ink_dtype_bytes(to->dtype);
    memmove((char *)to->data + (row * to->stride + column) * bytes,
            (const char *)from->data + (from_row * from->stride + from_column) * bytes, (size_t)bytes);
}
