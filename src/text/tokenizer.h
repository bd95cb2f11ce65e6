/*
 * The tokenizer behind ink_tokenizer (inkstone.h): byte-level byte-pair encoding as in Qwen2.
 */
#ifndef INK_TEXT_TOKENIZER_H
#define INK_TEXT_TOKENIZER_H

#include "inkstone.h"

/* One more than the largest id that encoding can give. */
int64_t ink_tokenizer_vocab_size(const ink_tokenizer *tokenizer);

#endif
