/*
 * How long whole pictures take, from the prompt to the bytes of a PNG.
 */
#ifndef INK_PIPELINE_BENCH_PICTURES_H
#define INK_PIPELINE_BENCH_PICTURES_H

#include "pipeline/model.h"

/* Draws one picture, and then `n` that are measured. `request` says what, but for the prompts: they are made
 * of `tokens` words each. */
ink_status ink_bench_pictures(ink_model *model, const ink_request *request, int tokens, int n,
                              ink_bench_picture *picture, ink_error *error);

#endif
