/*
 * inkstone inspect: what a model consists of, and the ranges its values take.
 */
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/model.h"
#include "cli/ranges.h"
#include "cli/request.h"

#include <inttypes.h>
#include <stdlib.h>

enum { default_steps = 3 };

typedef struct inspection {
    const cli_arguments *arguments;
    cli_console console;
    ink_model *model;
    json_t *json; /* NULL: tables are printed */
} inspection;

static void print_component(const char *name, const ink_component *c) {
    printf("%-14s %14" PRId64 " %10.4g %14" PRId64 " %8" PRId64 " %14" PRId64 "  ", name, c->parameters,
           (double)c->parameters / 1e9, c->used, c->tensors, c->bytes);
    cli_print_escaped(stdout, c->precision);
    putchar('\n');
}

static void print_components(const inspection *p) {
    printf("model: ");
    cli_print_escaped(stdout, ink_model_path(p->model));
    printf("\nbackend: ");
    cli_print_escaped(stdout, ink_model_backend(p->model));
    ink_defaults d;
    ink_model_defaults(p->model, &d);
    printf("\ndefaults: %d x %d, %d steps, guidance %g\n\n", d.width, d.height, d.steps, d.guidance);
    printf("%-14s %14s %10s %14s %8s %14s  %s\n", "component", "parameters", "billions", "of them read",
           "tensors", "bytes", "precision");
    ink_component c, sum = {.precision = ""};
    for (size_t i = 0; ink_model_component(p->model, i, &c); i++) {
        print_component(c.name, &c);
        sum.parameters += c.parameters;
        sum.used += c.used;
        sum.tensors += c.tensors;
        sum.bytes += c.bytes;
    }
    print_component("total", &sum);
    fflush(stdout);
}

/* False if memory runs out. */
static bool append_components(inspection *p) {
    ink_defaults d;
    ink_model_defaults(p->model, &d);
    json_t *components = json_array();
    ink_component c;
    for (size_t i = 0; components && ink_model_component(p->model, i, &c); i++) {
        json_t *entry =
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:s}", "name", c.name, "parameters",
                      (json_int_t)c.parameters, "used", (json_int_t)c.used, "tensors", (json_int_t)c.tensors,
                      "bytes", (json_int_t)c.bytes, "precision", c.precision);
        if (json_array_append_new(components, entry) != 0) {
            json_decref(components);
            return false;
        }
    }
    p->json = json_pack("{s:s, s:s, s:{s:i, s:i, s:i, s:f}, s:o}", "model", ink_model_path(p->model),
                        "backend", ink_model_backend(p->model), "defaults", "width", d.width, "height",
                        d.height, "steps", d.steps, "guidance", d.guidance, "components", components);
    return p->json != NULL;
}

/* Runs the steps. Returns an exit status. */
static int probe(inspection *p) {
    const cli_arguments *a = p->arguments;
    const char *blocks = a->given[CLI_OPTION_BLOCKS] ? a->text[CLI_OPTION_BLOCKS] : "all";
    cli_ranges ranges = {.blocks = blocks, .details = p->console.verbose, .last_block = -1};
    if (p->json) {
        ranges.json = json_array();
        if (json_object_set_new(p->json, "ranges", ranges.json) != 0) ranges.out_of_memory = true;
    }
    cli_progress progress;
    cli_progress_init(&progress, &p->console);
    ink_request request;
    cli_request_init(a, &progress, &request);
    request.prompt = a->text[CLI_OPTION_PROBE_PROMPT];
    request.steps =
        a->given[CLI_OPTION_PROBE_STEPS] ? (int)a->integer[CLI_OPTION_PROBE_STEPS] : default_steps;
    cli_say(&p->console, "seed: %" PRId64, request.seed);
    cli_watch_signals();
    ink_error error = {0};
    const ink_status status = ink_inspect(p->model, &request, cli_ranges_add, &ranges, &error);
    cli_ranges_finish(&ranges);
    cli_progress_end(&progress);
    if (status != INK_OK) return cli_failure(&p->console, status, &error);
    if (ranges.out_of_memory) {
        cli_error(&p->console, "out of memory");
        return CLI_FAILED;
    }
    if (cli_blocks_largest(blocks) > ranges.last_block) {
        cli_error(&p->console, "--blocks: there is no block %d; the model has 0 to %d",
                  cli_blocks_largest(blocks), ranges.last_block);
        return CLI_USAGE;
    }
    if (ranges.non_finite > 0) {
        cli_error(&p->console, "%" PRId64 " values are not finite", ranges.non_finite);
        return CLI_FAILED;
    }
    return CLI_OK;
}

static int print_json(inspection *p) {
    char *text = json_dumps(p->json, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    if (!text) {
        cli_error(&p->console, "out of memory");
        return CLI_FAILED;
    }
    puts(text);
    free(text);
    return CLI_OK;
}

static int run(inspection *p) {
    const cli_arguments *a = p->arguments;
    const char *blocks = a->text[CLI_OPTION_BLOCKS];
    if (a->operand && a->given[CLI_OPTION_MODEL])
        return cli_usage_error(&p->console, a->command, "two models are named: '%.200s' and '%.200s'",
                               a->operand, a->text[CLI_OPTION_MODEL]);
    if (blocks && !cli_blocks_valid(blocks))
        return cli_usage_error(&p->console, a->command,
                               "--blocks: '%.100s' is no list such as 0,10-12,59, nor all or none", blocks);
    int code = cli_model_open(&p->console, a, a->operand ? a->operand : a->text[CLI_OPTION_MODEL], &p->model);
    if (code != CLI_OK) return code;
    if (!a->given[CLI_OPTION_JSON]) {
        print_components(p);
    } else if (!append_components(p)) {
        cli_error(&p->console,
                  "cannot make JSON of the model's description: out of memory, or a path that is "
                  "not UTF-8");
        return CLI_FAILED;
    }
    if (a->given[CLI_OPTION_PROBE_PROMPT]) code = probe(p);
    if (p->json) {
        const int printed = print_json(p);
        if (code == CLI_OK) code = printed;
    }
    return cli_finish_output(&p->console) ? code : CLI_FAILED;
}

int cli_inspect(const cli_arguments *arguments) {
    inspection p = {.arguments = arguments};
    cli_console_init(&p.console, arguments->given[CLI_OPTION_QUIET], arguments->given[CLI_OPTION_VERBOSE]);
    const int code = run(&p);
    json_decref(p.json);
    ink_model_close(p.model);
    return code;
}
