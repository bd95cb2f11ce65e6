/*
 * Reads JSON of a known form straight through, without building it in memory: the header of a safetensors
 * file may have 100 MB, and a parsed tree of it would take more than ten times that.
 *
 * Every function fills the error with "<what>: <sentence> at byte <n> of the header". Strict: RFC 8259 with
 * valid UTF-8, no NUL in strings.
 */
#ifndef INK_WEIGHTS_JSON_SCAN_H
#define INK_WEIGHTS_JSON_SCAN_H

#include "base/arena.h"
#include "base/status.h"

/* Nesting that ink_scan_skip accepts. */
#define INK_SCAN_MAX_DEPTH 64

typedef struct ink_scan {
    const char *begin, *at, *end;
    const char *what; /* path for messages */
    ink_error *error;
} ink_scan;

/* INK_ERROR_FORMAT with the sentence and the position. */
ink_status ink_scan_fail(const ink_scan *scan, const char *format, ...) INK_PRINTF(2, 3);

/* The next byte after white space, 0 at the end. Consumes only white space. */
char ink_scan_peek(ink_scan *scan);

/* Consumes `c` after white space, or fails. */
ink_status ink_scan_expect(ink_scan *scan, char c);

/* For the loop over an object or array whose opening bracket is consumed: *more tells whether an item
 * follows. *first is true before the first call. Consumes commas and the bracket `close`. */
ink_status ink_scan_item(ink_scan *scan, char close, bool *first, bool *more);

/* A string, NUL-terminated in the arena. */
ink_status ink_scan_string(ink_scan *scan, ink_arena *arena, const char **text);

/* A string that is compared with short known ones: what does not fit into `size` bytes is cut. */
ink_status ink_scan_word(ink_scan *scan, char *out, size_t size);

/* An integer in [0, 2^63). */
ink_status ink_scan_count(ink_scan *scan, int64_t *value);

/* Any value, checked and forgotten. */
ink_status ink_scan_skip(ink_scan *scan);

#endif
