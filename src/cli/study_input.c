#include "cli/study_input.h"

#include "cli/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { max_steps = 1000, max_digits = 9 };

/* Cuts the text into lines. With a NULL list they are only counted. */
static size_t cut_lines(char *text, char **list) {
    static const char blanks[] = " \t\r";
    size_t n = 0;
    for (char *line = text; *line;) {
        char *end = line + strcspn(line, "\n");
        char *next = *end ? end + 1 : end;
        line += strspn(line, blanks);
        if (line < end) {
            if (list) {
                while (end > line && strchr(blanks, end[-1])) {
                    end--;
                }
                *end = '\0';
                list[n] = line;
            }
            n++;
        }
        line = next;
    }
    return n;
}

static bool read_text(cli_console *console, const char *path, char **text) {
    if (strcmp(path, "-") == 0)
        return cli_read_text(console, stdin, "standard input as the list of prompts", text);
    FILE *file = fopen(path, "rb");
    if (!file) {
        cli_error(console, "cannot read the prompts in %s: %s", path, strerror(errno));
        return false;
    }
    char what[512];
    snprintf(what, sizeof what, "%.400s as the list of prompts", path);
    const bool good = cli_read_text(console, file, what, text);
    fclose(file);
    return good;
}

int cli_prompts_read(cli_console *console, const char *path, cli_prompts *p) {
    static const char byte_order_mark[] = "\xEF\xBB\xBF"; /* what some editors put before a text */
    *p = (cli_prompts){0};
    if (!read_text(console, path, &p->text)) return CLI_FAILED;
    char *text = p->text;
    if (strncmp(text, byte_order_mark, strlen(byte_order_mark)) == 0) text += strlen(byte_order_mark);
    const size_t n = cut_lines(text, NULL);
    if (n == 0) {
        cli_error(console, "--prompts: there is no prompt in %.400s; write one on each line",
                  strcmp(path, "-") == 0 ? "standard input" : path);
        return CLI_USAGE;
    }
    p->list = malloc(n * sizeof *p->list);
    if (!p->list) {
        cli_error(console, "out of memory for the prompts");
        return CLI_FAILED;
    }
    p->count = cut_lines(text, p->list);
    return CLI_OK;
}

void cli_prompts_free(cli_prompts *prompts) {
    free(prompts->list);
    free(prompts->text);
}

/* A number of digits only, at `text`, `n` bytes long; 0 if it is none or out of range. */
static int count_of(const char *text, size_t n) {
    if (n == 0 || n > max_digits || strspn(text, "0123456789") < n) return 0;
    const long value = strtol(text, NULL, 10);
    return value <= max_steps ? (int)value : 0;
}

int cli_counts_parse(cli_console *console, const char *text, cli_counts *c) {
    *c = (cli_counts){0};
    for (const char *at = text;; at++) {
        const size_t n = strcspn(at, ",");
        const int steps = count_of(at, n);
        if (steps == 0) {
            cli_error(console,
                      "--steps: '%.*s' in '%.100s' is no number of steps; write numbers from 1 to %d with "
                      "commas between them, such as 20,8,4",
                      n < 40 ? (int)n : 40, at, text, max_steps);
            return CLI_USAGE;
        }
        for (size_t i = 0; i < c->count; i++) {
            if (c->steps[i] != steps) continue;
            cli_error(console, "--steps: %d is twice in '%.100s'", steps, text);
            return CLI_USAGE;
        }
        if (c->count == cli_max_counts) {
            cli_error(console, "--steps: at most %d numbers can be compared", cli_max_counts);
            return CLI_USAGE;
        }
        if (steps > c->steps[c->largest]) c->largest = c->count;
        c->steps[c->count++] = steps;
        at += n;
        if (!*at) return CLI_OK;
    }
}
