#include "cli/text.h"

#include "base/quote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { max_text = 16 << 20 };

bool cli_read_text(cli_console *console, FILE *in, const char *what, char **text) {
    *text = NULL;
    char *buffer = NULL;
    size_t n = 0, capacity = 0;
    errno = 0;
    do {
        if (n + 1 >= capacity) {
            capacity = capacity ? 2 * capacity : 4096;
            char *grown = realloc(buffer, capacity);
            if (!grown) {
                free(buffer);
                cli_error(console, "out of memory for %s", what);
                return false;
            }
            buffer = grown;
        }
        n += fread(buffer + n, 1, capacity - 1 - n, in);
    } while (n <= max_text && !feof(in) && !ferror(in));
    const char *trouble = ferror(in)             ? strerror(errno)
                          : n > max_text         ? "it is longer than 16 MiB"
                          : memchr(buffer, 0, n) ? "it holds a NUL byte, so it is no text"
                                                 : NULL;
    if (trouble) {
        cli_error(console, "cannot use %s: %s", what, trouble);
        free(buffer);
        return false;
    }
    if (n > 0 && buffer[n - 1] == '\n') n--;
    if (n > 0 && buffer[n - 1] == '\r') n--;
    buffer[n] = '\0';
    *text = buffer;
    return true;
}

char *cli_valid_utf8(const char *text) {
    static const char replacement[] = "\xEF\xBF\xBD";
    const size_t bytes = strlen(text);
    char *copy = bytes < SIZE_MAX / 3 ? malloc(3 * bytes + 1) : NULL;
    if (!copy) return NULL;
    size_t n = 0;
    for (size_t i = 0; i < bytes;) {
        const size_t length = ink_utf8_length(text + i, bytes - i);
        memcpy(copy + n, length ? text + i : replacement, length ? length : 3);
        n += length ? length : 3;
        i += length ? length : 1;
    }
    copy[n] = '\0';
    return copy;
}
