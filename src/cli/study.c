/*
 * inkstone study: the same prompts with different numbers of steps, as a table and as a sheet of pictures.
 */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/model.h"
#include "cli/output.h"
#include "cli/request.h"
#include "cli/study_report.h"
#include "image/caption.h"
#include "image/compare.h"
#include "image/sheet.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { max_prompt_lines = 4 /* below a picture */ };

static const char default_steps[] = "50,20,10,8,6,4,2,1";
/* As long as a measure below a picture becomes. */
static const char longest_measure[] = "99.9 dB 0.999";

typedef struct study {
    const cli_arguments *arguments;
    cli_console console;
    cli_output output;
    cli_progress progress;
    cli_prompts prompts;
    cli_counts counts;
    cli_measure *measures; /* [prompt][count], owned */
    ink_model *model;
    ink_request request;
    ink_sheet sheet;
    double guidance; /* in effect */
} study;

/* With one number of steps there is nothing to compare: the prompts share the columns. */
static bool compares(const study *s) {
    return s->counts.count > 1;
}

/* How a sheet names a prompt: by its words if the letters are there, else by its place. */
static const char *caption_of(const study *s, size_t prompt, char place[32]) {
    if (ink_caption_can_show(s->prompts.list[prompt])) return s->prompts.list[prompt];
    snprintf(place, 32, "#%zu", prompt + 1);
    return place;
}

static int lines_of_prompts(const study *s, size_t columns) {
    size_t most = 1;
    for (size_t p = 0; p < s->prompts.count; p++) {
        char place[32];
        const size_t n = ink_caption_lines(caption_of(s, p, place), columns);
        if (n > most) most = n;
    }
    return most < max_prompt_lines ? (int)most : max_prompt_lines;
}

/* As wide as three is to two, which suits screens and pages. */
static size_t default_columns(size_t n) {
    const double columns = ceil(sqrt(1.5 * (double)n));
    return columns < (double)n ? (size_t)columns : n;
}

static int make_sheet(study *s) {
    const cli_arguments *a = s->arguments;
    const size_t n = s->prompts.count;
    size_t columns = s->counts.count, rows = n;
    if (!compares(s)) {
        columns = a->given[CLI_OPTION_COLUMNS] ? (size_t)a->integer[CLI_OPTION_COLUMNS] : default_columns(n);
        if (columns > n) columns = n;
        rows = (n + columns - 1) / columns;
    }
    ink_sheet_layout layout = {.rows = rows < INT32_MAX ? (int)rows : INT32_MAX,
                               .columns = columns < INT32_MAX ? (int)columns : INT32_MAX,
                               .width = s->request.width,
                               .height = s->request.height,
                               .shrink = a->given[CLI_OPTION_SHRINK] ? (int)a->integer[CLI_OPTION_SHRINK] : 1,
                               .headers = compares(s),
                               .titles = compares(s)};
    const size_t letters = ink_sheet_caption_columns(&layout);
    layout.caption_lines =
        compares(s) ? (int)ink_caption_lines(longest_measure, letters) : lines_of_prompts(s, letters);
    ink_error error = {0};
    const ink_status status = ink_sheet_init(&s->sheet, &layout, &error);
    if (status != INK_OK) return cli_failure(&s->console, status, &error);
    for (int c = 0; c < layout.columns && layout.headers; c++) {
        char header[32];
        snprintf(header, sizeof header, "%d step%s", s->counts.steps[c], s->counts.steps[c] == 1 ? "" : "s");
        ink_sheet_header(&s->sheet, c, header);
    }
    return CLI_OK;
}

/* One picture; *seconds may be NULL. */
static int draw(study *s, size_t prompt, int steps, ink_result **result, double *seconds) {
    s->request.prompt = s->prompts.list[prompt];
    s->request.steps = steps;
    ink_error error = {0};
    const double begin = ink_clock_seconds();
    const ink_status status = ink_generate(s->model, &s->request, result, &error);
    if (seconds) *seconds = ink_clock_seconds() - begin;
    cli_progress_end(&s->progress);
    return status == INK_OK ? CLI_OK : cli_failure(&s->console, status, &error);
}

static int draw_row(study *s, size_t prompt, ink_result *results[cli_max_counts]) {
    for (size_t c = 0; c < s->counts.count; c++) {
        cli_measure *m = &s->measures[prompt * s->counts.count + c];
        const int code = draw(s, prompt, s->counts.steps[c], &results[c], &m->seconds);
        if (code != CLI_OK) return code;
        m->denoise_seconds = results[c]->denoise_seconds;
        s->guidance = results[c]->guidance;
        cli_detail(&s->console, "%d steps: %.3f s, of them drawing %.3f s", s->counts.steps[c], m->seconds,
                   m->denoise_seconds);
    }
    return CLI_OK;
}

static int compare_row(study *s, size_t prompt, ink_result *const results[cli_max_counts]) {
    const ink_image *reference = &results[s->counts.largest]->images[0];
    for (size_t c = 0; c < s->counts.count; c++) {
        cli_measure *m = &s->measures[prompt * s->counts.count + c];
        ink_similarity similarity;
        ink_error error = {0};
        const ink_status status = ink_image_compare(&results[c]->images[0], reference, &similarity, &error);
        if (status != INK_OK) return cli_failure(&s->console, status, &error);
        m->psnr = similarity.psnr;
        m->ssim = similarity.ssim;
    }
    return CLI_OK;
}

static void place_row(study *s, size_t prompt, ink_result *const results[cli_max_counts]) {
    char place[32];
    const char *caption = caption_of(s, prompt, place);
    if (!compares(s)) {
        const int columns = s->sheet.layout.columns;
        const int row = (int)(prompt / (size_t)columns), column = (int)(prompt % (size_t)columns);
        ink_sheet_picture(&s->sheet, row, column, &results[0]->images[0]);
        ink_sheet_caption(&s->sheet, row, column, caption);
        return;
    }
    ink_sheet_title(&s->sheet, (int)prompt, caption);
    for (size_t c = 0; c < s->counts.count; c++) {
        const cli_measure *m = &s->measures[prompt * s->counts.count + c];
        char words[64];
        if (c == s->counts.largest)
            strcpy(words, "reference");
        else if (isinf(m->psnr))
            strcpy(words, "equal");
        else
            snprintf(words, sizeof words, "%.1f dB %.3f", m->psnr, m->ssim);
        ink_sheet_picture(&s->sheet, (int)prompt, (int)c, &results[c]->images[0]);
        ink_sheet_caption(&s->sheet, (int)prompt, (int)c, words);
    }
}

static int study_prompt(study *s, size_t prompt) {
    ink_result *results[cli_max_counts] = {0};
    cli_say(&s->console, "prompt %zu of %zu: %.200s", prompt + 1, s->prompts.count, s->prompts.list[prompt]);
    int code = draw_row(s, prompt, results);
    if (code == CLI_OK) code = compare_row(s, prompt, results);
    if (code == CLI_OK) place_row(s, prompt, results);
    for (size_t c = 0; c < s->counts.count; c++) {
        ink_result_free(results[c]);
    }
    return code;
}

static int draw_all(study *s) {
    cli_progress_init(&s->progress, &s->console);
    cli_request_init(s->arguments, &s->progress, &s->request);
    /* A bar is rewritten; plain lines about every step of every picture would be too many. */
    if (!s->console.live) s->request.on_progress = NULL;
    ink_defaults defaults;
    ink_model_defaults(s->model, &defaults);
    if (s->request.width == 0) s->request.width = defaults.width;
    if (s->request.height == 0) s->request.height = defaults.height;
    int code = make_sheet(s);
    if (code != CLI_OK) return code;
    cli_tell(&s->console, "seed: %" PRId64, s->request.seed);
    cli_watch_signals();
    if (compares(s)) {
        /* What happens once (weights are read from the disk and packed) shall not count as the first one's.
         */
        ink_result *warm = NULL;
        code = draw(s, 0, 1, &warm, NULL);
        ink_result_free(warm);
    }
    for (size_t p = 0; p < s->prompts.count && code == CLI_OK; p++) {
        code = study_prompt(s, p);
    }
    if (code == CLI_OK && cli_noted_signal()) {
        cli_error(&s->console, "interrupted");
        return cli_signal_status();
    }
    return code;
}

static int write_sheet(study *s) {
    char *name = cli_output_name(&s->output, 0);
    if (!name) {
        cli_error(&s->console, "out of memory for a file name");
        return CLI_FAILED;
    }
    char software[64];
    snprintf(software, sizeof software, "inkstone %s", ink_version());
    ink_png_options options;
    ink_png_options_init(&options);
    options.software = software;
    options.compression = 9;
    ink_error error = {0};
    cli_hold_signals(true);
    const ink_status status = ink_image_write_png(&s->sheet.image, name, &options, &error);
    cli_hold_signals(false);
    if (status == INK_OK)
        cli_say(&s->console, "wrote %s (%d x %d)", name, s->sheet.image.width, s->sheet.image.height);
    free(name);
    return status == INK_OK ? CLI_OK : cli_failure(&s->console, status, &error);
}

static int print(study *s) {
    char *model = cli_model_name(ink_model_path(s->model));
    if (!model) {
        cli_error(&s->console, "out of memory");
        return CLI_FAILED;
    }
    const cli_study_report report = {.model = model,
                                     .backend = ink_model_backend(s->model),
                                     .width = s->request.width,
                                     .height = s->request.height,
                                     .guidance = s->guidance,
                                     .seed = s->request.seed,
                                     .prompts = &s->prompts,
                                     .counts = &s->counts,
                                     .measures = s->measures};
    bool good = true;
    if (s->arguments->given[CLI_OPTION_JSON])
        good = cli_study_print_json(&s->console, &report);
    else
        cli_study_print_table(&report);
    free(model);
    return cli_finish_output(&s->console) && good ? CLI_OK : CLI_FAILED;
}

/* Everything that can be wrong before a model is opened. */
static int read_arguments(study *s) {
    const cli_arguments *a = s->arguments;
    const char *prompts = a->text[CLI_OPTION_PROMPTS], *sheet = a->text[CLI_OPTION_SHEET];
    const char *steps = a->given[CLI_OPTION_STEP_LIST] ? a->text[CLI_OPTION_STEP_LIST] : default_steps;
    if (!prompts)
        return cli_usage_error(&s->console, a->command,
                               "there are no prompts; name a file with one on each line with --prompts");
    int code = cli_counts_parse(&s->console, steps, &s->counts);
    if (code != CLI_OK) return code;
    if (compares(s) && a->given[CLI_OPTION_COLUMNS])
        return cli_usage_error(&s->console, a->command,
                               "--columns goes with a single number of steps; with %zu each has its column",
                               s->counts.count);
    if (sheet && strcmp(sheet, "-") == 0)
        return cli_usage_error(&s->console, a->command,
                               "standard output takes the table; name a file for the sheet with -o");
    code = cli_output_init(&s->console, sheet, 1, &s->output);
    if (code == CLI_OK) code = cli_prompts_read(&s->console, prompts, &s->prompts);
    if (code != CLI_OK) return code;
    s->measures = calloc(s->prompts.count, s->counts.count * sizeof *s->measures);
    if (s->measures) return CLI_OK;
    cli_error(&s->console, "out of memory for the measures");
    return CLI_FAILED;
}

static int run(study *s) {
    int code = read_arguments(s);
    if (code == CLI_OK)
        code = cli_model_open(&s->console, s->arguments, s->arguments->text[CLI_OPTION_MODEL], &s->model);
    if (code == CLI_OK) code = draw_all(s);
    if (code != CLI_OK) return code;
    /* The table took as long as the sheet: each is given even if the other cannot be. */
    code = write_sheet(s);
    const int printed = print(s);
    return code != CLI_OK ? code : printed;
}

int cli_study(const cli_arguments *arguments) {
    study s = {.arguments = arguments};
    cli_console_init(&s.console, arguments->given[CLI_OPTION_QUIET], arguments->given[CLI_OPTION_VERBOSE]);
    const int code = run(&s);
    ink_sheet_free(&s.sheet);
    ink_model_close(s.model);
    free(s.measures);
    cli_prompts_free(&s.prompts);
    return code;
}
