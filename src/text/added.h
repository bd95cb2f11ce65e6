/*
 * Added tokens: texts that stand for one id wherever they occur, before anything else happens to the text.
 * ref: Hugging Face tokenizers, tokenizer/added_vocabulary.rs
 */
#ifndef INK_TEXT_ADDED_H
#define INK_TEXT_ADDED_H

#include "base/arena.h"
#include "text/unicode.h"

typedef struct ink_added_token {
    const char *content; /* in the set's arena; not empty */
    size_t bytes;
    int32_t id;
    bool normalized;  /* looked for in the normalized text, not in the raw one */
    bool single_word; /* not beside a letter or digit */
    bool lstrip;      /* takes the white space before it */
    bool rstrip;      /* takes the white space behind it */
} ink_added_token;

/* Zero-initialise to begin. */
typedef struct ink_added {
    ink_added_token *tokens; /* by bytes of content, once the set is finished */
    size_t count, capacity;
    ink_arena texts;
    size_t first[257]; /* tokens[first[b], first[b + 1]) begin with byte b */
} ink_added;

/* Adds a copy of `token` (its content is copied, too). */
ink_status ink_added_add(ink_added *set, const ink_added_token *token, ink_error *error);

/* Sorts the set for searching. INK_ERROR_FORMAT if two tokens have the same content. */
ink_status ink_added_finish(ink_added *set, ink_error *error);

/* The token with this content among those that were there when the set was finished last, or NULL. */
const ink_added_token *ink_added_find(const ink_added *set, const char *content, size_t bytes);

void ink_added_fini(ink_added *set);

/* A walk over a text: the leftmost tokens, the longest of them, that do not overlap. */
typedef struct ink_added_walk {
    const ink_added *set;
    const char *text; /* valid UTF-8 */
    size_t bytes;
    size_t at;   /* where the search goes on */
    size_t kept; /* text before it was given */
} ink_added_walk;

typedef struct ink_added_piece {
    const char *text; /* text without tokens, before the token; may be empty */
    size_t bytes;
    int32_t id; /* -1: the text ends here */
} ink_added_piece;

void ink_added_next(ink_added_walk *walk, ink_added_piece *piece);

#endif
