/*
 * The last stage: latents to pictures, one at a time.
 */
#ifndef INK_PIPELINE_DECODER_H
#define INK_PIPELINE_DECODER_H

#include "pipeline/executable.h"
#include "pipeline/model.h"

typedef struct ink_decoder {
    ink_model *model;
    int64_t pictures, grid_height, grid_width;
    ink_executable executable;
    ink_buffer *latents; /* [pictures, image tokens, channels], to be written; owned by the executable, as: */
    ink_buffer *pixels, *stats;
} ink_decoder;

/* Makes the program; its run k decodes picture k of `pictures`. Free with ink_decoder_fini (also after
 * failure). */
ink_status ink_decoder_init(ink_decoder *d, ink_model *model, int64_t pictures, int64_t grid_height,
                            int64_t grid_width, ink_error *error);
void ink_decoder_fini(ink_decoder *d);

/* Whether it was made for these. A zeroed one was not. */
bool ink_decoder_fits(const ink_decoder *d, int64_t pictures, int64_t grid_height, int64_t grid_width);

/* Decodes picture k into width * height * 3 bytes. INK_ERROR_NUMERIC if the picture is not finite. */
ink_status ink_decoder_run(ink_decoder *d, int k, const ink_run_control *control, uint8_t *pixels,
                           ink_error *error);

#endif
