#include "cli/ranges.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { max_block = 99999 };

/* Reads "12" or "12-14" at *at, which is moved behind it and a comma. */
static bool read_span(const char **at, int *first, int *last) {
    for (int i = 0; i < 2; i++) {
        const size_t n = strspn(*at, "0123456789");
        if (n < 1 || n > 5) return false;
        *last = (int)strtol(*at, NULL, 10);
        if (i == 0) *first = *last;
        *at += n;
        if (**at != '-') break;
        if (i == 1) return false;
        (*at)++;
    }
    if (*first > *last || (**at && **at != ',')) return false;
    if (**at == ',') {
        (*at)++;
        if (!**at) return false;
    }
    return true;
}

static bool is_word(const char *blocks) {
    return strcmp(blocks, "all") == 0 || strcmp(blocks, "none") == 0;
}

bool cli_blocks_valid(const char *blocks) {
    if (is_word(blocks)) return true;
    int first, last;
    if (!*blocks) return false;
    while (*blocks) {
        if (!read_span(&blocks, &first, &last)) return false;
    }
    return true;
}

int cli_blocks_largest(const char *blocks) {
    int first, last, largest = -1;
    while (!is_word(blocks) && *blocks && read_span(&blocks, &first, &last)) {
        if (last > largest) largest = last;
    }
    return largest;
}

static bool blocks_hold(const char *blocks, int block) {
    if (is_word(blocks)) return blocks[0] == 'a';
    int first, last;
    while (*blocks && read_span(&blocks, &first, &last)) {
        if (block >= first && block <= last) return true;
    }
    return false;
}

/* "transformer_blocks.12.img" is after block 12; with anything more it is inside. */
static void classify(cli_range_row *row) {
    static const char prefix[] = "transformer_blocks.";
    static const char *const main_path[] = {"img_in", "norm_out", "proj_out"};
    row->block = -1;
    row->detail = true;
    if (strncmp(row->name, prefix, strlen(prefix)) == 0) {
        char *end;
        const long block = strtol(row->name + strlen(prefix), &end, 10);
        row->block = block >= 0 && block <= max_block ? (int)block : -1;
        row->detail = strcmp(end, ".img") != 0 && strcmp(end, ".txt") != 0;
    }
    for (size_t i = 0; i < sizeof main_path / sizeof *main_path; i++) {
        if (strcmp(row->name, main_path[i]) == 0) row->detail = false;
    }
}

static bool is_shown(const cli_ranges *r, const cli_range_row *row) {
    /* What is not finite is always shown: it is what one looks for. */
    if (row->non_finite > 0) return true;
    if (row->detail && !r->details) return false;
    return row->block < 0 || blocks_hold(r->blocks, row->block);
}

/* What the full 60-block model shows at the same place. */
static const char *full_model(const cli_range_row *row, int last_block) {
    if (strcmp(row->name, "img_in") == 0) return "-15 to 16";
    if (strcmp(row->name, "norm_out") == 0) return "-16 to 14";
    if (strcmp(row->name, "proj_out") == 0) return "-4.4 to 4.4";
    if (row->block >= 0 && row->block == last_block && !row->detail)
        return "up to about +-5e7 after 60 blocks";
    return "";
}

/* JSON has no infinity and no NaN. */
static json_t *json_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static void append_json(cli_ranges *r, const cli_range_row *row) {
    const char *full = full_model(row, r->last_block);
    json_t *object =
        json_pack("{s:i, s:s, s:o, s:o, s:o, s:I, s:s?}", "step", r->step, "name", row->name, "min",
                  json_number(row->min), "max", json_number(row->max), "rms", json_number(row->rms),
                  "non_finite", (json_int_t)row->non_finite, "full_model", full[0] ? full : NULL);
    if (!object || json_array_append_new(r->json, object) != 0) r->out_of_memory = true;
}

static void print_row(const cli_ranges *r, const cli_range_row *row) {
    printf("  ");
    cli_print_escaped(stdout, row->name);
    const size_t n = strlen(row->name);
    const char *full = full_model(row, r->last_block);
    printf("%*s %12.5g %12.5g %12.5g %11" PRId64 "%s%s\n", (int)(n < 34 ? 34 - n : 0), "", row->min, row->max,
           row->rms, row->non_finite, full[0] ? "   " : "", full);
}

static void show_step(cli_ranges *r) {
    if (r->count == 0) return;
    if (!r->json) {
        printf("\nstep %d\n  %-34s %12s %12s %12s %11s   %s\n", r->step, "after", "min", "max", "rms",
               "not finite", "on the full model");
    }
    for (size_t i = 0; i < r->count; i++) {
        const cli_range_row *row = &r->rows[i];
        if (!is_shown(r, row)) continue;
        if (r->json)
            append_json(r, row);
        else
            print_row(r, row);
    }
    if (!r->json) fflush(stdout);
    r->count = 0;
}

void cli_ranges_add(void *user, const ink_value_range *range) {
    cli_ranges *r = user;
    if (range->step != r->step) show_step(r);
    r->step = range->step;
    if (r->count == r->capacity) {
        const size_t capacity = r->capacity ? 2 * r->capacity : 256;
        cli_range_row *grown = realloc(r->rows, capacity * sizeof *grown);
        if (!grown) {
            r->out_of_memory = true;
            return;
        }
        r->rows = grown;
        r->capacity = capacity;
    }
    cli_range_row *row = &r->rows[r->count++];
    *row = (cli_range_row){
        .min = range->min, .max = range->max, .rms = range->rms, .non_finite = range->non_finite};
    snprintf(row->name, sizeof row->name, "%s", range->name);
    classify(row);
    if (row->block > r->last_block) r->last_block = row->block;
    r->non_finite += row->non_finite;
}

void cli_ranges_finish(cli_ranges *r) {
    show_step(r);
    free(r->rows);
    r->rows = NULL;
    r->count = r->capacity = 0;
}
