#include "pipeline/decoder.h"

ink_status ink_decoder_init(ink_decoder *d, ink_model *model, int64_t pictures, int64_t grid_height,
                            int64_t grid_width, ink_error *error) {
    *d = (ink_decoder){
        .model = model, .pictures = pictures, .grid_height = grid_height, .grid_width = grid_width};
    INK_TRY(ink_executable_init(&d->executable, model->backend, error));
    ink_vae_record_decode(d->executable.graph, &model->vae, ink_model_vae_weights(model), pictures,
                          grid_height, grid_width, model->transformer.patch_size);
    INK_TRY(ink_executable_compile(&d->executable, error));
    INK_TRY(ink_executable_bind_new(&d->executable, "latents", &d->latents, error));
    INK_TRY(ink_executable_bind_new(&d->executable, "image", NULL, error));
    INK_TRY(ink_executable_bind_new(&d->executable, "signal_stats", &d->stats, error));
    return ink_executable_bind_new(&d->executable, "pixels", &d->pixels, error);
}

bool ink_decoder_fits(const ink_decoder *d, int64_t pictures, int64_t grid_height, int64_t grid_width) {
    return d->executable.program && d->pictures == pictures && d->grid_height == grid_height &&
           d->grid_width == grid_width;
}

void ink_decoder_fini(ink_decoder *d) {
    ink_executable_fini(&d->executable);
    *d = (ink_decoder){0};
}

ink_status ink_decoder_run(ink_decoder *d, int k, const ink_run_control *control, uint8_t *pixels,
                           ink_error *error) {
    INK_TRY(
        ink_observed_run(d->model->observer, INK_STAGE_DECODE, k, d->executable.program, k, control, error));
    float stats[4];
    INK_TRY(ink_buffer_read(d->stats, stats, sizeof stats, error));
    if (!(stats[3] == 0)) {
        return ink_fail(
            error, INK_ERROR_NUMERIC,
            "decoding made values that are not finite; the weight files in %s/vae are probably damaged",
            d->model->path);
    }
    return ink_buffer_read(d->pixels, pixels, (size_t)ink_shape_count(&d->pixels->shape), error);
}
