/*
 * Memory, streams, events and graphs of the stand-in. Objects are counted; everything is done when it is
 * asked for, so waiting is nothing.
 */
#include "copies.h"
#include "fake.h"

#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A launch of a captured stream. */
typedef struct record {
    struct record *next;
    fake_kernel kernel;
    void *arguments;
    const struct record *after; /* of another stream; nullable */
    int lane;                   /* which of the streams that are captured together */
    bool done;
} record;

struct fake_graph {
    record *first, *last;
    int lanes, runs;
};
struct fake_stream {
    struct fake_graph *captured; /* NULL: nothing is */
    record *last;                /* what was captured */
    const record *after;         /* what the next one waits for */
    int lane;
};
struct fake_event {
    bool recorded;
    struct fake_graph *captured; /* at the end of this: */
    const record *end;
    struct fake_stream *stream; /* in which it was recorded, after copy: */
    long copy;
    bool fast; /* since the event before */
};

static atomic_int objects, launches;
static atomic_bool fast;
static atomic_int until_failure = -2; /* allocations; -1: it was the last one, less: none fails */
static int capability[2] = {9, 0};
static atomic_size_t device_bytes;
static size_t limit = (size_t)1 << 40;

int fake_leaks(void) {
    return atomic_load(&objects);
}
void fake_limit_memory(size_t bytes) {
    limit = atomic_load(&device_bytes) + bytes;
}
void fake_fail_allocation(int n) {
    atomic_store(&until_failure, n);
}
bool fake_allocation_failed(void) {
    return atomic_load(&until_failure) == -1;
}
void fake_set_capability(int major, int minor) {
    capability[0] = major;
    capability[1] = minor;
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
    (void)device;
    *value =
        name == cudaDevAttrMultiProcessorCount ? 132 : capability[name != cudaDevAttrComputeCapabilityMajor];
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
    if (atomic_load(&until_failure) >= 0 && atomic_fetch_sub(&until_failure, 1) == 0)
        return cudaErrorMemoryAllocation;
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
    fake_copies_do(NULL, LONG_MAX);
    if (memory) atomic_fetch_sub(&device_bytes, release(memory));
    return cudaSuccess;
}
cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned flags) {
    (void)flags;
    const cudaError_t code = allocate(memory, bytes);
    if (code == cudaSuccess) fake_copies_pin(*memory, bytes);
    return code;
}
cudaError_t cudaFreeHost(void *memory) {
    fake_copies_do(NULL, LONG_MAX);
    if (memory) fake_copies_unpin(memory);
    if (memory) release(memory);
    return cudaSuccess;
}

/* Copies are never captured by the backend. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    if (stream->captured) return cudaErrorInvalidValue;
    if (kind == cudaMemcpyHostToDevice && fake_copies_put_off(stream, to, from, bytes)) return cudaSuccess;
    fake_copies_do(stream, LONG_MAX);
    memcpy(to, from, bytes);
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
    if (stream->captured) return cudaErrorInvalidValue;
    fake_copies_do(stream, LONG_MAX);
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
    fake_copies_do(stream, LONG_MAX);
    return destroy(stream);
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    fake_copies_do(stream, LONG_MAX);
    return stream->captured ? cudaErrorInvalidValue : cudaSuccess;
}
static void wait_for_copies(cudaEvent_t event) {
    if (event->stream) fake_copies_do(event->stream, event->copy);
}
/* Stricter than CUDA with events that were never recorded, and with streams that are captured. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    (void)flags;
    if (event->captured) {
        if (!stream->captured) stream->captured = event->captured, stream->lane = event->captured->lanes++;
        if (event->end) stream->after = event->end;
        return stream->captured == event->captured ? cudaSuccess : cudaErrorInvalidValue;
    }
    wait_for_copies(event);
    return event->recorded && !stream->captured ? cudaSuccess : cudaErrorInvalidValue;
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
    if (stream->captured) {
        *event = (struct fake_event){.recorded = true, .captured = stream->captured, .end = stream->last};
        return cudaSuccess;
    }
    *event = (struct fake_event){.recorded = true,
                                 .stream = stream,
                                 .copy = fake_copies_last(),
                                 .fast = atomic_exchange(&fast, false)};
    return cudaSuccess;
}
void fake_be_fast(void) {
    atomic_store(&fast, true);
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
    wait_for_copies(event);
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    wait_for_copies(event);
    return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    (void)begin;
    *milliseconds = end->fast ? 50 : 100; /* so long that nobody measures it often */
    return cudaSuccess;
}

/* ---- capturing ---- */

cudaError_t fake_start(cudaStream_t stream, fake_kernel kernel, const void *arguments, size_t bytes) {
    if (!stream->captured) {
        fake_copies_do(stream, LONG_MAX);
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
    *r = (record){.kernel = kernel, .arguments = copy, .after = stream->after, .lane = stream->lane};
    struct fake_graph *graph = stream->captured;
    *(graph->last ? &graph->last->next : &graph->first) = r;
    graph->last = stream->last = r;
    stream->after = NULL;
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    (void)mode;
    if (stream->captured) return cudaErrorInvalidValue;
    stream->captured = make(sizeof *stream->captured);
    if (!stream->captured) return cudaErrorMemoryAllocation;
    stream->captured->lanes = 1;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    *graph = stream->captured;
    *stream = (struct fake_stream){0};
    return cudaSuccess;
}

/* Takes the records over. */
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *replay, cudaGraph_t graph, unsigned long long flags) {
    (void)flags;
    *replay = make(sizeof **replay);
    if (!*replay) return cudaErrorMemoryAllocation;
    (*replay)->first = graph->first;
    (*replay)->lanes = graph->lanes;
    graph->first = NULL;
    return cudaSuccess;
}

/* The next of a lane, if what it waits for is done. */
static record *next_of(const struct fake_graph *graph, int lane) {
    record *r = graph->first;
    while (r && (r->done || r->lane != lane)) {
        r = r->next;
    }
    return r && (!r->after || r->after->done) ? r : NULL;
}

/* One lane is as far ahead of the others as it can be; every run another one, so that waiting that was
 * forgotten is seen. */
static record *next_record(const struct fake_graph *graph) {
    for (int i = 0; i < graph->lanes; i++) {
        record *r = next_of(graph, (graph->runs + i) % graph->lanes);
        if (r) return r;
    }
    return NULL;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t replay, cudaStream_t stream) {
    if (stream->captured) return cudaErrorInvalidValue;
    fake_copies_do(stream, LONG_MAX);
    for (record *r = replay->first; r; r = r->next) {
        r->done = false;
    }
    replay->runs++;
    for (record *r; (r = next_record(replay));) {
        atomic_fetch_add(&launches, 1);
        r->kernel(r->arguments);
        r->done = true;
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
    if (m->dtype == INK_F8_E4M3) return fake_get_fp8(m, row, column);
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
