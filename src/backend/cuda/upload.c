#include "backend/cuda/upload.h"

#include "backend/cuda/intervals.h"
#include "backend/cuda/memory.h"
#include "base/threads.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Two pieces per thread: one is filled while the other is copied. */
enum { piece_bytes = 4 << 20, pieces_per_thread = 2, most_threads = 8 };

typedef struct lane {
    unsigned char *piece[pieces_per_thread]; /* pinned */
    cudaEvent_t copied[pieces_per_thread];
    float *row; /* of a matrix of small integers, widened */
    size_t row_bytes;
    int turn;
} lane;

struct ink_cuda_upload {
    int device;
    cudaStream_t stream;
    cudaEvent_t done;
    ink_pool *pool;
    int threads;
    lane lanes[most_threads];
};

/* ---- conversion on the host: exact where it widens ---- */

static void convert(unsigned char *to, ink_dtype to_dtype, const unsigned char *from, ink_dtype from_dtype,
                    int64_t count) {
    if (to_dtype == from_dtype) {
        memcpy(to, from, (size_t)count * ink_dtype_bytes(to_dtype));
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        const float value = ink_element_f32(from, from_dtype, i);
        if (to_dtype == INK_F32) {
            memcpy(to + 4 * i, &value, 4);
        } else {
            const uint16_t narrow = ink_bf16_from_f32(value);
            memcpy(to + 2 * i, &narrow, 2);
        }
    }
}

/* Rows [first, first + rows) of a matrix of small integers. */
static bool widen_rows(lane *l, const ink_cuda_transfer *t, int64_t first, int64_t rows, unsigned char *to) {
    const size_t bytes = (size_t)t->source.columns * sizeof *l->row;
    if (bytes > l->row_bytes) {
        float *row = realloc(l->row, bytes);
        if (!row) return false;
        l->row = row;
        l->row_bytes = bytes;
    }
    const size_t stride = (size_t)t->source.columns * ink_dtype_bytes(t->dtype);
    for (int64_t r = 0; r < rows; r++) {
        ink_quantized_row(&t->source.quantized, first + r, t->source.columns, l->row);
        convert(to + (size_t)r * stride, t->dtype, (const unsigned char *)l->row, INK_F32, t->source.columns);
    }
    return true;
}

/* ---- the work of the threads ---- */

typedef struct job {
    ink_cuda_upload *upload;
    const ink_cuda_transfer *transfers;
    size_t n;
    int64_t *first_piece;      /* [n + 1], of each transfer */
    atomic_int code;           /* the first cudaError_t that was no success */
    atomic_bool out_of_memory; /* on the host */
} job;

/* Elements of a piece: whole rows if they are made row by row. */
static int64_t piece_elements(const ink_cuda_transfer *t) {
    const int64_t fit = piece_bytes / (int64_t)ink_dtype_bytes(t->dtype);
    if (!t->source.quantized.bits) return fit;
    const int64_t rows = fit / t->source.columns;
    return (rows < 1 ? 1 : rows) * t->source.columns;
}

static int64_t elements(const ink_cuda_transfer *t) {
    return t->source.rows * t->source.columns;
}

static cudaError_t copy_piece(job *j, int64_t task, lane *l) {
    const size_t index = ink_interval_of(j->first_piece, j->n, task);
    const ink_cuda_transfer *t = &j->transfers[index];
    const int64_t whole = piece_elements(t), first = (task - j->first_piece[index]) * whole;
    const int64_t rest = elements(t) - first, count = rest < whole ? rest : whole;
    const size_t element = ink_dtype_bytes(t->dtype);
    const int turn = l->turn;
    l->turn = (turn + 1) % pieces_per_thread;
    cudaError_t code = cudaEventSynchronize(l->copied[turn]);
    if (code != cudaSuccess) return code;
    if (t->source.quantized.bits) {
        if (!widen_rows(l, t, first / t->source.columns, count / t->source.columns, l->piece[turn])) {
            atomic_store(&j->out_of_memory, true);
            return cudaSuccess;
        }
    } else {
        const unsigned char *data = t->source.data;
        convert(l->piece[turn], t->dtype, data + (size_t)first * ink_dtype_bytes(t->source.dtype),
                t->source.dtype, count);
    }
    code = cudaMemcpyAsync((unsigned char *)t->to + (size_t)first * element, l->piece[turn],
                           (size_t)count * element, cudaMemcpyHostToDevice, j->upload->stream);
    if (code != cudaSuccess) return code;
    return cudaEventRecord(l->copied[turn], j->upload->stream);
}

static void copy_task(void *context, int64_t task, int thread) {
    job *j = context;
    if (atomic_load(&j->code) != cudaSuccess || atomic_load(&j->out_of_memory)) return;
    cudaError_t code = cudaSetDevice(j->upload->device);
    if (code == cudaSuccess) code = copy_piece(j, task, &j->upload->lanes[thread]);
    int none = cudaSuccess;
    if (code != cudaSuccess) atomic_compare_exchange_strong(&j->code, &none, (int)code);
}

ink_status ink_cuda_upload_run(ink_cuda_upload *upload, const ink_cuda_transfer *transfers, size_t n,
                               cudaStream_t stream, ink_error *error) {
    if (n == 0) return INK_OK;
    job j = {.upload = upload, .transfers = transfers, .n = n};
    j.first_piece = calloc(n + 1, sizeof *j.first_piece);
    if (!j.first_piece) return ink_fail_memory(error, "loading weights", (n + 1) * sizeof *j.first_piece);
    for (size_t i = 0; i < n; i++) {
        const int64_t whole = piece_elements(&transfers[i]);
        j.first_piece[i + 1] = j.first_piece[i] + (elements(&transfers[i]) + whole - 1) / whole;
    }
    /* Memory that was just freed may still be written by what is on the stream. */
    ink_status status =
        ink_cuda_check(cudaEventRecord(upload->done, stream), "the start of an upload", error);
    if (status == INK_OK) {
        status = ink_cuda_check(cudaStreamWaitEvent(upload->stream, upload->done, 0),
                                "the start of an upload", error);
    }
    if (status == INK_OK) {
        ink_pool_run(upload->pool, j.first_piece[n], copy_task, &j);
        status = ink_cuda_check((cudaError_t)atomic_load(&j.code), "the loading of weights", error);
    }
    if (status == INK_OK && atomic_load(&j.out_of_memory))
        status = ink_fail_memory(error, "loading weights", piece_bytes);
    free(j.first_piece);
    INK_TRY(status);
    INK_TRY(ink_cuda_check(cudaEventRecord(upload->done, upload->stream), "an upload", error));
    return ink_cuda_check(cudaStreamWaitEvent(stream, upload->done, 0), "an upload", error);
}

/* ---- making and ending ---- */

static ink_status prepare(ink_cuda_upload *u, int threads, ink_error *error) {
    INK_TRY(ink_pool_create(threads, &u->pool, error));
    u->threads = ink_pool_threads(u->pool);
    if (u->threads > most_threads) {
        ink_pool_destroy(u->pool);
        u->pool = NULL;
        INK_TRY(ink_pool_create(most_threads, &u->pool, error));
        u->threads = ink_pool_threads(u->pool);
    }
    INK_TRY(ink_cuda_check(cudaStreamCreateWithFlags(&u->stream, cudaStreamNonBlocking), "a stream", error));
    INK_TRY(ink_cuda_check(cudaEventCreateWithFlags(&u->done, cudaEventDisableTiming), "an event", error));
    for (int i = 0; i < u->threads; i++) {
        for (int k = 0; k < pieces_per_thread; k++) {
            lane *l = &u->lanes[i];
            INK_TRY(ink_cuda_check(cudaEventCreateWithFlags(&l->copied[k], cudaEventDisableTiming),
                                   "an event", error));
            void *piece = NULL;
            INK_TRY(ink_cuda_check(cudaHostAlloc(&piece, piece_bytes, cudaHostAllocDefault),
                                   "pinned memory for loading weights", error));
            l->piece[k] = piece;
        }
    }
    return INK_OK;
}

ink_status ink_cuda_upload_create(int device, int threads, ink_cuda_upload **upload, ink_error *error) {
    *upload = NULL;
    ink_cuda_upload *u = calloc(1, sizeof *u);
    if (!u) return ink_fail_memory(error, "loading weights", sizeof *u);
    u->device = device;
    const ink_status status = prepare(u, threads, error);
    if (status != INK_OK) {
        ink_cuda_upload_destroy(u);
        return status;
    }
    *upload = u;
    return INK_OK;
}

void ink_cuda_upload_destroy(ink_cuda_upload *u) {
    if (!u) return;
    if (u->stream) (void)cudaStreamSynchronize(u->stream);
    for (int i = 0; i < most_threads; i++) {
        for (int k = 0; k < pieces_per_thread; k++) {
            if (u->lanes[i].copied[k]) (void)cudaEventDestroy(u->lanes[i].copied[k]);
            if (u->lanes[i].piece[k]) (void)cudaFreeHost(u->lanes[i].piece[k]);
        }
        free(u->lanes[i].row);
    }
    if (u->done) (void)cudaEventDestroy(u->done);
    if (u->stream) (void)cudaStreamDestroy(u->stream);
    ink_pool_destroy(u->pool);
    free(u);
}
