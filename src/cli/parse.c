#include "cli/parse.h"

#include "base/bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { max_word = 64, max_names = 2 * cli_n_options + 1 };

cli_command cli_command_named(const char *name) {
    int c = 0;
    while (c < cli_n_commands && strcmp(name, cli_commands[c].name) != 0) {
        c++;
    }
    return (cli_command)c;
}

int cli_usage_error(cli_console *console, cli_command command, const char *format, ...) {
    char message[INK_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(message, sizeof message, format, arguments) < 0) message[0] = '\0';
    va_end(arguments);
    cli_error(console, "%s", message);
    const bool known = command < cli_n_commands;
    cli_say(console, "'inkstone help%s%s' lists what there is", known ? " " : "",
            known ? cli_commands[command].name : "");
    return CLI_USAGE;
}

/* Edits (a letter put in, left out, changed, or swapped with its neighbour) that lead from a to b. */
static size_t distance(const char *a, const char *b) {
    const size_t n = strlen(a), m = strlen(b);
    if (n >= max_word || m >= max_word) return SIZE_MAX;
    size_t d[3][max_word]; /* the last three rows of the table */
    for (size_t j = 0; j <= m; j++) {
        d[0][j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t *row = d[i % 3], *above = d[(i + 2) % 3], *two_above = d[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two_above[j - 2] + 1 < best)
                best = two_above[j - 2] + 1;
            row[j] = best;
        }
    }
    return d[n % 3][m];
}

const char *cli_nearest(const char *given, const char *const *names) {
    const size_t n = strlen(given);
    const char *nearest = NULL;
    size_t best = n / 3 + 1;
    for (; *names; names++) {
        if (n >= 2 && strncmp(*names, given, n) == 0) return *names;
        const size_t d = distance(given, *names);
        if (d <= best && (!nearest || d < best)) {
            best = d;
            nearest = *names;
        }
    }
    return nearest;
}

typedef struct parser {
    cli_console *console;
    cli_arguments *arguments;
    char **words;
    int n, at;
} parser;

static bool has_name(const cli_option *option, const char *name, size_t n) {
    if (strlen(option->name) == n && memcmp(option->name, name, n) == 0) return true;
    for (int i = 0; i < 2 && option->aliases[i]; i++) {
        if (strlen(option->aliases[i]) == n && memcmp(option->aliases[i], name, n) == 0) return true;
    }
    return false;
}

static cli_option_id find_long(cli_command command, const char *name, size_t n) {
    int id = 0;
    while (id < cli_n_options &&
           !(cli_option_belongs((cli_option_id)id, command) && has_name(&cli_options[id], name, n))) {
        id++;
    }
    return (cli_option_id)id;
}

static cli_option_id find_letter(cli_command command, char letter) {
    int id = 0;
    while (id < cli_n_options &&
           !(cli_option_belongs((cli_option_id)id, command) && cli_options[id].letter == letter)) {
        id++;
    }
    return (cli_option_id)id;
}

static bool unknown_long(parser *p, const char *name, size_t n) {
    const char *names[max_names];
    size_t count = 0;
    for (int id = 0; id < cli_n_options; id++) {
        if (!cli_option_belongs((cli_option_id)id, p->arguments->command)) continue;
        names[count++] = cli_options[id].name;
        if (cli_options[id].aliases[0]) names[count++] = cli_options[id].aliases[0];
    }
    names[count] = NULL;
    char word[max_word] = {0};
    if (n < sizeof word) memcpy(word, name, n);
    const char *nearest = word[0] ? cli_nearest(word, names) : NULL;
    cli_usage_error(p->console, p->arguments->command, "there is no option --%.*s%s%s%s", (int)n, name,
                    nearest ? "; did you mean --" : "", nearest ? nearest : "", nearest ? "?" : "");
    return false;
}

/* ------------------------------------------------------------------------------------------------------------
 * Values. `shown` is the option as it was written.
 */

static bool parse_integer(const char *text, size_t n, int64_t *value) {
    char digits[32];
    if (n == 0 || n >= sizeof digits) return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    /* strtoll alone would take blanks before the number. */
    if (!strchr("+-0123456789", digits[0])) return false;
    char *end;
    errno = 0;
    const long long parsed = strtoll(digits, &end, 10);
    if (errno || end == digits || *end) return false;
    *value = parsed;
    return true;
}

static bool set_integer(parser *p, cli_option_id id, const char *shown, const char *text) {
    const cli_option *option = &cli_options[id];
    int64_t value;
    if (!parse_integer(text, strlen(text), &value)) {
        cli_usage_error(p->console, p->arguments->command, "%s: '%.100s' is not a whole number%s", shown,
                        text, strlen(text) > 18 ? " of at most 18 digits" : "");
        return false;
    }
    if (value < option->min || value > option->max) {
        cli_usage_error(p->console, p->arguments->command,
                        "%s: %" PRId64 " is out of range: %" PRId64 " to %" PRId64, shown, value, option->min,
                        option->max);
        return false;
    }
    p->arguments->integer[id] = value;
    return true;
}

static bool set_number(parser *p, cli_option_id id, const char *shown, const char *text) {
    const cli_option *option = &cli_options[id];
    char *end = NULL;
    /* strtod alone would take blanks, hexadecimals, "inf" and "nan". */
    const bool plain = text[0] && strspn(text, "+-.0123456789eE") == strlen(text);
    const double value = plain ? strtod(text, &end) : 0;
    if (!plain || end == text || *end || !isfinite(value)) {
        cli_usage_error(p->console, p->arguments->command, "%s: '%.100s' is not a number", shown, text);
        return false;
    }
    if (!(value >= (double)option->min && value <= (double)option->max)) {
        cli_usage_error(p->console, p->arguments->command, "%s: %g is out of range: %" PRId64 " to %" PRId64,
                        shown, value, option->min, option->max);
        return false;
    }
    p->arguments->number[id] = value;
    return true;
}

static bool set_size(parser *p, cli_option_id id, const char *shown, const char *text) {
    const cli_option *option = &cli_options[id];
    const size_t n = strcspn(text, "xX");
    int64_t width, height;
    if (!text[n] || !parse_integer(text, n, &width) ||
        !parse_integer(text + n + 1, strlen(text + n + 1), &height)) {
        cli_usage_error(p->console, p->arguments->command,
                        "%s: '%.100s' is not a size; write width x height, such as 512x768", shown, text);
        return false;
    }
    if (width < option->min || width > option->max || height < option->min || height > option->max) {
        cli_usage_error(p->console, p->arguments->command,
                        "%s: %" PRId64 "x%" PRId64 " is out of range: each side must be %" PRId64
                        " to %" PRId64,
                        shown, width, height, option->min, option->max);
        return false;
    }
    p->arguments->given[CLI_OPTION_WIDTH] = p->arguments->given[CLI_OPTION_HEIGHT] = true;
    p->arguments->integer[CLI_OPTION_WIDTH] = width;
    p->arguments->integer[CLI_OPTION_HEIGHT] = height;
    return true;
}

static bool set_bytes(parser *p, cli_option_id id, const char *shown, const char *text) {
    const cli_option *option = &cli_options[id];
    int64_t bytes;
    const ink_bytes_fault fault = ink_bytes_parse(text, &bytes);
    if (fault == INK_BYTES_NO_UNIT) {
        cli_usage_error(p->console, p->arguments->command,
                        "%s: '%.100s' has no unit; write %.100sG or %.100sM", shown, text, text, text);
        return false;
    }
    if (fault == INK_BYTES_NO_NUMBER) {
        cli_usage_error(p->console, p->arguments->command,
                        "%s: '%.100s' is not an amount of memory; write 8G, 1.5G or 512M", shown, text);
        return false;
    }
    if (fault == INK_BYTES_TOO_LARGE || bytes < option->min || bytes > option->max) {
        char least[ink_bytes_text_size], most[ink_bytes_text_size];
        cli_usage_error(p->console, p->arguments->command, "%s: %.100s is out of range: %s to %s", shown,
                        text, ink_bytes_text(option->min, least), ink_bytes_text(option->max, most));
        return false;
    }
    p->arguments->integer[id] = bytes;
    return true;
}

static bool is_choice(const char *choices, const char *text) {
    const size_t n = strlen(text);
    for (const char *at = choices; *at && n;) {
        const size_t length = strcspn(at, " ");
        if (length == n && memcmp(at, text, n) == 0) return true;
        at += length + strspn(at + length, " ");
    }
    return false;
}

static bool set_value(parser *p, cli_option_id id, const char *shown, const char *text) {
    p->arguments->given[id] = true;
    p->arguments->text[id] = text;
    switch (cli_options[id].kind) {
    case CLI_INTEGER:
        return set_integer(p, id, shown, text);
    case CLI_NUMBER:
        return set_number(p, id, shown, text);
    case CLI_SIZE:
        return set_size(p, id, shown, text);
    case CLI_BYTES:
        return set_bytes(p, id, shown, text);
    case CLI_CHOICE:
        if (is_choice(cli_options[id].choices, text)) return true;
        cli_usage_error(p->console, p->arguments->command, "%s: '%.100s' is none of: %s", shown, text,
                        cli_options[id].choices);
        return false;
    case CLI_SWITCH:
    case CLI_TEXT:
    case CLI_FILE:
    case CLI_FOLDER:
        break;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------------
 * Words
 */

/* The word after an option, as its value. One that is itself a long option was hardly meant. */
static const char *next_word(parser *p, const char *shown, const char *value) {
    if (p->at + 1 >= p->n) {
        cli_usage_error(p->console, p->arguments->command, "%s needs a value: %s %s", shown, shown, value);
        return NULL;
    }
    const char *word = p->words[p->at + 1];
    if (word[0] == '-' && word[1] == '-' && word[2] &&
        find_long(p->arguments->command, word + 2, strcspn(word + 2, "=")) < cli_n_options) {
        cli_usage_error(p->console, p->arguments->command,
                        "%s needs a value, but %s follows; if that is the value, join them with '='", shown,
                        word);
        return NULL;
    }
    p->at++;
    return word;
}

static bool parse_long(parser *p) {
    const char *name = p->words[p->at] + 2;
    const size_t n = strcspn(name, "=");
    const cli_option_id id = find_long(p->arguments->command, name, n);
    if (id == cli_n_options) return unknown_long(p, name, n);
    char shown[max_word];
    snprintf(shown, sizeof shown, "--%.*s", (int)n, name);
    if (cli_options[id].kind == CLI_SWITCH) {
        if (!name[n]) return set_value(p, id, shown, NULL);
        cli_usage_error(p->console, p->arguments->command, "%s takes no value", shown);
        return false;
    }
    const char *value = name[n] ? name + n + 1 : next_word(p, shown, cli_options[id].value);
    return value && set_value(p, id, shown, value);
}

/* -q, -qv, -W512, -W 512 */
static bool parse_letters(parser *p) {
    for (const char *at = p->words[p->at] + 1; *at; at++) {
        const char shown[3] = {'-', *at, '\0'};
        const cli_option_id id = find_letter(p->arguments->command, *at);
        if (id == cli_n_options) {
            cli_usage_error(p->console, p->arguments->command, "there is no option %s in '%.100s'", shown,
                            p->words[p->at]);
            return false;
        }
        if (cli_options[id].kind == CLI_SWITCH) {
            if (!set_value(p, id, shown, NULL)) return false;
            continue;
        }
        const char *value = at[1] ? at + 1 : next_word(p, shown, cli_options[id].value);
        return value && set_value(p, id, shown, value);
    }
    return true;
}

static bool parse_operand(parser *p) {
    const cli_command_info *info = &cli_commands[p->arguments->command];
    const char *word = p->words[p->at];
    if (info->operand && !p->arguments->operand) {
        p->arguments->operand = word;
        return true;
    }
    const bool prompt = p->arguments->command == CLI_GENERATE && !p->arguments->given[CLI_OPTION_PROMPT];
    cli_usage_error(p->console, p->arguments->command, "the argument '%.100s' belongs to no option%s", word,
                    prompt                                  ? "; a prompt is given with -p"
                    : p->arguments->command == CLI_GENERATE ? "; put quotes around a prompt of several words"
                    : info->operand                         ? "; one model is enough"
                                                            : "");
    return false;
}

bool cli_parse(cli_console *console, cli_command command, int n, char **words, cli_arguments *arguments) {
    *arguments = (cli_arguments){.command = command};
    parser p = {console, arguments, words, n, 0};
    bool options = true;
    for (; p.at < n; p.at++) {
        const char *word = words[p.at];
        bool good;
        if (options && strcmp(word, "--") == 0) {
            options = false;
            continue;
        }
        if (options && word[0] == '-' && word[1] == '-')
            good = parse_long(&p);
        else if (options && word[0] == '-' && word[1])
            good = parse_letters(&p);
        else
            good = parse_operand(&p);
        if (!good) return false;
        if (arguments->given[CLI_OPTION_HELP]) return true;
    }
    if (arguments->given[CLI_OPTION_QUIET] && arguments->given[CLI_OPTION_VERBOSE]) {
        cli_usage_error(console, command, "--quiet and --verbose contradict each other");
        return false;
    }
    return true;
}
