#include "pipeline/kept.h"

#include <stdlib.h>

ink_status ink_kept_of(ink_model *model, ink_kept *own, ink_kept **kept, ink_error *error) {
    *kept = own;
    if (!ink_keeps(model)) return INK_OK;
    if (!model->kept) model->kept = calloc(1, sizeof *model->kept);
    if (!model->kept) return ink_fail_memory(error, "a picture", sizeof *model->kept);
    *kept = model->kept;
    return INK_OK;
}

void ink_kept_fini(ink_kept *kept) {
    ink_decoder_fini(&kept->decoder);
    ink_denoiser_fini(&kept->denoiser);
    ink_modulation_fini(&kept->modulation);
    ink_text_program_fini(&kept->text);
}

void ink_kept_drop(ink_model *model) {
    if (!model->kept) return;
    ink_kept_fini(model->kept);
    free(model->kept);
    model->kept = NULL;
}

/* Where programs are kept, a new one is made before the old one is freed: they share weights. */

ink_status ink_kept_encode(ink_kept *kept, ink_model *model, const char *const *texts, int64_t n,
                           const ink_run_control *control, ink_error *error) {
    const ink_buffer *before = kept->text.prompts.embeds;
    const ink_status status =
        ink_text_program_encode(&kept->text, model, texts, n, ink_default_kept_tokens, control, error);
    const bool made = kept->text.prompts.embeds != before;
    if (made) kept->denoiser.embeds = NULL; /* it reads what was freed */
    if (made || !ink_keeps(model)) ink_weights_release(ink_model_text_weights(model));
    if (!ink_keeps(model)) ink_executable_fini(&kept->text.executable);
    return status;
}

ink_status ink_kept_prepare(ink_kept *kept, ink_model *model, const ink_denoiser_options *given,
                            const ink_run_control *control, ink_error *error) {
    ink_denoiser_options options = *given;
    ink_denoiser *d = &kept->denoiser;
    if (ink_modulation_fits(&kept->modulation, options.steps, options.sigmas))
        options.modulation = &kept->modulation;
    if (ink_denoiser_fits(d, &kept->text.prompts, &options)) {
        INK_TRY(ink_denoiser_renew(d, &kept->text.prompts, &options, error));
    } else {
        if (!ink_keeps(model)) ink_denoiser_fini(d);
        ink_denoiser fresh;
        const ink_status status = ink_denoiser_init(&fresh, model, &kept->text.prompts, &options, error);
        if (status != INK_OK) {
            ink_denoiser_fini(&fresh);
            return status;
        }
        ink_denoiser_fini(d);
        *d = fresh;
    }
    INK_TRY(ink_denoiser_prepare(d, control, error));
    ink_denoiser_give_modulation(d, &kept->modulation);
    return INK_OK;
}

ink_status ink_kept_decoder(ink_kept *kept, ink_model *model, int64_t pictures, int64_t grid_height,
                            int64_t grid_width, ink_error *error) {
    if (ink_decoder_fits(&kept->decoder, pictures, grid_height, grid_width)) return INK_OK;
    ink_decoder fresh;
    const ink_status status = ink_decoder_init(&fresh, model, pictures, grid_height, grid_width, error);
    if (status != INK_OK) {
        ink_decoder_fini(&fresh);
        return status;
    }
    ink_decoder_fini(&kept->decoder);
    kept->decoder = fresh;
    return INK_OK;
}
