#include "text/pattern.h"

#include "base/quote.h"

#include <stdio.h>
#include <string.h>

typedef struct translation {
    const char *pattern;
    size_t at;
    ink_text *out;
    unsigned depth;    /* open groups */
    unsigned caseless; /* depth at which (?i: was opened, plus 1; 0 outside of it */
    ink_error *error;
} translation;

static ink_status out_of_memory(const translation *t) {
    return ink_fail_memory(t->error, "a pattern", t->out->bytes);
}

static ink_status emit(translation *t, const char *text, size_t bytes) {
    return ink_text_append(t->out, text, bytes) ? INK_OK : out_of_memory(t);
}

static ink_status copy(translation *t, size_t bytes) {
    INK_TRY(emit(t, t->pattern + t->at, bytes));
    t->at += bytes;
    return INK_OK;
}

static ink_status refuse(const translation *t, const char *what) {
    char quoted[INK_QUOTE_BYTES];
    return ink_fail(t->error, INK_ERROR_UNSUPPORTED,
                    "the pattern \"%s\" uses %s at byte %zu, which Inkstone does not support",
                    ink_quote(t->pattern, quoted), what, t->at);
}

static ink_status emit_range(translation *t, uint32_t first, uint32_t last) {
    char range[32];
    const int n = snprintf(range, sizeof range, "\\x{%X}-\\x{%X}", (unsigned)first, (unsigned)last);
    return emit(t, range, (size_t)n);
}

/* The set, or what is not in it, as it stands between brackets. */
static ink_status emit_set(translation *t, const ink_code_set *set, bool negated) {
    uint32_t next = 0;
    for (size_t i = 0; i < set->count; i++) {
        const ink_code_range r = set->ranges[i];
        if (!negated) INK_TRY(emit_range(t, r.first, r.last));
        if (negated && r.first > next) INK_TRY(emit_range(t, next, r.first - 1));
        next = r.last + 1;
    }
    return negated ? emit_range(t, next, 0x10FFFF) : INK_OK;
}

/* The one-letter or two-letter category of \p{..} at the current position; 0 if it is something else. */
static size_t category_length(const translation *t) {
    const char *s = t->pattern + t->at;
    if (s[2] != '{' || !s[3] || !strchr("LMNPSZC", s[3])) return 0;
    if (s[4] == '}') return 1;
    return s[4] >= 'a' && s[4] <= 'z' && s[5] == '}' ? 2 : 0;
}

/* \s, \S, \p{..}, \P{..} at the current position. */
static ink_status translate_set(translation *t, bool in_class) {
    const char *s = t->pattern + t->at;
    if (t->caseless) return refuse(t, "a class of characters inside (?i:...)");
    const bool space = s[1] == 's' || s[1] == 'S';
    const size_t length = space ? 0 : category_length(t);
    if (!space && length == 0) return refuse(t, "a property that is not a general category");
    const ink_code_set *set = space         ? &ink_spaces
                              : length > 1  ? NULL
                              : s[3] == 'L' ? &ink_letters
                              : s[3] == 'N' ? &ink_numbers
                                            : NULL;
    if (!set) return copy(t, 4 + length);
    const bool negated = s[1] == 'S' || s[1] == 'P';
    if (!in_class) INK_TRY(negated ? emit(t, "[^", 2) : emit(t, "[", 1));
    INK_TRY(emit_set(t, set, in_class && negated));
    t->at += space ? 2 : 4 + length;
    return in_class ? INK_OK : emit(t, "]", 1);
}

static bool is_set_escape(const char *s) {
    return s[0] == '\\' && s[1] && strchr("sSpP", s[1]);
}

static ink_status translate_escape(translation *t, bool in_class) {
    const char *s = t->pattern + t->at;
    if (is_set_escape(s)) return translate_set(t, in_class);
    const char c = s[1];
    const bool known = c && (strchr("rntf", c) || strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", c));
    return known ? copy(t, 2) : refuse(t, "an escape");
}

/* A hyphen between brackets. What it means beside a class of characters depends on the engine. */
static ink_status translate_hyphen(translation *t, bool first, bool after_set) {
    const char *s = t->pattern + t->at;
    if (first || s[1] == ']') {
        t->at++;
        return emit(t, "\\-", 2);
    }
    if (after_set || is_set_escape(s + 1)) return refuse(t, "a hyphen beside a class of characters");
    return copy(t, 1);
}

static ink_status translate_class(translation *t) {
    INK_TRY(copy(t, 1));
    if (t->pattern[t->at] == '^') INK_TRY(copy(t, 1));
    bool first = true, after_set = false;
    for (;; first = false) {
        const char *s = t->pattern + t->at;
        const bool set = is_set_escape(s);
        if (!s[0]) return refuse(t, "a bracket without its end");
        if (s[0] == '[' || (s[0] == '&' && s[1] == '&')) return refuse(t, "operations on classes");
        if (s[0] == ']' && first) return refuse(t, "an empty class");
        if (s[0] == ']') return copy(t, 1);
        if (s[0] == '\\') {
            INK_TRY(translate_escape(t, true));
        } else if (s[0] == '-') {
            INK_TRY(translate_hyphen(t, first, after_set));
        } else {
            INK_TRY(copy(t, 1));
        }
        after_set = set;
    }
}

static ink_status translate_open(translation *t) {
    static const char *const openings[] = {"(?i:", "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    const char *s = t->pattern + t->at;
    size_t length = s[1] == '?' || s[1] == '*' ? 0 : 1;
    for (size_t i = 0; length == 0 && i < sizeof openings / sizeof *openings; i++) {
        if (strncmp(s, openings[i], strlen(openings[i])) == 0) length = strlen(openings[i]);
    }
    if (length == 0) return refuse(t, "a kind of group");
    t->depth++;
    if (s[1] == '?' && s[2] == 'i' && !t->caseless) t->caseless = t->depth;
    return copy(t, length);
}

static ink_status translate_close(translation *t) {
    if (t->caseless == t->depth) t->caseless = 0;
    t->depth -= t->depth > 0;
    return copy(t, 1);
}

/* {3}, {1,3} or {2,} */
static ink_status translate_count(translation *t) {
    const char *s = t->pattern + t->at;
    size_t n = 1 + strspn(s + 1, "0123456789");
    if (n > 1 && s[n] == ',') n += 1 + strspn(s + n + 1, "0123456789");
    if (n == 1 || s[n] != '}') return refuse(t, "a brace that is not a count");
    if (s[n + 1] == '+') return refuse(t, "a plus sign after a count");
    return copy(t, n + 1);
}

ink_status ink_pattern_translate(const char *pattern, ink_text *out, ink_error *error) {
    translation t = {.pattern = pattern, .out = out, .error = error};
    while (pattern[t.at]) {
        switch (pattern[t.at]) {
        case '\\':
            INK_TRY(translate_escape(&t, false));
            break;
        case '[':
            INK_TRY(translate_class(&t));
            break;
        case '(':
            INK_TRY(translate_open(&t));
            break;
        case ')':
            INK_TRY(translate_close(&t));
            break;
        case '{':
            INK_TRY(translate_count(&t));
            break;
        case '^':
        case '$':
        case '.':
            return refuse(&t, "^, $ or .");
        case ']':
        case '}':
            return refuse(&t, "a closing bracket alone");
        default:
            INK_TRY(copy(&t, 1));
        }
    }
    return emit(&t, "", 1);
}
