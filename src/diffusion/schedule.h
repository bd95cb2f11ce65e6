/*
 * Noise schedules: the FlowMatchEulerDiscreteScheduler of diffusers with dynamic shifting.
 */
#ifndef INK_DIFFUSION_SCHEDULE_H
#define INK_DIFFUSION_SCHEDULE_H

#include "base/status.h"

typedef struct ink_schedule_config {
    double base_shift, max_shift;   /* mu at base_tokens and at max_tokens */
    double base_tokens, max_tokens; /* base_image_seq_len, max_image_seq_len */
    double shift;                   /* static shift, used if !dynamic */
    double shift_terminal;          /* last sigma is stretched to this; 0: no stretch (null in the file) */
    double num_train_timesteps;     /* 1000 */
    bool dynamic;                   /* use_dynamic_shifting */
    bool exponential;               /* time_shift_type "exponential" (else "linear") */
} ink_schedule_config;

/* Reads `folder`/scheduler_config.json. Missing keys take the defaults of the diffusers class
 * (max_shift 1.15, 4096 tokens); options that change the schedule in ways that are not implemented (karras,
 * exponential or beta sigmas, inverted sigmas, stochastic sampling) are INK_ERROR_UNSUPPORTED when they are
 * on. */
ink_status ink_schedule_config_read(const char *folder, ink_schedule_config *config, ink_error *error);

/* sigmas[steps + 1], from 1 down to 0, for pictures of `tokens` image tokens, in the float32 arithmetic of
 * the reference (NumPy 2). One step gives {1, 0}, where the reference has 0/0. steps >= 1. */
void ink_schedule_sigmas(const ink_schedule_config *config, int64_t tokens, int steps, float *sigmas);

#endif
