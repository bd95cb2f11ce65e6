/*
 * The subcommands, each in the file of its name. They return an exit status.
 */
#ifndef INK_CLI_COMMANDS_H
#define INK_CLI_COMMANDS_H

#include "cli/parse.h"

int cli_generate(const cli_arguments *arguments);
int cli_inspect(const cli_arguments *arguments);
int cli_study(const cli_arguments *arguments);
int cli_verify(const cli_arguments *arguments);
int cli_tokenize(const cli_arguments *arguments);
int cli_bench(const cli_arguments *arguments);

/* Print to standard output: all commands, one command, the version and what this build contains. */
void cli_help(void);
void cli_command_help(cli_command command);
void cli_version(void);

/* For the makers of inkstone, and therefore in no help: the completions file of a shell ("bash", "zsh",
 * "fish"), or "options", a line for every option of every command. False if the name is another. */
bool cli_complete(const char *what);

#endif
