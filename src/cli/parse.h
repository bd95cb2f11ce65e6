/*
 * The words of the command line as values.
 */
#ifndef INK_CLI_PARSE_H
#define INK_CLI_PARSE_H

#include "cli/console.h"
#include "cli/options.h"

typedef struct cli_arguments {
    cli_command command;
    bool given[cli_n_options];
    const char *text[cli_n_options]; /* texts, files, folders and choices; borrowed from argv */
    int64_t integer[cli_n_options];
    double number[cli_n_options];
    const char *operand; /* the one argument that is no option, or NULL */
} cli_arguments;

/* Parses what follows the name of the command. An option that is given twice counts the last time. False if
 * something is wrong, after a sentence about it. --help ends parsing. */
bool cli_parse(cli_console *console, cli_command command, int n, char **words, cli_arguments *arguments);

/* The command of that name, or cli_n_commands. */
cli_command cli_command_named(const char *name);

/* The name among `names` (ended by NULL) that `given` was probably meant to be, or NULL. */
const char *cli_nearest(const char *given, const char *const *names);

/* Complains about usage and says where help is; returns CLI_USAGE. */
int cli_usage_error(cli_console *console, cli_command command, const char *format, ...) INK_PRINTF(3, 4);

#endif
