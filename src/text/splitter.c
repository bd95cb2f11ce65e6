/*
 * The pattern at work: compiled by PCRE2, searched for with limits.
 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "text/pattern.h"

#include "base/quote.h"

#include <stdlib.h>

#include <pcre2.h>

struct ink_splitter {
    pcre2_code *code;
};

struct ink_split_work {
    pcre2_match_data *data;
    pcre2_match_context *context;
};

/* Steps that one search may take: this many and as many more for each byte. The patterns in use need a few
 * for each byte of a match; a pattern whose time explodes is stopped. */
enum { search_steps = 1000000, search_steps_per_byte = 16, heap_limit_kib = 256 * 1024 };

static ink_status compile(const char *pattern, const ink_text *translated, pcre2_code **code,
                          ink_error *error) {
    int problem;
    PCRE2_SIZE offset;
    *code = pcre2_compile((PCRE2_SPTR)translated->data, translated->bytes - 1,
                          PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &problem, &offset, NULL);
    if (*code) {
        /* Without its compiler the engine is slower, but gives the same. */
        (void)pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE);
        return INK_OK;
    }
    if (problem == PCRE2_ERROR_HEAP_FAILED) {
        return ink_fail_memory(error, "a pattern", translated->bytes);
    }
    PCRE2_UCHAR reason[128];
    if (pcre2_get_error_message(problem, reason, sizeof reason) < 0) reason[0] = '\0';
    char quoted[INK_QUOTE_BYTES];
    return ink_fail(error, INK_ERROR_FORMAT, "the pattern \"%s\" cannot be used: %s",
                    ink_quote(pattern, quoted), (const char *)reason);
}

ink_status ink_splitter_create(const char *pattern, ink_splitter **splitter, ink_error *error) {
    *splitter = NULL;
    ink_splitter *s = calloc(1, sizeof *s);
    if (!s) return ink_fail_memory(error, "a pattern", sizeof *s);
    ink_text translated = {0};
    ink_status status = ink_pattern_translate(pattern, &translated, error);
    if (status == INK_OK) status = compile(pattern, &translated, &s->code, error);
    free(translated.data);
    if (status != INK_OK) {
        ink_splitter_destroy(s);
        return status;
    }
    *splitter = s;
    return INK_OK;
}

void ink_splitter_destroy(ink_splitter *splitter) {
    if (!splitter) return;
    pcre2_code_free(splitter->code);
    free(splitter);
}

ink_status ink_split_work_create(const ink_splitter *splitter, ink_split_work **work, ink_error *error) {
    *work = NULL;
    ink_split_work *w = calloc(1, sizeof *w);
    if (!w) return ink_fail_memory(error, "a search", sizeof *w);
    w->data = pcre2_match_data_create_from_pattern(splitter->code, NULL);
    w->context = pcre2_match_context_create(NULL);
    if (!w->data || !w->context) {
        ink_split_work_destroy(w);
        return ink_fail_memory(error, "a search", sizeof *w);
    }
    pcre2_set_heap_limit(w->context, heap_limit_kib);
    *work = w;
    return INK_OK;
}

void ink_split_work_destroy(ink_split_work *work) {
    if (!work) return;
    pcre2_match_data_free(work->data);
    pcre2_match_context_free(work->context);
    free(work);
}

void ink_split_begin(const ink_splitter *splitter, ink_split_work *work, const char *text, size_t bytes,
                     ink_split *split) {
    *split = (ink_split){.splitter = splitter, .work = work, .text = text, .bytes = bytes};
    const size_t room = (UINT32_MAX - search_steps) / search_steps_per_byte;
    const uint32_t steps = bytes < room ? search_steps + search_steps_per_byte * (uint32_t)bytes : UINT32_MAX;
    pcre2_set_match_limit(work->context, steps);
    pcre2_set_depth_limit(work->context, steps);
}

/* Searches from split->search; sets split->matched, begin and end. */
static ink_status search(ink_split *split, ink_error *error) {
    const ink_split_work *work = split->work;
    int found = PCRE2_ERROR_JIT_STACKLIMIT;
    for (uint32_t plain = 0; plain <= PCRE2_NO_JIT && found == PCRE2_ERROR_JIT_STACKLIMIT;
         plain += PCRE2_NO_JIT) {
        found = pcre2_match(split->splitter->code, (PCRE2_SPTR)split->text, split->bytes, split->search,
                            PCRE2_NO_UTF_CHECK | plain, work->data, work->context);
    }
    if (found >= 0) {
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(work->data);
        split->begin = range[0];
        split->end = range[1];
        split->matched = true;
        return INK_OK;
    }
    if (found == PCRE2_ERROR_NOMATCH) return INK_OK;
    if (found == PCRE2_ERROR_NOMEMORY) return ink_fail_memory(error, "a search", split->bytes);
    PCRE2_UCHAR reason[128];
    if (pcre2_get_error_message(found, reason, sizeof reason) < 0) reason[0] = '\0';
    return ink_fail(error, INK_ERROR_UNSUPPORTED,
                    "the tokenizer's pattern cannot be searched for in this text of %zu bytes: %s",
                    split->bytes, (const char *)reason);
}

/* Searches on until there is a match that counts: an empty one right behind the last match does not.
 * ref: rust-onig find.rs, FindMatches::next */
static ink_status find(ink_split *split, ink_error *error) {
    const size_t last_end = split->end;
    while (split->search <= split->bytes) {
        INK_TRY(search(split, error));
        if (!split->matched) break;
        const bool repeated = split->begin == split->end && split->end == last_end;
        if (!repeated) {
            split->search = split->end;
            return INK_OK;
        }
        split->matched = false;
        if (split->search == split->bytes) break;
        (void)ink_utf8_next(split->text, &split->search);
    }
    split->search = split->bytes + 1;
    return INK_OK;
}

ink_status ink_split_next(ink_split *split, const char **piece, size_t *piece_bytes, ink_error *error) {
    for (;;) {
        if (!split->matched && split->search <= split->bytes) INK_TRY(find(split, error));
        const size_t limit = split->matched ? split->begin : split->bytes;
        size_t end = limit;
        if (split->kept >= limit && split->matched) {
            end = split->end;
            split->matched = false;
        }
        if (end > split->kept) {
            *piece = split->text + split->kept;
            *piece_bytes = end - split->kept;
            split->kept = end;
            return INK_OK;
        }
        if (!split->matched && split->search > split->bytes) break;
    }
    *piece = NULL;
    *piece_bytes = 0;
    return INK_OK;
}
