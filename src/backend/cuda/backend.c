/*
 * The backend: its device, its buffers, and its table of functions.
 */
#include "backend/cuda/analysis.h"
#include "backend/cuda/context.h"
#include "backend/cuda/settle.h"
#include "backend/cuda/united.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    oldest_compute_capability = 8, /* bf16 matrix units */
    fp8_compute_capability = 9     /* the one for which cuBLASLt scales rows */
};

static ink_cuda_context *context_of(ink_backend *backend) {
    return (ink_cuda_context *)backend;
}

/* ---- buffers ---- */

static ink_status buffer_create(ink_backend *backend, ink_dtype dtype, const ink_shape *shape,
                                ink_buffer **out, ink_error *error) {
    ink_cuda_context *context = context_of(backend);
    const int64_t count = ink_shape_count(shape);
    size_t bytes = 0;
    if (count <= 0 || !ink_size_mul((size_t)count, ink_dtype_bytes(dtype), &bytes)) {
        char text[INK_SHAPE_TEXT_BYTES];
        return ink_fail(error, INK_ERROR_INTERNAL, "a buffer cannot have the shape %s",
                        ink_shape_text(shape, text));
    }
    ink_cuda_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer) return ink_fail_memory(error, "a buffer", sizeof *buffer);
    buffer->base = (ink_buffer){.api = backend->api, .dtype = dtype, .shape = *shape};
    buffer->context = context;
    (void)ink_cuda_make_room(context, bytes, NULL);
    buffer->bytes = bytes;
    ink_status status = ink_cuda_allocate(&context->memory, bytes, "a buffer", &buffer->memory, error);
    if (status == INK_OK) {
        status = ink_cuda_check(cudaMemsetAsync(buffer->memory, 0, bytes, context->stream),
                                "the clearing of a buffer", error);
    }
    if (status != INK_OK) {
        ink_cuda_free(&context->memory, buffer->memory, bytes);
        free(buffer);
        return status;
    }
    *out = &buffer->base;
    return INK_OK;
}

static void buffer_destroy(ink_buffer *base) {
    ink_cuda_buffer *buffer = (ink_cuda_buffer *)base;
    (void)cudaStreamSynchronize(buffer->context->stream); /* runs may still use it */
    ink_cuda_free(&buffer->context->memory, buffer->memory, buffer->bytes);
    free(buffer);
}

/* Pageable memory is copied before the call returns; on the device everything is in order. */
static ink_status buffer_write(ink_buffer *base, const void *data, size_t bytes, ink_error *error) {
    ink_cuda_buffer *buffer = (ink_cuda_buffer *)base;
    return ink_cuda_check(
        cudaMemcpyAsync(buffer->memory, data, bytes, cudaMemcpyHostToDevice, buffer->context->stream),
        "the writing of a buffer", error);
}

static ink_status buffer_read(ink_buffer *base, void *data, size_t bytes, ink_error *error) {
    ink_cuda_buffer *buffer = (ink_cuda_buffer *)base;
    cudaError_t code =
        cudaMemcpyAsync(data, buffer->memory, bytes, cudaMemcpyDeviceToHost, buffer->context->stream);
    if (code == cudaSuccess) code = cudaStreamSynchronize(buffer->context->stream);
    return ink_cuda_check(code, "what came before the reading of a buffer", error);
}

/* ---- the device ---- */

static bool describe_device(int device, char *text, size_t size) {
    struct cudaDeviceProp properties;
    int driver = 0;
    if (cudaGetDeviceProperties(&properties, device) != cudaSuccess ||
        cudaDriverGetVersion(&driver) != cudaSuccess) {
        return false;
    }
    snprintf(text, size, "%s, %.0f GiB, driver for CUDA %d.%d", properties.name,
             (double)properties.totalGlobalMem / (1024.0 * 1024.0 * 1024.0), driver / 1000,
             driver % 1000 / 10);
    return true;
}

bool ink_cuda_usable(char *text, size_t size) {
    int devices = 0, major = 0;
    const cudaError_t code = cudaGetDeviceCount(&devices);
    if (code != cudaSuccess || devices < 1) {
        (void)cudaGetLastError();
        const bool no_driver = code == cudaErrorInsufficientDriver || code == cudaErrorStubLibrary;
        snprintf(text, size, "no device can be used: %s",
                 code == cudaSuccess ? "there is none"
                 : no_driver         ? "the NVIDIA driver is missing or too old for CUDA 13"
                                     : cudaGetErrorString(code));
        return false;
    }
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) != cudaSuccess ||
        !describe_device(0, text, size)) {
        (void)cudaGetLastError();
        snprintf(text, size, "the device does not answer");
        return false;
    }
    if (major >= oldest_compute_capability) return true;
    snprintf(text, size, "the device is older than compute capability %d.0", oldest_compute_capability);
    return false;
}

/* ---- making and ending a backend ---- */

static void backend_destroy(ink_backend *backend) {
    ink_cuda_context *context = context_of(backend);
    if (context->stream) (void)cudaStreamSynchronize(context->stream);
    ink_cuda_united_destroy(context->united);
    ink_cuda_linears_destroy(context->linears);
    ink_cuda_weights_destroy(context->weights);
    if (context->stream) (void)cudaStreamDestroy(context->stream);
    free(context);
}

static const char *backend_describe(const ink_backend *backend) {
    return ((const ink_cuda_context *)backend)->description;
}

static const char *backend_precision(const ink_backend *backend) {
    return ((const ink_cuda_context *)backend)->precision;
}

static void backend_memory(ink_backend *backend, ink_backend_memory *memory) {
    ink_cuda_context *context = context_of(backend);
    ink_cuda_memory_ask(&context->memory);
    *memory = (ink_backend_memory){.used = context->memory.used,
                                   .peak = context->memory.peak,
                                   .device_peak = context->memory.device_peak};
    ink_cuda_weights_speed(context->weights, &memory->loaded_bytes, &memory->loading_seconds);
    ink_cuda_memory_restart(&context->memory);
}

static const ink_backend_api api = {
    .name = "cuda",
    .synchronous = false,
    .destroy = backend_destroy,
    .describe = backend_describe,
    .buffer_create = buffer_create,
    .buffer_destroy = buffer_destroy,
    .buffer_write = buffer_write,
    .buffer_read = buffer_read,
    .compile = ink_cuda_compile,
    .program_destroy = ink_cuda_program_destroy,
    .bind = ink_cuda_program_bind,
    .run = ink_cuda_program_run,
    .program_bytes = ink_cuda_program_bytes,
    .submit = ink_cuda_program_submit,
    .finished = ink_cuda_program_finished,
    .precision = backend_precision,
    .profile = ink_cuda_program_profile,
    .makes_synthetic = true,
    .keeps_programs = true,
    .memory = backend_memory,
};

static ink_status choose_precision(ink_cuda_context *context, const char *precision, unsigned fp8_groups,
                                   ink_error *error) {
    static const char *const names[] = {"bf16", "f32", "fp8"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(precision, names[i]) == 0) context->precision = names[i];
    }
    if (!context->precision) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED,
                        "backend 'cuda' cannot compute in '%.32s'; there are: bf16, f32, fp8", precision);
    }
    context->activation = strcmp(precision, "f32") == 0 ? INK_F32 : INK_BF16;
    if (strcmp(precision, "fp8") != 0) return INK_OK;
    int major = 0;
    INK_TRY(ink_cuda_check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, context->device),
                           "a question about the device", error));
    if (major != fp8_compute_capability) {
        return ink_fail(
            error, INK_ERROR_UNSUPPORTED,
            "fp8 needs a device of compute capability %d, and this one has %d; use --precision bf16",
            fp8_compute_capability, major);
    }
    context->fp8 = fp8_groups ? fp8_groups : INK_CUDA_FP8_DEFAULT;
    return INK_OK;
}

static ink_status start_device(ink_cuda_context *context, ink_error *error) {
    const struct {
        enum cudaDeviceAttr name;
        int *value;
    } attributes[] = {{cudaDevAttrMultiProcessorCount, &context->processors},
                      {cudaDevAttrComputeCapabilityMajor, &context->major},
                      {cudaDevAttrComputeCapabilityMinor, &context->minor}};
    cudaError_t code = cudaSetDevice(context->device);
    for (size_t i = 0; code == cudaSuccess && i < sizeof attributes / sizeof attributes[0]; i++) {
        code = cudaDeviceGetAttribute(attributes[i].value, attributes[i].name, context->device);
    }
    if (code == cudaSuccess) code = cudaStreamCreateWithFlags(&context->stream, cudaStreamNonBlocking);
    return ink_cuda_check(code, "the start of the device", error);
}

static ink_status configure(ink_cuda_context *context, const ink_cuda_settings *settings, ink_error *error) {
    char device[128];
    if (!ink_cuda_usable(device, sizeof device)) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED,
                        "backend 'cuda' cannot be used here: %s; use --backend cpu", device);
    }
    ink_cuda_memory_init(&context->memory, settings->max_vram);
    context->stream_smallest = settings->stream_smallest;
    context->stream_slot = settings->stream_slot;
    const char *precision = settings->precision ? settings->precision : "bf16";
    INK_TRY(choose_precision(context, precision, settings->fp8_groups, error));
    /* Residual streams of bf16 halve the bytes of norms; beside the error of the reference in bf16, theirs is
     * small. */
    context->residual = settings->wide_residual ? INK_F32 : context->activation;
    context->separate = settings->separate;
    context->ununited = settings->ununited;
    context->beside = settings->beside;
    context->divided = settings->divided;
    snprintf(context->description, sizeof context->description, "cuda: %s, %s", device, precision);
    INK_TRY(start_device(context, error));
    INK_TRY(ink_cuda_linears_create(&context->linears, error));
    ink_cuda_memory_note(&context->memory, ink_cuda_linears_bytes(context->linears), 0);
    return ink_cuda_weights_create(context->device, context->stream, settings->threads, &context->memory,
                                   &context->weights, error);
}

ink_status ink_cuda_backend_create_with(const ink_cuda_settings *settings, ink_backend **backend,
                                        ink_error *error) {
    *backend = NULL;
    ink_cuda_context *context = calloc(1, sizeof *context);
    if (!context) return ink_fail_memory(error, "a backend", sizeof *context);
    context->base.api = &api;
    const ink_status status = configure(context, settings, error);
    if (status != INK_OK) {
        backend_destroy(&context->base);
        return status;
    }
    *backend = &context->base;
    return INK_OK;
}

ink_status ink_cuda_backend_create(const ink_backend_options *options, ink_backend **backend,
                                   ink_error *error) {
    return ink_cuda_backend_create_with(&(ink_cuda_settings){.precision = options->precision,
                                                             .threads = options->threads,
                                                             .max_vram = (size_t)options->max_vram},
                                        backend, error);
}
