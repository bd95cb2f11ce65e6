/*
 * inkstone: finds the command and runs it.
 */
#include "cli/commands.h"
#include "cli/interrupt.h"

#include <string.h>

static int unknown_command(cli_console *console, const char *word) {
    if (word[0] == '-') {
        return cli_usage_error(console, cli_n_commands,
                               "an option (%.100s) comes after a command: inkstone generate -p \"a cat\"",
                               word);
    }
    const char *names[cli_n_commands + 3] = {"help", "version"};
    for (int c = 0; c < cli_n_commands; c++) {
        names[2 + c] = cli_commands[c].name;
    }
    const char *nearest = cli_nearest(word, names);
    return cli_usage_error(console, cli_n_commands, "there is no command '%.100s'%s%s%s", word,
                           nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

static int help(cli_console *console, int n, char **words) {
    if (n == 0) {
        cli_help();
    } else {
        const cli_command command = cli_command_named(words[0]);
        if (command < cli_n_commands)
            cli_command_help(command);
        else if (strcmp(words[0], "help") == 0 || strcmp(words[0], "version") == 0)
            cli_help();
        else
            return unknown_command(console, words[0]);
    }
    return cli_finish_output(console) ? CLI_OK : CLI_FAILED;
}

static int run_command(cli_console *console, cli_command command, int n, char **words) {
    static int (*const functions[cli_n_commands])(const cli_arguments *) = {
        [CLI_GENERATE] = cli_generate, [CLI_INSPECT] = cli_inspect,   [CLI_STUDY] = cli_study,
        [CLI_VERIFY] = cli_verify,     [CLI_TOKENIZE] = cli_tokenize, [CLI_BENCH] = cli_bench};
    cli_arguments arguments;
    if (!cli_parse(console, command, n, words, &arguments)) return CLI_USAGE;
    if (arguments.given[CLI_OPTION_HELP]) {
        cli_command_help(command);
        return cli_finish_output(console) ? CLI_OK : CLI_FAILED;
    }
    return functions[command](&arguments);
}

static bool is_one_of(const char *word, const char *a, const char *b, const char *c) {
    return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

int main(int argc, char **argv) {
    cli_console console;
    cli_console_init(&console, false, false);
    cli_ignore_write_signals();
    const char *word = argc > 1 ? argv[1] : "help";
    const int n = argc > 2 ? argc - 2 : 0;
    char **words = argv + (argc > 2 ? 2 : argc);
    const cli_command command = cli_command_named(word);
    if (command < cli_n_commands) return run_command(&console, command, n, words);
    if (is_one_of(word, "help", "--help", "-h")) return help(&console, n, words);
    if (is_one_of(word, "version", "--version", "-V")) {
        cli_version();
    } else if (strcmp(word, "completions") == 0 && n == 1) {
        if (!cli_complete(words[0])) return unknown_command(&console, word);
    } else {
        return unknown_command(&console, word);
    }
    return cli_finish_output(&console) ? CLI_OK : CLI_FAILED;
}
