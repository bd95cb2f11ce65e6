/*
 * Names of the files that pictures are written to.
 */
#ifndef INK_CLI_OUTPUT_H
#define INK_CLI_OUTPUT_H

#include "cli/console.h"

#include <stddef.h>

typedef struct cli_output {
    const char *given; /* value of -o; NULL: output.png or the next free name */
    int count;         /* pictures */
    bool to_stdout;
    /* The place of %d in `given`; number_bytes is 0 if there is none. */
    size_t number_at, number_bytes;
    int digits;
} cli_output;

/* Reads -o and checks before any work is done that the files can be written. Returns an exit status. */
int cli_output_init(cli_console *console, const char *given, int count, cli_output *output);

/* Whether a file of that name can be written; says why not. */
bool cli_output_check(cli_console *console, const char *path);

/* Name of picture `index`, from 0. Free with free(); NULL if memory runs out. */
char *cli_output_name(const cli_output *output, int index);

#endif
