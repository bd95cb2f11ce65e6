/*
 * inkstone tokenize: token ids of lines, in memory that depends on the longest line only.
 */
#include "cli/commands.h"
#include "cli/model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct line_reader {
    char *text;
    size_t bytes, capacity;
} line_reader;

typedef enum line_state { LINE_READ, LINE_END, LINE_FAILED } line_state;

/* Reads up to a newline, which is left out, or the end. The buffer is kept for the next line. */
static line_state read_line(line_reader *line, FILE *in) {
    const ssize_t n = getline(&line->text, &line->capacity, in);
    if (n < 0) return feof(in) && !ferror(in) ? LINE_END : LINE_FAILED;
    line->bytes = (size_t)n;
    if (line->bytes > 0 && line->text[line->bytes - 1] == '\n') line->bytes--;
    return LINE_READ;
}

static void print_ids(const int32_t *ids, size_t count) {
    putchar('[');
    for (size_t i = 0; i < count; i++) {
        printf(i ? ", %" PRId32 : "%" PRId32, ids[i]);
    }
    fputs("]\n", stdout);
}

static int print_line(cli_console *console, const ink_tokenizer *tokenizer, const line_reader *line,
                      bool with_template) {
    int32_t *ids;
    size_t count;
    ink_error error = {0};
    const ink_status status =
        ink_tokenizer_encode(tokenizer, line->text, line->bytes, with_template, &ids, &count, &error);
    if (status != INK_OK) return cli_failure(console, status, &error);
    print_ids(ids, count);
    ink_free(ids);
    return CLI_OK;
}

static int print_lines(cli_console *console, const ink_tokenizer *tokenizer, bool with_template) {
    line_reader line = {0};
    line_state state = LINE_END;
    int code = CLI_OK;
    errno = 0;
    /* Without a reader the rest of a million lines would be work for nobody. */
    while (code == CLI_OK && !ferror(stdout) && (state = read_line(&line, stdin)) == LINE_READ) {
        code = print_line(console, tokenizer, &line, with_template);
    }
    if (state == LINE_FAILED && code == CLI_OK) {
        cli_error(console, "cannot read standard input: %s", strerror(errno));
        code = CLI_FAILED;
    }
    free(line.text);
    return cli_finish_output(console) ? code : CLI_FAILED;
}

int cli_tokenize(const cli_arguments *a) {
    cli_console console;
    cli_console_init(&console, false, false);
    char *path = NULL;
    const char *folder = a->text[CLI_OPTION_TOKENIZER];
    if (!folder) {
        if (!cli_model_path(&console, NULL, &path)) return CLI_FAILED;
        folder = path;
    }
    ink_tokenizer *tokenizer;
    ink_error error = {0};
    const ink_status status = ink_tokenizer_open(folder, &tokenizer, &error);
    free(path);
    if (status != INK_OK) return cli_failure(&console, status, &error);
    const int code = print_lines(&console, tokenizer, !a->given[CLI_OPTION_NO_TEMPLATE]);
    ink_tokenizer_close(tokenizer);
    return code;
}
