#include "cuda/open_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

ink_model *try_open_model(const char *path, bool synthetic, const ink_cuda_settings *settings,
                          ink_error *error) {
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = path;
    options.backend = "cpu";
    options.threads = 1;
    options.synthetic = synthetic;
    ink_model *model;
    if (ink_model_open(&options, &model, error) != INK_OK) fail_msg("%s", error->message);
    ink_backend_destroy(model->backend);
    if (ink_cuda_backend_create_with(settings, &model->backend, error) != INK_OK) {
        model->backend = NULL;
        ink_model_close(model);
        return NULL;
    }
    for (int i = 0; i < ink_model_components; i++) { /* as for any backend that makes them itself */
        ink_weights_leave_unfilled(model->components[i].weights);
    }
    return model;
}

ink_model *open_model_with(const char *path, bool synthetic, const ink_cuda_settings *settings) {
    ink_error error = {0};
    ink_model *model = try_open_model(path, synthetic, settings, &error);
    if (!model) fail_msg("%s", error.message);
    return model;
}

ink_result *draw_request(ink_model *model, const ink_request *request) {
    ink_result *result;
    ink_error error = {0};
    if (ink_generate(model, request, &result, &error) != INK_OK) fail_msg("%s", error.message);
    return result;
}
