#include "text/prompt.h"

#include <stdlib.h>
#include <string.h>

enum { reference_max_kept = 1024 };

static const char before[] =
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, "
    "quantity, text, spatial relationships of the objects and background:<|im_end|>\n"
    "<|im_start|>user\n";
static const char behind[] = "<|im_end|>\n<|im_start|>assistant\n";

ink_status ink_prompt_fill(const char *text, size_t text_bytes, ink_text *whole, ink_error *error) {
    if (!ink_text_append(whole, before, sizeof before - 1) || !ink_text_append(whole, text, text_bytes) ||
        !ink_text_append(whole, behind, sizeof behind - 1)) {
        return ink_fail_memory(error, "a prompt", text_bytes);
    }
    return INK_OK;
}

ink_status ink_prompt_tokens(const ink_tokenizer *tokenizer, const char *text, size_t max_kept,
                             ink_prompt_ids *prompt, ink_error *error) {
    *prompt = (ink_prompt_ids){0};
    INK_TRY(ink_tokenizer_encode(tokenizer, text, strlen(text), true, &prompt->ids, &prompt->count, error));
    if (prompt->count <= INK_TEMPLATE_DROP) {
        const size_t count = prompt->count;
        free(prompt->ids);
        *prompt = (ink_prompt_ids){0};
        return ink_fail(
            error, INK_ERROR_FORMAT,
            "the tokenizer gives %zu tokens for the prompt template, but more than %d are needed: its "
            "vocabulary lacks characters",
            count, INK_TEMPLATE_DROP);
    }
    prompt->full_count = prompt->count - INK_TEMPLATE_DROP;
    if (max_kept > reference_max_kept) max_kept = reference_max_kept;
    const size_t limit = INK_TEMPLATE_DROP + max_kept;
    prompt->cut = prompt->count > limit;
    if (prompt->cut) prompt->count = limit;
    return INK_OK;
}
