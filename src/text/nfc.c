/*
 * Normalization form C: utf8proc decomposes and composes; the order of combining marks is made here, because
 * utf8proc takes quadratic time for it.
 *
 * A text is taken apart into runs: a character that NFC leaves alone, and the active ones (ink_nfc_active)
 * that follow it. Nothing happens across the border of a run.
 */
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

enum { longest_decomposition = 4, insertion_limit = 32 };

typedef struct run {
    utf8proc_int32_t *codes;
    utf8proc_int32_t *sorted; /* room for as many codes */
    size_t count, capacity;
} run;

static bool run_reserve(run *r, size_t capacity) {
    if (capacity <= r->capacity) return true;
    capacity += capacity / 2 + 64;
    if (capacity > SIZE_MAX / sizeof *r->codes) return false;
    utf8proc_int32_t *codes = realloc(r->codes, capacity * sizeof *codes);
    if (!codes) return false;
    r->codes = codes;
    utf8proc_int32_t *sorted = realloc(r->sorted, capacity * sizeof *sorted);
    if (!sorted) return false;
    r->sorted = sorted;
    r->capacity = capacity;
    return true;
}

static bool run_decompose(run *r, uint32_t code) {
    if (!run_reserve(r, r->count + longest_decomposition)) return false;
    int boundary = 0;
    const utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)code, r->codes + r->count, longest_decomposition,
                                UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &boundary);
    if (n < 0 || n > longest_decomposition) { /* cannot happen with valid characters */
        r->codes[r->count++] = (utf8proc_int32_t)code;
    } else {
        r->count += (size_t)n;
    }
    return true;
}

static unsigned class_of(utf8proc_int32_t code) {
    return (unsigned)utf8proc_get_property(code)->combining_class & 0xFF;
}

/* Stable order by combining class of codes that all have one. */
static void sort_marks(utf8proc_int32_t *codes, utf8proc_int32_t *sorted, size_t n) {
    if (n <= insertion_limit) {
        for (size_t i = 1; i < n; i++) {
            const utf8proc_int32_t code = codes[i];
            size_t k = i;
            while (k > 0 && class_of(codes[k - 1]) > class_of(code)) {
                codes[k] = codes[k - 1];
                k--;
            }
            codes[k] = code;
        }
        return;
    }
    size_t start[257] = {0};
    for (size_t i = 0; i < n; i++) {
        start[class_of(codes[i]) + 1]++;
    }
    for (size_t c = 1; c < 257; c++) {
        start[c] += start[c - 1];
    }
    for (size_t i = 0; i < n; i++) {
        sorted[start[class_of(codes[i])]++] = codes[i];
    }
    memcpy(codes, sorted, n * sizeof *codes);
}

/* Orders, composes and appends the run, and empties it. The first `fixed` (0 or 1) codes stand still. */
static bool run_flush(run *r, size_t fixed, ink_text *out) {
    size_t i = fixed;
    while (i < r->count) {
        size_t end = i;
        while (end < r->count && class_of(r->codes[end]) != 0) {
            end++;
        }
        if (end - i > 1) sort_marks(r->codes + i, r->sorted, end - i);
        i = end + 1;
    }
    utf8proc_ssize_t n = (utf8proc_ssize_t)r->count;
    if (n > 1) n = utf8proc_normalize_utf32(r->codes, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t k = 0; k < n; k++) {
        utf8proc_uint8_t bytes[4];
        const utf8proc_ssize_t length = utf8proc_encode_char(r->codes[k], bytes);
        if (!ink_text_append(out, (const char *)bytes, (size_t)length)) return false;
    }
    r->count = 0;
    return true;
}

static bool normalize(const char *text, size_t bytes, run *r, ink_text *out) {
    size_t at = 0, plain = 0; /* text[plain, at) is copied as it is, unless active characters follow */
    while (at < bytes) {
        const size_t first = at;
        const uint32_t code = ink_utf8_next(text, &at);
        if (code < 0xC0 || !ink_code_in(&ink_nfc_active, code)) continue;
        size_t begin = first;
        if (first > plain) {
            r->codes[0] = (utf8proc_int32_t)ink_utf8_previous(text, &begin);
            r->count = 1;
        }
        const size_t fixed = r->count;
        if (!ink_text_append(out, text + plain, begin - plain)) return false;
        at = first;
        size_t next = first;
        while (next < bytes) {
            const uint32_t active = ink_utf8_next(text, &next);
            if (!ink_code_in(&ink_nfc_active, active)) break;
            if (!run_decompose(r, active)) return false;
            at = next;
        }
        if (!run_flush(r, fixed, out)) return false;
        plain = at;
    }
    return ink_text_append(out, text + plain, bytes - plain);
}

/* Every character below U+0300 is composed already. */
static bool is_plain(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)text[i] >= 0xCC) return false;
    }
    return true;
}

ink_status ink_nfc(const char *text, size_t bytes, ink_text *out, ink_error *error) {
    bool done;
    if (is_plain(text, bytes)) {
        done = ink_text_append(out, text, bytes);
    } else {
        run r = {0};
        done = run_reserve(&r, 64) && normalize(text, bytes, &r, out);
        free(r.codes);
        free(r.sorted);
    }
    return done ? INK_OK : ink_fail_memory(error, "the normalized text", bytes);
}
