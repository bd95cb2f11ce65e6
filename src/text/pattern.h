/*
 * The pattern that cuts a text into words before merging, run by PCRE2.
 *
 * Patterns of tokenizer.json are written for Oniguruma. Constructs that mean the same to PCRE2 are passed on;
 * \s, \S, \p{L} and \p{N} are written out as the ranges of text/unicode.h; anything else is refused.
 */
#ifndef INK_TEXT_PATTERN_H
#define INK_TEXT_PATTERN_H

#include "text/unicode.h"

/* The pattern of Qwen2 tokenizers, for folders without tokenizer.json. */
#define INK_QWEN2_PATTERN                                                                                    \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"       \
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Appends `pattern` (valid UTF-8) for PCRE2, NUL-terminated. INK_ERROR_UNSUPPORTED names what is refused. */
ink_status ink_pattern_translate(const char *pattern, ink_text *out, ink_error *error);

/* A compiled pattern; any number of threads may use it. */
typedef struct ink_splitter ink_splitter;

ink_status ink_splitter_create(const char *pattern, ink_splitter **splitter, ink_error *error);
void ink_splitter_destroy(ink_splitter *splitter);

/* The working memory of one thread. */
typedef struct ink_split_work ink_split_work;

ink_status ink_split_work_create(const ink_splitter *splitter, ink_split_work **work, ink_error *error);
void ink_split_work_destroy(ink_split_work *work);

/* A walk over the matches in a text. */
typedef struct ink_split {
    const ink_splitter *splitter;
    ink_split_work *work;
    const char *text; /* valid UTF-8 */
    size_t bytes;
    size_t search; /* where the next search begins */
    size_t kept;   /* end of the last piece */
    size_t begin, end;
    bool matched; /* text[begin, end) is a match that was not given yet */
} ink_split;

void ink_split_begin(const ink_splitter *splitter, ink_split_work *work, const char *text, size_t bytes,
                     ink_split *split);

/* The next piece, a match or what lies between two; *piece is NULL at the end. Pieces are not empty. */
ink_status ink_split_next(ink_split *split, const char **piece, size_t *piece_bytes, ink_error *error);

#endif
