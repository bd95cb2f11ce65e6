/*
 * When each kernel of a program begins and ends on the device, those of replayed CUDA graphs too: a library
 * that the driver loads into the program if CUDA_INJECTION64_PATH names it. Writes a line for each kernel to
 * the file that KERNEL_TRACE names: begin and end in nanoseconds, stream, graph (0: none), blocks, name; read
 * by kernel_trace.py. The profiles of `inkstone bench` run launch by launch, and do not show what overlaps.
 */
#include <cupti.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The driver's interface has no place for the library's own data. */
static FILE *trace;

static void CUPTIAPI give_buffer(uint8_t **buffer, size_t *bytes, size_t *most_records) {
    enum { size = 8 << 20, alignment = 64 };
    *buffer = aligned_alloc(alignment, size);
    *bytes = *buffer ? size : 0;
    *most_records = 0; /* as many as fit */
}

static void CUPTIAPI take_buffer(CUcontext context, uint32_t stream, uint8_t *buffer, size_t bytes,
                                 size_t used) {
    (void)context, (void)stream, (void)bytes;
    CUpti_Activity *record = NULL;
    while (cuptiActivityGetNextRecord(buffer, used, &record) == CUPTI_SUCCESS) {
        if (record->kind != CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) continue;
        const CUpti_ActivityKernel9 *k = (const CUpti_ActivityKernel9 *)record;
        fprintf(trace, "%llu,%llu,%u,%u,%d,%s\n", (unsigned long long)k->start, (unsigned long long)k->end,
                k->streamId, k->graphId, k->gridX * k->gridY * k->gridZ, k->name);
    }
    free(buffer);
}

static void finish(void) {
    (void)cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
    if (fclose(trace)) perror("kernel_trace");
}

/* The driver calls it before the program's first call of CUDA. */
int InitializeInjection(void);
int InitializeInjection(void) {
    const char *path = getenv("KERNEL_TRACE");
    trace = path ? fopen(path, "w") : NULL;
    if (!trace || cuptiActivityRegisterCallbacks(give_buffer, take_buffer) != CUPTI_SUCCESS ||
        cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) != CUPTI_SUCCESS || atexit(finish) != 0) {
        fprintf(stderr,
                "kernel_trace: KERNEL_TRACE does not name a file to write to, or CUPTI does not work\n");
        return 0;
    }
    return 1;
}
