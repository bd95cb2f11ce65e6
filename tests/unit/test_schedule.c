/*
 * Schedules: golden ones bit for bit, one step, and what a configuration file may not say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diffusion/schedule.h"
#include "weights/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TINY INK_SOURCE_DIR "/tests/golden/tiny-random"

static ink_schedule_config tiny_config(void) {
    ink_schedule_config config;
    ink_error error = {0};
    if (ink_schedule_config_read(TINY "/scheduler", &config, &error) != INK_OK) fail_msg("%s", error.message);
    return config;
}

static void equals_the_reference(void **state) {
    (void)state;
    const ink_schedule_config config = tiny_config();
    ink_weights *golden;
    assert_int_equal(ink_weights_open_file(TINY "/golden.safetensors", &golden, NULL), INK_OK);
    int checked = 0;
    const ink_weight *tensor;
    for (size_t i = 0; (tensor = ink_weights_at(golden, i)) != NULL; i++) {
        int width, height, steps;
        float ours[128];
        if (sscanf(tensor->name, "sigmas.%dx%d.%d", &width, &height, &steps) != 3 || steps == 1) continue;
        ink_schedule_sigmas(&config, (int64_t)(width / 16) * (height / 16), steps, ours);
        assert_memory_equal(ours, tensor->data, ((size_t)steps + 1) * sizeof *ours);
        checked++;
    }
    assert_int_equal(checked, 6);
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

/* Made by tools/make_diffusion_golden.py: every kind of shift, with and without the stretch. */
static void equals_the_reference_in_every_configuration(void **state) {
    (void)state;
    FILE *file = fopen(INK_SOURCE_DIR "/tests/golden/diffusion.txt", "r");
    assert_non_null(file);
    char line[256], type[16];
    int checked = 0;
    while (fgets(line, sizeof line, file)) {
        ink_schedule_config c = {.num_train_timesteps = 1000};
        int tokens, steps;
        unsigned long long expected;
        if (sscanf(line, "schedule %lf %lf %lf %lf %lf %lf %15s %d %d %llx", &c.base_shift, &c.max_shift,
                   &c.base_tokens, &c.max_tokens, &c.shift_terminal, &c.shift, type, &tokens, &steps,
                   &expected) != 10)
            continue;
        c.dynamic = strcmp(type, "static") != 0;
        c.exponential = strcmp(type, "linear") != 0;
        float sigmas[1001];
        assert_in_range(steps, 2, 1000);
        ink_schedule_sigmas(&c, tokens, steps, sigmas);
        if (hash(sigmas, (size_t)steps + 1) != expected) fail_msg("another schedule than that of %s", line);
        checked++;
    }
    fclose(file);
    assert_int_equal(checked, 5 * 4 * 8);
}

static void one_step_goes_from_one_to_zero(void **state) {
    (void)state;
    ink_schedule_config config = tiny_config();
    for (int i = 0; i < 8; i++) {
        config.dynamic = i & 1;
        config.exponential = i & 2;
        config.shift_terminal = i & 4 ? 0.02 : 0;
        config.shift = 0.01; /* in float32, 0.01 / (1 + (0.01 - 1)) is not 1 */
        float sigmas[2] = {NAN, NAN};
        ink_schedule_sigmas(&config, 256, 1, sigmas);
        assert_true(sigmas[0] == 1 && sigmas[1] == 0);
    }
}

static void always_falls(void **state) {
    (void)state;
    ink_schedule_config config = tiny_config();
    for (int kind = 0; kind < 4; kind++) {
        config.dynamic = kind != 0;
        config.exponential = kind != 1;
        config.shift_terminal = kind == 2 ? 0 : 0.02;
        for (int steps = 2; steps <= 1000; steps += steps < 20 ? 1 : 97) {
            float sigmas[1001];
            ink_schedule_sigmas(&config, 4096, steps, sigmas);
            assert_true(sigmas[0] == 1 && sigmas[steps] == 0);
            for (int i = 0; i < steps; i++) {
                assert_true(sigmas[i] > sigmas[i + 1]);
            }
            if (config.shift_terminal > 0)
                assert_true(fabs((double)sigmas[steps - 1] - config.shift_terminal) < 1e-6);
        }
    }
}

/* Reads a configuration file with this content; the sentence must hold `part`. */
static void expect_refusal(const char *content, ink_status status, const char *part) {
    char folder[] = "/tmp/inkstone-schedule-XXXXXX", path[256];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/scheduler_config.json", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
    ink_schedule_config config;
    ink_error error = {0};
    assert_int_equal(ink_schedule_config_read(folder, &config, &error), status);
    if (status != INK_OK && !strstr(error.message, part))
        fail_msg("'%s' does not name '%s'", error.message, part);
    remove(path);
    rmdir(folder);
}

static void refuses_what_it_cannot_do(void **state) {
    (void)state;
    expect_refusal("{}", INK_OK, "");
    expect_refusal("{\"use_karras_sigmas\": true}", INK_ERROR_UNSUPPORTED, "use_karras_sigmas");
    expect_refusal("{\"stochastic_sampling\": true}", INK_ERROR_UNSUPPORTED, "stochastic_sampling");
    expect_refusal("{\"_class_name\": \"DDIMScheduler\"}", INK_ERROR_UNSUPPORTED, "FlowMatchEuler");
    expect_refusal("{\"time_shift_type\": \"cubic\"}", INK_ERROR_FORMAT, "time_shift_type");
    expect_refusal("{\"max_image_seq_len\": 256}", INK_ERROR_FORMAT, "max_image_seq_len");
    expect_refusal("{\"shift_terminal\": 1}", INK_ERROR_FORMAT, "shift_terminal");
    expect_refusal("{\"shift\": \"much\"}", INK_ERROR_FORMAT, "shift");
    expect_refusal("{\"use_exponential_sigmas\": true}", INK_ERROR_UNSUPPORTED, "use_exponential_sigmas");
    expect_refusal("{\"use_beta_sigmas\": true}", INK_ERROR_UNSUPPORTED, "use_beta_sigmas");
    expect_refusal("{\"invert_sigmas\": true}", INK_ERROR_UNSUPPORTED, "invert_sigmas");
    expect_refusal("{\"use_karras_sigmas\": null, \"shift_terminal\": null}", INK_OK, "");
    expect_refusal("{\"shift_terminal\": -0.1}", INK_ERROR_FORMAT, "shift_terminal");
    expect_refusal("{\"shift\": 0}", INK_ERROR_FORMAT, "shift");
    expect_refusal("{\"max_shift\": 1e308}", INK_ERROR_FORMAT, "max_shift");
    expect_refusal("{\"max_shift\": 1e400}", INK_ERROR_FORMAT, "scheduler_config.json");
    expect_refusal("{\"base_image_seq_len\": -256}", INK_ERROR_FORMAT, "base_image_seq_len");
    expect_refusal("{\"num_train_timesteps\": 0}", INK_ERROR_FORMAT, "num_train_timesteps");
    expect_refusal("{\"use_dynamic_shifting\": 1}", INK_ERROR_FORMAT, "use_dynamic_shifting");
    expect_refusal("{\"use_dynamic_shifting\": true, \"time_shift_type\": \"linear\", \"base_shift\": -1}",
                   INK_ERROR_FORMAT, "base_shift");
    expect_refusal("{\"shift\": 1", INK_ERROR_FORMAT, "scheduler_config.json");
    expect_refusal("[]", INK_ERROR_FORMAT, "scheduler_config.json");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_reference),
        cmocka_unit_test(equals_the_reference_in_every_configuration),
        cmocka_unit_test(one_step_goes_from_one_to_zero),
        cmocka_unit_test(always_falls),
        cmocka_unit_test(refuses_what_it_cannot_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
