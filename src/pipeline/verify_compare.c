#include "pipeline/verify.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Index of a golden tensor; they are in order of name. n_tensors if there is none. */
static size_t find_index(const ink_verifier *v, const char *name) {
    size_t low = 0, high = v->n_tensors;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(ink_weights_at(v->golden, middle)->name, name);
        if (order == 0) return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return v->n_tensors;
}

const ink_weight *ink_verifier_find(ink_verifier *v, const char *name_format, ...) {
    char name[256];
    va_list arguments;
    va_start(arguments, name_format);
    vsnprintf(name, sizeof name, name_format, arguments);
    va_end(arguments);
    const size_t i = find_index(v, name);
    if (i == v->n_tensors) return NULL;
    v->used[i] = true;
    return ink_weights_at(v->golden, i);
}

static bool is_float(ink_dtype dtype) {
    return dtype == INK_F32 || dtype == INK_BF16 || dtype == INK_F16 || dtype == INK_F64;
}

ink_status ink_verifier_values(const ink_weight *golden, float **values, ink_error *error) {
    *values = NULL;
    if (!is_float(golden->dtype)) {
        return ink_fail(error, INK_ERROR_FORMAT, "golden tensor '%s' is %s; f32, bf16, f16 or f64 is needed",
                        golden->name, ink_dtype_name(golden->dtype));
    }
    const int64_t count = ink_shape_count(&golden->shape);
    float *copy = malloc((size_t)count * sizeof *copy + 1);
    if (!copy) return ink_fail_memory(error, golden->name, (size_t)count * sizeof *copy);
    for (int64_t i = 0; i < count; i++) {
        copy[i] = ink_element_f32(golden->data, golden->dtype, i);
    }
    *values = copy;
    return INK_OK;
}

static void report(ink_verifier *v, const ink_check *check) {
    if (!check->skipped) v->checked++;
    if (!check->skipped && !check->passed) v->failed++;
    if (v->on_check) v->on_check(v->user, check);
}

void ink_verifier_skip(ink_verifier *v, const ink_weight *golden, const char *why) {
    report(v, &(ink_check){.name = golden->name, .skipped = true, .note = why});
}

void ink_verifier_fail(ink_verifier *v, const ink_weight *golden, const char *why) {
    report(v,
           &(ink_check){.name = golden->name, .relative_l2 = INFINITY, .max_error = INFINITY, .note = why});
}

/* Reports a failure if the golden tensor is none of the allowed types or has another number of elements. */
static bool comparable(ink_verifier *v, const ink_weight *golden, bool type_fits, int64_t count) {
    char shape[INK_SHAPE_TEXT_BYTES], note[256];
    if (!type_fits) {
        snprintf(note, sizeof note, "the golden tensor is %s, which does not fit",
                 ink_dtype_name(golden->dtype));
    } else if (ink_shape_count(&golden->shape) != count) {
        snprintf(note, sizeof note, "the golden tensor has shape %s, ours has %lld elements",
                 ink_shape_text(&golden->shape, shape), (long long)count);
    } else {
        return true;
    }
    ink_verifier_fail(v, golden, note);
    return false;
}

typedef struct differences {
    double square, golden_square, max;
} differences;

/* NaN must survive: a comparison with it is false, so it replaces the maximum. */
static void add_difference(differences *d, double ours, double golden) {
    const double difference = fabs(ours - golden);
    d->square += difference * difference;
    d->golden_square += golden * golden;
    if (!(difference <= d->max)) d->max = difference;
}

static double relative(const differences *d) {
    return d->square == 0 ? 0 : sqrt(d->square) / sqrt(d->golden_square);
}

static void conclude(ink_verifier *v, const ink_weight *golden, const differences *d, double tolerance) {
    const double error = relative(d);
    const bool passed = !!(error <= tolerance);
    const char *note = "";
    if (isnan(error))
        note = isfinite(d->golden_square) ? "ours is not finite" : "the golden tensor is not finite";
    report(v, &(ink_check){.name = golden->name,
                           .relative_l2 = error,
                           .max_error = d->max,
                           .tolerance = tolerance,
                           .passed = passed,
                           .note = note});
}

void ink_verifier_compare(ink_verifier *v, const ink_weight *golden, const float *ours, int64_t count,
                          double tolerance) {
    if (!comparable(v, golden, is_float(golden->dtype), count)) return;
    differences d = {0};
    for (int64_t i = 0; i < count; i++) {
        add_difference(&d, (double)ours[i], (double)ink_element_f32(golden->data, golden->dtype, i));
    }
    conclude(v, golden, &d, tolerance);
}

void ink_verifier_compare_angles(ink_verifier *v, const ink_weight *golden, const float *ours, int64_t count,
                                 double tolerance) {
    if (!comparable(v, golden, is_float(golden->dtype), count)) return;
    const double turn = 6.283185307179586;
    differences d = {0};
    for (int64_t i = 0; i < count; i++) {
        const double theirs = (double)ink_element_f32(golden->data, golden->dtype, i);
        add_difference(&d, theirs + remainder((double)ours[i] - theirs, turn), theirs);
    }
    conclude(v, golden, &d, tolerance);
}

static void conclude_equal(ink_verifier *v, const ink_weight *golden, const differences *d, int64_t unequal) {
    char note[64] = "";
    if (unequal) snprintf(note, sizeof note, "%lld values differ", (long long)unequal);
    report(v, &(ink_check){.name = golden->name,
                           .relative_l2 = relative(d),
                           .max_error = d->max,
                           .passed = unequal == 0,
                           .note = note});
}

void ink_verifier_compare_ids(ink_verifier *v, const ink_weight *golden, const int32_t *ours, int64_t count) {
    if (!comparable(v, golden, golden->dtype == INK_I32 || golden->dtype == INK_I64, count)) return;
    differences d = {0};
    int64_t unequal = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t theirs;
        if (golden->dtype == INK_I32) {
            int32_t narrow;
            memcpy(&narrow, (const char *)golden->data + i * (int64_t)sizeof narrow, sizeof narrow);
            theirs = narrow;
        } else {
            memcpy(&theirs, (const char *)golden->data + i * (int64_t)sizeof theirs, sizeof theirs);
        }
        unequal += theirs != ours[i];
        add_difference(&d, (double)ours[i], (double)theirs);
    }
    conclude_equal(v, golden, &d, unequal);
}

void ink_verifier_compare_bits(ink_verifier *v, const ink_weight *golden, const float *ours, int64_t count) {
    if (!comparable(v, golden, golden->dtype == INK_F32 || golden->dtype == INK_BF16, count)) return;
    differences d = {0};
    int64_t unequal = 0;
    for (int64_t i = 0; i < count; i++) {
        const float theirs = ink_element_f32(golden->data, golden->dtype, i);
        unequal += memcmp(&theirs, &ours[i], sizeof theirs) != 0;
        add_difference(&d, (double)ours[i], (double)theirs);
    }
    conclude_equal(v, golden, &d, unequal);
}

void ink_verifier_compare_pixels(ink_verifier *v, const ink_weight *golden, const uint8_t *ours,
                                 int64_t count) {
    /* One level off here and there is rounding; in a small picture that is more than ten tolerances. */
    const double tolerance = fmax(INK_RUN_TOLERANCES * v->tolerance, 1e-3);
    const bool one_level = v->tolerance <= 1e-4;
    if (!comparable(v, golden, golden->dtype == INK_U8, count)) return;
    differences d = {0};
    for (int64_t i = 0; i < count; i++) {
        add_difference(&d, ours[i], ((const uint8_t *)golden->data)[i]);
    }
    const bool levels_fit = !one_level || d.max <= 1;
    report(v, &(ink_check){.name = golden->name,
                           .relative_l2 = relative(&d),
                           .max_error = d.max,
                           .tolerance = tolerance,
                           .passed = relative(&d) <= tolerance && levels_fit,
                           .note = levels_fit ? "" : "a pixel is more than one level off"});
}
