/*
 * Hostile tokenizer files. An input is the files one after the other, with the byte 0x1E between them: either
 *     j tokenizer.json, a text          or     v vocab.json, merges.txt, tokenizer_config.json,
 * added_tokens.json, a text They are written to a folder, opened, and the text is encoded.
 */
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json",
                                    "added_tokens.json"};
static char folder[] = "/tmp/inkstone-fuzz-XXXXXX";

static void path_of(size_t i, char path[256]) {
    snprintf(path, 256, "%s/%s", folder, names[i]);
}

static void remove_folder(void) {
    for (size_t i = 0; i < 5; i++) {
        char path[256];
        path_of(i, path);
        (void)remove(path);
    }
    (void)rmdir(folder);
}

/* The next file of the input. */
static size_t next_part(const uint8_t **data, size_t *size, const uint8_t **part) {
    *part = *data;
    const uint8_t *end = *size ? memchr(*data, 0x1E, *size) : NULL;
    const size_t bytes = end ? (size_t)(end - *data) : *size;
    const size_t taken = bytes + (end != NULL);
    *data += taken;
    *size -= taken;
    return bytes;
}

static void put(size_t i, const uint8_t *data, size_t bytes) {
    char path[256];
    path_of(i, path);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool ready;
    if (!ready && (!mkdtemp(folder) || atexit(remove_folder) != 0)) abort();
    ready = true;
    if (size == 0) return 0;
    const bool json = data[0] == 'j';
    data++;
    size--;
    const uint8_t *part;
    for (size_t i = json ? 0 : 1; i < (json ? 1 : 5); i++) {
        const size_t bytes = next_part(&data, &size, &part);
        put(i, part, bytes);
    }
    if (!json) {
        char path[256];
        path_of(0, path);
        (void)remove(path);
    }
    ink_tokenizer *tokenizer;
    ink_error error = {0};
    const ink_status status = ink_tokenizer_open(folder, &tokenizer, &error);
    if (status != INK_OK) {
        if (tokenizer || error.status != status || error.message[0] == '\0') abort();
        return 0;
    }
    int32_t *ids;
    size_t count;
    if (ink_tokenizer_encode(tokenizer, (const char *)data, size, true, &ids, &count, &error) == INK_OK) {
        for (size_t i = 0; i < count; i++) {
            if (ids[i] < 0 || ids[i] >= ink_tokenizer_vocab_size(tokenizer)) abort();
        }
        free(ids);
    }
    ink_tokenizer_close(tokenizer);
    return 0;
}
