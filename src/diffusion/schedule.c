#include "diffusion/schedule.h"

#include "base/config.h"

#include <math.h>
#include <string.h>

/* Options of the diffusers class that change the schedule and are not implemented. */
static const char *const unsupported_flags[] = {"use_karras_sigmas", "use_exponential_sigmas",
                                                "use_beta_sigmas", "invert_sigmas", "stochastic_sampling"};

/* A linear time shift divides by its constant, which is base_shift and max_shift at the ends. */
static void check_linear(ink_config *file, const ink_schedule_config *c) {
    if (c->exponential || !c->dynamic || (c->base_shift > 0 && c->max_shift > 0)) return;
    ink_config_fail(
        file, INK_ERROR_FORMAT,
        "with \"time_shift_type\" linear, \"base_shift\" %g and \"max_shift\" %g must be more than 0",
        c->base_shift, c->max_shift);
}

static void check_flags(ink_config *file) {
    for (size_t i = 0; i < sizeof unsupported_flags / sizeof *unsupported_flags; i++) {
        if (ink_config_bool(file, unsupported_flags[i], false)) {
            ink_config_fail(file, INK_ERROR_UNSUPPORTED,
                            "\"%s\" is on, which this version cannot do: set it to false",
                            unsupported_flags[i]);
        }
    }
}

ink_status ink_schedule_config_read(const char *folder, ink_schedule_config *c, ink_error *error) {
    *c = (ink_schedule_config){0};
    ink_config file;
    INK_TRY(ink_config_open(folder, "scheduler_config.json", &file, error));
    const char *class_name = ink_config_text(&file, "_class_name", "FlowMatchEulerDiscreteScheduler");
    if (strcmp(class_name, "FlowMatchEulerDiscreteScheduler") != 0) {
        ink_config_fail(&file, INK_ERROR_UNSUPPORTED,
                        "the scheduler is not a FlowMatchEulerDiscreteScheduler, the only one there is");
    }
    c->base_shift = ink_config_double(&file, "base_shift", -10, 10, 0.5);
    c->max_shift = ink_config_double(&file, "max_shift", -10, 10, 1.15);
    c->base_tokens = ink_config_double(&file, "base_image_seq_len", 1, 1e6, 256);
    c->max_tokens = ink_config_double(&file, "max_image_seq_len", 1, 1e6, 4096);
    c->shift = ink_config_double(&file, "shift", 1e-3, 1e3, 1);
    c->shift_terminal = ink_config_double(&file, "shift_terminal", 0, 0.999, 0);
    c->num_train_timesteps = ink_config_double(&file, "num_train_timesteps", 1, 1e6, 1000);
    c->dynamic = ink_config_bool(&file, "use_dynamic_shifting", false);
    const char *type = ink_config_text(&file, "time_shift_type", "exponential");
    c->exponential = strcmp(type, "exponential") == 0;
    if (!c->exponential && strcmp(type, "linear") != 0) {
        ink_config_fail(&file, INK_ERROR_FORMAT, "\"time_shift_type\" must be exponential or linear");
    }
    if (!(c->max_tokens > c->base_tokens)) {
        ink_config_fail(&file, INK_ERROR_FORMAT,
                        "\"max_image_seq_len\" %g must be more than \"base_image_seq_len\" %g", c->max_tokens,
                        c->base_tokens);
    }
    check_linear(&file, c);
    check_flags(&file);
    return ink_config_close(&file, error);
}

/* The constant of the time shift: how much of the schedule is spent at high noise for this many tokens. */
static float shift_constant(const ink_schedule_config *c, int64_t tokens) {
    const double slope = (c->max_shift - c->base_shift) / (c->max_tokens - c->base_tokens);
    const double mu = (double)tokens * slope + (c->base_shift - slope * c->base_tokens);
    return (float)(c->exponential ? exp(mu) : mu);
}

void ink_schedule_sigmas(const ink_schedule_config *c, int64_t tokens, int steps, float *sigmas) {
    const double last = 1.0 / steps;
    const double slope = steps > 1 ? (last - 1) / (steps - 1) : 0;
    const float k = shift_constant(c, tokens), shift = (float)c->shift, shift_less = (float)(c->shift - 1);
    for (int i = 0; i < steps; i++) {
        const float s = (float)(i > 0 && i == steps - 1 ? last : i * slope + 1);
        sigmas[i] = c->dynamic ? k / (k + (1 / s - 1)) : shift * s / (1 + shift_less * s);
    }
    sigmas[steps] = 0;
    /* With one step the stretch would divide 0 by 0; there is only one schedule from 1 to 0. */
    if (steps > 1 && c->shift_terminal > 0) {
        const float stretch = (1 - sigmas[steps - 1]) / (float)(1 - c->shift_terminal);
        for (int i = 0; i < steps; i++) {
            sigmas[i] = 1 - (1 - sigmas[i]) / stretch;
        }
    }
    if (steps == 1) sigmas[0] = 1;
}
