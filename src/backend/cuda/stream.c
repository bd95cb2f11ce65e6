#include "backend/cuda/stream.h"

#include <stdint.h>
#include <stdlib.h>

/* ---- groups ---- */

/* Bytes of what launch i reads of the streamed weights. */
static size_t streamed_bytes(const ink_cuda_lowered *l, ink_cuda_weight *const *weights, const bool *streamed,
                             int32_t i) {
    size_t bytes = 0;
    for (int k = 0; k < ink_cuda_max_in; k++) {
        const ink_cuda_operand *in = &l->launches[i].in[k];
        if (in->where == INK_CUDA_IN_WEIGHT && streamed[in->index])
            bytes += ink_cuda_weight_padded(weights[in->index]);
    }
    return bytes;
}

/* Adds launch i to the last group, `offset` bytes into its slot; returns the bytes behind it. */
static size_t add_launch(ink_cuda_stream *s, const ink_cuda_lowered *l, ink_cuda_weight *const *weights,
                         const bool *streamed, int32_t i, size_t offset) {
    const int32_t g = s->n_groups - 1;
    ink_cuda_group *group = &s->groups[g];
    s->group_of[i] = g;
    group->end = i;
    for (int k = 0; k < ink_cuda_max_in; k++) {
        const ink_cuda_operand *in = &l->launches[i].in[k];
        if (in->where != INK_CUDA_IN_WEIGHT || !streamed[in->index]) continue;
        s->list[s->n_list] = weights[in->index];
        s->offsets[s->n_list++] = s->places[in->index] = (size_t)(g % s->n_slots) * s->slot_bytes + offset;
        group->n++;
        offset += ink_cuda_weight_padded(weights[in->index]);
    }
    return offset;
}

static void make_groups(ink_cuda_stream *s, const ink_cuda_lowered *l, ink_cuda_weight *const *weights,
                        const bool *streamed) {
    size_t used = 0;
    for (int32_t i = 0; i < l->n_launches; i++) {
        s->group_of[i] = -1;
        const size_t bytes = streamed_bytes(l, weights, streamed, i);
        if (bytes == 0) continue;
        if (s->n_groups == 0 || used + bytes > s->slot_bytes) {
            s->groups[s->n_groups++] = (ink_cuda_group){.first = s->n_list};
            used = 0;
        }
        used = add_launch(s, l, weights, streamed, i, used);
    }
    if (s->n_groups < s->n_slots) s->n_slots = s->n_groups;
}

ink_status ink_cuda_stream_plan(const ink_cuda_lowered *l, ink_cuda_weight *const *weights,
                                const bool *streamed, size_t slot_bytes, int n_slots,
                                ink_cuda_stream **stream, ink_error *error) {
    const size_t n = (size_t)l->n_wanted + 1, launches = (size_t)l->n_launches + 1;
    ink_cuda_stream *s = calloc(1, sizeof *s);
    if (!s) return ink_fail_memory(error, "a program", sizeof *s);
    *s = (ink_cuda_stream){.places = calloc(n, sizeof *s->places),
                           .group_of = calloc(launches, sizeof *s->group_of),
                           .groups = calloc(launches, sizeof *s->groups),
                           .list = calloc(n, sizeof *s->list),
                           .offsets = calloc(n, sizeof *s->offsets),
                           .to = calloc(n, sizeof *s->to),
                           .n_slots = n_slots,
                           .slot_bytes = slot_bytes,
                           .at = -1,
                           .unfinished = true};
    if (!s->places || !s->group_of || !s->groups || !s->list || !s->offsets || !s->to) {
        ink_cuda_stream_free(s, NULL);
        return ink_fail_memory(error, "a program", n * sizeof *s->places);
    }
    for (int32_t i = 0; i < l->n_wanted; i++) {
        s->places[i] = SIZE_MAX;
    }
    for (int32_t i = 0; i < l->n_launches; i++) {
        const size_t bytes = streamed_bytes(l, weights, streamed, i);
        if (bytes > s->slot_bytes) s->slot_bytes = bytes;
    }
    make_groups(s, l, weights, streamed);
    *stream = s;
    return INK_OK;
}

/* ---- the ring, and copies in host memory ---- */

static ink_status make_copier(ink_cuda_stream *s, ink_error *error) {
    INK_TRY(ink_cuda_check(cudaStreamCreateWithFlags(&s->copier, cudaStreamNonBlocking), "a stream", error));
    for (int i = 0; i < s->n_slots; i++) {
        INK_TRY(ink_cuda_check(cudaEventCreateWithFlags(&s->copied[i], cudaEventDisableTiming), "an event",
                               error));
        INK_TRY(ink_cuda_check(cudaEventCreateWithFlags(&s->freed[i], cudaEventDisableTiming), "an event",
                               error));
    }
    return INK_OK;
}

/* Through the slots to host memory, group by group, all in order on the backend's stream. */
static ink_status copy_down(ink_cuda_stream *s, ink_cuda_context *context, ink_error *error) {
    for (int32_t g = 0; g < s->n_groups; g++) {
        const ink_cuda_group *group = &s->groups[g];
        for (int32_t i = group->first; i < group->first + group->n; i++) {
            if (ink_cuda_weight_host(s->list[i])) continue;
            INK_TRY(ink_cuda_weights_fetch(context->weights, &s->list[i], 1, &s->to[i], error));
            INK_TRY(ink_cuda_weight_copy_down(context->weights, s->list[i], s->to[i], error));
        }
    }
    return ink_cuda_check(cudaStreamSynchronize(context->stream), "a copy of weights", error);
}

static ink_status make_host_copies(ink_cuda_stream *s, ink_cuda_context *context, ink_error *error) {
    size_t bytes = 0;
    for (int32_t i = 0; i < s->n_list; i++) {
        if (!ink_cuda_weight_host(s->list[i])) bytes += ink_cuda_weight_bytes(s->list[i]);
    }
    if (bytes == 0) return INK_OK;
    INK_TRY(ink_cuda_check_pinned(bytes, "weights that do not fit on the device", error));
    const ink_status status = copy_down(s, context, error);
    if (status == INK_OK) return INK_OK;
    (void)cudaStreamSynchronize(context->stream);
    for (int32_t i = 0; i < s->n_list; i++) {
        ink_cuda_weight_forget_host(s->list[i]);
    }
    return status;
}

ink_status ink_cuda_stream_fill(ink_cuda_stream *s, ink_cuda_context *context, ink_error *error) {
    void *ring;
    INK_TRY(ink_cuda_allocate(&context->memory, (size_t)s->n_slots * s->slot_bytes,
                              "weights that come and go", &ring, error));
    s->ring = ring;
    for (int32_t i = 0; i < s->n_list; i++) {
        s->to[i] = s->ring + s->offsets[i];
    }
    if (s->from_source) return INK_OK;
    INK_TRY(make_copier(s, error));
    return make_host_copies(s, context, error);
}

void ink_cuda_stream_free(ink_cuda_stream *s, ink_cuda_context *context) {
    if (!s) return;
    if (s->copier) (void)cudaStreamSynchronize(s->copier);
    for (int i = 0; i < ink_cuda_most_slots; i++) {
        if (s->copied[i]) (void)cudaEventDestroy(s->copied[i]);
        if (s->freed[i]) (void)cudaEventDestroy(s->freed[i]);
    }
    if (s->copier) (void)cudaStreamDestroy(s->copier);
    if (s->ring) ink_cuda_free(&context->memory, s->ring, (size_t)s->n_slots * s->slot_bytes);
    free(s->places);
    free(s->group_of);
    free(s->groups);
    free(s->list);
    free(s->offsets);
    free(s->to);
    free(s);
}

/* ---- while a program runs ---- */

/* Copies the groups that come next to the slots that are free. */
static ink_status copy_ahead(ink_cuda_stream *s, ink_error *error) {
    const char *what = "the copying of weights";
    for (int slot = s->next % s->n_slots; !s->filled[slot]; slot = s->next % s->n_slots) {
        const ink_cuda_group *group = &s->groups[s->next];
        INK_TRY(ink_cuda_check(cudaStreamWaitEvent(s->copier, s->freed[slot], 0), what, error));
        for (int32_t i = group->first; i < group->first + group->n; i++) {
            INK_TRY(ink_cuda_check(cudaMemcpyAsync(s->to[i], ink_cuda_weight_host(s->list[i]),
                                                   ink_cuda_weight_bytes(s->list[i]), cudaMemcpyHostToDevice,
                                                   s->copier),
                                   what, error));
        }
        INK_TRY(ink_cuda_check(cudaEventRecord(s->copied[slot], s->copier), what, error));
        s->filled[slot] = true;
        s->next = (s->next + 1) % s->n_groups;
    }
    return INK_OK;
}

ink_status ink_cuda_stream_begin(ink_cuda_stream *s, ink_cuda_context *context, ink_error *error) {
    const bool again = s->unfinished;
    s->unfinished = true;
    if (again || !s->from_source) s->at = -1; /* what a rare program brought last may be what comes first */
    if (s->from_source) return INK_OK;
    if (again) { /* nothing is known of the slots */
        INK_TRY(ink_cuda_check(cudaStreamSynchronize(s->copier), "the copying of weights", error));
        s->next = 0;
        for (int i = 0; i < s->n_slots; i++) {
            s->filled[i] = false;
            INK_TRY(ink_cuda_check(cudaEventRecord(s->freed[i], context->stream), "a mark", error));
        }
    }
    return copy_ahead(s, error);
}

ink_status ink_cuda_stream_before(ink_cuda_stream *s, ink_cuda_context *context, int32_t launch,
                                  ink_error *error) {
    const int32_t g = s->group_of[launch];
    if (g < 0 || g == s->at) return INK_OK;
    const ink_cuda_group *group = &s->groups[g];
    s->at = g;
    if (s->from_source) {
        return ink_cuda_weights_fetch(context->weights, &s->list[group->first], (size_t)group->n,
                                      &s->to[group->first], error);
    }
    return ink_cuda_check(cudaStreamWaitEvent(context->stream, s->copied[g % s->n_slots], 0), "a wait",
                          error);
}

ink_status ink_cuda_stream_after(ink_cuda_stream *s, ink_cuda_context *context, int32_t launch,
                                 ink_error *error) {
    const int32_t g = s->group_of[launch];
    if (g < 0 || s->from_source || s->groups[g].end != launch) return INK_OK;
    const int slot = g % s->n_slots;
    INK_TRY(ink_cuda_check(cudaEventRecord(s->freed[slot], context->stream), "a mark", error));
    s->filled[slot] = false;
    return copy_ahead(s, error);
}

void ink_cuda_stream_end(ink_cuda_stream *s) {
    s->unfinished = false;
}
