#include "text/tokenizer.h"

#include "base/file.h"
#include "text/prompt.h"
#include "text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

/* Opening */

/* `folder`, or the folder tokenizer/ in it, whichever holds a tokenizer: *found is on the heap. */
static ink_status find_folder(const char *folder, char **found, bool *json, ink_error *error) {
    static const char *const names[] = {"tokenizer.json", "vocab.json"};
    *found = NULL;
    *json = false;
    for (size_t i = 0; i < 4; i++) {
        char *place = i < 2 ? strdup(folder) : ink_path_join(folder, "tokenizer");
        char *path = place ? ink_path_join(place, names[i % 2]) : NULL;
        if (path && ink_path_is_file(path)) {
            free(path);
            *found = place;
            *json = i % 2 == 0;
            return INK_OK;
        }
        free(place);
        if (!path) return ink_fail_memory(error, "a path", strlen(folder));
        free(path);
    }
    return ink_fail(error, INK_ERROR_IO,
                    "%s holds no tokenizer: give a folder with tokenizer.json, or with vocab.json and "
                    "merges.txt, or a model folder",
                    folder);
}

ink_status ink_tokenizer_open(const char *folder, ink_tokenizer **tokenizer, ink_error *error) {
    if (!tokenizer)
        return ink_fail(error, INK_ERROR_ARGUMENT, "ink_tokenizer_open needs a place for the tokenizer");
    *tokenizer = NULL;
    if (!folder) return ink_fail(error, INK_ERROR_ARGUMENT, "ink_tokenizer_open needs a folder");
    char *place;
    bool json;
    INK_TRY(find_folder(folder, &place, &json, error));
    ink_tokenizer *t = calloc(1, sizeof *t);
    ink_status status;
    if (!t) {
        status = ink_fail_memory(error, "a tokenizer", sizeof *t);
    } else if (json) {
        status = ink_tokenizer_read_json(place, t, error);
    } else {
        status = ink_tokenizer_read_files(place, t, error);
    }
    free(place);
    if (status != INK_OK) {
        ink_tokenizer_close(t);
        return status;
    }
    *tokenizer = t;
    return INK_OK;
}

void ink_tokenizer_close(ink_tokenizer *tokenizer) {
    if (!tokenizer) return;
    ink_bpe_fini(&tokenizer->bpe);
    ink_added_fini(&tokenizer->raw);
    ink_added_fini(&tokenizer->normalized);
    ink_splitter_destroy(tokenizer->splitter);
    free(tokenizer);
}

int64_t ink_tokenizer_vocab_size(const ink_tokenizer *tokenizer) {
    return tokenizer->vocab_size;
}

/* Encoding */

/* What one call works with. */
typedef struct encoder {
    const ink_tokenizer *tokenizer;
    ink_split_work *split;
    ink_bpe_work words;
    ink_text normalized;
    ink_ids ids;
    ink_error *error;
} encoder;

static ink_status push(encoder *e, int32_t id) {
    INK_TRY(ink_ids_reserve(&e->ids, 1, e->error));
    e->ids.ids[e->ids.count++] = id;
    return INK_OK;
}

/* Normalized text without added tokens */
static ink_status encode_words(encoder *e, const char *text, size_t bytes) {
    ink_split split;
    ink_split_begin(e->tokenizer->splitter, e->split, text, bytes, &split);
    for (;;) {
        const char *word;
        size_t word_bytes;
        INK_TRY(ink_split_next(&split, &word, &word_bytes, e->error));
        if (!word) return INK_OK;
        INK_TRY(ink_bpe_encode(&e->tokenizer->bpe, word, word_bytes, &e->words, &e->ids, e->error));
    }
}

/* Text without those added tokens that are looked for before normalization */
static ink_status encode_raw(encoder *e, const char *text, size_t bytes) {
    if (e->tokenizer->nfc) {
        e->normalized.bytes = 0;
        INK_TRY(ink_nfc(text, bytes, &e->normalized, e->error));
        text = e->normalized.data;
        bytes = e->normalized.bytes;
    }
    ink_added_walk walk = {.set = &e->tokenizer->normalized, .text = text, .bytes = bytes};
    ink_added_piece piece;
    do {
        ink_added_next(&walk, &piece);
        if (piece.bytes > 0) INK_TRY(encode_words(e, piece.text, piece.bytes));
        if (piece.id >= 0) INK_TRY(push(e, piece.id));
    } while (piece.id >= 0);
    return INK_OK;
}

static ink_status encode_valid(encoder *e, const char *text, size_t bytes) {
    ink_added_walk walk = {.set = &e->tokenizer->raw, .text = text, .bytes = bytes};
    ink_added_piece piece;
    do {
        ink_added_next(&walk, &piece);
        if (piece.bytes > 0) INK_TRY(encode_raw(e, piece.text, piece.bytes));
        if (piece.id >= 0) INK_TRY(push(e, piece.id));
    } while (piece.id >= 0);
    return INK_OK;
}

static ink_status encode_text(encoder *e, const char *text, size_t bytes) {
    INK_TRY(ink_ids_reserve(&e->ids, bytes / 4 + 1, e->error)); /* never NULL, even if empty */
    INK_TRY(ink_split_work_create(e->tokenizer->splitter, &e->split, e->error));
    if (ink_utf8_is_valid(text, bytes)) return encode_valid(e, text, bytes);
    ink_text repaired = {0};
    ink_status status = ink_utf8_repair(text, bytes, &repaired, e->error);
    if (status == INK_OK) status = encode_valid(e, repaired.data, repaired.bytes);
    free(repaired.data);
    return status;
}

static ink_status encode(const ink_tokenizer *tokenizer, const char *text, size_t bytes, int32_t **ids,
                         size_t *count, ink_error *error) {
    encoder e = {.tokenizer = tokenizer, .error = error};
    const ink_status status = encode_text(&e, text, bytes);
    ink_split_work_destroy(e.split);
    ink_bpe_work_fini(&e.words);
    free(e.normalized.data);
    if (status != INK_OK) {
        free(e.ids.ids);
        return status;
    }
    *ids = e.ids.ids;
    *count = e.ids.count;
    return INK_OK;
}

/* Positions in words are 32-bit, and a bad byte becomes three. */
enum { longest_text = 512 << 20 };

ink_status ink_tokenizer_encode(const ink_tokenizer *tokenizer, const char *text, size_t text_bytes,
                                bool with_template, int32_t **ids, size_t *count, ink_error *error) {
    if (ids) *ids = NULL;
    if (count) *count = 0;
    if (!tokenizer || !ids || !count || (!text && text_bytes > 0)) {
        return ink_fail(
            error, INK_ERROR_ARGUMENT,
            "ink_tokenizer_encode needs a tokenizer, a text, and places for the ids and their number");
    }
    if (text_bytes > longest_text) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "the text has %zu bytes, but at most %d can be encoded",
                        text_bytes, longest_text);
    }
    if (!with_template) return encode(tokenizer, text ? text : "", text_bytes, ids, count, error);
    ink_text whole = {0};
    ink_status status = ink_prompt_fill(text, text_bytes, &whole, error);
    if (status == INK_OK) status = encode(tokenizer, whole.data, whole.bytes, ids, count, error);
    free(whole.data);
    return status;
}
