/*
 * A prompt as the text encoder gets it: inside the template of Qwen-Image, cut to a length.
 * ref: diffusers pipeline_qwenimage.py, _get_qwen_prompt_embeds
 */
#ifndef INK_TEXT_PROMPT_H
#define INK_TEXT_PROMPT_H

#include "text/unicode.h"

/* The first tokens of the template; what the text encoder makes of them is dropped. */
#define INK_TEMPLATE_DROP 34

/* Appends the template with `text` in it. */
ink_status ink_prompt_fill(const char *text, size_t text_bytes, ink_text *whole, ink_error *error);

typedef struct ink_prompt_ids {
    int32_t *ids; /* template and prompt, malloced: free with free() */
    size_t count;
    size_t full_count; /* what count would be without the cut, less INK_TEMPLATE_DROP */
    bool cut;
} ink_prompt_ids;

/* Tokens of `text` in the template, cut as the reference does: the tokenizer keeps at most 1024 +
 * INK_TEMPLATE_DROP ids, of which INK_TEMPLATE_DROP + max_kept remain. */
ink_status ink_prompt_tokens(const ink_tokenizer *tokenizer, const char *text, size_t max_kept,
                             ink_prompt_ids *prompt, ink_error *error);

#endif
