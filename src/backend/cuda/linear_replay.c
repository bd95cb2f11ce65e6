/*
 * Recorded products. The library's larger ones deal out their tiles by a counter, which a copy of 0 precedes:
 * 4 us before each of them, for nothing else runs meanwhile. In a recorded program every launch has a counter
 * of its own, so that one copy at the begin is enough.
 */
#include "backend/cuda/linear.h"
#include "backend/cuda/memory.h"

#include <stdlib.h>

static const char what[] = "the recording of a program";
enum { most_edges = 16 };

/* Sets one counter to 0? */
static bool sets_counter(const ink_cuda_linears *linears, cudaGraphNode_t node) {
    enum cudaGraphNodeType type;
    struct cudaMemsetParams set;
    size_t bytes;
    const char *counters = ink_cuda_linears_counters(linears, &bytes);
    return cudaGraphNodeGetType(node, &type) == cudaSuccess && type == cudaGraphNodeTypeMemset &&
           cudaGraphMemsetNodeGetParams(node, &set) == cudaSuccess && set.value == 0 && set.height == 1 &&
           (char *)set.dst >= counters && (char *)set.dst < counters + bytes &&
           set.width * set.elementSize <= ink_cuda_counter_bytes;
}

/* What came after it now comes after what came before it. */
static ink_status bridge(cudaGraph_t graph, cudaGraphNode_t node, ink_error *error) {
    cudaGraphNode_t before[most_edges], after[most_edges];
    cudaGraphEdgeData kinds[most_edges]; /* of plain edges; a copy has no others */
    size_t n_before = most_edges, n_after = most_edges;
    INK_TRY(ink_cuda_check(cudaGraphNodeGetDependencies(node, before, kinds, &n_before), what, error));
    INK_TRY(ink_cuda_check(cudaGraphNodeGetDependentNodes(node, after, kinds, &n_after), what, error));
    for (size_t b = 0; b < n_before; b++) {
        for (size_t a = 0; a < n_after; a++) {
            INK_TRY(
                ink_cuda_check(cudaGraphAddDependencies(graph, &before[b], &after[a], NULL, 1), what, error));
        }
    }
    return ink_cuda_check(cudaGraphDestroyNode(node), what, error);
}

/* Before everything else. */
static ink_status clear_first(const ink_cuda_linears *linears, cudaGraph_t graph, ink_error *error) {
    cudaGraphNode_t roots[most_edges], clear;
    size_t n = most_edges;
    INK_TRY(ink_cuda_check(cudaGraphGetRootNodes(graph, roots, &n), what, error));
    size_t bytes;
    struct cudaMemsetParams all = {
        .dst = ink_cuda_linears_counters(linears, &bytes), .elementSize = sizeof(uint32_t), .height = 1};
    all.width = bytes / all.elementSize;
    INK_TRY(ink_cuda_check(cudaGraphAddMemsetNode(&clear, graph, NULL, 0, &all), what, error));
    for (size_t i = 0; i < n; i++) {
        INK_TRY(ink_cuda_check(cudaGraphAddDependencies(graph, &clear, &roots[i], NULL, 1), what, error));
    }
    return INK_OK;
}

ink_status ink_cuda_linears_simplify(const ink_cuda_linears *linears, cudaGraph_t graph, ink_error *error) {
    size_t n = 0, cleared = 0;
    INK_TRY(ink_cuda_check(cudaGraphGetNodes(graph, NULL, &n), what, error));
    cudaGraphNode_t *nodes = calloc(n + 1, sizeof(cudaGraphNode_t));
    if (!nodes) return ink_fail_memory(error, what, n * sizeof(cudaGraphNode_t));
    ink_status status = ink_cuda_check(cudaGraphGetNodes(graph, nodes, &n), what, error);
    for (size_t i = 0; i < n && status == INK_OK; i++) {
        if (!sets_counter(linears, nodes[i])) continue;
        status = bridge(graph, nodes[i], error);
        cleared++;
    }
    free(nodes);
    if (status == INK_OK && cleared > 0) status = clear_first(linears, graph, error);
    return status;
}
