#include "cli/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { max_digits = 9, name_room = 32 /* for a number and a NUL */ };

/* Finds %d or %0Nd. Anything else after a percent sign is refused: the name is data, never a format. */
static bool read_pattern(cli_console *console, cli_output *o) {
    for (const char *at = o->given; (at = strchr(at, '%'));) {
        const char *end = at + 1;
        if (*end == '%') {
            at += 2;
            continue;
        }
        int digits = 0;
        if (end[0] == '0' && end[1] >= '1' && end[1] <= '0' + max_digits) {
            digits = end[1] - '0';
            end += 2;
        }
        if (*end != 'd') {
            cli_error(
                console,
                "--output: in '%.200s' %%%.1s is no pattern; use %%d, %%03d, or %%%% for a percent sign",
                o->given, at + 1);
            return false;
        }
        if (o->number_bytes) {
            cli_error(console, "--output: '%.200s' has two numbers; one %%d is enough", o->given);
            return false;
        }
        o->number_at = (size_t)(at - o->given);
        o->number_bytes = (size_t)(end + 1 - at);
        o->digits = digits;
        at = end + 1;
    }
    return true;
}

/* Where the ending of the file name begins: "cat.png" 3, "a.b/cat" 7, ".png" 4. */
static size_t ending_at(const char *path) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return dot && dot != name ? (size_t)(dot - path) : strlen(path);
}

static bool is_other_format(const char *path) {
    static const char *const endings[] = {".jpg",  ".jpeg", ".webp", ".gif", ".bmp", ".tif",
                                          ".tiff", ".avif", ".heic", ".jxl", ".svg"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (strcasecmp(path + ending_at(path), endings[i]) == 0) return true;
    }
    return false;
}

/* Copies part of the given name, with %% as %. Returns the end of the copy. */
static char *copy_part(char *out, const char *from, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        *out++ = from[i];
        if (from[i] == '%') i++;
    }
    return out;
}

static char *name_of_given(const cli_output *o, int index) {
    const size_t n = strlen(o->given);
    size_t at = o->number_at, skip = o->number_bytes;
    char number[name_room] = "";
    if (skip) {
        snprintf(number, sizeof number, "%0*d", o->digits, index + 1);
    } else if (o->count > 1) {
        snprintf(number, sizeof number, "-%d", index + 1);
        at = ending_at(o->given);
    }
    char *name = malloc(n + name_room);
    if (!name) return NULL;
    char *end = copy_part(name, o->given, at);
    strcpy(end, number);
    end = copy_part(end + strlen(number), o->given + at + skip, n - at - skip);
    *end = '\0';
    return name;
}

char *cli_output_name(const cli_output *o, int index) {
    if (o->given) return name_of_given(o, index);
    char *name = malloc(name_room);
    if (!name) return NULL;
    strcpy(name, "output.png");
    struct stat info;
    for (int i = 2; lstat(name, &info) == 0 && i < INT32_MAX; i++) {
        snprintf(name, name_room, "output-%d.png", i);
    }
    return name;
}

/* It is better to learn it before the work than after. */
bool cli_output_check(cli_console *console, const char *path) {
    struct stat info;
    const size_t n = strlen(path);
    const bool exists = stat(path, &info) == 0;
    if (path[n - 1] == '/' || (exists && S_ISDIR(info.st_mode))) {
        cli_error(console, "cannot write %s: it is a folder; add a file name", path);
        return false;
    }
    if (exists && !S_ISREG(info.st_mode)) return true; /* a device or a pipe needs no new file */
    if (exists && access(path, W_OK) != 0) {
        cli_error(console, "cannot write %s: no permission to change the file that is there (%s)", path,
                  strerror(errno));
        return false;
    }
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    if (!folder) {
        cli_error(console, "out of memory");
        return false;
    }
    const bool there = stat(folder, &info) == 0 && S_ISDIR(info.st_mode);
    const bool writable = there && access(folder, W_OK | X_OK) == 0;
    if (!there)
        cli_error(console, "cannot write %s: the folder %s does not exist; make it first", path, folder);
    else if (!writable)
        cli_error(console, "cannot write %s: no permission to write to the folder %s (%s)", path, folder,
                  strerror(errno));
    free(folder);
    return writable;
}

int cli_output_init(cli_console *console, const char *given, int count, cli_output *o) {
    *o = (cli_output){.given = given, .count = count};
    if (given && !given[0]) {
        cli_error(console, "--output: the file name is empty");
        return CLI_USAGE;
    }
    if (given && strcmp(given, "-") == 0) {
        o->to_stdout = true;
        if (count > 1) {
            cli_error(console, "standard output takes one picture, and --batch asks for %d", count);
            return CLI_USAGE;
        }
        if (isatty(STDOUT_FILENO)) {
            cli_error(console,
                      "standard output is a terminal, which cannot show a PNG; send it to a file or a pipe");
            return CLI_USAGE;
        }
        return CLI_OK;
    }
    if (given && !read_pattern(console, o)) return CLI_USAGE;
    if (given && is_other_format(given)) {
        cli_error(console, "--output: '%.200s' names another format; pictures are written as PNG", given);
        return CLI_USAGE;
    }
    char *first = cli_output_name(o, 0);
    if (!first) {
        cli_error(console, "out of memory");
        return CLI_FAILED;
    }
    const bool good = cli_output_check(console, first);
    free(first);
    return good ? CLI_OK : CLI_FAILED;
}
