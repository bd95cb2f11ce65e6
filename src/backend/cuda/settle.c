#include "backend/cuda/settle.h"

#include "backend/cuda/stream.h"

#include <stdint.h>
#include <stdlib.h>

enum {
    small_bytes = 1 << 18, /* weights up to this stay: copies of them cost more than they bring */
    usual_slot_bytes = 128 << 20,
    rare_slot_bytes = 512 << 20,
    margin_part = 32 /* of a limit is left for what is allocated later: workspaces, what is packed */
};
/* Larger ones stay, for every slot would have to hold them: tables of embeddings. */
static const size_t large_bytes = (size_t)384 << 20;
/* Small weights share allocations. */
static const size_t shared_bytes = (size_t)8 << 20;

/* ---- room ---- */

static size_t room_of(const ink_cuda_context *context) {
    const size_t room = ink_cuda_memory_room(&context->memory), margin = context->memory.limit / margin_part;
    return room > margin ? room - margin : 0;
}

static ink_cuda_program *oldest(const ink_cuda_context *context, const ink_cuda_program *except) {
    ink_cuda_program *found = NULL;
    for (ink_cuda_program *p = context->programs; p; p = p->next) {
        if (p != except && p->settled && (!found || p->used_at < found->used_at)) found = p;
    }
    return found;
}

size_t ink_cuda_make_room(ink_cuda_context *context, size_t bytes, const ink_cuda_program *except) {
    size_t room = room_of(context);
    if (room >= bytes) return room;
    (void)cudaStreamSynchronize(context->stream);
    ink_cuda_weights_trim(context->weights);
    for (room = room_of(context); room < bytes; room = room_of(context)) {
        ink_cuda_program *p = oldest(context, except);
        if (!p) break;
        ink_cuda_unlink(p);
        ink_cuda_unsettle(p);
        ink_cuda_weights_trim(context->weights);
    }
    return room;
}

/* ---- which weights are streamed ---- */

typedef struct choice {
    bool *streamed;    /* [n_wanted] */
    int32_t *launches; /* [n_wanted] that read it */
} choice;

static size_t smallest_of(const ink_cuda_context *context) {
    return context->stream_smallest ? context->stream_smallest : small_bytes;
}

/* Those that are worth it, and that one launch reads: they can come for it and go with it. */
static void find_candidates(const ink_cuda_program *p, choice *c) {
    const ink_cuda_lowered *l = &p->lowered;
    for (int32_t i = 0; i < l->n_launches; i++) {
        for (int k = 0; k < ink_cuda_max_in; k++) {
            const ink_cuda_operand *in = &l->launches[i].in[k];
            if (in->where == INK_CUDA_IN_WEIGHT) c->launches[in->index]++;
        }
    }
    for (int32_t i = 0; i < l->n_wanted; i++) {
        const size_t bytes = ink_cuda_weight_bytes(p->weights[i]);
        c->streamed[i] = c->launches[i] == 1 && bytes >= smallest_of(p->context) && bytes <= large_bytes;
        /* The same weight twice in the list. */
        for (int32_t k = 0; k < i && c->streamed[i]; k++) {
            if (p->weights[k] == p->weights[i]) c->streamed[i] = c->streamed[k] = false;
        }
    }
}

/* Bytes of the weights that are (not) streamed, each once, and not on the device if they are not. */
static size_t sum(const ink_cuda_program *p, const bool *streamed, bool of_streamed) {
    size_t bytes = of_streamed ? 0 : shared_bytes;
    if (p->context->memory.limit && shared_bytes > p->context->memory.limit / margin_part)
        bytes = 0; /* limits of tests */
    for (int32_t i = 0; i < p->lowered.n_wanted; i++) {
        const bool is_streamed = streamed && streamed[i];
        if (is_streamed != of_streamed) continue;
        if (!of_streamed && ink_cuda_weight_memory(p->weights[i])) continue;
        bytes += ink_cuda_weight_padded(p->weights[i]);
    }
    return bytes;
}

/* Keeps as many of the candidates as fit into `budget`, at equal distances, so that there is always something
 * to compute while others come. */
static void keep_some(const ink_cuda_program *p, bool *streamed, size_t budget) {
    const double share = (double)budget / (double)(sum(p, streamed, true) + 1);
    double seen = 0, kept = 0;
    for (int32_t i = 0; i < p->lowered.n_wanted; i++) {
        if (!streamed[i]) continue;
        const double bytes = (double)ink_cuda_weight_padded(p->weights[i]);
        seen += bytes;
        if (kept + bytes > share * seen) continue;
        kept += bytes;
        streamed[i] = false;
    }
}

/* ---- settling ---- */

static void hold(ink_cuda_program *p, bool yes) {
    for (int32_t i = 0; i < p->lowered.n_wanted; i++) {
        ink_cuda_weight_hold(p->weights[i], yes);
    }
}

/* Allocates and loads what `streamed` leaves (NULL: everything). */
static ink_status take(ink_cuda_program *p, const bool *streamed, ink_error *error) {
    const int32_t n = p->lowered.n_wanted;
    ink_cuda_context *context = p->context;
    void *memory;
    INK_TRY(ink_cuda_allocate(&context->memory, p->lowered.arena_bytes, "the activations of a program",
                              &memory, error));
    p->arena = memory;
    if (!streamed) return ink_cuda_weights_load(context->weights, p->weights, (size_t)n, error);
    ink_cuda_weight **kept = calloc((size_t)n + 1, sizeof *kept);
    if (!kept) return ink_fail_memory(error, "a program", (size_t)n * sizeof *kept);
    size_t n_kept = 0;
    for (int32_t i = 0; i < n; i++) {
        if (!streamed[i]) kept[n_kept++] = p->weights[i];
    }
    ink_status status = ink_cuda_stream_fill(p->stream, context, error);
    if (status == INK_OK) status = ink_cuda_weights_load(context->weights, kept, n_kept, error);
    free(kept);
    return status;
}

static ink_status plan_stream(ink_cuda_program *p, const bool *streamed, size_t usual, int slots,
                              ink_error *error) {
    ink_cuda_stream_free(p->stream, p->context);
    p->stream = NULL;
    const size_t slot = p->context->stream_slot ? p->context->stream_slot : usual;
    return ink_cuda_stream_plan(&p->lowered, p->weights, streamed, slot, slots, &p->stream, error);
}

static size_t ring_bytes(const ink_cuda_program *p) {
    return (size_t)p->stream->n_slots * p->stream->slot_bytes;
}

/* A program that runs rarely: everything that can goes through one slot. */
static ink_status settle_rare(ink_cuda_program *p, bool *streamed, ink_error *error) {
    for (int32_t i = 0; i < p->lowered.n_wanted; i++) { /* what others hold needs not be brought */
        if (ink_cuda_weight_memory(p->weights[i])) streamed[i] = false;
    }
    const size_t all = sum(p, streamed, true);
    if (all > 0) {
        INK_TRY(plan_stream(p, streamed, all < rare_slot_bytes ? all : rare_slot_bytes, 1, error));
        p->stream->from_source = true;
    }
    const size_t needed = p->lowered.arena_bytes + sum(p, streamed, false) + (p->stream ? ring_bytes(p) : 0);
    if (ink_cuda_make_room(p->context, needed, p) < needed)
        return ink_cuda_fail_memory(&p->context->memory, error, "a program and the weights it needs", needed);
    return take(p, p->stream ? streamed : NULL, error);
}

/* Under a limit: what does not fit comes from host memory. */
static ink_status settle_below(ink_cuda_program *p, bool *streamed, ink_error *error) {
    hold(p, false);
    ink_cuda_weights_trim(p->context->weights); /* what to keep is chosen anew */
    hold(p, true);
    INK_TRY(plan_stream(p, streamed, usual_slot_bytes, ink_cuda_most_slots, error));
    const size_t least = p->lowered.arena_bytes + sum(p, streamed, false) + ring_bytes(p);
    const size_t room = ink_cuda_make_room(p->context, least, p);
    if (room < least || p->stream->n_groups == 0)
        return ink_cuda_fail_memory(&p->context->memory, error, "a program, even without most of its weights",
                                    least);
    keep_some(p, streamed, room - least);
    INK_TRY(plan_stream(p, streamed, usual_slot_bytes, ink_cuda_most_slots, error));
    return take(p, streamed, error);
}

static ink_status settle_with(ink_cuda_program *p, choice *c, ink_error *error) {
    if (ink_graph_is_rare(p->graph)) {
        find_candidates(p, c);
        return settle_rare(p, c->streamed, error);
    }
    const size_t all = p->lowered.arena_bytes + sum(p, NULL, false);
    if (ink_cuda_make_room(p->context, all, p) >= all) return take(p, NULL, error);
    if (!p->context->memory.limit)
        return ink_cuda_fail_memory(&p->context->memory, error, "a program and the weights it needs", all);
    find_candidates(p, c);
    return settle_below(p, c->streamed, error);
}

ink_status ink_cuda_settle(ink_cuda_program *p, ink_error *error) {
    const size_t n = (size_t)p->lowered.n_wanted + 1;
    choice c = {.streamed = calloc(n, sizeof *c.streamed), .launches = calloc(n, sizeof *c.launches)};
    ink_status status = INK_OK;
    if (!c.streamed || !c.launches) status = ink_fail_memory(error, "a program", n * sizeof *c.launches);
    if (status == INK_OK) {
        hold(p, true);
        p->settled = true;
        status = settle_with(p, &c, error);
        if (status != INK_OK) ink_cuda_unsettle(p);
    }
    free(c.streamed);
    free(c.launches);
    return status;
}

void ink_cuda_unsettle(ink_cuda_program *p) {
    if (!p->settled) return;
    (void)cudaStreamSynchronize(p->context->stream);
    ink_cuda_stream_free(p->stream, p->context);
    p->stream = NULL;
    ink_cuda_free(&p->context->memory, p->arena, p->lowered.arena_bytes);
    p->arena = NULL;
    hold(p, false);
    p->settled = false;
}
