/*
 * inkstone bench: how long each stage takes, and each kind of operation.
 */
#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/model.h"
#include "cli/trace.h"

#include <stdlib.h>
#include <string.h>

typedef struct benchmark {
    const cli_arguments *arguments;
    cli_console console;
    cli_trace trace;
    unsigned parts;
    ink_model *model;
    ink_bench_result *result;
} benchmark;

/* "roof,step" */
static int read_parts(benchmark *b) {
    static const struct {
        const char *name;
        ink_bench_part part;
    } known[] = {{"roof", INK_BENCH_ROOF},
                 {"text", INK_BENCH_TEXT},
                 {"prepare", INK_BENCH_PREPARE},
                 {"step", INK_BENCH_STEP},
                 {"decode", INK_BENCH_DECODE}};
    const char *list = b->arguments->text[CLI_OPTION_PARTS];
    b->parts = list || b->arguments->given[CLI_OPTION_PICTURES] ? 0 : INK_BENCH_ALL;
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        const size_t n = strcspn(at, ",");
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            if (strlen(known[i].name) != n || memcmp(known[i].name, at, n) != 0) continue;
            b->parts |= (unsigned)known[i].part;
            found = true;
        }
        if (!found)
            return cli_usage_error(&b->console, b->arguments->command,
                                   "--parts: '%.*s' is none of: roof, text, prepare, step, decode",
                                   (int)(n < 100 ? n : 100), at);
    }
    return CLI_OK;
}

static void on_progress(void *user, const ink_progress *state) {
    benchmark *b = user;
    const char *stage = cli_bench_stage_title(state->stage);
    char line[64];
    snprintf(line, sizeof line, "timing: %s %d/%d", stage, state->done, state->total);
    if (!b->console.quiet) cli_live(&b->console, line, 0, 0);
    if (!b->console.live && state->done == 0) cli_say(&b->console, "timing: %s", stage);
    cli_trace_progress(&b->trace, state);
}

static bool should_cancel(void *user) {
    (void)user;
    return cli_noted_signal() != 0;
}

static void on_operation(void *user, const ink_operation *operation) {
    benchmark *b = user;
    cli_trace_operation(&b->trace, operation);
}

static int measure(benchmark *b) {
    const cli_arguments *a = b->arguments;
    ink_bench_options options;
    ink_bench_options_init(&options);
    options.parts = b->parts;
    options.width = (int)a->integer[CLI_OPTION_WIDTH];
    options.height = (int)a->integer[CLI_OPTION_HEIGHT];
    options.steps = (int)a->integer[CLI_OPTION_RUNS];
    options.tokens = (int)a->integer[CLI_OPTION_TOKENS];
    options.pictures = (int)a->integer[CLI_OPTION_PICTURES];
    if (a->given[CLI_OPTION_GUIDANCE]) options.guidance = a->number[CLI_OPTION_GUIDANCE];
    options.on_progress = on_progress;
    options.should_cancel = should_cancel;
    if (b->trace.path) options.on_operation = on_operation;
    options.user = b;
    cli_say(&b->console, "%s with %s", ink_model_path(b->model), ink_model_backend(b->model));
    cli_watch_signals();
    ink_error error = {0};
    const ink_status status = ink_bench(b->model, &options, &b->result, &error);
    cli_live(&b->console, "", 0, 0);
    return status == INK_OK ? CLI_OK : cli_failure(&b->console, status, &error);
}

static int print(benchmark *b) {
    char *model = cli_model_name(ink_model_path(b->model));
    if (!model) {
        cli_error(&b->console, "out of memory");
        return CLI_FAILED;
    }
    const cli_bench_report report = {.model = model,
                                     .backend = ink_model_backend(b->model),
                                     .synthetic = b->arguments->given[CLI_OPTION_SYNTHETIC],
                                     .result = b->result};
    bool good = true;
    if (b->arguments->given[CLI_OPTION_JSON])
        good = cli_bench_print_json(&b->console, &report);
    else
        cli_bench_print_tables(&report);
    free(model);
    return cli_finish_output(&b->console) && good ? CLI_OK : CLI_FAILED;
}

static int run(benchmark *b) {
    int code = read_parts(b);
    if (code == CLI_OK) code = cli_trace_init(&b->console, b->arguments, &b->trace);
    if (code == CLI_OK)
        code = cli_model_open(&b->console, b->arguments, b->arguments->text[CLI_OPTION_MODEL], &b->model);
    if (code == CLI_OK) code = measure(b);
    if (code != CLI_OK) return code;
    /* Each is given even if the other cannot be. */
    code = cli_trace_write(&b->console, &b->trace, b->model);
    const int printed = print(b);
    return code != CLI_OK ? code : printed;
}

int cli_bench(const cli_arguments *arguments) {
    benchmark b = {.arguments = arguments};
    cli_console_init(&b.console, arguments->given[CLI_OPTION_QUIET], arguments->given[CLI_OPTION_VERBOSE]);
    const int code = run(&b);
    ink_bench_result_free(b.result);
    cli_trace_free(&b.trace);
    ink_model_close(b.model);
    return code;
}
