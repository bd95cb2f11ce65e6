/*
 * Help texts, made from the table of options.
 */
#include "cli/commands.h"

#include <string.h>

enum { help_column = 30 };

void cli_help(void) {
    printf("inkstone %s - draws pictures from text with models of the Qwen-Image family\n\n"
           "usage: inkstone COMMAND [options]\n\n"
           "  inkstone generate -p \"a cat\" -o cat.png\n\n"
           "commands:\n",
           ink_version());
    for (int c = 0; c < cli_n_commands; c++) {
        printf("  %-10s %s\n", cli_commands[c].name, cli_commands[c].summary);
    }
    printf("  %-10s %s\n  %-10s %s\n\n", "help", "this, or with the name of a command all about it",
           "version", "version and backends");
    printf(
        "The exit status is 0 if all went well, 1 if something failed, 2 if the command line or a value in\n"
        "it is wrong, and 130 after an interruption.\n");
}

static void print_option(const cli_option *o) {
    char left[128];
    const char letter[] = {'-', o->letter, ',', ' ', '\0'};
    int n = snprintf(left, sizeof left, "  %s--%s%s%s", o->letter ? letter : "    ", o->name,
                     o->value ? " " : "", o->value ? o->value : "");
    printf("%s", left);
    if (n >= help_column) {
        putchar('\n');
        n = 0;
    }
    for (const char *line = o->help; *line;) {
        const size_t length = strcspn(line, "\n");
        printf("%*s%.*s\n", help_column - n, "", (int)length, line);
        line += length + (line[length] != '\0');
        n = 0;
    }
    if (o->kind == CLI_CHOICE) printf("%*s(one of: %s)\n", help_column, "", o->choices);
    for (int i = 0; i < 2 && o->aliases[i]; i++) {
        printf("%*s%s--%s%s", i ? 0 : help_column, "", i ? ", " : "(also ", o->aliases[i],
               i == 1 || !o->aliases[i + 1] ? ")\n" : "");
    }
}

void cli_command_help(cli_command command) {
    const cli_command_info *info = &cli_commands[command];
    printf("inkstone %s - %s\n\nusage: inkstone %s %s\n\noptions:\n", info->name, info->summary, info->name,
           info->synopsis);
    for (int id = 0; id < cli_n_options; id++) {
        if (cli_option_belongs((cli_option_id)id, command)) print_option(&cli_options[id]);
    }
    printf("\n%s", info->details);
}

void cli_version(void) {
    printf("inkstone %s\nbackends:", ink_version());
    const char *name;
    for (size_t i = 0; (name = ink_backend_name(i)); i++) {
        if (ink_backend_usable(name, NULL, 0)) printf(" %s", name);
    }
    char cuda[INK_MESSAGE_BYTES];
    ink_backend_usable("cuda", cuda, sizeof cuda);
    printf("\ncuda: %s\n", cuda);
}
