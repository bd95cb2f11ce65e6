/*
 * Any bytes as a prompt: they must be encoded, with ids in range, and like the repaired and normalized text.
 */
#include "text/tokenizer.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ink_tokenizer *tokenizer;

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count;
    (void)arguments;
    return ink_tokenizer_open(INK_SOURCE_DIR "/tests/golden/tiny-random/tokenizer", &tokenizer, NULL) !=
           INK_OK;
}

static int32_t *encode(const char *text, size_t bytes, bool with_template, size_t *count) {
    int32_t *ids;
    if (ink_tokenizer_encode(tokenizer, text, bytes, with_template, &ids, count, NULL) != INK_OK) abort();
    for (size_t i = 0; i < *count; i++) {
        if (ids[i] < 0 || ids[i] >= ink_tokenizer_vocab_size(tokenizer)) abort();
    }
    return ids;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    size_t count, repaired_count;
    free(encode(text, size, true, &count));
    int32_t *ids = encode(text, size, false, &count);
    ink_text repaired = {0}, once = {0}, twice = {0};
    if (ink_utf8_repair(text, size, &repaired, NULL) != INK_OK) abort();
    if (!ink_utf8_is_valid(repaired.data, repaired.bytes)) abort();
    int32_t *same = encode(repaired.data, repaired.bytes, false, &repaired_count);
    if (count != repaired_count || memcmp(ids, same, count * sizeof *ids) != 0) abort();
    if (ink_nfc(repaired.data, repaired.bytes, &once, NULL) != INK_OK) abort();
    if (!ink_utf8_is_valid(once.data, once.bytes)) abort();
    if (ink_nfc(once.data, once.bytes, &twice, NULL) != INK_OK) abort();
    if (once.bytes != twice.bytes || memcmp(once.data, twice.data, once.bytes) != 0) abort();
    free(repaired.data);
    free(once.data);
    free(twice.data);
    free(same);
    free(ids);
    return 0;
}
