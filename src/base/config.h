/*
 * Reading JSON configuration files (jansson underneath), which are hostile: size, depth and ranges are
 * checked.
 *
 * A reader keeps the first error; getters after it return their fallback, and ink_config_close reports it.
 * Getters look into the object that is current.
 */
#ifndef INK_BASE_CONFIG_H
#define INK_BASE_CONFIG_H

#include "base/status.h"

#include <jansson.h>

typedef struct ink_config {
    json_t *root;        /* owned */
    json_t *object;      /* borrowed: where getters look */
    char *path;          /* owned, for messages */
    const char *section; /* borrowed: key of the current object, for messages; NULL at the root */
    ink_error error;     /* the first one; status INK_OK if none */
} ink_config;

/* Limits of the texts that are parsed. The largest file in use, the tokenizer.json of a real model, has 11
 * MiB and half a million values; the limit on values bounds the memory of the parsed text at about 1 GiB. */
#define INK_JSON_MAX_BYTES  ((size_t)64 << 20)
#define INK_JSON_MAX_DEPTH  64
#define INK_JSON_MAX_VALUES 4000000

/* Parses `text` of any bytes. Size, depth and the number of values are limited (INK_ERROR_FORMAT); duplicate
 * keys are an error. `what` names the text in messages. *json is owned by the caller (json_decref). */
ink_status ink_json_parse(const char *text, size_t bytes, const char *what, json_t **json, ink_error *error);

/* Reads `folder`/`name` (at most 64 MiB). On failure `config` is zeroed. */
ink_status ink_config_open(const char *folder, const char *name, ink_config *config, ink_error *error);

/* Frees the reader; returns the first error of its getters. */
ink_status ink_config_close(ink_config *config, ink_error *error);

/* Fails the reader with "<path>: <message>" unless it already failed. */
void ink_config_fail(ink_config *config, ink_status status, const char *format, ...) INK_PRINTF(3, 4);

/* Makes the object under `key` current; false (and no change) if there is none or it is null. Another type
 * fails the reader. ink_config_leave returns to the root. */
bool ink_config_enter(ink_config *config, const char *key);
void ink_config_leave(ink_config *config);

bool ink_config_has(const ink_config *config, const char *key); /* present and not null */

/* The number under `key`. Missing or null gives `fallback`; another type, or a value outside [min, max],
 * fails the reader and gives `fallback`. A real without fraction (1.0) counts as an integer.
 * ink_config_require_int fails it also when the key is missing, and gives `min`. */
int64_t ink_config_int(ink_config *config, const char *key, int64_t min, int64_t max, int64_t fallback);
int64_t ink_config_require_int(ink_config *config, const char *key, int64_t min, int64_t max);
double ink_config_double(ink_config *config, const char *key, double min, double max, double fallback);
bool ink_config_bool(ink_config *config, const char *key, bool fallback);
/* Borrowed until close. */
const char *ink_config_text(ink_config *config, const char *key, const char *fallback);
/* Reads up to `capacity` numbers in [min, max] into `out`; returns how many, 0 if the key is missing or the
 * reader fails. More than `capacity` fails the reader. */
size_t ink_config_ints(ink_config *config, const char *key, int64_t min, int64_t max, int64_t *out,
                       size_t capacity);
size_t ink_config_doubles(ink_config *config, const char *key, double *out,
                          size_t capacity); /* finite ones only */
/* Like ink_config_ints, for booleans. */
size_t ink_config_bools(ink_config *config, const char *key, bool *out, size_t capacity);

#endif
