/*
 * Where did a NaN or an infinity begin? A second pass over the failing step with statistics after every part.
 */
#ifndef INK_PIPELINE_DIAGNOSE_H
#define INK_PIPELINE_DIAGNOSE_H

#include "pipeline/denoiser.h"

/* Fills `error` with the step, the first place whose values are not finite, and the likely cause; returns
 * INK_ERROR_NUMERIC. The latents before the step are taken from d->previous if it was the last step that ran.
 */
ink_status ink_diagnose_step(ink_denoiser *d, int step, ink_error *error);

#endif
