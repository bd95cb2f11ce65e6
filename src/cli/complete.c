/*
 * Completions for shells, made from the table of options. The files in completions/ are what this prints; a
 * test compares them.
 */
#include "cli/commands.h"

#include <string.h>

#define GENERATED "made by 'inkstone completions %s'; change src/cli/options.c instead"

typedef void (*option_fn)(cli_command command, const cli_option *option, const char *name);

/* Calls `each` for every name, aliases too, of every option of a command. */
static void for_each_name(cli_command command, option_fn each) {
    for (int id = 0; id < cli_n_options; id++) {
        const cli_option *o = &cli_options[id];
        if (!cli_option_belongs((cli_option_id)id, command)) continue;
        each(command, o, o->name);
        for (int i = 0; i < 2 && o->aliases[i]; i++) {
            each(command, o, o->aliases[i]);
        }
    }
}

static void print_commands(const char *separator) {
    for (int c = 0; c < cli_n_commands; c++) {
        printf("%s%s", cli_commands[c].name, separator);
    }
    printf("help%sversion", separator);
}

/* The first line of the help inside single quotes, where `apostrophe` stands for one. Brackets would end what
 * zsh takes for the description. */
static void print_summary(const char *help, const char *apostrophe) {
    for (; *help && *help != '\n'; help++) {
        if (*help == '\'')
            fputs(apostrophe, stdout);
        else if (!strchr("[]\\", *help))
            putchar(*help);
    }
}

static const char zsh_apostrophe[] = "'\\''", fish_apostrophe[] = "\\'";

/* ------------------------------------------------------------------------------------------------------------
 * bash
 */

static void bash_word(cli_command command, const cli_option *o, const char *name) {
    (void)command;
    printf(" --%s", name);
    if (name == o->name && o->letter) printf(" -%c", o->letter);
}

static void bash_value(cli_command command, const cli_option *o, const char *name) {
    (void)command;
    if (o->kind == CLI_SWITCH) return;
    printf("    --%s", name);
    if (name == o->name && o->letter) printf(" | -%c", o->letter);
    if (o->kind == CLI_FILE)
        printf(") compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n");
    else if (o->kind == CLI_FOLDER)
        printf(") compopt -o filenames; COMPREPLY=($(compgen -d -- \"$cur\")) ;;\n");
    else if (o->choices)
        printf(") COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;\n", o->choices);
    else
        printf(") ;;\n");
}

static void complete_bash(void) {
    printf("# bash completion for inkstone; " GENERATED "\n\n", "bash");
    printf("# shellcheck shell=bash disable=SC2207\n");
    for (int c = 0; c < cli_n_commands; c++) {
        printf("_inkstone_%s() {\n  case $prev in\n", cli_commands[c].name);
        for_each_name((cli_command)c, bash_value);
        printf("    *)\n");
        if (cli_commands[c].operand)
            printf("      if [[ $cur != -* ]]; then compopt -o filenames; COMPREPLY=($(compgen -d -- "
                   "\"$cur\")); "
                   "return; fi\n");
        printf("      COMPREPLY=($(compgen -W '");
        for_each_name((cli_command)c, bash_word);
        printf("' -- \"$cur\")) ;;\n  esac\n}\n\n");
    }
    printf("_inkstone() {\n"
           "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
           "  COMPREPLY=()\n"
           "  if [[ $cur == = ]]; then cur=; fi\n"
           "  if [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
           "  if ((COMP_CWORD == 1)); then\n"
           "    COMPREPLY=($(compgen -W '");
    print_commands(" ");
    printf("' -- \"$cur\"))\n    return\n  fi\n  case ${COMP_WORDS[1]} in\n");
    for (int c = 0; c < cli_n_commands; c++) {
        printf("    %s) _inkstone_%s ;;\n", cli_commands[c].name, cli_commands[c].name);
    }
    printf("    help) COMPREPLY=($(compgen -W '");
    print_commands(" ");
    printf("' -- \"$cur\")) ;;\n  esac\n}\n\ncomplete -F _inkstone inkstone\n");
}

/* ------------------------------------------------------------------------------------------------------------
 * zsh
 */

static void zsh_value(const cli_option *o) {
    if (o->kind == CLI_SWITCH) return;
    printf(":%s:", o->value);
    if (o->kind == CLI_FILE) printf("_files");
    if (o->kind == CLI_FOLDER) printf("_files -/");
    if (o->choices) printf("(%s)", o->choices);
}

static void zsh_option(cli_command command, const cli_option *o, const char *name) {
    (void)command;
    const char *joint = o->kind == CLI_SWITCH ? "" : "=";
    printf("    '--%s%s[", name, joint);
    print_summary(o->help, zsh_apostrophe);
    printf("]");
    zsh_value(o);
    printf("' \\\n");
    if (name != o->name || !o->letter) return;
    printf("    '-%c%s[", o->letter, o->kind == CLI_SWITCH ? "" : "+");
    print_summary(o->help, zsh_apostrophe);
    printf("]");
    zsh_value(o);
    printf("' \\\n");
}

static void complete_zsh(void) {
    printf("#compdef inkstone\n# zsh completion for inkstone; " GENERATED "\n\n", "zsh");
    for (int c = 0; c < cli_n_commands; c++) {
        printf("_inkstone_%s() {\n  _arguments -s \\\n", cli_commands[c].name);
        for_each_name((cli_command)c, zsh_option);
        printf("    %s\n}\n\n", cli_commands[c].operand ? "':model folder:_files -/'" : "':: :_nothing'");
    }
    printf("_inkstone() {\n  local -a commands\n  commands=(\n");
    for (int c = 0; c < cli_n_commands; c++) {
        printf("    '%s:", cli_commands[c].name);
        print_summary(cli_commands[c].summary, zsh_apostrophe);
        printf("'\n");
    }
    printf("    'help:what there is'\n    'version:version and backends'\n  )\n"
           "  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
           "  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $command in\n    ");
    for (int c = 0; c < cli_n_commands; c++) {
        printf("%s%s", c ? "|" : "", cli_commands[c].name);
    }
    printf(") _inkstone_$command ;;\n    help) _describe command commands ;;\n  esac\n}\n\n"
           "_inkstone \"$@\"\n");
}

/* ------------------------------------------------------------------------------------------------------------
 * fish
 */

static void fish_option(cli_command command, const cli_option *o, const char *name) {
    printf("complete -c inkstone -n '__fish_seen_subcommand_from %s' -l %s", cli_commands[command].name,
           name);
    if (name == o->name && o->letter) printf(" -s %c", o->letter);
    if (o->kind == CLI_FILE)
        printf(" -rF");
    else if (o->kind == CLI_FOLDER)
        printf(" -xa '(__fish_complete_directories)'");
    else if (o->choices)
        printf(" -xa '%s'", o->choices);
    else if (o->kind != CLI_SWITCH)
        printf(" -x");
    printf(" -d '");
    print_summary(o->help, fish_apostrophe);
    printf("'\n");
}

static void complete_fish(void) {
    printf("# fish completion for inkstone; " GENERATED "\n\n"
           "complete -c inkstone -f\n",
           "fish");
    for (int c = 0; c < cli_n_commands; c++) {
        printf("complete -c inkstone -n __fish_use_subcommand -a %s -d '", cli_commands[c].name);
        print_summary(cli_commands[c].summary, fish_apostrophe);
        printf("'\n");
    }
    printf("complete -c inkstone -n __fish_use_subcommand -a help -d 'what there is'\n"
           "complete -c inkstone -n __fish_use_subcommand -a version -d 'version and backends'\n"
           "complete -c inkstone -n '__fish_seen_subcommand_from help' -a '");
    print_commands(" ");
    printf("'\n");
    for (int c = 0; c < cli_n_commands; c++) {
        if (cli_commands[c].operand)
            printf("complete -c inkstone -n '__fish_seen_subcommand_from %s' -a "
                   "'(__fish_complete_directories)'\n",
                   cli_commands[c].name);
        for_each_name((cli_command)c, fish_option);
    }
}

static void list_option(cli_command command, const cli_option *o, const char *name) {
    printf("%s --%s %s\n", cli_commands[command].name, name, o->value ? o->value : "");
    if (name == o->name && o->letter)
        printf("%s -%c %s\n", cli_commands[command].name, o->letter, o->value ? o->value : "");
}

bool cli_complete(const char *what) {
    if (strcmp(what, "bash") == 0) {
        complete_bash();
    } else if (strcmp(what, "zsh") == 0) {
        complete_zsh();
    } else if (strcmp(what, "fish") == 0) {
        complete_fish();
    } else if (strcmp(what, "options") == 0) {
        for (int c = 0; c < cli_n_commands; c++) {
            for_each_name((cli_command)c, list_option);
        }
    } else {
        return false;
    }
    return true;
}
