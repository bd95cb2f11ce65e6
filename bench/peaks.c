#include "peaks.h"

#include "base/clock.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    rounds = 20000,
    chains = 12,
    memory_bytes = 256 << 20,
    burst_bytes = 64 << 20,
    piece = 1 << 20,
    streams = 4
};

ink_status peaks_open(peaks *p, int threads, ink_error *error) {
    *p = (peaks){0};
    INK_TRY(ink_pool_create(threads, &p->pool, error));
    p->memory = aligned_alloc(64, memory_bytes);
    if (!p->memory) {
        peaks_close(p);
        return ink_fail_memory(error, "reading", memory_bytes);
    }
    memset(p->memory, 1, memory_bytes);
    return INK_OK;
}

void peaks_close(peaks *p) {
    free(p->memory);
    ink_pool_destroy(p->pool);
}

double peaks_seconds(const peaks *p) {
    if (ink_pool_threads(p->pool) != 1) return ink_clock_seconds();
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Twelve independent chains hide the latency of the multiply-add; returns something that depends on all of
 * them, so that they stay. */

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float chains_avx512(void) {
    const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
    __m512 x[chains];
    for (int i = 0; i < chains; i++) {
        x[i] = _mm512_set1_ps((float)i);
    }
    for (int r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < chains; i++) {
            x[i] = _mm512_fmadd_ps(x[i], a, b);
        }
    }
    float sum = 0;
    for (int i = 0; i < chains; i++) {
        sum += _mm512_reduce_add_ps(x[i]);
    }
    return sum;
}

__attribute__((target("avx2,fma"))) static float chains_avx2(void) {
    const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
    __m256 x[chains];
    for (int i = 0; i < chains; i++) {
        x[i] = _mm256_set1_ps((float)i);
    }
    for (int r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < chains; i++) {
            x[i] = _mm256_fmadd_ps(x[i], a, b);
        }
    }
    float sum = 0;
    for (int i = 0; i < chains; i++) {
        sum += x[i][0] + x[i][7];
    }
    return sum;
}
#endif

typedef float four_floats __attribute__((vector_size(16)));

static float chains_any(void) {
    const four_floats a = {0.999f, 0.999f, 0.999f, 0.999f}, b = {0.001f, 0.001f, 0.001f, 0.001f};
    four_floats x[chains];
    for (int i = 0; i < chains; i++) {
        x[i] = a * (float)i;
    }
    for (int r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < chains; i++) {
            x[i] = x[i] * a + b;
        }
    }
    float sum = 0;
    for (int i = 0; i < chains; i++) {
        sum += x[i][0] + x[i][3];
    }
    return sum;
}

typedef struct chains_job {
    float (*fn)(void);
    volatile float sink;
} chains_job;

static void chains_task(void *context, int64_t task, int thread) {
    (void)task, (void)thread;
    chains_job *job = context;
    job->sink = job->fn();
}

double peaks_flops(const peaks *p) {
    chains_job job = {.fn = chains_any};
    int lanes = 4;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) {
        job.fn = chains_avx512;
        lanes = 16;
    } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        job.fn = chains_avx2;
        lanes = 8;
    }
#endif
    const int64_t tasks = 4 * (int64_t)ink_pool_threads(p->pool);
    const double begin = peaks_seconds(p);
    ink_pool_run(p->pool, tasks, chains_task, &job);
    return 2.0 * lanes * chains * rounds * (double)tasks / (peaks_seconds(p) - begin);
}

typedef uint64_t two_words __attribute__((vector_size(16)));

typedef struct read_job {
    const char *memory;
    volatile uint64_t sink;
} read_job;

/* Sums one piece, as `streams` runs that are read side by side: one run alone does not keep the memory busy.
 */
static void read_task(void *context, int64_t task, int thread) {
    (void)thread;
    read_job *job = context;
    const two_words *p = (const two_words *)(const void *)(job->memory + task * piece);
    enum { run = piece / streams / (int)sizeof *p, line = 4 };
    two_words sum[line] = {{0}};
    for (size_t i = 0; i < run; i += line) {
#pragma GCC unroll 8
        for (size_t s = 0; s < streams; s++) {
#pragma GCC unroll 8
            for (size_t j = 0; j < line; j++) {
                sum[j] += p[s * run + i + j];
            }
        }
    }
    uint64_t total = 0;
    for (int j = 0; j < line; j++) {
        total += sum[j][0] ^ sum[j][1];
    }
    job->sink = total;
}

double peaks_read(peaks *p) {
    read_job job = {.memory = p->memory + p->next};
    p->next = (p->next + burst_bytes) % memory_bytes;
    const double begin = peaks_seconds(p);
    ink_pool_run(p->pool, burst_bytes / piece, read_task, &job);
    return burst_bytes / (peaks_seconds(p) - begin);
}
