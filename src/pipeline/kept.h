/*
 * The programs that draw a picture, one of each stage. Where the backend keeps programs (ink_backend_api)
 * they stay with the model from one picture to the next: what is the same again is neither loaded nor
 * compiled again. Elsewhere they are freed after their stage.
 */
#ifndef INK_PIPELINE_KEPT_H
#define INK_PIPELINE_KEPT_H

#include "pipeline/decoder.h"
#include "pipeline/denoiser.h"

typedef struct ink_kept {
    ink_text_program text;
    ink_denoiser denoiser;
    ink_modulation modulation; /* of the schedule that was used last */
    ink_decoder decoder;
} ink_kept;

/* The model's, made when it is first asked for; `own` where programs are not kept. */
ink_status ink_kept_of(ink_model *model, ink_kept *own, ink_kept **kept, ink_error *error);
/* Frees the model's. */
void ink_kept_drop(ink_model *model);
/* Frees what is in it. */
void ink_kept_fini(ink_kept *kept);

/* Encodes n prompts; the embeddings are in kept->text.prompts. */
ink_status ink_kept_encode(ink_kept *kept, ink_model *model, const char *const *texts, int64_t n,
                           const ink_run_control *control, ink_error *error);
/* Makes kept->denoiser do this, and prepares it; options->modulation is chosen here. */
ink_status ink_kept_prepare(ink_kept *kept, ink_model *model, const ink_denoiser_options *options,
                            const ink_run_control *control, ink_error *error);
/* Makes kept->decoder do this. */
ink_status ink_kept_decoder(ink_kept *kept, ink_model *model, int64_t pictures, int64_t grid_height,
                            int64_t grid_width, ink_error *error);

#endif
