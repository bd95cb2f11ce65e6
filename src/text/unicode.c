#include "text/unicode.h"

#include "base/quote.h"

#include <stdlib.h>
#include <string.h>

bool ink_text_append(ink_text *text, const char *data, size_t bytes) {
    size_t need;
    if (!ink_size_add(text->bytes, bytes, &need)) return false;
    if (need > text->capacity || !text->data) {
        const size_t capacity = need < SIZE_MAX / 2 - 32 ? need + need / 2 + 32 : need;
        char *grown = realloc(text->data, capacity);
        if (!grown) return false;
        text->data = grown;
        text->capacity = capacity;
    }
    if (bytes > 0) memcpy(text->data + text->bytes, data, bytes);
    text->bytes = need;
    return true;
}

bool ink_code_in(const ink_code_set *set, uint32_t code) {
    size_t low = 0, high = set->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (set->ranges[middle].last < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < set->count && set->ranges[low].first <= code;
}

uint32_t ink_utf8_next(const char *text, size_t *at) {
    const unsigned char *s = (const unsigned char *)text + *at;
    if (s[0] < 0x80) {
        *at += 1;
        return s[0];
    }
    if (s[0] < 0xE0) {
        *at += 2;
        return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
    }
    if (s[0] < 0xF0) {
        *at += 3;
        return (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    }
    *at += 4;
    return (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
}

uint32_t ink_utf8_previous(const char *text, size_t *at) {
    do {
        *at -= 1;
    } while (((unsigned char)text[*at] & 0xC0) == 0x80);
    size_t here = *at;
    return ink_utf8_next(text, &here);
}

/* Length of the longest valid sequence at the front, in bytes. */
static size_t valid_prefix(const char *text, size_t bytes) {
    size_t i = 0;
    while (i < bytes) {
        if ((unsigned char)text[i] < 0x80) {
            i++;
            continue;
        }
        const size_t length = ink_utf8_length(text + i, bytes - i);
        if (length == 0) break;
        i += length;
    }
    return i;
}

bool ink_utf8_is_valid(const char *text, size_t bytes) {
    return valid_prefix(text, bytes) == bytes;
}

/* Length of the maximal subpart of the ill-formed sequence at the front: the longest part that begins some
 * well-formed sequence, or one byte. ref: The Unicode Standard, table 3-7 */
static size_t maximal_subpart(const unsigned char *s, size_t bytes) {
    const size_t length = s[0] >= 0xC2 && s[0] <= 0xDF   ? 2
                          : s[0] >= 0xE0 && s[0] <= 0xEF ? 3
                          : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4
                                                         : 1;
    if (length == 1 || bytes < 2) return 1;
    const unsigned char low = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;
    if (s[1] < low || s[1] > high) return 1;
    size_t n = 2;
    while (n < length && n < bytes && (s[n] & 0xC0) == 0x80) {
        n++;
    }
    return n;
}

ink_status ink_utf8_repair(const char *text, size_t bytes, ink_text *out, ink_error *error) {
    size_t i = 0;
    for (;;) {
        const size_t valid = valid_prefix(text + i, bytes - i);
        if (!ink_text_append(out, text + i, valid)) return ink_fail_memory(error, "a text", bytes);
        i += valid;
        if (i == bytes) return INK_OK;
        if (!ink_text_append(out, "\xEF\xBF\xBD", 3)) return ink_fail_memory(error, "a text", bytes);
        i += maximal_subpart((const unsigned char *)text + i, bytes - i);
    }
}
