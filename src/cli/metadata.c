#include "cli/metadata.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(const char *text) {
    return text[strspn(text, " \t\r\n")] == '\0';
}

/* Readers split the line at commas; a value with one is quoted as JSON. */
static bool put_value(FILE *out, const char *value) {
    if (!strpbrk(value, ",:\"\n\r")) return fputs(value, out) >= 0;
    json_t *string = json_string(value);
    char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    json_decref(string);
    if (!quoted) return false;
    fputs(quoted, out);
    free(quoted);
    return true;
}

char *cli_parameters_text(const cli_metadata *m, const ink_image *image) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return NULL;
    fprintf(out, "%s\n", m->prompt);
    if (m->negative_prompt && !is_blank(m->negative_prompt))
        fprintf(out, "Negative prompt: %s\n", m->negative_prompt);
    fprintf(out,
            "Steps: %d, Sampler: Euler, CFG scale: %.15g, Seed: %" PRId64 ", Size: %dx%d, Model: ", m->steps,
            m->guidance, image->seed, image->width, image->height);
    bool good = put_value(out, m->model);
    if (strcmp(m->precision, "f32") != 0) fprintf(out, ", Precision: %s", m->precision);
    fprintf(out, ", Version: inkstone %s", ink_version());
    good = good && !ferror(out);
    if (fclose(out) == 0 && good) return text;
    free(text);
    return NULL;
}

char *cli_record(const cli_metadata *m, const ink_image *image, size_t index, size_t count) {
    json_t *record =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s?, s:i, s:i, s:i, s:f, s:I, s:s, s:s, s:i, s:i}",
                  "software", "inkstone", "version", ink_version(), "backend", m->backend, "precision",
                  m->precision, "model", m->model, "synthetic", (int)m->synthetic, "prompt", m->prompt,
                  "negative_prompt", m->negative_prompt, "width", image->width, "height", image->height,
                  "steps", m->steps, "guidance", m->guidance, "seed", (json_int_t)image->seed, "noise",
                  m->noise, "sampler", "euler", "batch_index", (int)index, "batch_count", (int)count);
    char *text = record ? json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(record);
    return text;
}
