#include "backend/cpu/cpu.h"

#include "backend/cpu/levels.h"

#include <stdio.h>

enum { level_count = 3 };

static const char *const level_names[level_count] = {"scalar", "avx2", "avx512"};

const char *ink_cpu_level_name(ink_cpu_level level) {
    return level_names[level];
}

ink_cpu_level ink_cpu_detect(void) {
#if defined(__x86_64__)
    /* These also ask the system whether it saves the registers. */
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return INK_CPU_AVX512;
    if (avx2) return INK_CPU_AVX2; /* every such processor has F16C */
#endif
    return INK_CPU_SCALAR;
}

void ink_cpu_kernels(ink_kernel_table *table, ink_cpu_level level) {
    ink_cpu_kernels_moves(table);
    ink_cpu_kernels_scalar(table);
#if defined(__x86_64__)
    if (level >= INK_CPU_AVX2) ink_cpu_kernels_avx2(table);
    if (level >= INK_CPU_AVX512) ink_cpu_kernels_avx512(table);
#else
    (void)level;
#endif
}

/* The best level, capped by what the caller asks for. */
static ink_status choose_level(const char *cap, ink_cpu_level *level, ink_error *error) {
    *level = ink_cpu_detect();
    if (!cap) return INK_OK;
    for (int i = 0; i < level_count; i++) {
        if (strcmp(cap, level_names[i]) != 0) continue;
        if ((ink_cpu_level)i < *level) *level = (ink_cpu_level)i;
        return INK_OK;
    }
    return ink_fail(error, INK_ERROR_ARGUMENT,
                    "there is no instruction set '%s': choose scalar, avx2 or avx512", cap);
}

ink_status ink_cpu_backend_create(const ink_backend_options *options, ink_backend **backend,
                                  ink_error *error) {
    ink_cpu_level level;
    INK_TRY(choose_level(options->cpu_level, &level, error));
    ink_pool *pool;
    INK_TRY(ink_pool_create(options->threads, &pool, error));
    ink_kernel_table table = {0};
    ink_cpu_kernels(&table, level);
    char description[64];
    const int threads = ink_pool_threads(pool);
    snprintf(description, sizeof description, "cpu: %d thread%s, %s", threads, threads == 1 ? "" : "s",
             level_names[level]);
    return ink_host_backend_create("cpu", description, &table, pool, backend, error);
}
