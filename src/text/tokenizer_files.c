/*
 * Reading a tokenizer of the Qwen2 kind from vocab.json, merges.txt, and its added tokens from
 * tokenizer_config.json and added_tokens.json. Normalization and pattern are Qwen2's: no file tells them.
 */
#include "text/vocabulary.h"

#include "base/config.h"
#include "base/file.h"
#include "base/quote.h"

#include <stdlib.h>
#include <string.h>

static bool has_file(const char *folder, const char *name, bool *found) {
    char *path = ink_path_join(folder, name);
    *found = path && ink_path_is_file(path);
    free(path);
    return path != NULL;
}

/* One merge a line, in order of rank. */
static ink_status read_merges(const char *text, size_t bytes, ink_vocabulary *vocabulary, ink_error *error) {
    for (size_t at = 0; at < bytes;) {
        const char *line = text + at;
        const char *newline = memchr(line, '\n', bytes - at);
        size_t length = newline ? (size_t)(newline - line) : bytes - at;
        at += length + 1;
        if (length > 0 && line[length - 1] == '\r') length--;
        if (length == 0) continue;
        INK_TRY(ink_vocabulary_merge_line(vocabulary, line, length, error));
    }
    return INK_OK;
}

static ink_status read_merges_file(const char *folder, ink_vocabulary *vocabulary, ink_error *error) {
    char *path = ink_path_join(folder, "merges.txt");
    if (!path) return ink_fail_memory(error, "a path", strlen(folder));
    char *text = NULL;
    size_t bytes;
    ink_status status = ink_file_read(path, INK_JSON_MAX_BYTES, &text, &bytes, error);
    if (status == INK_OK) {
        const char *vocabulary_path = vocabulary->path;
        vocabulary->path = path;
        status = read_merges(text, bytes, vocabulary, error);
        vocabulary->path = vocabulary_path;
    }
    free(text);
    free(path);
    return status;
}

/* The id that a key of added_tokens_decoder spells. */
static bool spelled_id(const char *text, int32_t *id) {
    int64_t value = 0;
    if (!text[0]) return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return false;
        value = 10 * value + (*text - '0');
        if (value > INT32_MAX) return false;
    }
    *id = (int32_t)value;
    return true;
}

/* "added_tokens_decoder": {"151643": {"content": "<|endoftext|>", ...}, ...} */
static ink_status read_decoder(const ink_config *config, const ink_vocabulary *vocabulary,
                               ink_tokenizer *tokenizer, ink_error *error) {
    const char *key;
    json_t *entry;
    json_object_foreach(json_object_get(config->root, "added_tokens_decoder"), key, entry) {
        ink_added_token token;
        if (!ink_vocabulary_entry(entry, &token) || !spelled_id(key, &token.id)) {
            char quoted[INK_QUOTE_BYTES];
            return ink_fail(error, INK_ERROR_FORMAT,
                            "%s: the added token \"%s\" needs a number from 0 to 2147483647 as its key and a "
                            "text \"content\"",
                            config->path, ink_quote(key, quoted));
        }
        INK_TRY(ink_vocabulary_add(vocabulary, tokenizer, &token, error));
    }
    return INK_OK;
}

static ink_status read_settings(const ink_config *config, const ink_vocabulary *vocabulary,
                                ink_tokenizer *tokenizer, ink_error *error) {
    static const char *const flags[] = {"add_prefix_space", "split_special_tokens"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (!json_is_true(json_object_get(config->root, flags[i]))) continue;
        return ink_fail(error, INK_ERROR_UNSUPPORTED, "%s sets \"%s\", which Inkstone does not support",
                        config->path, flags[i]);
    }
    const char *class = json_string_value(json_object_get(config->root, "tokenizer_class"));
    if (class && strncmp(class, "Qwen2Tokenizer", strlen("Qwen2Tokenizer")) != 0) {
        char quoted[INK_QUOTE_BYTES];
        return ink_fail(
            error, INK_ERROR_UNSUPPORTED,
            "%s: without tokenizer.json only a Qwen2Tokenizer is supported, but \"tokenizer_class\""
            " is \"%s\"",
            config->path, ink_quote(class, quoted));
    }
    return read_decoder(config, vocabulary, tokenizer, error);
}

/* {"<|endoftext|>": 151643, ...}: tokens that tokenizer_config.json does not describe are taken as they are
 * written. */
static ink_status read_added(const ink_config *config, const ink_vocabulary *vocabulary,
                             ink_tokenizer *tokenizer, ink_error *error) {
    INK_TRY(ink_added_finish(&tokenizer->raw, error));
    INK_TRY(ink_added_finish(&tokenizer->normalized, error));
    const char *content;
    json_t *value;
    json_object_foreach(config->root, content, value) {
        const size_t bytes = strlen(content);
        char quoted[INK_QUOTE_BYTES];
        ink_quote(content, quoted);
        ink_added_token token = {0};
        if (!ink_token_id(value, &token.id)) {
            return ink_fail(error, INK_ERROR_FORMAT,
                            "%s: the id of \"%s\" must be a whole number from 0 to 2147483647", config->path,
                            quoted);
        }
        const ink_added_token *known = ink_added_find(&tokenizer->raw, content, bytes);
        if (!known) known = ink_added_find(&tokenizer->normalized, content, bytes);
        if (known && known->id != token.id) {
            return ink_fail(error, INK_ERROR_FORMAT,
                            "%s gives \"%s\" the id %d, but tokenizer_config.json gives it %d", config->path,
                            quoted, (int)token.id, (int)known->id);
        }
        if (known) continue;
        token.content = content;
        token.bytes = bytes;
        INK_TRY(ink_vocabulary_add(vocabulary, tokenizer, &token, error));
    }
    return INK_OK;
}

typedef ink_status read_fn(const ink_config *, const ink_vocabulary *, ink_tokenizer *, ink_error *);

static ink_status read_optional(const char *folder, const char *name, read_fn *read,
                                const ink_vocabulary *vocabulary, ink_tokenizer *tokenizer,
                                ink_error *error) {
    bool found;
    if (!has_file(folder, name, &found)) return ink_fail_memory(error, "a path", strlen(folder));
    if (!found) return INK_OK;
    ink_config config;
    INK_TRY(ink_config_open(folder, name, &config, error));
    const ink_status status = read(&config, vocabulary, tokenizer, error);
    (void)ink_config_close(&config, NULL);
    return status;
}

ink_status ink_tokenizer_read_files(const char *folder, ink_tokenizer *tokenizer, ink_error *error) {
    tokenizer->nfc = true;
    INK_TRY(ink_splitter_create(INK_QWEN2_PATTERN, &tokenizer->splitter, error));
    ink_config config;
    INK_TRY(ink_config_open(folder, "vocab.json", &config, error));
    ink_vocabulary vocabulary = {0};
    ink_status status = ink_vocabulary_init(&vocabulary, config.root, config.path, error);
    if (status == INK_OK) status = read_merges_file(folder, &vocabulary, error);
    if (status == INK_OK) {
        status = read_optional(folder, "tokenizer_config.json", read_settings, &vocabulary, tokenizer, error);
    }
    if (status == INK_OK) {
        status = read_optional(folder, "added_tokens.json", read_added, &vocabulary, tokenizer, error);
    }
    if (status == INK_OK) status = ink_vocabulary_finish(&vocabulary, tokenizer, error);
    ink_vocabulary_fini(&vocabulary);
    (void)ink_config_close(&config, NULL);
    return status;
}
