#include "weights/json_scan.h"

#include "base/quote.h"

#include <stdio.h>
#include <string.h>

ink_status ink_scan_fail(const ink_scan *scan, const char *format, ...) {
    char sentence[INK_MESSAGE_BYTES / 2];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(sentence, sizeof sentence, format, arguments) < 0) sentence[0] = '\0';
    va_end(arguments);
    return ink_fail(scan->error, INK_ERROR_FORMAT, "%s: %s at byte %zu of the header", scan->what, sentence,
                    (size_t)(scan->at - scan->begin));
}

char ink_scan_peek(ink_scan *scan) {
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t')) {
        scan->at++;
    }
    return scan->at < scan->end ? *scan->at : '\0';
}

/* "expected <wanted>, found <what is there>" */
static ink_status fail_expected(ink_scan *scan, const char *wanted) {
    ink_scan_peek(scan);
    if (scan->at == scan->end) return ink_scan_fail(scan, "expected %s, found the end", wanted);
    const size_t left = (size_t)(scan->end - scan->at);
    const size_t length = ink_utf8_length(scan->at, left);
    char found[INK_QUOTE_BYTES];
    return ink_scan_fail(scan, "expected %s, found '%s'", wanted,
                         ink_quote_bytes(scan->at, length ? length : 1, found));
}

ink_status ink_scan_expect(ink_scan *scan, char c) {
    if (ink_scan_peek(scan) != c) return fail_expected(scan, (char[]){'\'', c, '\'', '\0'});
    scan->at++;
    return INK_OK;
}

ink_status ink_scan_item(ink_scan *scan, char close, bool *first, bool *more) {
    *more = false;
    if (ink_scan_peek(scan) == close) {
        scan->at++;
        return INK_OK;
    }
    if (!*first) {
        if (ink_scan_peek(scan) != ',') {
            return fail_expected(scan,
                                 (char[]){'\'', ',', '\'', ' ', 'o', 'r', ' ', '\'', close, '\'', '\0'});
        }
        scan->at++;
        if (ink_scan_peek(scan) == close) return fail_expected(scan, "a value after ','");
    }
    *first = false;
    *more = true;
    return INK_OK;
}

/* Strings */

/* Where the bytes of a string go; those beyond `size` - 1 are dropped. */
typedef struct sink {
    char *out;
    size_t size, used;
} sink;

static void put(sink *to, char c) {
    if (to->used + 1 < to->size) to->out[to->used++] = c;
}

/* A character from \u escapes. It is dropped whole if it does not fit. */
static void put_code_point(sink *to, uint32_t c) {
    if (to->used + 4 >= to->size) {
        to->size = to->used + 1;
    } else if (c < 0x80) {
        put(to, (char)c);
    } else if (c < 0x800) {
        put(to, (char)(0xC0 | (c >> 6)));
        put(to, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        put(to, (char)(0xE0 | (c >> 12)));
        put(to, (char)(0x80 | ((c >> 6) & 63)));
        put(to, (char)(0x80 | (c & 63)));
    } else {
        put(to, (char)(0xF0 | (c >> 18)));
        put(to, (char)(0x80 | ((c >> 12) & 63)));
        put(to, (char)(0x80 | ((c >> 6) & 63)));
        put(to, (char)(0x80 | (c & 63)));
    }
}

/* Four hexadecimal digits. */
static ink_status scan_hex(ink_scan *scan, uint32_t *value) {
    *value = 0;
    for (int i = 0; i < 4; i++, scan->at++) {
        const char c = scan->at < scan->end ? *scan->at : '\0';
        const uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                               : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                               : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                      : 16;
        if (digit == 16) return fail_expected(scan, "four hexadecimal digits after \\u");
        *value = *value << 4 | digit;
    }
    return INK_OK;
}

/* What follows a backslash. */
static ink_status scan_escape(ink_scan *scan, sink *to) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char c = scan->at < scan->end ? *scan->at : '\0';
    const char *known = c ? strchr(names, c) : NULL;
    if (known) {
        scan->at++;
        put(to, values[known - names]);
        return INK_OK;
    }
    if (c != 'u') return fail_expected(scan, "an escape such as \\n or \\u00e9");
    scan->at++;
    uint32_t code, low;
    INK_TRY(scan_hex(scan, &code));
    if (code >= 0xD800 && code < 0xDC00 && scan->end - scan->at >= 2 && scan->at[0] == '\\' &&
        scan->at[1] == 'u') {
        scan->at += 2;
        INK_TRY(scan_hex(scan, &low));
        if (low < 0xDC00 || low > 0xDFFF) return ink_scan_fail(scan, "a surrogate has no partner");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xD800 && code <= 0xDFFF) {
        return ink_scan_fail(scan, "a surrogate has no partner");
    }
    if (code == 0) return ink_scan_fail(scan, "a string holds a NUL character");
    put_code_point(to, code);
    return INK_OK;
}

/* A string after its opening quotation mark. */
static ink_status scan_string_body(ink_scan *scan, sink *to) {
    while (scan->at < scan->end && *scan->at != '"') {
        const unsigned char c = (unsigned char)*scan->at;
        if (c == '\\') {
            scan->at++;
            INK_TRY(scan_escape(scan, to));
        } else if (c < 0x20) {
            return ink_scan_fail(scan, "a string holds the control character 0x%02x", c);
        } else {
            const size_t length = ink_utf8_length(scan->at, (size_t)(scan->end - scan->at));
            if (length == 0)
                return ink_scan_fail(scan, "a string holds the byte 0x%02x, which is not UTF-8", c);
            if (to->used + length >= to->size) to->size = to->used + 1;
            for (size_t i = 0; i < length; i++) {
                put(to, *scan->at++);
            }
        }
    }
    if (scan->at == scan->end) return ink_scan_fail(scan, "a string does not end");
    scan->at++;
    to->out[to->used] = '\0';
    return INK_OK;
}

static ink_status open_string(ink_scan *scan) {
    if (ink_scan_peek(scan) != '"') return fail_expected(scan, "a string");
    scan->at++;
    return INK_OK;
}

ink_status ink_scan_string(ink_scan *scan, ink_arena *arena, const char **text) {
    *text = NULL;
    INK_TRY(open_string(scan));
    /* No escape is shorter than what it stands for, so the distance to the closing mark bounds the length. */
    const char *close = scan->at;
    while (close < scan->end && *close != '"') {
        close += *close == '\\' && scan->end - close > 1 ? 2 : 1;
    }
    const size_t size = (size_t)(close - scan->at) + 5; /* put_code_point wants room for the largest */
    char *out = ink_arena_alloc(arena, size);
    if (!out) return ink_fail_memory(scan->error, scan->what, size);
    *text = out;
    return scan_string_body(scan, &(sink){out, size, 0});
}

ink_status ink_scan_word(ink_scan *scan, char *out, size_t size) {
    INK_TRY(open_string(scan));
    return scan_string_body(scan, &(sink){out, size, 0});
}

/* Numbers and the rest */

ink_status ink_scan_count(ink_scan *scan, int64_t *value) {
    const char c = ink_scan_peek(scan);
    if (c == '-') return ink_scan_fail(scan, "a size or an offset is negative");
    if (c < '0' || c > '9') return fail_expected(scan, "a whole number");
    const bool zero = c == '0';
    const char *begin = scan->at;
    int64_t n = 0;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *scan->at - '0', &n)) {
            return ink_scan_fail(scan, "a number is too large, 2^63 or more,");
        }
        scan->at++;
    }
    if (zero && scan->at - begin > 1) return ink_scan_fail(scan, "a number begins with 0");
    if (scan->at < scan->end && (*scan->at == '.' || *scan->at == 'e' || *scan->at == 'E')) {
        return ink_scan_fail(scan, "a size or an offset is not a whole number");
    }
    *value = n;
    return INK_OK;
}

static size_t skip_digits(ink_scan *scan) {
    const char *begin = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        scan->at++;
    }
    return (size_t)(scan->at - begin);
}

static ink_status skip_number(ink_scan *scan) {
    if (*scan->at == '-') scan->at++;
    if (skip_digits(scan) == 0) return fail_expected(scan, "a digit");
    if (scan->at < scan->end && *scan->at == '.') {
        scan->at++;
        if (skip_digits(scan) == 0) return fail_expected(scan, "a digit");
    }
    if (scan->at < scan->end && (*scan->at == 'e' || *scan->at == 'E')) {
        scan->at++;
        if (scan->at < scan->end && (*scan->at == '+' || *scan->at == '-')) scan->at++;
        if (skip_digits(scan) == 0) return fail_expected(scan, "a digit");
    }
    return INK_OK;
}

static ink_status skip_word(ink_scan *scan) {
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const size_t n = strlen(words[i]);
        if ((size_t)(scan->end - scan->at) >= n && memcmp(scan->at, words[i], n) == 0) {
            scan->at += n;
            return INK_OK;
        }
    }
    return fail_expected(scan, "a value");
}

static ink_status skip_value(ink_scan *scan, int depth) {
    char ignored[8];
    const char c = ink_scan_peek(scan);
    if (c == '"') return ink_scan_word(scan, ignored, sizeof ignored);
    if (c == '-' || (c >= '0' && c <= '9')) return skip_number(scan);
    if (c != '[' && c != '{') return skip_word(scan);
    if (depth >= INK_SCAN_MAX_DEPTH) {
        return ink_scan_fail(scan, "JSON arrays or objects are nested more than %d deep", INK_SCAN_MAX_DEPTH);
    }
    scan->at++;
    const char close = c == '[' ? ']' : '}';
    for (bool first = true, more;;) {
        INK_TRY(ink_scan_item(scan, close, &first, &more));
        if (!more) return INK_OK;
        if (c == '{') {
            INK_TRY(ink_scan_word(scan, ignored, sizeof ignored));
            INK_TRY(ink_scan_expect(scan, ':'));
        }
        INK_TRY(skip_value(scan, depth + 1));
    }
}

ink_status ink_scan_skip(ink_scan *scan) {
    return skip_value(scan, 0);
}
