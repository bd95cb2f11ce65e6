/*
 * How long recording and compiling take for the full-size transformer: the graphs of a 1024 x 1024 picture
 * with guidance, 20 steps. Weights are counted, not filled, and no kernel prepares anything, so that what is
 * measured is the graph itself.
 *
 * usage: bench_graph MODEL_FOLDER   (models/qwen-image)
 */
#include "backend/host/host.h"
#include "base/clock.h"
#include "models/transformer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { repeats = 21, steps = 20 };

typedef void (*record_fn)(ink_graph *, const ink_transformer_config *, ink_weights *, const ink_layout *,
                          int64_t);

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void record_prepare(ink_graph *g, const ink_transformer_config *config, ink_weights *weights,
                           const ink_layout *layout, int64_t n) {
    (void)n;
    ink_transformer_record_prepare(g, config, weights, layout);
}

static void record_modulation(ink_graph *g, const ink_transformer_config *config, ink_weights *weights,
                              const ink_layout *layout, int64_t n) {
    (void)layout;
    ink_transformer_record_modulation(g, config, weights, n);
}

/* Median seconds of one part; fails with a negative number. */
static double measure(record_fn record, const ink_transformer_config *config, ink_weights *weights,
                      const ink_layout *layout, ink_backend *backend, bool with_compile, int32_t *nodes) {
    double seconds[repeats];
    for (int i = 0; i < repeats; i++) {
        const double begin = ink_clock_seconds();
        ink_graph *graph;
        ink_program *program = NULL;
        if (ink_graph_create(&graph, NULL) != INK_OK) return -1;
        record(graph, config, weights, layout, steps);
        ink_status status = ink_graph_status(graph, NULL);
        if (status == INK_OK && with_compile) status = ink_compile(backend, graph, &program, NULL);
        seconds[i] = ink_clock_seconds() - begin;
        *nodes = ink_graph_node_count(graph);
        ink_program_destroy(program);
        ink_graph_destroy(graph);
        if (status != INK_OK) return -1;
    }
    qsort(seconds, repeats, sizeof *seconds, compare);
    return seconds[repeats / 2];
}

static ink_status bench(const char *folder, ink_error *error) {
    char path[4096];
    snprintf(path, sizeof path, "%s/transformer", folder);
    ink_transformer_config config;
    ink_layout layout;
    ink_weights *weights = NULL;
    ink_backend *backend = NULL;
    static const ink_kernel_table no_kernels;
    static const int64_t tokens[2] = {64, 12};
    INK_TRY(ink_transformer_config_read(path, &config, error));
    INK_TRY(ink_layout_init(&layout, 1, 2, tokens, 64, 64, error));
    ink_status status = ink_weights_create_census(&weights, error);
    if (status == INK_OK)
        status = ink_host_backend_create("none", "no kernels", &no_kernels, NULL, &backend, error);
    static const struct {
        const char *name;
        record_fn record;
    } parts[3] = {{"prepare", record_prepare},
                  {"modulation", record_modulation},
                  {"step", ink_transformer_record_step}};
    printf("%-10s %8s %12s %22s\n", "graph", "nodes", "record ms", "record + compile ms");
    for (int i = 0; i < 3 && status == INK_OK; i++) {
        int32_t nodes = 0;
        const double record = measure(parts[i].record, &config, weights, &layout, backend, false, &nodes);
        const double both = measure(parts[i].record, &config, weights, &layout, backend, true, &nodes);
        if (record < 0 || both < 0) status = ink_fail(error, INK_ERROR_INTERNAL, "recording failed");
        printf("%-10s %8d %12.2f %22.2f\n", parts[i].name, nodes, 1e3 * record, 1e3 * both);
    }
    ink_backend_destroy(backend);
    ink_weights_close(weights);
    ink_layout_fini(&layout);
    return status;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: bench_graph MODEL_FOLDER\n");
        return 2;
    }
    ink_error error = {0};
    if (bench(argv[1], &error) == INK_OK) return 0;
    fprintf(stderr, "bench_graph: %s\n", error.message);
    return 1;
}
