/*
 * inkstone generate: pictures from a prompt.
 */
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/metadata.h"
#include "cli/model.h"
#include "cli/output.h"
#include "cli/request.h"
#include "cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct drawing {
    const cli_arguments *arguments;
    cli_console console;
    cli_output output;
    cli_progress progress;
    cli_trace trace;
    char *prompt; /* owned */
    ink_model *model;
    ink_request request;
    ink_result *result;
    cli_metadata metadata; /* its char * are owned */
    char backend[32];      /* the metadata's */
} drawing;

static int preset_steps(const char *name) {
    static const struct {
        const char *name;
        int steps;
    } presets[] = {{"quality", 20}, {"balanced", 10}, {"fast", 8}, {"preview", 6}};
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        if (strcmp(name, presets[i].name) == 0) return presets[i].steps;
    }
    return 0;
}

static bool read_prompt(drawing *d) {
    const char *given = d->arguments->text[CLI_OPTION_PROMPT];
    if (strcmp(given, "-") == 0) {
        if (!cli_read_text(&d->console, stdin, "standard input as the prompt", &d->prompt)) return false;
    } else if (!(d->prompt = strdup(given))) {
        cli_error(&d->console, "out of memory for the prompt");
        return false;
    }
    if (d->prompt[strspn(d->prompt, " \t\r\n")] == '\0')
        cli_warn(&d->console, "the prompt is empty; the picture will show anything");
    return true;
}

static int draw(drawing *d) {
    const cli_arguments *a = d->arguments;
    cli_progress_init(&d->progress, &d->console);
    d->progress.trace = &d->trace;
    cli_request_init(a, &d->progress, &d->request);
    d->request.prompt = d->prompt;
    d->request.count = d->output.count;
    if (a->given[CLI_OPTION_PRESET]) d->request.steps = preset_steps(a->text[CLI_OPTION_PRESET]);
    if (a->given[CLI_OPTION_STEPS]) d->request.steps = (int)a->integer[CLI_OPTION_STEPS];
    if (d->request.seed > INT64_MAX - d->request.count) {
        cli_error(&d->console, "--seed: %" PRId64 " leaves no room for the seeds of the batch",
                  d->request.seed);
        return CLI_USAGE;
    }
    if (d->request.count > 1)
        cli_tell(&d->console, "seeds: %" PRId64 " to %" PRId64, d->request.seed,
                 d->request.seed + d->request.count - 1);
    else
        cli_tell(&d->console, "seed: %" PRId64, d->request.seed);
    cli_watch_signals();
    ink_error error = {0};
    const ink_status status = ink_generate(d->model, &d->request, &d->result, &error);
    cli_progress_end(&d->progress);
    if (status != INK_OK) return cli_failure(&d->console, status, &error);
    cli_detail(&d->console, "text %.2f s, preparing %.2f s, drawing %.2f s, decoding %.2f s",
               d->result->text_seconds, d->result->prepare_seconds, d->result->denoise_seconds,
               d->result->decode_seconds);
    return CLI_OK;
}

static bool describe(drawing *d) {
    const char *negative = d->result->negative_prompt;
    char *name = cli_model_name(ink_model_path(d->model));
    cli_metadata *m = &d->metadata;
    m->prompt = cli_valid_utf8(d->prompt);
    m->negative_prompt = negative ? cli_valid_utf8(negative) : NULL;
    m->model = name ? cli_valid_utf8(name) : NULL;
    const char *backend = ink_model_backend(d->model); /* "cpu: 8 threads" */
    snprintf(d->backend, sizeof d->backend, "%.*s", (int)strcspn(backend, ":"), backend);
    m->backend = d->backend;
    m->precision = ink_model_precision(d->model);
    m->noise = d->request.noise == INK_NOISE_BF16 ? "bf16" : "f32";
    m->synthetic = d->arguments->given[CLI_OPTION_SYNTHETIC];
    m->steps = d->result->steps;
    m->guidance = d->result->guidance;
    free(name);
    return m->prompt && m->model && (m->negative_prompt || !negative);
}

static int write_stdout(drawing *d, const ink_image *image, const ink_png_options *options) {
    uint8_t *bytes;
    size_t size;
    ink_error error = {0};
    const ink_status status = ink_image_encode_png(image, options, &bytes, &size, &error);
    if (status != INK_OK) return cli_failure(&d->console, status, &error);
    fwrite(bytes, 1, size, stdout);
    ink_free(bytes);
    return cli_finish_output(&d->console) ? CLI_OK : CLI_FAILED;
}

static int write_file(drawing *d, const ink_image *image, int index, const ink_png_options *options) {
    char *name = cli_output_name(&d->output, index);
    if (!name) {
        cli_error(&d->console, "out of memory for a file name");
        return CLI_FAILED;
    }
    ink_error error = {0};
    cli_hold_signals(true);
    const ink_status status = ink_image_write_png(image, name, options, &error);
    cli_hold_signals(false);
    if (status == INK_OK)
        cli_say(&d->console, "wrote %s (%d x %d, seed %" PRId64 ")", name, image->width, image->height,
                image->seed);
    free(name);
    return status == INK_OK ? CLI_OK : cli_failure(&d->console, status, &error);
}

static int write_image(drawing *d, int index) {
    const ink_image *image = &d->result->images[index];
    const bool plain = d->arguments->given[CLI_OPTION_NO_METADATA];
    char *parameters = plain ? NULL : cli_parameters_text(&d->metadata, image);
    char *record = plain ? NULL : cli_record(&d->metadata, image, (size_t)index, d->result->count);
    int code = CLI_FAILED;
    if (!plain && (!parameters || !record)) {
        cli_error(&d->console, "out of memory for the metadata");
    } else {
        char software[64];
        snprintf(software, sizeof software, "inkstone %s", ink_version());
        ink_png_options options;
        ink_png_options_init(&options);
        options.parameters = parameters;
        options.record = record;
        options.software = plain ? NULL : software;
        code = d->output.to_stdout ? write_stdout(d, image, &options) : write_file(d, image, index, &options);
    }
    free(parameters);
    free(record);
    return code;
}

static int write_images(drawing *d) {
    if (!describe(d)) {
        cli_error(&d->console, "out of memory for the metadata");
        return CLI_FAILED;
    }
    int code = CLI_OK;
    for (size_t i = 0; i < d->result->count && code == CLI_OK; i++) {
        if (cli_noted_signal()) {
            cli_error(&d->console, "interrupted");
            return cli_signal_status();
        }
        code = write_image(d, (int)i);
    }
    return code;
}

static int run(drawing *d) {
    const cli_arguments *a = d->arguments;
    const int count = a->given[CLI_OPTION_BATCH] ? (int)a->integer[CLI_OPTION_BATCH] : 1;
    if (!a->given[CLI_OPTION_PROMPT])
        return cli_usage_error(&d->console, a->command,
                               "there is no prompt; say what to draw with -p \"a cat\"");
    int code = cli_output_init(&d->console, a->text[CLI_OPTION_OUTPUT], count, &d->output);
    if (code != CLI_OK) return code;
    code = cli_trace_init(&d->console, a, &d->trace);
    if (code != CLI_OK) return code;
    if (!read_prompt(d)) return CLI_FAILED;
    code = cli_model_open(&d->console, a, a->text[CLI_OPTION_MODEL], &d->model);
    if (code == CLI_OK) code = draw(d);
    if (code != CLI_OK) return code;
    /* Each is given even if the other cannot be. */
    code = write_images(d);
    const int traced = cli_trace_write(&d->console, &d->trace, d->model);
    return code != CLI_OK ? code : traced;
}

int cli_generate(const cli_arguments *arguments) {
    drawing d = {.arguments = arguments};
    cli_console_init(&d.console, arguments->given[CLI_OPTION_QUIET], arguments->given[CLI_OPTION_VERBOSE]);
    const int code = run(&d);
    free(d.metadata.prompt);
    free(d.metadata.negative_prompt);
    free(d.metadata.model);
    cli_trace_free(&d.trace);
    ink_result_free(d.result);
    ink_model_close(d.model);
    free(d.prompt);
    return code;
}
