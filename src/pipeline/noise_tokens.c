#include "pipeline/noise_tokens.h"

#include "diffusion/noise.h"

#include <stdlib.h>

ink_status ink_noise_tokens(ink_noise kind, uint64_t seed, int64_t grid_height, int64_t grid_width,
                            int64_t channels, int64_t patch, float *tokens, ink_error *error) {
    const int64_t height = grid_height * patch, width = grid_width * patch;
    const int64_t features = channels * patch * patch;
    const size_t count = (size_t)(grid_height * grid_width * features);
    float *noise = malloc(count * sizeof *noise);
    if (!noise) return ink_fail_memory(error, "noise", count * sizeof *noise);
    if (kind == INK_NOISE_BF16)
        ink_noise_bf16(seed, count, noise);
    else
        ink_noise_f32(seed, count, noise);
    for (int64_t c = 0; c < channels; c++) {
        for (int64_t y = 0; y < height; y++) {
            for (int64_t x = 0; x < width; x++) {
                const int64_t token = y / patch * grid_width + x / patch;
                const int64_t feature = (c * patch + y % patch) * patch + x % patch;
                tokens[token * features + feature] = noise[(c * height + y) * width + x];
            }
        }
    }
    free(noise);
    return INK_OK;
}
