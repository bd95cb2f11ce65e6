#define _DARWIN_C_SOURCE /* TIOCGWINSZ on macOS */

#include "cli/console.h"

#include "base/quote.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { message_bytes = 8192 };

void cli_console_init(cli_console *console, bool quiet, bool verbose) {
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    const bool live = isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);
    *console = (cli_console){
        .quiet = quiet, .verbose = verbose, .live = live, .color = live && !(no_color && no_color[0])};
}

size_t cli_columns(void) {
    struct winsize size = {0};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
}

static unsigned decode(const char *text, size_t length) {
    const unsigned char *s = (const unsigned char *)text;
    if (length == 1) return s[0];
    if (length == 2) return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
    if (length == 3) return (s[0] & 0xFu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    return (s[0] & 7u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
}

/* Characters that are not seen but change what is seen. Joiners, which scripts and emoji need, are not. */
static bool is_hidden(unsigned c) {
    return (c >= 0x7F && c < 0xA0) || c == 0x200B || c == 0x200E || c == 0x200F ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
           (c >= 0xE0000 && c <= 0xE007F);
}

void cli_print_escaped(FILE *out, const char *text) {
    const size_t bytes = strlen(text);
    for (size_t i = 0; i < bytes;) {
        const size_t length = ink_utf8_length(text + i, bytes - i);
        const unsigned c = length ? decode(text + i, length) : 0;
        if (length == 0) {
            fprintf(out, "\\x%02x", (unsigned)(unsigned char)text[i]);
        } else if (c == '\n') {
            fputs("\\n", out);
        } else if (c == '\t') {
            fputs("\\t", out);
        } else if (c < 0x20 || c == 0x7F) {
            fprintf(out, "\\x%02x", c);
        } else if (is_hidden(c)) {
            fprintf(out, "\\u%04x", c);
        } else {
            fwrite(text + i, 1, length, out);
        }
        i += length ? length : 1;
    }
}

static void print_line(cli_console *console, const char *label, const char *color, const char *format,
                       va_list arguments) INK_PRINTF(4, 0);

static void print_line(cli_console *console, const char *label, const char *color, const char *format,
                       va_list arguments) {
    char message[message_bytes];
    if (vsnprintf(message, sizeof message, format, arguments) < 0) message[0] = '\0';
    cli_live(console, "", 0, 0);
    fputs("inkstone: ", stderr);
    if (label[0] && console->color) {
        fprintf(stderr, "%s%s:\033[0m ", color, label);
    } else if (label[0]) {
        fprintf(stderr, "%s: ", label);
    }
    cli_print_escaped(stderr, message);
    fputc('\n', stderr);
}

void cli_error(cli_console *console, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_line(console, "error", "\033[1;31m", format, arguments);
    va_end(arguments);
}

void cli_warn(cli_console *console, const char *format, ...) {
    if (console->quiet) return;
    va_list arguments;
    va_start(arguments, format);
    print_line(console, "warning", "\033[1;33m", format, arguments);
    va_end(arguments);
}

void cli_say(cli_console *console, const char *format, ...) {
    if (console->quiet) return;
    va_list arguments;
    va_start(arguments, format);
    print_line(console, "", "", format, arguments);
    va_end(arguments);
}

void cli_tell(cli_console *console, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_line(console, "", "", format, arguments);
    va_end(arguments);
}

void cli_detail(cli_console *console, const char *format, ...) {
    if (!console->verbose) return;
    va_list arguments;
    va_start(arguments, format);
    print_line(console, "", "", format, arguments);
    va_end(arguments);
}

void cli_live(cli_console *console, const char *text, size_t from, size_t colored) {
    const size_t n = strlen(text);
    if (!console->live || (n == 0 && console->covered == 0)) return;
    if (console->color && colored > 0 && from + colored <= n) {
        fprintf(stderr, "\r%.*s\033[32m%.*s\033[0m%s", (int)from, text, (int)colored, text + from,
                text + from + colored);
    } else {
        fprintf(stderr, "\r%s", text);
    }
    for (size_t i = n; i < console->covered; i++) {
        fputc(' ', stderr);
    }
    if (n == 0) fputc('\r', stderr);
    console->covered = n;
    fflush(stderr);
}

bool cli_finish_output(cli_console *console) {
    errno = 0;
    const bool flushed = fflush(stdout) == 0;
    const int code = errno;
    if (flushed && !ferror(stdout)) return true;
    cli_error(console, "cannot write to standard output: %s",
              code == EPIPE ? "its reader is gone"
              : code        ? strerror(code)
                            : "some of it was lost");
    return false;
}
