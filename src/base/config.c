#include "base/config.h"

#include "base/file.h"
#include "base/quote.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parsing */

/* jansson recurses once per level and builds every value in memory, so both are limited before it starts.
 * Brackets, commas and colons outside of strings are at least as many as values, less one. */
static ink_status check_limits(const char *text, size_t bytes, const char *what, ink_error *error) {
    size_t depth = 0, values = 1;
    bool in_string = false;
    for (size_t i = 0; i < bytes; i++) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            values++;
            if (++depth > INK_JSON_MAX_DEPTH) {
                return ink_fail(error, INK_ERROR_FORMAT,
                                "%s nests JSON arrays or objects more than %d deep at byte %zu", what,
                                INK_JSON_MAX_DEPTH, i);
            }
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (c == ',' || c == ':') {
            values++;
        }
        if (values > INK_JSON_MAX_VALUES) {
            return ink_fail(error, INK_ERROR_FORMAT, "%s holds more than %d JSON values", what,
                            INK_JSON_MAX_VALUES);
        }
    }
    return INK_OK;
}

/* The text on its way to jansson, which loses bytes without a word when the buffer it reads tokens into
 * cannot grow. The allocation that failed leaves ENOMEM in errno, but reading a number clears errno: so
 * jansson is given what lies before a digit, and errno is looked at before it gets the digit. */
typedef struct json_feed {
    const char *text;
    size_t bytes, at;
    bool out_of_memory;
} json_feed;

static size_t feed_json(void *buffer, size_t size, void *user) {
    json_feed *feed = user;
    if (errno == ENOMEM) feed->out_of_memory = true;
    const char *text = feed->text + feed->at;
    const size_t left = feed->bytes - feed->at;
    if (size > left) size = left;
    size_t n = size > 0;
    while (n < size && !(text[n] >= '0' && text[n] <= '9'))
        n++;
    memcpy(buffer, text, n);
    feed->at += n;
    return n;
}

ink_status ink_json_parse(const char *text, size_t bytes, const char *what, json_t **json, ink_error *error) {
    *json = NULL;
    if (bytes > INK_JSON_MAX_BYTES) {
        return ink_fail(error, INK_ERROR_FORMAT, "%s has %zu bytes of JSON, but at most %zu are accepted",
                        what, bytes, INK_JSON_MAX_BYTES);
    }
    INK_TRY(check_limits(text, bytes, what, error));
    json_error_t problem = {0};
    json_feed feed = {.text = text, .bytes = bytes};
    errno = 0;
    json_t *root = json_load_callback(feed_json, &feed, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
    if (feed.out_of_memory || errno == ENOMEM || json_error_code(&problem) == json_error_out_of_memory) {
        json_decref(root);
        return ink_fail_memory(error, what, bytes);
    }
    if (root) {
        *json = root;
        return INK_OK;
    }
    char reason[INK_QUOTE_BYTES];
    return ink_fail(error, INK_ERROR_FORMAT, "%s is not valid JSON: line %d, column %d: %s", what,
                    problem.line, problem.column, ink_quote(problem.text, reason));
}

ink_status ink_config_open(const char *folder, const char *name, ink_config *config, ink_error *error) {
    *config = (ink_config){0};
    char *path = ink_path_join(folder, name);
    if (!path) return ink_fail_memory(error, "a path", strlen(folder) + strlen(name) + 2);
    char *text = NULL;
    size_t bytes;
    json_t *root = NULL;
    ink_status status = ink_file_read(path, INK_JSON_MAX_BYTES, &text, &bytes, error);
    if (status == INK_OK) status = ink_json_parse(text, bytes, path, &root, error);
    free(text);
    if (status == INK_OK && !json_is_object(root)) {
        status = ink_fail(error, INK_ERROR_FORMAT, "%s must hold a JSON object, {...}", path);
    }
    if (status != INK_OK) {
        json_decref(root);
        free(path);
        return status;
    }
    config->root = config->object = root;
    config->path = path;
    return INK_OK;
}

ink_status ink_config_close(ink_config *config, ink_error *error) {
    const ink_status status = config->error.status;
    if (status != INK_OK && error) *error = config->error;
    json_decref(config->root);
    free(config->path);
    *config = (ink_config){0};
    return status;
}

/* Failing */

void ink_config_fail(ink_config *config, ink_status status, const char *format, ...) {
    if (config->error.status != INK_OK) return;
    char message[INK_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(message, sizeof message, format, arguments) < 0) message[0] = '\0';
    va_end(arguments);
    ink_fail(&config->error, status, "%s: %s", config->path, message);
}

/* "text_config.hidden_size" */
static const char *full_key(const ink_config *config, const char *key, char out[INK_QUOTE_BYTES]) {
    char section[INK_QUOTE_BYTES / 2 - 1];
    section[0] = '\0';
    if (config->section) snprintf(section, sizeof section, "%s", config->section);
    snprintf(out, INK_QUOTE_BYTES, "%s%s%s", section, config->section ? "." : "", key);
    char copy[INK_QUOTE_BYTES];
    memcpy(copy, out, sizeof copy);
    return ink_quote(copy, out);
}

enum { describe_bytes = INK_QUOTE_BYTES + 2 }; /* a quoted text in quotation marks */

/* The value as a person would name it. */
static const char *describe(const json_t *value, char out[describe_bytes]) {
    char text[INK_QUOTE_BYTES];
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        return "null";
    case JSON_INTEGER:
        snprintf(out, describe_bytes, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return out;
    case JSON_REAL:
        snprintf(out, describe_bytes, "%.17g", json_real_value(value));
        return out;
    case JSON_STRING:
        ink_quote_bytes(json_string_value(value), json_string_length(value), text);
        snprintf(out, describe_bytes, "\"%s\"", text);
        return out;
    }
    return "of an unknown type";
}

/* "<key> is <value>, but <what> is needed" */
static void fail_value(ink_config *config, const char *key, const json_t *value, const char *what) {
    char name[INK_QUOTE_BYTES], is[describe_bytes];
    ink_config_fail(config, INK_ERROR_FORMAT, "\"%s\" is %s, but %s is needed", full_key(config, key, name),
                    describe(value, is), what);
}

/* Getting */

/* The value under `key`, or NULL if it is missing or null or the reader has failed. */
static json_t *look(const ink_config *config, const char *key) {
    if (config->error.status != INK_OK || !config->object) return NULL;
    json_t *value = json_object_get(config->object, key);
    return json_is_null(value) ? NULL : value;
}

bool ink_config_enter(ink_config *config, const char *key) {
    json_t *value = look(config, key);
    if (!value) return false;
    if (!json_is_object(value)) {
        fail_value(config, key, value, "an object");
        return false;
    }
    /* The key that jansson holds lives as long as the reader; the caller's may not. */
    config->section = json_object_iter_key(json_object_iter_at(config->object, key));
    config->object = value;
    return true;
}

void ink_config_leave(ink_config *config) {
    config->object = config->root;
    config->section = NULL;
}

bool ink_config_has(const ink_config *config, const char *key) {
    json_t *value = config->object ? json_object_get(config->object, key) : NULL;
    return value && !json_is_null(value);
}

/* An integer, also written as a real without fraction. Reals above 2^53 are not taken: they are rounded. */
static bool integer_of(const json_t *value, int64_t *out) {
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    if (!json_is_real(value)) return false;
    const double real = json_real_value(value);
    if (!(fabs(real) <= 9007199254740992.0) || floor(real) != real) return false;
    *out = (int64_t)real;
    return true;
}

static bool take_int(ink_config *config, const char *key, const json_t *value, int64_t min, int64_t max,
                     int64_t *out) {
    int64_t x;
    if (integer_of(value, &x) && x >= min && x <= max) {
        *out = x;
        return true;
    }
    char what[96];
    snprintf(what, sizeof what, "a whole number from %" PRId64 " to %" PRId64, min, max);
    fail_value(config, key, value, what);
    return false;
}

int64_t ink_config_int(ink_config *config, const char *key, int64_t min, int64_t max, int64_t fallback) {
    const json_t *value = look(config, key);
    int64_t x;
    return value && take_int(config, key, value, min, max, &x) ? x : fallback;
}

int64_t ink_config_require_int(ink_config *config, const char *key, int64_t min, int64_t max) {
    if (!ink_config_has(config, key)) {
        char name[INK_QUOTE_BYTES];
        ink_config_fail(config, INK_ERROR_FORMAT,
                        "\"%s\" is missing, but a whole number from %" PRId64 " to %" PRId64 " is needed",
                        full_key(config, key, name), min, max);
        return min;
    }
    return ink_config_int(config, key, min, max, min);
}

double ink_config_double(ink_config *config, const char *key, double min, double max, double fallback) {
    const json_t *value = look(config, key);
    if (!value) return fallback;
    const double x = json_number_value(value);
    if (json_is_number(value) && x >= min && x <= max) return x;
    char what[96];
    snprintf(what, sizeof what, "a number from %g to %g", min, max);
    fail_value(config, key, value, what);
    return fallback;
}

bool ink_config_bool(ink_config *config, const char *key, bool fallback) {
    const json_t *value = look(config, key);
    if (!value) return fallback;
    if (json_is_boolean(value)) return json_is_true(value);
    fail_value(config, key, value, "true or false");
    return fallback;
}

const char *ink_config_text(ink_config *config, const char *key, const char *fallback) {
    const json_t *value = look(config, key);
    if (!value) return fallback;
    if (json_is_string(value)) return json_string_value(value);
    fail_value(config, key, value, "a text in quotes");
    return fallback;
}

/* The array under `key` with at most `capacity` elements, or NULL. */
static json_t *look_array(ink_config *config, const char *key, size_t capacity) {
    json_t *value = look(config, key);
    if (!value) return NULL;
    char what[96];
    if (!json_is_array(value)) {
        snprintf(what, sizeof what, "an array of at most %zu values", capacity);
        fail_value(config, key, value, what);
        return NULL;
    }
    if (json_array_size(value) > capacity) {
        snprintf(what, sizeof what, "an array of %zu values, but at most %zu", json_array_size(value),
                 capacity);
        char name[INK_QUOTE_BYTES];
        ink_config_fail(config, INK_ERROR_FORMAT, "\"%s\" is %s are accepted", full_key(config, key, name),
                        what);
        return NULL;
    }
    return value;
}

/* "key[3]", for messages about elements. */
static const char *element_key(const char *key, size_t i, char out[INK_QUOTE_BYTES]) {
    snprintf(out, INK_QUOTE_BYTES, "%.96s[%zu]", key, i);
    return out;
}

size_t ink_config_ints(ink_config *config, const char *key, int64_t min, int64_t max, int64_t *out,
                       size_t capacity) {
    const json_t *array = look_array(config, key, capacity);
    const size_t n = json_array_size(array);
    for (size_t i = 0; i < n; i++) {
        char name[INK_QUOTE_BYTES];
        if (!take_int(config, element_key(key, i, name), json_array_get(array, i), min, max, &out[i]))
            return 0;
    }
    return n;
}

size_t ink_config_doubles(ink_config *config, const char *key, double *out, size_t capacity) {
    const json_t *array = look_array(config, key, capacity);
    const size_t n = json_array_size(array);
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_number(value) || !isfinite(json_number_value(value))) {
            char name[INK_QUOTE_BYTES];
            fail_value(config, element_key(key, i, name), value, "a number");
            return 0;
        }
        out[i] = json_number_value(value);
    }
    return n;
}

size_t ink_config_bools(ink_config *config, const char *key, bool *out, size_t capacity) {
    const json_t *array = look_array(config, key, capacity);
    const size_t n = json_array_size(array);
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_boolean(value)) {
            char name[INK_QUOTE_BYTES];
            fail_value(config, element_key(key, i, name), value, "true or false");
            return 0;
        }
        out[i] = json_is_true(value);
    }
    return n;
}
