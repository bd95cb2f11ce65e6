/*
 * Text as Unicode: repairing UTF-8, classes of characters, normalization form C.
 *
 * The classes and the characters that NFC knows are those of Hugging Face tokenizers (unicode_tables.c), so
 * that ids do not depend on the Unicode versions of the libraries Inkstone is built with.
 */
#ifndef INK_TEXT_UNICODE_H
#define INK_TEXT_UNICODE_H

#include "base/status.h"

/* A text that grows. Zero-initialise to begin; free `data`. */
typedef struct ink_text {
    char *data;
    size_t bytes, capacity;
} ink_text;

/* False when memory runs out; the text is then as before. */
bool ink_text_append(ink_text *text, const char *data, size_t bytes);

typedef struct ink_code_range {
    uint32_t first, last;
} ink_code_range;

typedef struct ink_code_set {
    const ink_code_range *ranges; /* ascending, apart */
    size_t count;
} ink_code_set;

extern const ink_code_set ink_letters, ink_numbers, ink_spaces, ink_words, ink_nfc_active;

bool ink_code_in(const ink_code_set *set, uint32_t code);

/* The character at text[*at] of valid UTF-8; moves *at behind it. */
uint32_t ink_utf8_next(const char *text, size_t *at);
/* The character that ends at text[*at] of valid UTF-8, *at > 0; moves *at to its first byte. */
uint32_t ink_utf8_previous(const char *text, size_t *at);

bool ink_utf8_is_valid(const char *text, size_t bytes);

/* Appends `text` with U+FFFD for each maximal subpart of an ill-formed sequence (the practice that the
 * Unicode standard recommends, section 3.9: what Python's errors="replace" does). */
ink_status ink_utf8_repair(const char *text, size_t bytes, ink_text *out, ink_error *error);

/* Appends the normalization form C of valid UTF-8. Linear in time. */
ink_status ink_nfc(const char *text, size_t bytes, ink_text *out, ink_error *error);

#endif
