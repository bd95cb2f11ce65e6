#include "pipeline/bench_kinds.h"

#include "pipeline/bench_timing.h"

#include <stdlib.h>

void ink_kinds_init(ink_kinds *k, int runs, const ink_roof *roof) {
    *k = (ink_kinds){.roof = roof, .runs = runs};
}

static bool grow(ink_kinds *k) {
    const size_t capacity = k->capacity ? 2 * k->capacity : 16;
    ink_bench_kind *list = realloc(k->list, capacity * sizeof *list);
    if (list) k->list = list;
    double *seconds = realloc(k->seconds, capacity * (size_t)k->runs * sizeof *seconds);
    if (seconds) k->seconds = seconds;
    if (!list || !seconds) return false;
    k->capacity = capacity;
    return true;
}

/* The kind of that name, which is made if it is not there; NULL if memory runs out. */
static ink_bench_kind *find(ink_kinds *k, const char *name) {
    for (size_t i = 0; i < k->count; i++) {
        if (strcmp(k->list[i].name, name) == 0) return &k->list[i];
    }
    if (k->count == k->capacity && !grow(k)) return NULL;
    char *copy = strdup(name);
    if (!copy) return NULL;
    for (int run = 0; run < k->runs; run++) {
        k->seconds[k->count * (size_t)k->runs + (size_t)run] = 0;
    }
    k->list[k->count] = (ink_bench_kind){.name = copy};
    return &k->list[k->count++];
}

void ink_kinds_add(ink_kinds *k, int run, const ink_launch *launch) {
    ink_bench_kind *kind = k->out_of_memory ? NULL : find(k, launch->kind);
    if (!kind) {
        k->out_of_memory = true;
        return;
    }
    k->seconds[(size_t)(kind - k->list) * (size_t)k->runs + (size_t)run] += launch->seconds;
    if (run != 0) return;
    kind->launches++;
    kind->flops += launch->flops;
    kind->bytes += launch->bytes;
    kind->roof_seconds += ink_roof_seconds(k->roof, launch->flops, launch->bytes);
}

static int slower_first(const void *a, const void *b) {
    const double x = ((const ink_bench_kind *)a)->seconds, y = ((const ink_bench_kind *)b)->seconds;
    return x > y ? -1 : x < y;
}

ink_status ink_kinds_finish(ink_kinds *k, ink_bench_kind **list, size_t *count, ink_error *error) {
    *list = NULL;
    *count = 0;
    if (k->out_of_memory) return ink_fail_memory(error, "the times of operations", k->count * sizeof **list);
    for (size_t i = 0; i < k->count; i++) {
        k->list[i].seconds = ink_median(k->seconds + i * (size_t)k->runs, (size_t)k->runs);
    }
    if (k->count) qsort(k->list, k->count, sizeof *k->list, slower_first);
    *list = k->list;
    *count = k->count;
    k->list = NULL;
    k->count = k->capacity = 0;
    return INK_OK;
}

void ink_kinds_fini(ink_kinds *k) {
    ink_kinds_free(k->list, k->count);
    free(k->seconds);
    *k = (ink_kinds){0};
}

void ink_kinds_free(ink_bench_kind *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(list[i].name);
    }
    free(list);
}
