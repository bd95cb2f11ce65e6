/*
 * Stages that need no network: noise and schedules.
 */
#include "diffusion/noise.h"
#include "pipeline/verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Golden files are small; what is more is a mistake. */
enum { max_noise = 1 << 26, max_side = 1 << 20, max_steps = 1000 };

static ink_status check_noise(ink_verifier *v, const ink_weight *golden, bool bf16, uint64_t seed, size_t n,
                              ink_error *error) {
    float *ours = malloc(n * sizeof *ours + 1);
    if (!ours) return ink_fail_memory(error, "noise", n * sizeof *ours);
    if (bf16)
        ink_noise_bf16(seed, n, ours);
    else
        ink_noise_f32(seed, n, ours);
    ink_verifier_compare_bits(v, golden, ours, (int64_t)n);
    free(ours);
    return INK_OK;
}

/* randn.seed<S>.<N>, randn_bf16.seed<S>.<N> */
ink_status ink_verify_noise(ink_verifier *v, ink_error *error) {
    for (size_t i = 0; i < v->n_tensors; i++) {
        const ink_weight *golden = ink_weights_at(v->golden, i);
        uint64_t seed;
        uint64_t n;
        int end = 0;
        const bool f32 = sscanf(golden->name, "randn.seed%" SCNu64 ".%" SCNu64 "%n", &seed, &n, &end) == 2;
        const bool bf16 =
            !f32 && sscanf(golden->name, "randn_bf16.seed%" SCNu64 ".%" SCNu64 "%n", &seed, &n, &end) == 2;
        if ((!f32 && !bf16) || golden->name[end] != '\0' || n > max_noise) continue;
        v->used[i] = true;
        INK_TRY(check_noise(v, golden, bf16, seed, (size_t)n, error));
    }
    return INK_OK;
}

static ink_status check_schedule(ink_verifier *v, const ink_weight *golden, int64_t tokens, int steps,
                                 ink_error *error) {
    const size_t n = (size_t)steps + 1;
    float *ours = calloc(n, sizeof *ours);
    if (!ours) return ink_fail_memory(error, "a schedule", n * sizeof *ours);
    ink_schedule_sigmas(&v->model->schedule, tokens, steps, ours);
    if (steps == 1) {
        /* The reference divides 0 by 0 here; the only schedule of one step is [1, 0]. */
        static const float one_step[2] = {1, 0};
        const ink_weight expected = {
            .name = golden->name, .dtype = INK_F32, .shape = ink_shape1(2), .data = one_step};
        ink_verifier_compare_bits(v, &expected, ours, 2);
    } else {
        ink_verifier_compare(v, golden, ours, (int64_t)n, v->tolerance);
    }
    free(ours);
    return INK_OK;
}

/* sigmas.<width>x<height>.<steps> */
ink_status ink_verify_schedules(ink_verifier *v, ink_error *error) {
    const int64_t size_step = ink_model_size_step(v->model);
    for (size_t i = 0; i < v->n_tensors; i++) {
        const ink_weight *golden = ink_weights_at(v->golden, i);
        int64_t width, height;
        int steps, end = 0;
        if (sscanf(golden->name, "sigmas.%" SCNd64 "x%" SCNd64 ".%d%n", &width, &height, &steps, &end) != 3 ||
            golden->name[end] != '\0')
            continue;
        if (width < size_step || height < size_step || width > max_side || height > max_side || steps < 1 ||
            steps > max_steps)
            continue;
        v->used[i] = true;
        INK_TRY(check_schedule(v, golden, (width / size_step) * (height / size_step), steps, error));
    }
    return INK_OK;
}
