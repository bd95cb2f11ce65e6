/*
 * Text from a file made fit for a message: a person reads it on a terminal.
 */
#ifndef INK_BASE_QUOTE_H
#define INK_BASE_QUOTE_H

#include <stddef.h>

#define INK_QUOTE_BYTES 128

/* Copies `bytes` bytes of `text` into `out`: control characters and invalid UTF-8 become '?', and a text that
 * does not fit is cut at a character and ends with "...". Returns `out`. */
const char *ink_quote_bytes(const char *text, size_t bytes, char out[INK_QUOTE_BYTES]);

/* The same for a NUL-terminated text. */
const char *ink_quote(const char *text, char out[INK_QUOTE_BYTES]);

/* Length of the valid UTF-8 sequence at text[0] (1 to 4), or 0 if it is invalid or cut by `bytes`. */
size_t ink_utf8_length(const char *text, size_t bytes);

#endif
