#include "cli/bench_report.h"

#include "cli/text.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

/* The stages as a person reads them, and as --parts and the JSON call them. */
static const struct {
    const char *title, *name;
} stages[] = {[INK_STAGE_TEXT] = {"text encoding", "text"},
              [INK_STAGE_PREPARE] = {"preparation", "prepare"},
              [INK_STAGE_DENOISE] = {"denoising step", "step"},
              [INK_STAGE_DECODE] = {"decoding", "decode"}};

const char *cli_bench_stage_title(ink_stage stage) {
    return stages[stage].title;
}

/* ---- tables ---- */

static void print_head(const cli_bench_report *r) {
    const ink_bench_result *b = r->result;
    printf("model: ");
    cli_print_escaped(stdout, r->model);
    printf(", %d transformer block%s%s\nbackend: ", b->layers, b->layers == 1 ? "" : "s",
           r->synthetic ? ", synthetic weights" : "");
    cli_print_escaped(stdout, r->backend);
    printf("\npicture: %d x %d, guidance %g (%d pass%s), prompts of %d tokens, schedule of %d step%s\n",
           b->width, b->height, b->guidance, b->passes, b->passes == 1 ? "" : "es", b->tokens, b->steps,
           b->steps == 1 ? "" : "s");
    if (b->roof_flops > 0)
        printf("roof: %.1f GFLOP/s (product of %d x %d matrices), %.2f GB/s (copy of %.0f MB)\n",
               1e-9 * b->roof_flops, b->roof_side, b->roof_side, 1e-9 * b->roof_bytes, 1e-6 * b->roof_copied);
}

/* What a rate means for the time of nothing: nothing. */
static double rate(double amount, double seconds) {
    return seconds > 0 ? amount / seconds : 0;
}

static void print_row(const char *name, const char *launches, double seconds, double all, double flops,
                      double bytes, double roof_seconds) {
    printf("  %-28s %8s %11.3f", name, launches, 1e3 * seconds);
    if (all > 0)
        printf(" %6.1f%%", 100 * seconds / all);
    else
        printf(" %7s", "");
    if (flops > 0)
        printf(" %11.3f %10.1f", 1e-9 * flops, 1e-9 * rate(flops, seconds));
    else
        printf(" %11s %10s", "-", "-");
    printf(" %9.4f %9.2f", 1e-9 * bytes, 1e-9 * rate(bytes, seconds));
    if (roof_seconds > 0)
        printf(" %7.0f%%\n", 100 * rate(roof_seconds, seconds));
    else
        printf(" %8s\n", "-");
}

/* Less are constants, and no measure of anything. */
static const double least_loaded = 1e7;

/* Where it is counted. */
static void print_device_memory(size_t peak_bytes, size_t device_bytes) {
    if (peak_bytes > 0)
        printf("  device memory: %.2f GB at most, with what others take %.2f GB\n", 1e-9 * (double)peak_bytes,
               1e-9 * (double)device_bytes);
}

static void print_memory(const ink_bench_stage *s) {
    print_device_memory(s->peak_bytes, s->device_bytes);
    if (s->loaded_bytes >= least_loaded)
        printf("  weights read: %.2f GB in %.2f s, %.2f GB/s\n", 1e-9 * s->loaded_bytes, s->loading_seconds,
               1e-9 * rate(s->loaded_bytes, s->loading_seconds));
}

static void print_stage(const ink_bench_stage *s) {
    printf("\n%s: %.3f ms (%.3f to %.3f in %d run%s), the first with compiling %.3f ms\n",
           stages[s->stage].title, 1e3 * s->seconds, 1e3 * s->fastest, 1e3 * s->slowest, s->runs,
           s->runs == 1 ? "" : "s", 1e3 * s->first_seconds);
    printf("  %-28s %8s %11s %7s %11s %10s %9s %9s %8s\n", "operation", "launches", "ms", "share", "GFLOP",
           "GFLOP/s", "GB", "GB/s", "of roof");
    double sum = 0;
    for (size_t i = 0; i < s->n_kinds; i++) {
        sum += s->kinds[i].seconds;
    }
    int64_t launches = 0;
    for (size_t i = 0; i < s->n_kinds; i++) {
        const ink_bench_kind *k = &s->kinds[i];
        char count[32];
        snprintf(count, sizeof count, "%" PRId64, k->launches);
        print_row(k->name, count, k->seconds, sum, k->flops, k->bytes, k->roof_seconds);
        launches += k->launches;
    }
    char count[32] = "-";
    if (s->n_kinds > 0) {
        snprintf(count, sizeof count, "%" PRId64, launches);
        print_row("all of them", count, sum, sum, s->flops, s->bytes, s->roof_seconds);
    }
    print_row("the stage", count, s->seconds, 0, s->flops, s->bytes, s->roof_seconds);
    print_memory(s);
}

static void print_picture(const ink_bench_result *b) {
    const ink_bench_picture *p = &b->picture;
    if (p->runs == 0) return;
    printf("\nwhole picture: %.3f s (median of %d), the first with loading and compiling %.3f s\n",
           p->seconds, p->runs, p->first_seconds);
    const struct {
        const char *name;
        double seconds;
    } parts[] = {{"text encoding", p->text_seconds},
                 {"preparation", p->prepare_seconds},
                 {"denoising", p->denoise_seconds},
                 {"decoding", p->decode_seconds},
                 {"PNG", p->png_seconds}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        printf("  %-28s %11.3f ms %6.1f%%\n", parts[i].name, 1e3 * parts[i].seconds,
               100 * rate(parts[i].seconds, p->seconds));
    }
    print_device_memory(p->peak_bytes, p->device_bytes);
}

void cli_bench_print_tables(const cli_bench_report *r) {
    print_head(r);
    bool told = true;
    for (size_t i = 0; i < r->result->n_stages; i++) {
        print_stage(&r->result->stages[i]);
        told = told && r->result->stages[i].n_kinds > 0;
    }
    print_picture(r->result);
    if (!told) printf("\nThis backend cannot time single operations: only stages were measured.\n");
}

/* ---- JSON ---- */

static json_t *text_json(const char *text) {
    char *valid = cli_valid_utf8(text);
    json_t *json = valid ? json_string(valid) : NULL;
    free(valid);
    return json;
}

/* null says that it was not measured. */
static json_t *measured(double value) {
    return value > 0 ? json_real(value) : json_null();
}

static json_t *counted(size_t bytes) {
    return bytes > 0 ? json_integer((json_int_t)bytes) : json_null();
}

static json_t *kind_json(const ink_bench_kind *k) {
    return json_pack("{s:o, s:I, s:f, s:f, s:f, s:f, s:f, s:o}", "kind", text_json(k->name), "launches",
                     (json_int_t)k->launches, "seconds", k->seconds, "flops", k->flops, "bytes", k->bytes,
                     "flops_per_second", rate(k->flops, k->seconds), "bytes_per_second",
                     rate(k->bytes, k->seconds), "of_roof", measured(rate(k->roof_seconds, k->seconds)));
}

static json_t *stage_json(const ink_bench_stage *s) {
    json_t *kinds = s->n_kinds > 0 ? json_array() : json_null();
    int failed = 0; /* appending what could not be made fails as well */
    for (size_t i = 0; i < s->n_kinds; i++) {
        failed |= json_array_append_new(kinds, kind_json(&s->kinds[i]));
    }
    if (failed != 0) {
        json_decref(kinds);
        return NULL;
    }
    return json_pack("{s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:I, s:o, s:o, s:o, s:o, s:o}",
                     "stage", stages[s->stage].name, "runs", s->runs, "seconds", s->seconds,
                     "fastest_seconds", s->fastest, "slowest_seconds", s->slowest, "first_seconds",
                     s->first_seconds, "flops", s->flops, "bytes", s->bytes, "flops_per_second",
                     rate(s->flops, s->seconds), "bytes_per_second", rate(s->bytes, s->seconds), "of_roof",
                     measured(rate(s->roof_seconds, s->seconds)), "program_bytes",
                     (json_int_t)s->program_bytes, "device_peak_bytes", counted(s->peak_bytes),
                     "device_used_bytes", counted(s->device_bytes), "loaded_bytes", measured(s->loaded_bytes),
                     "loading_seconds", measured(s->loading_seconds), "operations", kinds);
}

static json_t *roof_json(const ink_bench_result *b) {
    if (!(b->roof_flops > 0)) return json_null();
    return json_pack("{s:f, s:i, s:f, s:f}", "flops_per_second", b->roof_flops, "matrix_side", b->roof_side,
                     "bytes_per_second", b->roof_bytes, "copied_bytes", b->roof_copied);
}

static json_t *picture_json(const ink_bench_picture *p) {
    if (p->runs == 0) return json_null();
    return json_pack("{s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:o, s:o}", "runs", p->runs, "seconds",
                     p->seconds, "first_seconds", p->first_seconds, "text_seconds", p->text_seconds,
                     "prepare_seconds", p->prepare_seconds, "denoise_seconds", p->denoise_seconds,
                     "decode_seconds", p->decode_seconds, "png_seconds", p->png_seconds, "png_bytes",
                     (json_int_t)p->png_bytes, "device_peak_bytes", counted(p->peak_bytes),
                     "device_used_bytes", counted(p->device_bytes));
}

static json_t *report_json(const cli_bench_report *r) {
    const ink_bench_result *b = r->result;
    json_t *list = json_array();
    int failed = 0;
    for (size_t i = 0; i < b->n_stages; i++) {
        failed |= json_array_append_new(list, stage_json(&b->stages[i]));
    }
    json_t *json =
        json_pack("{s:i, s:s, s:o, s:o, s:b, s:i, s:i, s:i, s:i, s:i, s:f, s:i, s:o, s:o, s:o}", "format", 1,
                  "version", ink_version(), "model", text_json(r->model), "backend", text_json(r->backend),
                  "synthetic", r->synthetic, "layers", b->layers, "width", b->width, "height", b->height,
                  "steps", b->steps, "tokens", b->tokens, "guidance", b->guidance, "passes", b->passes,
                  "roof", roof_json(b), "stages", list, "picture", picture_json(&b->picture));
    if (failed == 0) return json;
    json_decref(json);
    return NULL;
}

bool cli_bench_print_json(cli_console *console, const cli_bench_report *report) {
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
