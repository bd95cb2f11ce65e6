#include "base/bytes.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char units[] = "KMGT"; /* 2^10, 2^20, ... */

/* A fraction of more digits than this changes no byte. */
enum { most_digits = 15 };

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* The power of two that the whole of `text` stands for, or 0. */
static int shift_of(const char *text) {
    static const char lower[] = "kmgt";
    for (int i = 0; i < (int)sizeof units - 1 && *text; i++) {
        if (*text != units[i] && *text != lower[i]) continue;
        const char *rest = text + 1 + (text[1] == 'i' && text[2] != '\0');
        return rest[0] == '\0' || ((rest[0] == 'B' || rest[0] == 'b') && rest[1] == '\0') ? 10 * (i + 1) : 0;
    }
    return 0;
}

/* By hand: strtod takes blanks, signs, names and hexadecimals, and the comma of some languages. */
ink_bytes_fault ink_bytes_parse(const char *text, int64_t *bytes) {
    const char *at = text;
    int64_t whole = 0;
    bool too_large = false;
    for (; is_digit(*at); at++) {
        too_large = too_large || whole > (INT64_MAX - 9) / 10;
        if (!too_large) whole = 10 * whole + (*at - '0');
    }
    bool any = at > text;
    double fraction = 0, place = 1;
    if (*at == '.') {
        const char *first = ++at;
        for (; is_digit(*at); at++) {
            if (at - first >= most_digits) continue;
            fraction = 10 * fraction + (*at - '0');
            place *= 10;
        }
        any = any || at > first;
    }
    if (!any) return INK_BYTES_NO_NUMBER;
    if (*at == '\0') return INK_BYTES_NO_UNIT;
    const int shift = shift_of(at);
    if (!shift) return INK_BYTES_NO_NUMBER;
    const int64_t unit = INT64_C(1) << shift;
    if (too_large || whole > INT64_MAX / unit) return INK_BYTES_TOO_LARGE;
    *bytes = whole * unit + (int64_t)(fraction / place * (double)unit);
    return INK_BYTES_OK;
}

const char *ink_bytes_text(int64_t bytes, char text[ink_bytes_text_size]) {
    int i = 0;
    int64_t unit = 1;
    while (i < (int)sizeof units - 1 && bytes / unit >= 1024) {
        unit *= 1024;
        i++;
    }
    const int64_t tenths = bytes % unit * 10 / unit;
    char decimal[4] = "";
    if (tenths) snprintf(decimal, sizeof decimal, ".%d", (int)tenths);
    snprintf(text, ink_bytes_text_size, "%lld%s%.*s", (long long)(bytes / unit), decimal, i ? 1 : 0,
             units + (i ? i - 1 : 0));
    return text;
}
