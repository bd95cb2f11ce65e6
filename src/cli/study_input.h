/*
 * What a study reads: the list of prompts and the list of step counts.
 */
#ifndef INK_CLI_STUDY_INPUT_H
#define INK_CLI_STUDY_INPUT_H

#include "cli/console.h"

typedef struct cli_prompts {
    char *text; /* owned; the prompts lie in it */
    char **list;
    size_t count;
} cli_prompts;

/* Reads a file with a prompt on each line, or standard input if `path` is "-". Blanks around a prompt and
 * lines without anything else are left out. Returns an exit status; free the prompts with cli_prompts_free.
 */
int cli_prompts_read(cli_console *console, const char *path, cli_prompts *prompts);
void cli_prompts_free(cli_prompts *prompts);

enum { cli_max_counts = 32 };

typedef struct cli_counts {
    int steps[cli_max_counts];
    size_t count;
    size_t largest; /* index of the largest one, with which the others are compared */
} cli_counts;

/* Reads a list such as "50,20,8". Returns an exit status. */
int cli_counts_parse(cli_console *console, const char *text, cli_counts *counts);

#endif
