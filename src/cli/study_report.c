#include "cli/study_report.h"

#include "cli/text.h"
#include "image/caption.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

/* Of all pictures of one step count. */
typedef struct summary {
    double seconds, denoise_seconds, step_seconds; /* means */
    double mean_psnr, worst_psnr;                  /* the mean of those that differ; infinite if none does */
    double mean_ssim, worst_ssim;
    int equal; /* pictures that do not differ */
} summary;

static summary summarize(const cli_study_report *r, size_t count) {
    summary s = {.worst_psnr = INFINITY, .worst_ssim = INFINITY};
    const double n = (double)r->prompts->count;
    for (size_t p = 0; p < r->prompts->count; p++) {
        const cli_measure *m = &r->measures[p * r->counts->count + count];
        s.seconds += m->seconds / n;
        s.denoise_seconds += m->denoise_seconds / n;
        s.mean_ssim += m->ssim / n;
        if (isinf(m->psnr))
            s.equal++;
        else
            s.mean_psnr += m->psnr;
        if (m->psnr < s.worst_psnr) s.worst_psnr = m->psnr;
        if (m->ssim < s.worst_ssim) s.worst_ssim = m->ssim;
    }
    s.step_seconds = s.denoise_seconds / r->counts->steps[count];
    s.mean_psnr = s.equal < (int)r->prompts->count ? s.mean_psnr / (n - s.equal) : INFINITY;
    return s;
}

static const char *decibel(double psnr, char text[32]) {
    if (isinf(psnr)) return "equal";
    snprintf(text, 32, "%.2f", psnr);
    return text;
}

static void print_row(const cli_study_report *r, size_t count) {
    const summary s = summarize(r, count);
    printf("%5d %10.3f %10.4f", r->counts->steps[count], s.seconds, s.step_seconds);
    if (count == r->counts->largest) {
        printf("   the reference\n");
        return;
    }
    char mean[32], worst[32];
    printf(" %10s %10s %10.4f %10.4f\n", decibel(s.mean_psnr, mean), decibel(s.worst_psnr, worst),
           s.mean_ssim, s.worst_ssim);
}

void cli_study_print_table(const cli_study_report *r) {
    printf("model: ");
    cli_print_escaped(stdout, r->model);
    printf("\nbackend: ");
    cli_print_escaped(stdout, r->backend);
    printf("\npictures: %zu prompt%s, %d x %d, guidance %g, seed %" PRId64 "\n\n", r->prompts->count,
           r->prompts->count == 1 ? "" : "s", r->width, r->height, r->guidance, r->seed);
    printf("%5s %10s %10s %10s %10s %10s %10s\n", "steps", "s/picture", "s/step", "PSNR mean", "PSNR worst",
           "SSIM mean", "SSIM worst");
    for (size_t c = 0; c < r->counts->count; c++) {
        print_row(r, c);
    }
    bool first = true;
    for (size_t p = 0; p < r->prompts->count; p++) {
        if (ink_caption_can_show(r->prompts->list[p])) continue;
        printf("%s#%zu  ", first ? "\n" : "", p + 1);
        cli_print_escaped(stdout, r->prompts->list[p]);
        putchar('\n');
        first = false;
    }
}

/* JSON knows no infinity: null says that the pictures are equal. */
static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *row_json(const cli_study_report *r, size_t count) {
    const summary s = summarize(r, count);
    return json_pack("{s:i, s:b, s:f, s:f, s:f, s:o, s:o, s:f, s:f, s:i}", "steps", r->counts->steps[count],
                     "reference", count == r->counts->largest, "seconds", s.seconds, "denoise_seconds",
                     s.denoise_seconds, "seconds_per_step", s.step_seconds, "psnr_mean", number(s.mean_psnr),
                     "psnr_worst", number(s.worst_psnr), "ssim_mean", s.mean_ssim, "ssim_worst", s.worst_ssim,
                     "equal_pictures", s.equal);
}

static json_t *picture_json(const cli_study_report *r, size_t prompt, size_t count) {
    const cli_measure *m = &r->measures[prompt * r->counts->count + count];
    return json_pack("{s:I, s:i, s:f, s:f, s:o, s:f}", "prompt", (json_int_t)prompt + 1, "steps",
                     r->counts->steps[count], "seconds", m->seconds, "denoise_seconds", m->denoise_seconds,
                     "psnr", number(m->psnr), "ssim", m->ssim);
}

/* Strings from outside as JSON: the library refuses what is not UTF-8. */
static json_t *text_json(const char *text) {
    char *valid = cli_valid_utf8(text);
    json_t *json = valid ? json_string(valid) : NULL;
    free(valid);
    return json;
}

static json_t *report_json(const cli_study_report *r) {
    json_t *prompts = json_array(), *rows = json_array(), *pictures = json_array();
    int failed = 0; /* appending what could not be made fails as well */
    for (size_t p = 0; p < r->prompts->count; p++) {
        failed |= json_array_append_new(prompts, text_json(r->prompts->list[p]));
        for (size_t c = 0; c < r->counts->count; c++) {
            failed |= json_array_append_new(pictures, picture_json(r, p, c));
        }
    }
    for (size_t c = 0; c < r->counts->count; c++) {
        failed |= json_array_append_new(rows, row_json(r, c));
    }
    json_t *json =
        json_pack("{s:o, s:o, s:i, s:i, s:f, s:I, s:o, s:o, s:o}", "model", text_json(r->model), "backend",
                  text_json(r->backend), "width", r->width, "height", r->height, "guidance", r->guidance,
                  "seed", (json_int_t)r->seed, "prompts", prompts, "steps", rows, "pictures", pictures);
    if (failed == 0) return json;
    json_decref(json);
    return NULL;
}

bool cli_study_print_json(cli_console *console, const cli_study_report *report) {
    json_t *json = report_json(report);
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    if (!text) {
        cli_error(console, "out of memory for the JSON");
        return false;
    }
    puts(text);
    free(text);
    return true;
}
