/*
 * Start noise against golden numbers of torch.randn, and properties for sizes that the goldens do not have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/dtype.h"
#include "diffusion/noise.h"
#include "weights/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void equals_torch_bit_for_bit(void **state) {
    (void)state;
    ink_weights *golden;
    ink_error error = {0};
    if (ink_weights_open_file(INK_SOURCE_DIR "/tests/golden/tiny-random/golden.safetensors", &golden, &error))
        fail_msg("%s", error.message);
    int checked = 0;
    const ink_weight *tensor;
    for (size_t i = 0; (tensor = ink_weights_at(golden, i)) != NULL; i++) {
        unsigned long long seed, n;
        const bool bf16 = sscanf(tensor->name, "randn_bf16.seed%llu.%llu", &seed, &n) == 2;
        if (!bf16 && sscanf(tensor->name, "randn.seed%llu.%llu", &seed, &n) != 2) continue;
        float *ours = malloc((size_t)n * sizeof *ours);
        assert_non_null(ours);
        (bf16 ? ink_noise_bf16 : ink_noise_f32)(seed, (size_t)n, ours);
        for (size_t k = 0; k < n; k++) {
            const float theirs = ink_element_f32(tensor->data, tensor->dtype, (int64_t)k);
            if (memcmp(&theirs, &ours[k], sizeof theirs) != 0)
                fail_msg("%s: element %zu is %a, torch has %a", tensor->name, k, ours[k], theirs);
        }
        free(ours);
        checked++;
    }
    assert_int_equal(checked, 21);
    ink_weights_close(golden);
}

static uint64_t hash(const float *values, size_t n) {
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        for (int shift = 0; shift < 32; shift += 8) {
            h = (h ^ (bits >> shift & 0xFF)) * 0x100000001B3u;
        }
    }
    return h;
}

/* Made by tools/make_diffusion_golden.py: seeds of all ranges, sizes with and without a remainder. */
static void equals_torch_for_many_seeds_and_sizes(void **state) {
    (void)state;
    FILE *file = fopen(INK_SOURCE_DIR "/tests/golden/diffusion.txt", "r");
    assert_non_null(file);
    char line[256], type[8];
    int checked = 0;
    while (fgets(line, sizeof line, file)) {
        unsigned long long seed, n, expected;
        if (sscanf(line, "noise %7s %llu %llu %llx", type, &seed, &n, &expected) != 4) continue;
        float *ours = malloc((size_t)n * sizeof *ours);
        assert_non_null(ours);
        (strcmp(type, "bf16") == 0 ? ink_noise_bf16 : ink_noise_f32)(seed, (size_t)n, ours);
        if (hash(ours, (size_t)n) != expected)
            fail_msg("%llu numbers of type %s from seed %llu are not those of torch", n, type, seed);
        free(ours);
        checked++;
    }
    fclose(file);
    assert_int_equal(checked, 24 * (13 + 5));
}

static void only_the_low_half_of_a_seed_counts(void **state) {
    (void)state;
    float a[64], b[64], c[64];
    ink_noise_f32(7, 64, a);
    ink_noise_f32(7 + (5ull << 32), 64, b);
    ink_noise_f32(8, 64, c);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
}

/* Whole blocks do not depend on what follows them, unless a remainder is drawn over the last ones. */
static void a_longer_draw_begins_with_a_shorter_one(void **state) {
    (void)state;
    float shorter[160], longer[320];
    ink_noise_f32(3, 160, shorter);
    ink_noise_f32(3, 320, longer);
    assert_memory_equal(shorter, longer, sizeof shorter);
}

static void stays_inside_its_memory(void **state) {
    (void)state;
    for (size_t n = 0; n <= 70; n++) {
        float out[72];
        for (size_t i = 0; i < 72; i++) {
            out[i] = 1234.5f;
        }
        ink_noise_f32(n, n, out);
        for (size_t i = 0; i < 72; i++) {
            assert_int_equal(out[i] == 1234.5f, i >= n);
        }
        ink_noise_bf16(n, n, out);
        assert_true(out[n] == 1234.5f);
    }
}

static void looks_normal(void **state) {
    (void)state;
    enum { n = 1 << 18 };
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    ink_noise_f32(99, n, x);
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) {
        assert_true(isfinite(x[i]));
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    assert_true(fabs(sum / n) < 0.01);
    assert_true(fabs(squares / n - 1) < 0.01);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_torch_bit_for_bit),
        cmocka_unit_test(equals_torch_for_many_seeds_and_sizes),
        cmocka_unit_test(only_the_low_half_of_a_seed_counts),
        cmocka_unit_test(a_longer_draw_begins_with_a_shorter_one),
        cmocka_unit_test(stays_inside_its_memory),
        cmocka_unit_test(looks_normal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
