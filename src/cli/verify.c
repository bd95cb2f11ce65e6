/*
 * inkstone verify: a line for every golden tensor.
 */
#include "cli/commands.h"
#include "cli/model.h"

#include <string.h>

static const double default_tolerance = 1e-5;

typedef struct report {
    bool quiet;
    size_t passed, failed, skipped;
} report;

static void on_check(void *user, const ink_check *check) {
    report *r = user;
    const char *word = check->skipped ? "skip" : check->passed ? "ok" : "FAIL";
    if (check->skipped)
        r->skipped++;
    else if (check->passed)
        r->passed++;
    else
        r->failed++;
    if (r->quiet && (check->passed || check->skipped)) return;
    printf("%-4s  ", word);
    cli_print_escaped(stdout, check->name);
    const size_t n = strlen(check->name);
    if (!check->skipped) {
        printf("%*s  rel L2 %-9.3g  max %-9.3g  ", (int)(n < 40 ? 40 - n : 0), "", check->relative_l2,
               check->max_error);
        if (check->tolerance > 0)
            printf("(at most %g)", check->tolerance);
        else
            printf("(must be equal)");
    }
    if (check->note[0]) {
        printf("  ");
        cli_print_escaped(stdout, check->note);
    }
    putchar('\n');
    /* A stage can take minutes: each line is shown when it is known. */
    fflush(stdout);
}

static int compare(cli_console *console, ink_model *model, const char *golden, double tolerance) {
    report r = {.quiet = console->quiet};
    size_t checked = 0, failed = 0;
    ink_error error = {0};
    const ink_status status = ink_verify(model, golden, tolerance, on_check, &r, &checked, &failed, &error);
    if (status != INK_OK) {
        const int code = cli_failure(console, status, &error);
        return cli_finish_output(console) ? code : CLI_FAILED;
    }
    printf("%zu compared, %zu failed, %zu skipped\n", checked, failed, r.skipped);
    if (!cli_finish_output(console)) return CLI_FAILED;
    if (checked == 0) {
        cli_error(console,
                  "nothing was compared: no tensor in %s has a name and a shape that a stage of this "
                  "model makes",
                  golden);
    }
    return failed == 0 && checked > 0 && r.failed == 0 ? CLI_OK : CLI_FAILED;
}

int cli_verify(const cli_arguments *a) {
    cli_console console;
    cli_console_init(&console, a->given[CLI_OPTION_QUIET], a->given[CLI_OPTION_VERBOSE]);
    const char *golden = a->text[CLI_OPTION_GOLDEN];
    if (!golden)
        return cli_usage_error(&console, a->command,
                               "there is nothing to compare with; name a file with --golden");
    const double tolerance =
        a->given[CLI_OPTION_TOLERANCE] ? a->number[CLI_OPTION_TOLERANCE] : default_tolerance;
    if (!(tolerance > 0)) return cli_usage_error(&console, a->command, "--tolerance must be above 0");
    ink_model *model;
    int code = cli_model_open(&console, a, a->text[CLI_OPTION_MODEL], &model);
    if (code != CLI_OK) return code;
    cli_say(&console, "%s with %s", ink_model_path(model), ink_model_backend(model));
    code = compare(&console, model, golden, tolerance);
    ink_model_close(model);
    return code;
}
