#include "text/bpe.h"

#include <stdlib.h>

/* The table */

static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static uint64_t pair_key(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* The slot of the pair, or the empty one where it belongs. */
static ink_merge *find_slot(const ink_bpe *bpe, int32_t left, int32_t right) {
    size_t i = (size_t)mix(pair_key(left, right) ^ bpe->seed) & bpe->mask;
    while (bpe->slots[i].left >= 0 && (bpe->slots[i].left != left || bpe->slots[i].right != right)) {
        i = (i + 1) & bpe->mask;
    }
    return &bpe->slots[i];
}

ink_status ink_bpe_init(ink_bpe *bpe, ink_merge *merges, size_t count, ink_error *error) {
    size_t capacity = 16, bytes;
    while (capacity / 2 < count) {
        capacity *= 2;
    }
    if (!ink_size_mul(capacity, sizeof *bpe->slots, &bytes) || !(bpe->slots = malloc(bytes))) {
        return ink_fail_memory(error, "the merges of a tokenizer", bytes);
    }
    bpe->mask = capacity - 1;
    for (size_t i = 0; i < capacity; i++) {
        bpe->slots[i].left = -1;
    }
    /* The seed depends on all pairs, so that nobody can choose pairs that collide. */
    bpe->seed = count;
    for (size_t i = 0; i < count; i++) {
        bpe->seed = mix(bpe->seed ^ pair_key(merges[i].left, merges[i].right)) + i;
    }
    for (size_t i = 0; i < count; i++) {
        merges[i].rank = (uint32_t)i;
        *find_slot(bpe, merges[i].left, merges[i].right) = merges[i];
    }
    return INK_OK;
}

void ink_bpe_fini(ink_bpe *bpe) {
    free(bpe->slots);
    bpe->slots = NULL;
}

static const ink_merge *find_merge(const ink_bpe *bpe, int32_t left, int32_t right) {
    const ink_merge *slot = find_slot(bpe, left, right);
    return slot->left >= 0 ? slot : NULL;
}

/* Ids and working memory */

ink_status ink_ids_reserve(ink_ids *ids, size_t more, ink_error *error) {
    size_t need, bytes = SIZE_MAX;
    if (ink_size_add(ids->count, more, &need) && need <= ids->capacity) return INK_OK;
    const size_t capacity = need < SIZE_MAX / 2 - 16 ? need + need / 2 + 16 : need;
    int32_t *grown = ink_size_mul(capacity, sizeof *grown, &bytes) ? realloc(ids->ids, bytes) : NULL;
    if (!grown) return ink_fail_memory(error, "token ids", bytes);
    ids->ids = grown;
    ids->capacity = capacity;
    return INK_OK;
}

/* A doubly linked list in an array. */
typedef struct ink_bpe_symbol {
    int32_t id;             /* -1: joined to the symbol before it */
    int32_t previous, next; /* -1: none */
} symbol;

/* A merge that may apply at a position. The merge applied first is the one of the least rank, and of those
 * the leftmost: the heap's order. */
typedef struct ink_bpe_candidate {
    uint32_t rank;
    int32_t at;
    int32_t id; /* what the pair would become */
} candidate;

static ink_status work_reserve(ink_bpe_work *work, size_t symbols, ink_error *error) {
    if (symbols <= work->capacity) return INK_OK;
    const size_t capacity = symbols + symbols / 2 + 32;
    symbol *grown = realloc(work->symbols, capacity * sizeof *grown);
    if (!grown) return ink_fail_memory(error, "the symbols of a word", capacity * sizeof *grown);
    work->symbols = grown;
    candidate *heap = realloc(work->heap, 2 * capacity * sizeof *heap);
    if (!heap) return ink_fail_memory(error, "the merges of a word", 2 * capacity * sizeof *heap);
    work->heap = heap;
    work->capacity = capacity;
    return INK_OK;
}

void ink_bpe_work_fini(ink_bpe_work *work) {
    free(work->symbols);
    free(work->heap);
    *work = (ink_bpe_work){0};
}

/* Merging */

typedef struct merging {
    const ink_bpe *bpe;
    symbol *symbols;
    candidate *heap;
    size_t count; /* of candidates */
} merging;

static bool before(candidate a, candidate b) {
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static void heap_push(merging *m, candidate c) {
    size_t i = m->count++;
    while (i > 0 && before(c, m->heap[(i - 1) / 2])) {
        m->heap[i] = m->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    m->heap[i] = c;
}

static candidate heap_pop(merging *m) {
    const candidate top = m->heap[0];
    const candidate last = m->heap[--m->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->count) break;
        if (child + 1 < m->count && before(m->heap[child + 1], m->heap[child])) child++;
        if (!before(m->heap[child], last)) break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = last;
    return top;
}

/* Notes the merge of the symbol at `at` with its next one, if there is such a merge. */
static void consider(merging *m, int32_t at) {
    const symbol *s = &m->symbols[at];
    if (s->next < 0) return;
    const ink_merge *merge = find_merge(m->bpe, s->id, m->symbols[s->next].id);
    if (merge) heap_push(m, (candidate){merge->rank, at, merge->id});
}

static void apply(merging *m, candidate c) {
    symbol *s = &m->symbols[c.at];
    if (s->id < 0 || s->next < 0) return;
    symbol *next = &m->symbols[s->next];
    /* The pair may have changed since the candidate was noted. */
    const ink_merge *merge = find_merge(m->bpe, s->id, next->id);
    if (!merge || merge->id != c.id) return;
    s->id = merge->id;
    s->next = next->next;
    next->id = -1;
    if (s->next >= 0) m->symbols[s->next].previous = c.at;
    if (s->previous >= 0) consider(m, s->previous);
    consider(m, c.at);
}

ink_status ink_bpe_encode(const ink_bpe *bpe, const char *word, size_t bytes, ink_bpe_work *work,
                          ink_ids *out, ink_error *error) {
    INK_TRY(work_reserve(work, bytes, error));
    INK_TRY(ink_ids_reserve(out, bytes, error));
    merging m = {bpe, work->symbols, work->heap, 0};
    int32_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        const int32_t id = bpe->byte_ids[(unsigned char)word[i]];
        if (id < 0) continue;
        m.symbols[n] = (symbol){id, n - 1, n + 1};
        n++;
    }
    if (n == 0) return INK_OK;
    m.symbols[n - 1].next = -1;
    for (int32_t i = 0; i < n; i++) {
        consider(&m, i);
    }
    /* Each merge takes away a symbol and adds two candidates at most: the heap never holds 2 n. */
    while (m.count > 0) {
        apply(&m, heap_pop(&m));
    }
    for (int32_t i = 0; i >= 0; i = m.symbols[i].next) {
        out->ids[out->count++] = m.symbols[i].id;
    }
    return INK_OK;
}
