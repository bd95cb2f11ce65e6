/*
 * Texts of any length: read from a file, or made valid.
 */
#ifndef INK_CLI_TEXT_H
#define INK_CLI_TEXT_H

#include "cli/console.h"

/* Reads a text from `in` until its end; one newline at the end is left out. *text: free with free(). False,
 * after a sentence, if it cannot be read, holds a NUL byte or is longer than 16 MiB. `what` is what the
 * sentence calls it: "standard input as the prompt". */
bool cli_read_text(cli_console *console, FILE *in, const char *what, char **text);

/* A copy in which each invalid byte is U+FFFD, as the tokenizer reads it. Free with free(); NULL if memory
 * runs out. */
char *cli_valid_utf8(const char *text);

#endif
