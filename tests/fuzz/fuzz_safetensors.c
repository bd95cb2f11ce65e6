/*
 * Hostile safetensors files: parsed in memory, then every tensor's first and last byte is read.
 */
#include "weights/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Keeps the reads from being left out. */
static volatile unsigned char touched;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* A mapping is aligned to a page; the input is not. */
    unsigned char *file = aligned_alloc(64, (size + 64) / 64 * 64);
    if (!file) return 0;
    memcpy(file, data, size);
    ink_safetensors tensors;
    ink_error error = {0};
    if (ink_safetensors_parse(file, size, "input", &tensors, &error) == INK_OK) {
        unsigned char ends = 0;
        for (size_t i = 0; i < tensors.count; i++) {
            const ink_tensor_entry *entry = &tensors.entries[i];
            if (ink_safetensors_find(&tensors, entry->weight.name) != entry) abort();
            if (entry->n_bytes == 0) continue;
            if (entry->bytes < file || entry->bytes + entry->n_bytes > file + size) abort();
            ends |= entry->bytes[0] | entry->bytes[entry->n_bytes - 1];
        }
        touched = ends;
        ink_safetensors_free(&tensors);
    } else if (!error.message[0]) {
        abort(); /* a failure without a sentence */
    }
    free(file);
    return 0;
}
