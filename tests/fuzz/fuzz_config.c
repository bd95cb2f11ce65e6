/*
 * Hostile configuration files. The first byte of an input chooses the reader, the rest is the file.
 */
#include "diffusion/schedule.h"
#include "models/text_encoder.h"
#include "models/transformer.h"
#include "models/vae.h"
#include "weights/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { readers = 5 };

static const char *const names[readers] = {"config.json", "config.json", "config.json",
                                           "scheduler_config.json", "model.safetensors.index.json"};
static char folder[] = "/tmp/inkstone-fuzz-XXXXXX";

static void path_of(int reader, char path[256]) {
    snprintf(path, 256, "%s/%s", folder, names[reader]);
}

static void remove_folder(void) {
    for (int i = 0; i < readers; i++) {
        char path[256];
        path_of(i, path);
        (void)remove(path);
    }
    (void)rmdir(folder);
}

static ink_status read_with(int reader, ink_error *error) {
    ink_text_encoder_config text;
    ink_transformer_config transformer;
    ink_vae_config vae;
    ink_schedule_config schedule;
    ink_weights *weights = NULL;
    switch (reader) {
    case 0:
        return ink_text_encoder_config_read(folder, &text, error);
    case 1:
        return ink_transformer_config_read(folder, &transformer, error);
    case 2:
        return ink_vae_config_read(folder, &vae, error);
    case 3: {
        const ink_status status = ink_schedule_config_read(folder, &schedule, error);
        float sigmas[11];
        if (status == INK_OK) ink_schedule_sigmas(&schedule, 64, 10, sigmas);
        return status;
    }
    default: {
        const ink_status status = ink_weights_open(folder, "model", &weights, error);
        ink_weights_close(weights);
        return status;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool ready;
    if (!ready && (!mkdtemp(folder) || atexit(remove_folder) != 0)) abort();
    ready = true;
    if (size == 0) return 0;
    const int reader = data[0] % readers;
    char path[256];
    path_of(reader, path);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data + 1, 1, size - 1, file) != size - 1 || fclose(file) != 0) abort();
    ink_error error = {0};
    if (read_with(reader, &error) != INK_OK && !error.message[0]) abort(); /* a failure without a sentence */
    (void)remove(path);
    return 0;
}
