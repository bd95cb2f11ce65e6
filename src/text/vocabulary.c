#include "text/vocabulary.h"

#include "base/quote.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Ids */

bool ink_token_id(const json_t *value, int32_t *id) {
    if (!json_is_integer(value)) return false;
    const json_int_t x = json_integer_value(value);
    if (x < 0 || x > INT32_MAX) return false;
    *id = (int32_t)x;
    return true;
}

static int by_value(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void sort_ids(int32_t *ids, size_t count) {
    /* Vocabularies are usually written in order. */
    size_t i = 1;
    while (i < count && ids[i - 1] <= ids[i]) {
        i++;
    }
    if (i < count) qsort(ids, count, sizeof *ids, by_value);
}

/* The first id of an ascending list that is there twice, or -1. */
static int32_t repeated_id(const int32_t *ids, size_t count) {
    for (size_t i = 1; i < count; i++) {
        if (ids[i - 1] == ids[i]) return ids[i];
    }
    return -1;
}

static ink_status fail_repeated(const char *path, int32_t id, ink_error *error) {
    return ink_fail(error, INK_ERROR_FORMAT, "%s gives the id %" PRId32 " to two tokens", path, id);
}

static ink_status fail_id(const char *path, const char *token, ink_error *error) {
    char quoted[INK_QUOTE_BYTES];
    return ink_fail(error, INK_ERROR_FORMAT,
                    "%s: the id of the token \"%s\" must be a whole number from 0 to %" PRId32, path,
                    ink_quote(token, quoted), INT32_MAX);
}

/* Vocabulary */

ink_status ink_vocabulary_init(ink_vocabulary *vocabulary, json_t *tokens, const char *path,
                               ink_error *error) {
    *vocabulary = (ink_vocabulary){.path = path, .tokens = tokens};
    if (!json_is_object(tokens)) {
        return ink_fail(error, INK_ERROR_FORMAT, "%s: the vocabulary must be an object of tokens and ids",
                        path);
    }
    const size_t count = json_object_size(tokens);
    vocabulary->ids = malloc(count ? count * sizeof *vocabulary->ids : 1);
    if (!vocabulary->ids) return ink_fail_memory(error, "a vocabulary", count * sizeof *vocabulary->ids);
    const char *token;
    json_t *value;
    json_object_foreach(tokens, token, value) {
        if (!ink_token_id(value, &vocabulary->ids[vocabulary->count])) return fail_id(path, token, error);
        vocabulary->count++;
    }
    sort_ids(vocabulary->ids, count);
    const int32_t repeated = repeated_id(vocabulary->ids, count);
    return repeated < 0 ? INK_OK : fail_repeated(path, repeated, error);
}

void ink_vocabulary_fini(ink_vocabulary *vocabulary) {
    free(vocabulary->ids);
    free(vocabulary->merges);
    free(vocabulary->scratch.data);
    *vocabulary = (ink_vocabulary){0};
}

/* The id of the token `a` `b`, which must be there. */
static ink_status find_required(ink_vocabulary *vocabulary, const char *a, size_t a_bytes, const char *b,
                                size_t b_bytes, int32_t *id, ink_error *error) {
    ink_text *token = &vocabulary->scratch;
    token->bytes = 0;
    if (!ink_text_append(token, a, a_bytes) || !ink_text_append(token, b, b_bytes) ||
        !ink_text_append(token, "", 1)) {
        return ink_fail_memory(error, "a token", a_bytes);
    }
    /* A NUL within the token would hide what is behind it. */
    if (strlen(token->data) == a_bytes + b_bytes &&
        ink_token_id(json_object_get(vocabulary->tokens, token->data), id)) {
        return INK_OK;
    }
    char quoted[INK_QUOTE_BYTES];
    return ink_fail(error, INK_ERROR_FORMAT,
                    "%s: merge %zu needs the token \"%s\", which is not in the vocabulary", vocabulary->path,
                    vocabulary->merge_count + 1, ink_quote_bytes(token->data, a_bytes + b_bytes, quoted));
}

ink_status ink_vocabulary_merge(ink_vocabulary *vocabulary, const char *left, size_t left_bytes,
                                const char *right, size_t right_bytes, ink_error *error) {
    if (vocabulary->merge_count == vocabulary->merge_capacity) {
        const size_t capacity = 2 * vocabulary->merge_capacity + 1024;
        ink_merge *grown = realloc(vocabulary->merges, capacity * sizeof *grown);
        if (!grown) return ink_fail_memory(error, "merges", capacity * sizeof *grown);
        vocabulary->merges = grown;
        vocabulary->merge_capacity = capacity;
    }
    ink_merge *merge = &vocabulary->merges[vocabulary->merge_count];
    INK_TRY(find_required(vocabulary, left, left_bytes, "", 0, &merge->left, error));
    INK_TRY(find_required(vocabulary, right, right_bytes, "", 0, &merge->right, error));
    INK_TRY(find_required(vocabulary, left, left_bytes, right, right_bytes, &merge->id, error));
    vocabulary->merge_count++;
    return INK_OK;
}

ink_status ink_vocabulary_merge_line(ink_vocabulary *vocabulary, const char *line, size_t bytes,
                                     ink_error *error) {
    static const char version[] = "#version";
    if (bytes >= sizeof version - 1 && memcmp(line, version, sizeof version - 1) == 0) return INK_OK;
    const char *space = bytes ? memchr(line, ' ', bytes) : NULL;
    const size_t left = space ? (size_t)(space - line) : 0;
    if (!space || memchr(space + 1, ' ', bytes - left - 1)) {
        char quoted[INK_QUOTE_BYTES];
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s: merge %zu is \"%s\", but two tokens with one space between them are needed",
                        vocabulary->path, vocabulary->merge_count + 1, ink_quote_bytes(line, bytes, quoted));
    }
    return ink_vocabulary_merge(vocabulary, line, left, space + 1, bytes - left - 1, error);
}

/* The 256 bytes as tokens: printable characters of Latin-1 stand for themselves, the other bytes for U+0100
 * and up. ref: transformers gpt2, bytes_to_unicode */
static void find_bytes(ink_vocabulary *vocabulary, int32_t byte_ids[256]) {
    unsigned next = 0x100;
    for (unsigned byte = 0; byte < 256; byte++) {
        const bool itself =
            (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
        const unsigned code = itself ? byte : next++;
        char token[3] = {(char)code};
        if (code >= 0x80) {
            token[0] = (char)(0xC0 | code >> 6);
            token[1] = (char)(0x80 | (code & 0x3F));
        }
        byte_ids[byte] = -1;
        (void)ink_token_id(json_object_get(vocabulary->tokens, token), &byte_ids[byte]);
    }
}

bool ink_vocabulary_has_all_bytes(ink_vocabulary *vocabulary) {
    int32_t ids[256];
    find_bytes(vocabulary, ids);
    for (size_t i = 0; i < 256; i++) {
        if (ids[i] < 0) return false;
    }
    return true;
}

/* Added tokens */

bool ink_vocabulary_entry(const json_t *entry, ink_added_token *token) {
    const json_t *content = json_object_get(entry, "content");
    if (!json_is_string(content)) return false;
    *token = (ink_added_token){.content = json_string_value(content),
                               .bytes = json_string_length(content),
                               .normalized = json_is_true(json_object_get(entry, "normalized")),
                               .single_word = json_is_true(json_object_get(entry, "single_word")),
                               .lstrip = json_is_true(json_object_get(entry, "lstrip")),
                               .rstrip = json_is_true(json_object_get(entry, "rstrip"))};
    return true;
}

ink_status ink_vocabulary_add(const ink_vocabulary *vocabulary, ink_tokenizer *tokenizer,
                              const ink_added_token *token, ink_error *error) {
    if (token->bytes == 0) return INK_OK;
    char quoted[INK_QUOTE_BYTES];
    ink_quote_bytes(token->content, token->bytes, quoted);
    if (memchr(token->content, '\0', token->bytes)) {
        return ink_fail(error, INK_ERROR_FORMAT, "%s: the added token \"%s\" holds a NUL", vocabulary->path,
                        quoted);
    }
    const json_t *listed = json_object_get(vocabulary->tokens, token->content);
    if (listed && json_integer_value(listed) != token->id) {
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s: the added token \"%s\" has the id %" PRId32
                        ", but the vocabulary gives it the id %" JSON_INTEGER_FORMAT,
                        vocabulary->path, quoted, token->id, json_integer_value(listed));
    }
    if (!listed && vocabulary->count > 0 &&
        bsearch(&token->id, vocabulary->ids, vocabulary->count, sizeof *vocabulary->ids, by_value)) {
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s: the added token \"%s\" has the id %" PRId32
                        ", which another token of the vocabulary has",
                        vocabulary->path, quoted, token->id);
    }
    if (!token->normalized) return ink_added_add(&tokenizer->raw, token, error);
    if (!tokenizer->nfc) return ink_added_add(&tokenizer->normalized, token, error);
    ink_text content = {0};
    ink_status status = ink_nfc(token->content, token->bytes, &content, error);
    ink_added_token copy = *token;
    copy.content = content.data;
    copy.bytes = content.bytes;
    if (status == INK_OK) status = ink_added_add(&tokenizer->normalized, &copy, error);
    free(content.data);
    return status;
}

/* Two added tokens with one id. */
static ink_status check_added_ids(const ink_vocabulary *vocabulary, const ink_tokenizer *tokenizer,
                                  ink_error *error) {
    const ink_added *sets[2] = {&tokenizer->raw, &tokenizer->normalized};
    const size_t count = sets[0]->count + sets[1]->count;
    int32_t *ids = malloc(count ? count * sizeof *ids : 1);
    if (!ids) return ink_fail_memory(error, "added tokens", count * sizeof *ids);
    size_t n = 0;
    for (size_t s = 0; s < 2; s++) {
        for (size_t i = 0; i < sets[s]->count; i++) {
            ids[n++] = sets[s]->tokens[i].id;
        }
    }
    sort_ids(ids, count);
    const int32_t repeated = repeated_id(ids, count);
    free(ids);
    return repeated < 0 ? INK_OK : fail_repeated(vocabulary->path, repeated, error);
}

static void note_id(ink_tokenizer *tokenizer, int32_t id) {
    if (id >= tokenizer->vocab_size) tokenizer->vocab_size = (int64_t)id + 1;
}

ink_status ink_vocabulary_finish(ink_vocabulary *vocabulary, ink_tokenizer *tokenizer, ink_error *error) {
    INK_TRY(check_added_ids(vocabulary, tokenizer, error));
    INK_TRY(ink_added_finish(&tokenizer->raw, error));
    INK_TRY(ink_added_finish(&tokenizer->normalized, error));
    find_bytes(vocabulary, tokenizer->bpe.byte_ids);
    INK_TRY(ink_bpe_init(&tokenizer->bpe, vocabulary->merges, vocabulary->merge_count, error));
    for (size_t i = 0; i < 256; i++) {
        note_id(tokenizer, tokenizer->bpe.byte_ids[i]);
    }
    for (size_t i = 0; i < vocabulary->merge_count; i++) {
        note_id(tokenizer, vocabulary->merges[i].id);
    }
    for (size_t i = 0; i < tokenizer->raw.count; i++) {
        note_id(tokenizer, tokenizer->raw.tokens[i].id);
    }
    for (size_t i = 0; i < tokenizer->normalized.count; i++) {
        note_id(tokenizer, tokenizer->normalized.tokens[i].id);
    }
    return INK_OK;
}
