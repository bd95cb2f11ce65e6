/*
 * Draws a prompt to a file: draw MODEL PROMPT FILE.png
 *
 * cc draw.c $(pkg-config --cflags --libs inkstone) -o draw
 */
#include <inkstone.h>
#include <stdio.h>

static void show_progress(void *user, const ink_progress *progress) {
    (void)user;
    if (progress->stage == INK_STAGE_DENOISE)
        fprintf(stderr, "step %d of %d\n", progress->done, progress->total);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: draw MODEL PROMPT FILE.png\n");
        return 2;
    }
    ink_error error = {INK_OK, ""};
    ink_model *model = NULL;
    ink_result *result = NULL;

    ink_model_options options;
    ink_model_options_init(&options);
    options.path = argv[1];
    ink_request request;
    ink_request_init(&request);
    request.prompt = argv[2];
    request.on_progress = show_progress;

    ink_status status = ink_model_open(&options, &model, &error);
    if (status == INK_OK) status = ink_generate(model, &request, &result, &error);
    if (status == INK_OK) status = ink_image_write_png(&result->images[0], argv[3], NULL, &error);
    if (status != INK_OK) fprintf(stderr, "draw: %s\n", error.message);
    ink_result_free(result);
    ink_model_close(model);
    return status == INK_OK ? 0 : 1;
}
