/*
 * Comparing a model's stages with golden tensors. Not for other rooms.
 *
 * A verifier reads the golden file, remembers which of its tensors were looked at, and reports comparisons.
 * Each stage has a function that does nothing if the file has no tensors for it. The format of golden files
 * is in docs/golden.md.
 */
#ifndef INK_PIPELINE_VERIFY_H
#define INK_PIPELINE_VERIFY_H

#include "pipeline/executable.h"
#include "pipeline/model.h"

#include <jansson.h>

/* Latents and images of whole runs, where errors accumulate, get this many tolerances. */
#define INK_RUN_TOLERANCES 10

typedef struct ink_verifier {
    ink_model *model;
    ink_weights *golden;
    bool *used; /* [n_tensors], in the order of ink_weights_at */
    size_t n_tensors;
    double tolerance;
    ink_check_fn on_check;
    void *user;
    size_t checked, failed;
    json_t *prompts; /* array of strings; empty if the file has none */
    json_t *runs;    /* array of objects; empty if the file has none */
    char *negative;  /* negative prompt; NULL if the file has none */
} ink_verifier;

/* The golden tensor of that name, marked as used; NULL if there is none. */
const ink_weight *ink_verifier_find(ink_verifier *v, const char *name_format, ...) INK_PRINTF(2, 3);

/* A copy of a golden tensor in f32; free with free(). f32, bf16, f16 and f64 only (INK_ERROR_FORMAT). */
ink_status ink_verifier_values(const ink_weight *golden, float **values, ink_error *error);

/* Compares `count` values with a golden tensor in any layout of the same number of elements. Reports a
 * failure unless the relative L2 error is <= tolerance. */
void ink_verifier_compare(ink_verifier *v, const ink_weight *golden, const float *ours, int64_t count,
                          double tolerance);

/* The same for angles, whose differences count modulo 2 pi. */
void ink_verifier_compare_angles(ink_verifier *v, const ink_weight *golden, const float *ours, int64_t count,
                                 double tolerance);

/* Every value must be equal. The golden tensor is i32 or i64; f32 or bf16, compared bit by bit after
 * widening.
 */
void ink_verifier_compare_ids(ink_verifier *v, const ink_weight *golden, const int32_t *ours, int64_t count);
void ink_verifier_compare_bits(ink_verifier *v, const ink_weight *golden, const float *ours, int64_t count);

/* 8-bit pixels, golden u8: at most one level apart everywhere if the tolerance asks for float32 precision. */
void ink_verifier_compare_pixels(ink_verifier *v, const ink_weight *golden, const uint8_t *ours,
                                 int64_t count);

/* Reports a golden tensor that could not be compared. */
void ink_verifier_skip(ink_verifier *v, const ink_weight *golden, const char *why);
/* Reports a golden tensor whose stage failed. */
void ink_verifier_fail(ink_verifier *v, const ink_weight *golden, const char *why);

/* The stages. Errors are those of the engine (memory, a damaged model), not of comparisons. */
ink_status ink_verify_noise(ink_verifier *v, ink_error *error);
ink_status ink_verify_schedules(ink_verifier *v, ink_error *error);
ink_status ink_verify_prompts(ink_verifier *v, ink_error *error);
ink_status ink_verify_forward(ink_verifier *v, ink_error *error);
ink_status ink_verify_vae(ink_verifier *v, ink_error *error);
ink_status ink_verify_runs(ink_verifier *v, ink_error *error);

#endif
