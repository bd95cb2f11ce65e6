/*
 * Models that compute with the CUDA backend of this test, on a device or on the stand-in for one.
 */
#ifndef INK_TESTS_CUDA_OPEN_MODEL_H
#define INK_TESTS_CUDA_OPEN_MODEL_H

#include "backend/cuda/cuda.h"
#include "pipeline/model.h"

/* The model in a folder; `synthetic` as in ink_model_options. NULL and a sentence if the backend cannot be
 * made with these settings. Close it with ink_model_close. */
ink_model *try_open_model(const char *path, bool synthetic, const ink_cuda_settings *settings,
                          ink_error *error);
/* The same; the test fails if it is none. */
ink_model *open_model_with(const char *path, bool synthetic, const ink_cuda_settings *settings);

/* The result of a request, which must succeed. Free it with ink_result_free. */
ink_result *draw_request(ink_model *model, const ink_request *request);

#endif
