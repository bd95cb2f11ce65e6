/*
 * Reading tokenizer.json, the one-file notation of Hugging Face tokenizers. It can describe many machines;
 * this accepts byte-level byte-pair encoding and refuses the rest in words.
 */
#include "text/vocabulary.h"

#include "base/config.h"
#include "base/quote.h"

#include <string.h>

/* "" if there is none. */
static const char *type_of(const json_t *object) {
    const char *type = json_string_value(json_object_get(object, "type"));
    return type ? type : "";
}

static bool is_absent(const json_t *value) {
    return !value || json_is_null(value);
}

static ink_status refuse(const char *path, const char *part, const char *what, const char *known,
                         ink_error *error) {
    char quoted[INK_QUOTE_BYTES];
    return ink_fail(error, INK_ERROR_UNSUPPORTED, "%s has the %s \"%s\", but only %s is supported", path,
                    part, ink_quote(what, quoted), known);
}

/* A key that may be missing or null, false, or an empty text, and nothing else. */
static ink_status refuse_if_set(const char *path, const json_t *object, const char *key, ink_error *error) {
    const json_t *value = json_object_get(object, key);
    const bool empty_text = json_is_string(value) && json_string_length(value) == 0;
    if (is_absent(value) || json_is_false(value) || empty_text) return INK_OK;
    return ink_fail(error, INK_ERROR_UNSUPPORTED, "%s sets \"%s\", which Inkstone does not support", path,
                    key);
}

/* nothing, NFC, or a sequence of NFC */
static ink_status read_normalizer(const char *path, const json_t *normalizer, bool *nfc, ink_error *error) {
    *nfc = false;
    if (is_absent(normalizer)) return INK_OK;
    const char *type = type_of(normalizer);
    if (strcmp(type, "Sequence") != 0) {
        *nfc = strcmp(type, "NFC") == 0;
        return *nfc ? INK_OK : refuse(path, "normalizer", type, "NFC", error);
    }
    size_t i;
    json_t *part;
    json_array_foreach(json_object_get(normalizer, "normalizers"), i, part) {
        *nfc = strcmp(type_of(part), "NFC") == 0;
        if (!*nfc) return refuse(path, "normalizer", type_of(part), "NFC", error);
    }
    return INK_OK;
}

/* Split by a pattern, then ByteLevel without a pattern of its own */
static ink_status read_pre_tokenizer(const char *path, const json_t *pre_tokenizer, ink_splitter **splitter,
                                     ink_error *error) {
    static const char known[] = "a Sequence of Split and ByteLevel";
    const json_t *parts = json_object_get(pre_tokenizer, "pretokenizers");
    if (strcmp(type_of(pre_tokenizer), "Sequence") != 0 || json_array_size(parts) != 2) {
        return refuse(path, "pre-tokenizer", type_of(pre_tokenizer), known, error);
    }
    const json_t *split = json_array_get(parts, 0), *bytes = json_array_get(parts, 1);
    if (strcmp(type_of(split), "Split") != 0)
        return refuse(path, "pre-tokenizer", type_of(split), known, error);
    if (strcmp(type_of(bytes), "ByteLevel") != 0) {
        return refuse(path, "pre-tokenizer", type_of(bytes), known, error);
    }
    const char *behavior = json_string_value(json_object_get(split, "behavior"));
    if (!behavior || strcmp(behavior, "Isolated") != 0) {
        return refuse(path, "split behavior", behavior ? behavior : "", "Isolated", error);
    }
    INK_TRY(refuse_if_set(path, split, "invert", error));
    INK_TRY(refuse_if_set(path, bytes, "add_prefix_space", error));
    if (!json_is_false(json_object_get(bytes, "use_regex"))) { /* true where it is missing */
        return refuse(path, "pre-tokenizer", "ByteLevel with use_regex", "ByteLevel without it", error);
    }
    const char *pattern = json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
    if (!pattern) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED,
                        "%s splits by something that is not a regular expression", path);
    }
    return ink_splitter_create(pattern, splitter, error);
}

/* Whether it adds no token to those of the text. */
static bool adds_nothing(const json_t *processor) {
    const char *type = type_of(processor);
    if (strcmp(type, "ByteLevel") == 0) return true;
    if (strcmp(type, "TemplateProcessing") != 0) return false;
    const json_t *single = json_object_get(processor, "single");
    const json_t *only = json_array_get(single, 0);
    return json_array_size(single) == 1 && json_object_get(only, "Sequence");
}

static ink_status check_post_processor(const char *path, const json_t *processor, ink_error *error) {
    static const char known[] = "one that adds no tokens (ByteLevel, TemplateProcessing)";
    if (is_absent(processor) || adds_nothing(processor)) return INK_OK;
    if (strcmp(type_of(processor), "Sequence") != 0) {
        return refuse(path, "post-processor", type_of(processor), known, error);
    }
    size_t i;
    json_t *part;
    json_array_foreach(json_object_get(processor, "processors"), i, part) {
        if (!adds_nothing(part)) return refuse(path, "post-processor", type_of(part), known, error);
    }
    return INK_OK;
}

static ink_status check_model(const char *path, const json_t *model, ink_error *error) {
    const char *type = type_of(model);
    if (type[0] && strcmp(type, "BPE") != 0) return refuse(path, "model", type, "BPE", error);
    static const char *const keys[] = {"continuing_subword_prefix", "end_of_word_suffix", "byte_fallback",
                                       "ignore_merges"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        INK_TRY(refuse_if_set(path, model, keys[i], error));
    }
    if (json_number_value(json_object_get(model, "dropout")) != 0.0) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED, "%s sets \"dropout\", which makes ids random", path);
    }
    return INK_OK;
}

/* "left right" or ["left", "right"] */
static ink_status read_merges(const char *path, const json_t *merges, ink_vocabulary *vocabulary,
                              ink_error *error) {
    if (!json_is_array(merges)) {
        return ink_fail(error, INK_ERROR_FORMAT, "%s: \"merges\" must be an array", path);
    }
    size_t i;
    json_t *merge;
    json_array_foreach(merges, i, merge) {
        const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
        if (json_is_string(merge)) {
            INK_TRY(ink_vocabulary_merge_line(vocabulary, json_string_value(merge), json_string_length(merge),
                                              error));
        } else if (json_array_size(merge) == 2 && json_is_string(left) && json_is_string(right)) {
            INK_TRY(ink_vocabulary_merge(vocabulary, json_string_value(left), json_string_length(left),
                                         json_string_value(right), json_string_length(right), error));
        } else {
            return ink_fail(error, INK_ERROR_FORMAT,
                            "%s: merge %zu must be \"left right\" or [\"left\", \"right\"]", path, i + 1);
        }
    }
    return INK_OK;
}

static ink_status read_added(const char *path, const json_t *tokens, const ink_vocabulary *vocabulary,
                             ink_tokenizer *tokenizer, ink_error *error) {
    if (!is_absent(tokens) && !json_is_array(tokens)) {
        return ink_fail(error, INK_ERROR_FORMAT, "%s: \"added_tokens\" must be an array", path);
    }
    size_t i;
    json_t *entry;
    json_array_foreach(tokens, i, entry) {
        ink_added_token token;
        if (!ink_vocabulary_entry(entry, &token) || !ink_token_id(json_object_get(entry, "id"), &token.id)) {
            return ink_fail(error, INK_ERROR_FORMAT,
                            "%s: added token %zu needs a text \"content\" and an \"id\" from 0 to 2147483647",
                            path, i + 1);
        }
        INK_TRY(ink_vocabulary_add(vocabulary, tokenizer, &token, error));
    }
    return INK_OK;
}

static ink_status read_root(const char *path, const json_t *root, ink_vocabulary *vocabulary,
                            ink_tokenizer *tokenizer, ink_error *error) {
    const json_t *model = json_object_get(root, "model");
    if (!json_is_object(model)) {
        return ink_fail(error, INK_ERROR_FORMAT, "%s has no \"model\"", path);
    }
    INK_TRY(check_model(path, model, error));
    INK_TRY(read_normalizer(path, json_object_get(root, "normalizer"), &tokenizer->nfc, error));
    INK_TRY(read_pre_tokenizer(path, json_object_get(root, "pre_tokenizer"), &tokenizer->splitter, error));
    INK_TRY(check_post_processor(path, json_object_get(root, "post_processor"), error));
    INK_TRY(ink_vocabulary_init(vocabulary, json_object_get(model, "vocab"), path, error));
    /* A token for unknown bytes has no effect where there are none. */
    if (!ink_vocabulary_has_all_bytes(vocabulary)) INK_TRY(refuse_if_set(path, model, "unk_token", error));
    INK_TRY(read_merges(path, json_object_get(model, "merges"), vocabulary, error));
    INK_TRY(read_added(path, json_object_get(root, "added_tokens"), vocabulary, tokenizer, error));
    return ink_vocabulary_finish(vocabulary, tokenizer, error);
}

ink_status ink_tokenizer_read_json(const char *folder, ink_tokenizer *tokenizer, ink_error *error) {
    ink_config config;
    INK_TRY(ink_config_open(folder, "tokenizer.json", &config, error));
    ink_vocabulary vocabulary = {0};
    const ink_status status = read_root(config.path, config.root, &vocabulary, tokenizer, error);
    ink_vocabulary_fini(&vocabulary);
    (void)ink_config_close(&config, NULL);
    return status;
}
