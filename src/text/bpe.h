/*
 * Byte-pair merging: the bytes of a word become symbols, and the neighbours whose merge comes first in the
 * list are joined until no merge applies. O(n log n) for a word of n bytes.
 * ref: Hugging Face tokenizers, models/bpe/word.rs, Word::merge_all
 */
#ifndef INK_TEXT_BPE_H
#define INK_TEXT_BPE_H

#include "base/status.h"

typedef struct ink_merge {
    int32_t left, right, id; /* the two ids, and what they become */
    uint32_t rank;
} ink_merge;

typedef struct ink_bpe {
    int32_t byte_ids[256]; /* -1: the vocabulary lacks the byte, which is then left out */
    ink_merge *slots;      /* open addressing; left is -1 where empty */
    size_t mask;
    uint64_t seed;
} ink_bpe;

/* Makes the table of `count` merges in order of rank (which is set here). A pair listed twice has its last
 * rank. byte_ids are the caller's. */
ink_status ink_bpe_init(ink_bpe *bpe, ink_merge *merges, size_t count, ink_error *error);
void ink_bpe_fini(ink_bpe *bpe);

/* Ids that grow. Zero-initialise to begin; free `ids`. */
typedef struct ink_ids {
    int32_t *ids;
    size_t count, capacity;
} ink_ids;

/* Room for `more` ids behind the last one. */
ink_status ink_ids_reserve(ink_ids *ids, size_t more, ink_error *error);

/* Working memory for words, kept between words. Zero-initialise to begin; _fini frees it. */
typedef struct ink_bpe_work {
    struct ink_bpe_symbol *symbols;
    struct ink_bpe_candidate *heap;
    size_t capacity; /* symbols; the heap has room for twice as many */
} ink_bpe_work;

void ink_bpe_work_fini(ink_bpe_work *work);

/* Appends the ids of one word of fewer than 2^31 bytes. */
ink_status ink_bpe_encode(const ink_bpe *bpe, const char *word, size_t bytes, ink_bpe_work *work,
                          ink_ids *out, ink_error *error);

#endif
