/*
 * Building a tokenizer from what its files say. Everything here is checked: files are hostile.
 */
#ifndef INK_TEXT_VOCABULARY_H
#define INK_TEXT_VOCABULARY_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/pattern.h"

#include <jansson.h>

struct ink_tokenizer {
    ink_bpe bpe;
    ink_added raw;        /* looked for in the text as it is */
    ink_added normalized; /* looked for in the normalized text */
    bool nfc;             /* the text is brought to normalization form C */
    ink_splitter *splitter;
    int64_t vocab_size;
};

/* A vocabulary: token -> id. Lives only while a tokenizer is built. */
typedef struct ink_vocabulary {
    const char *path; /* borrowed, for messages */
    json_t *tokens;   /* borrowed object of numbers */
    int32_t *ids;     /* all ids, ascending */
    size_t count;
    ink_merge *merges;
    size_t merge_count, merge_capacity;
    ink_text scratch;
} ink_vocabulary;

/* Checks the vocabulary `tokens`: ids from 0 to 2^31 - 1, none twice. Call _fini also after a failure. */
ink_status ink_vocabulary_init(ink_vocabulary *vocabulary, json_t *tokens, const char *path,
                               ink_error *error);
void ink_vocabulary_fini(ink_vocabulary *vocabulary);

/* Adds the next merge of the list. INK_ERROR_FORMAT if a token is not in the vocabulary. */
ink_status ink_vocabulary_merge(ink_vocabulary *vocabulary, const char *left, size_t left_bytes,
                                const char *right, size_t right_bytes, ink_error *error);
/* The same for the notation "left right"; a line that begins with "#version" is no merge. */
ink_status ink_vocabulary_merge_line(ink_vocabulary *vocabulary, const char *line, size_t bytes,
                                     ink_error *error);

/* Adds a token of its own. `token` is copied. Empty ones are ignored, as tokenizers does. */
ink_status ink_vocabulary_add(const ink_vocabulary *vocabulary, ink_tokenizer *tokenizer,
                              const ink_added_token *token, ink_error *error);

/* Reads what an entry of added_tokens or added_tokens_decoder says of a token, except its id; false if it has
 * no content. The content is borrowed. */
bool ink_vocabulary_entry(const json_t *entry, ink_added_token *token);

/* An id in a file: whole, from 0 to 2^31 - 1. */
bool ink_token_id(const json_t *value, int32_t *id);

/* Whether all 256 bytes are in the vocabulary, so that no text can hold an unknown one. */
bool ink_vocabulary_has_all_bytes(ink_vocabulary *vocabulary);

/* Makes the merge table, sorts the added tokens, sets vocab_size. */
ink_status ink_vocabulary_finish(ink_vocabulary *vocabulary, ink_tokenizer *tokenizer, ink_error *error);

/* The two notations; `folder` holds the file or files. */
ink_status ink_tokenizer_read_json(const char *folder, ink_tokenizer *tokenizer, ink_error *error);
ink_status ink_tokenizer_read_files(const char *folder, ink_tokenizer *tokenizer, ink_error *error);

#endif
