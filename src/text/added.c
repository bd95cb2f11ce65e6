#include "text/added.h"

#include "base/quote.h"

#include <stdlib.h>
#include <string.h>

ink_status ink_added_add(ink_added *set, const ink_added_token *token, ink_error *error) {
    if (set->count == set->capacity) {
        const size_t capacity = 2 * set->capacity + 32;
        ink_added_token *grown = realloc(set->tokens, capacity * sizeof *grown);
        if (!grown) return ink_fail_memory(error, "added tokens", capacity * sizeof *grown);
        set->tokens = grown;
        set->capacity = capacity;
    }
    char *content = ink_arena_alloc(&set->texts, token->bytes + 1);
    if (!content) return ink_fail_memory(error, "an added token", token->bytes + 1);
    memcpy(content, token->content, token->bytes);
    set->tokens[set->count] = *token;
    set->tokens[set->count].content = content;
    set->count++;
    return INK_OK;
}

static int by_content(const void *a, const void *b) {
    const ink_added_token *x = a, *y = b;
    const int order = memcmp(x->content, y->content, x->bytes < y->bytes ? x->bytes : y->bytes);
    return order ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

ink_status ink_added_finish(ink_added *set, ink_error *error) {
    if (set->count > 1) qsort(set->tokens, set->count, sizeof *set->tokens, by_content);
    for (size_t i = 1; i < set->count; i++) {
        if (by_content(&set->tokens[i - 1], &set->tokens[i]) != 0) continue;
        char quoted[INK_QUOTE_BYTES];
        return ink_fail(error, INK_ERROR_FORMAT, "the added token \"%s\" is listed twice",
                        ink_quote(set->tokens[i].content, quoted));
    }
    size_t i = 0;
    for (size_t byte = 0; byte <= 256; byte++) {
        while (i < set->count && (unsigned char)set->tokens[i].content[0] < byte) {
            i++;
        }
        set->first[byte] = i;
    }
    return INK_OK;
}

void ink_added_fini(ink_added *set) {
    ink_arena_free(&set->texts);
    free(set->tokens);
    *set = (ink_added){0};
}

/* First token in [low, high), all of which share `depth` bytes and are longer, whose next byte is at least
 * `byte`. */
static size_t lower_bound(const ink_added *set, size_t low, size_t high, size_t depth, unsigned byte) {
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((unsigned char)set->tokens[middle].content[depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The longest token at the front of the text, or NULL. */
static const ink_added_token *longest_at(const ink_added *set, const char *text, size_t bytes) {
    const unsigned char front = (unsigned char)text[0];
    size_t low = set->first[front], high = set->first[front + 1];
    const ink_added_token *longest = NULL;
    /* tokens[low, high) begin with the first `depth` bytes of the text; the shortest comes first. */
    for (size_t depth = 1; low < high; depth++) {
        if (set->tokens[low].bytes == depth) longest = &set->tokens[low++];
        if (depth == bytes) break;
        const unsigned byte = (unsigned char)text[depth];
        low = lower_bound(set, low, high, depth, byte);
        high = lower_bound(set, low, high, depth, byte + 1);
    }
    return longest;
}

const ink_added_token *ink_added_find(const ink_added *set, const char *content, size_t bytes) {
    const ink_added_token *token = bytes > 0 ? longest_at(set, content, bytes) : NULL;
    return token && token->bytes == bytes ? token : NULL;
}

static bool is_alone(const ink_added_walk *walk, size_t begin, size_t end) {
    size_t before = begin, behind = end;
    return (begin == 0 || !ink_code_in(&ink_words, ink_utf8_previous(walk->text, &before))) &&
           (end == walk->bytes || !ink_code_in(&ink_words, ink_utf8_next(walk->text, &behind)));
}

/* The begin of the white space before text[at), not before `limit`. */
static size_t space_before(const ink_added_walk *walk, size_t at, size_t limit) {
    while (at > limit) {
        size_t before = at;
        if (!ink_code_in(&ink_spaces, ink_utf8_previous(walk->text, &before))) break;
        at = before;
    }
    return at;
}

static size_t space_behind(const ink_added_walk *walk, size_t at) {
    while (at < walk->bytes) {
        size_t behind = at;
        if (!ink_code_in(&ink_spaces, ink_utf8_next(walk->text, &behind))) break;
        at = behind;
    }
    return at;
}

void ink_added_next(ink_added_walk *walk, ink_added_piece *piece) {
    const char *text = walk->text;
    piece->text = text + walk->kept;
    while (walk->at < walk->bytes) {
        const ink_added_token *token = longest_at(walk->set, text + walk->at, walk->bytes - walk->at);
        if (!token) {
            walk->at++;
            continue;
        }
        size_t begin = walk->at, end = begin + token->bytes;
        walk->at = end;
        if (token->single_word && !is_alone(walk, begin, end)) continue;
        if (token->lstrip) begin = space_before(walk, begin, walk->kept);
        if (token->lstrip && begin < walk->kept) begin = walk->kept;
        if (token->rstrip) end = space_behind(walk, end);
        /* The last token may have taken white space in which this one lies. Where the reference gives such a
         * token nevertheless, it must be given: ids are to be equal. */
        if (begin >= end) continue;
        piece->bytes = begin > walk->kept ? begin - walk->kept : 0;
        piece->id = token->id;
        walk->kept = end;
        return;
    }
    piece->bytes = walk->bytes - walk->kept;
    piece->id = -1;
    walk->kept = walk->bytes;
}
