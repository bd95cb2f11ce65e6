/*
 * The commands and their options in one table, which drives the parser, the help texts and the completions of
 * shells; a test compares the man pages with it.
 */
#ifndef INK_CLI_OPTIONS_H
#define INK_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum cli_command {
    CLI_GENERATE,
    CLI_INSPECT,
    CLI_STUDY,
    CLI_VERIFY,
    CLI_TOKENIZE,
    CLI_BENCH,
    cli_n_commands
} cli_command;

typedef struct cli_command_info {
    const char *name;
    const char *synopsis; /* what follows the name */
    const char *summary;  /* one line */
    const char *operand;  /* name of the one argument that is no option; NULL: there is none */
    const char *details;  /* paragraphs that end the help */
} cli_command_info;

extern const cli_command_info cli_commands[cli_n_commands];

typedef enum cli_kind {
    CLI_SWITCH,  /* takes no value */
    CLI_TEXT,    /* any text */
    CLI_FILE,    /* text that names a file */
    CLI_FOLDER,  /* text that names a folder */
    CLI_CHOICE,  /* one of `choices` */
    CLI_INTEGER, /* min to max */
    CLI_NUMBER,  /* min to max, with a fraction */
    CLI_SIZE,    /* WxH: sets CLI_OPTION_WIDTH and CLI_OPTION_HEIGHT */
    CLI_BYTES    /* 8G, 512M, 1.5G: min to max as numbers of bytes */
} cli_kind;

typedef struct cli_option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    cli_kind kind;
    unsigned commands; /* bit c: command c has it */
    const char *value; /* how help calls the value; NULL for a switch */
    const char *aliases[2];
    const char *choices; /* separated by blanks */
    int64_t min, max;
    const char *help;
} cli_option;

typedef enum cli_option_id {
    CLI_OPTION_PROMPT,
    CLI_OPTION_PROBE_PROMPT, /* of inspect */
    CLI_OPTION_PROMPTS,
    CLI_OPTION_NEGATIVE_PROMPT,
    CLI_OPTION_WIDTH,
    CLI_OPTION_HEIGHT,
    CLI_OPTION_SIZE,
    CLI_OPTION_STEPS,
    CLI_OPTION_PROBE_STEPS, /* of inspect */
    CLI_OPTION_STEP_LIST,   /* of study */
    CLI_OPTION_RUNS,        /* of bench: its --steps */
    CLI_OPTION_PRESET,
    CLI_OPTION_GUIDANCE,
    CLI_OPTION_SEED,
    CLI_OPTION_NOISE,
    CLI_OPTION_BATCH,
    CLI_OPTION_OUTPUT,
    CLI_OPTION_SHEET, /* of study */
    CLI_OPTION_COLUMNS,
    CLI_OPTION_SHRINK,
    CLI_OPTION_NO_METADATA,
    CLI_OPTION_LAYERS,
    CLI_OPTION_TOKENS,
    CLI_OPTION_PARTS,
    CLI_OPTION_PICTURES,
    CLI_OPTION_TRACE,
    CLI_OPTION_BLOCKS,
    CLI_OPTION_JSON,
    CLI_OPTION_GOLDEN,
    CLI_OPTION_TOLERANCE,
    CLI_OPTION_TOKENIZER,
    CLI_OPTION_NO_TEMPLATE,
    CLI_OPTION_MODEL,
    CLI_OPTION_SYNTHETIC,
    CLI_OPTION_BACKEND,
    CLI_OPTION_CPU_LEVEL,
    CLI_OPTION_THREADS,
    CLI_OPTION_PRECISION,
    CLI_OPTION_FUSED_MODULATE,
    CLI_OPTION_MAX_RAM,
    CLI_OPTION_MAX_VRAM,
    CLI_OPTION_PROGRESS_EVERY,
    CLI_OPTION_QUIET,
    CLI_OPTION_VERBOSE,
    CLI_OPTION_HELP,
    cli_n_options
} cli_option_id;

extern const cli_option cli_options[cli_n_options];

static inline bool cli_option_belongs(cli_option_id id, cli_command command) {
    return (cli_options[id].commands >> command & 1) != 0;
}

#endif
