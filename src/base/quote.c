#include "base/quote.h"

#include <string.h>

size_t ink_utf8_length(const char *text, size_t bytes) {
    const unsigned char *s = (const unsigned char *)text;
    if (bytes == 0) return 0;
    if (s[0] < 0x80) return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4) return 0;
    const size_t n = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (bytes < n) return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
    }
    /* Overlong forms, surrogates and values above U+10FFFF show in the second byte. */
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F)) return 0;
    if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F)) return 0;
    return n;
}

const char *ink_quote_bytes(const char *text, size_t bytes, char out[INK_QUOTE_BYTES]) {
    enum { room = INK_QUOTE_BYTES - 4 }; /* for "..." and the NUL */
    size_t n = 0, i = 0;
    while (i < bytes) {
        const size_t length = ink_utf8_length(text + i, bytes - i);
        const size_t step = length ? length : 1;
        if (n + step > room) {
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        const unsigned char c = (unsigned char)text[i];
        /* C1 controls are C2 80 to C2 9F */
        const int control =
            c < 0x20 || c == 0x7F || (length == 2 && c == 0xC2 && (unsigned char)text[i + 1] < 0xA0);
        if (length == 0 || control) {
            out[n++] = '?';
        } else {
            memcpy(out + n, text + i, length);
            n += length;
        }
        i += step;
    }
    out[n] = '\0';
    return out;
}

const char *ink_quote(const char *text, char out[INK_QUOTE_BYTES]) {
    return ink_quote_bytes(text, strlen(text), out);
}
