/*
 * What a person reads on standard error. Everything that comes from outside (prompts, paths, messages about
 * files) is escaped, so that it cannot steer the terminal.
 */
#ifndef INK_CLI_CONSOLE_H
#define INK_CLI_CONSOLE_H

#include "inkstone.h"

#include <stdio.h>

typedef enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 } cli_exit;

typedef struct cli_console {
    bool quiet;     /* only errors */
    bool verbose;   /* details too */
    bool live;      /* a terminal where a line can be rewritten */
    bool color;     /* live, and the user did not object (NO_COLOR) */
    size_t covered; /* columns of the live line that is on the screen */
} cli_console;

void cli_console_init(cli_console *console, bool quiet, bool verbose);

/* Each prints one line "inkstone: ..." and ends a live line before. */
void cli_error(cli_console *console, const char *format, ...) INK_PRINTF(2, 3);
void cli_warn(cli_console *console, const char *format, ...) INK_PRINTF(2, 3);   /* not if quiet */
void cli_say(cli_console *console, const char *format, ...) INK_PRINTF(2, 3);    /* not if quiet */
void cli_detail(cli_console *console, const char *format, ...) INK_PRINTF(2, 3); /* if verbose */

/* A line that is printed even if the console is quiet: a result that is told nowhere else. */
void cli_tell(cli_console *console, const char *format, ...) INK_PRINTF(2, 3);

/* Rewrites the live line (live consoles only); "" removes it. `text` is ASCII without control characters. The
 * first `colored` characters, from the character `from` on, are shown in colour. */
void cli_live(cli_console *console, const char *text, size_t from, size_t colored);

/* Columns of the terminal; 80 if unknown. */
size_t cli_columns(void);

/* Prints `text` with control characters, invalid UTF-8 and characters that reorder text as \n, \x1b, \u202e.
 */
void cli_print_escaped(FILE *out, const char *text);

/* Ends standard output: true if everything was written, else prints the reason. */
bool cli_finish_output(cli_console *console);

#endif
