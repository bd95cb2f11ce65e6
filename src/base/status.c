#include "base/status.h"

#include <stdio.h>
#include <string.h>

/* Cuts a trailing partial UTF-8 sequence that snprintf may have left. */
static void trim_partial_utf8(char *text) {
    size_t n = strlen(text);
    size_t back = 0;
    while (back < 3 && n > back && ((unsigned char)text[n - 1 - back] & 0xC0) == 0x80) {
        back++;
    }
    if (n <= back) return;
    const unsigned char lead = (unsigned char)text[n - 1 - back];
    const size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (need > back + 1) text[n - 1 - back] = '\0';
}

ink_status ink_fail(ink_error *error, ink_status status, const char *format, ...) {
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        const int n = vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        if (n < 0) error->message[0] = '\0';
        if ((size_t)n >= sizeof error->message) trim_partial_utf8(error->message);
        error->status = status;
    }
    return status;
}

ink_status ink_fail_memory(ink_error *error, const char *what, size_t bytes) {
    return ink_fail(error, INK_ERROR_MEMORY, "out of memory for %s: %zu bytes could not be allocated", what,
                    bytes);
}

bool ink_size_mul(size_t a, size_t b, size_t *out) {
    if (__builtin_mul_overflow(a, b, out)) {
        *out = SIZE_MAX;
        return false;
    }
    return true;
}

bool ink_size_add(size_t a, size_t b, size_t *out) {
    if (__builtin_add_overflow(a, b, out)) {
        *out = SIZE_MAX;
        return false;
    }
    return true;
}

const char *ink_version(void) {
    return INK_VERSION_STRING;
}

const char *ink_status_name(ink_status status) {
    switch (status) {
    case INK_OK:
        return "ok";
    case INK_ERROR_ARGUMENT:
        return "invalid argument";
    case INK_ERROR_MEMORY:
        return "out of memory";
    case INK_ERROR_IO:
        return "input/output error";
    case INK_ERROR_FORMAT:
        return "malformed file";
    case INK_ERROR_UNSUPPORTED:
        return "unsupported";
    case INK_ERROR_NUMERIC:
        return "not a finite number";
    case INK_ERROR_CANCELLED:
        return "cancelled";
    case INK_ERROR_INTERNAL:
        return "internal error";
    }
    return "unknown status";
}
