/*
 * What fp8 costs on the model that ships, as numbers: the error of every block's result against golden
 * tensors, and how far pictures are from those in f32 on the same device, for each choice of layers.
 *
 * Takes models/emoji and tests/golden/emoji.safetensors from the folder that it is started in, or else from
 * the project's, and passes if there is neither.
 */
#include "backend/cuda/analysis.h"
#include "cuda/device_matrix.h"
#include "cuda/open_model.h"
#include "image/compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *name;
    ink_cuda_settings settings;
    double error, psnr; /* at most, at least */
} variants[] = {
    {"bf16", {.precision = "bf16"}, 0.04, 40},
    {"bf16, residual of f32", {.precision = "bf16", .wide_residual = true}, 0.04, 40},
    {"fp8", {.precision = "fp8"}, 0.25, 28},
    {"fp8, residual of f32", {.precision = "fp8", .wide_residual = true}, 0.25, 28},
    {"fp8, text too", {.precision = "fp8", .fp8_groups = INK_CUDA_FP8_ALL}, 0.35, 26},
    {"fp8, but the MLP's second",
     {.precision = "fp8", .fp8_groups = INK_CUDA_FP8_ATTENTION | INK_CUDA_FP8_WIDEN},
     0.25,
     28},
    {"fp8, the MLP alone",
     {.precision = "fp8", .fp8_groups = INK_CUDA_FP8_WIDEN | INK_CUDA_FP8_NARROW},
     0.25,
     28},
};
enum { n_variants = sizeof variants / sizeof variants[0] };

static const char *const prompts[] = {"a cat face", "a red heart", "a smiling face with sunglasses",
                                      "a pizza",    "a blue car",  "a tree"};
enum { n_prompts = sizeof prompts / sizeof prompts[0] };

static char model_path[512], golden_path[512];

static bool find_model(const char *root) {
    snprintf(model_path, sizeof model_path, "%s/models/emoji", root);
    snprintf(golden_path, sizeof golden_path, "%s/tests/golden/emoji.safetensors", root);
    FILE *file = fopen(golden_path, "rb");
    if (file) fclose(file);
    return file != NULL;
}

/* ---- errors ---- */

static void note(void *user, const ink_check *check) {
    double *largest = user;
    if (strncmp(check->name, "forward.", 8) != 0) return;
    const size_t length = strlen(check->name);
    const bool result =
        strstr(check->name, "transformer_blocks.") && !strstr(check->name, ".attn.") && length > 4 &&
        (strcmp(check->name + length - 4, ".img") == 0 || strcmp(check->name + length - 4, ".txt") == 0);
    if (result || strcmp(check->name, "forward.output") == 0)
        print_message("  %-40s %.4f\n", check->name + 8, check->relative_l2);
    if (result && !(check->relative_l2 <= *largest)) *largest = check->relative_l2;
}

static double block_error(ink_model *model) {
    size_t checked = 0, failed = 0;
    ink_error error = {0};
    double largest = 0;
    if (ink_verify(model, golden_path, 1, note, &largest, &checked, &failed, &error) != INK_OK)
        fail_msg("%s", error.message);
    return largest;
}

/* ---- pictures ---- */

static ink_result *draw(ink_model *model, const char *prompt) {
    ink_request request;
    ink_request_init(&request);
    request.prompt = prompt;
    request.seed = 1;
    return draw_request(model, &request);
}

/* The mean over the prompts. */
static double compare_pictures(ink_model *model, ink_result *const *wanted) {
    double sum = 0;
    for (int i = 0; i < n_prompts; i++) {
        ink_result *result = draw(model, prompts[i]);
        ink_similarity s;
        ink_error error = {0};
        if (ink_image_compare(&result->images[0], &wanted[i]->images[0], &s, &error) != INK_OK)
            fail_msg("%s", error.message);
        if (!(s.psnr <= 99)) s.psnr = 99; /* equal ones */
        print_message("  %-40s PSNR %.2f dB, SSIM %.4f\n", prompts[i], s.psnr, s.ssim);
        sum += s.psnr;
        ink_result_free(result);
    }
    return sum / n_prompts;
}

static void test_variants(void **state) {
    (void)state;
    ink_result *wanted[n_prompts];
    ink_model *model = open_model_with(model_path, false, &(ink_cuda_settings){.precision = "f32"});
    for (int i = 0; i < n_prompts; i++) {
        wanted[i] = draw(model, prompts[i]);
    }
    ink_model_close(model);
    double errors[n_variants], psnrs[n_variants];
    for (int v = 0; v < n_variants; v++) {
        print_message("%s\n", variants[v].name);
        model = open_model_with(model_path, false, &variants[v].settings);
        errors[v] = block_error(model);
        psnrs[v] = compare_pictures(model, wanted);
        ink_model_close(model);
    }
    for (int i = 0; i < n_prompts; i++) {
        ink_result_free(wanted[i]);
    }
    bool good = true;
    for (int v = 0; v < n_variants; v++) {
        const bool passed = errors[v] <= variants[v].error && psnrs[v] >= variants[v].psnr;
        good = good && passed;
        print_message("%-32s largest error of a block %.4f, mean PSNR %.2f dB%s\n", variants[v].name,
                      errors[v], psnrs[v], passed ? "" : "  FAILED");
    }
    assert_true(good);
}

int main(void) {
    if (!device_present()) return 77;
    if (!find_model(".") && !find_model(INK_SOURCE_DIR)) {
        print_message("there is no models/emoji here\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_variants)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
