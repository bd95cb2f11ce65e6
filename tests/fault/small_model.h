/*
 * A model folder whose files take few allocations to read: the networks of tests/golden/tiny-random behind a
 * tokenizer of single bytes and two merges, so that every allocation of a run can be made to fail in turn.
 */
#ifndef INK_TESTS_FAULT_SMALL_MODEL_H
#define INK_TESTS_FAULT_SMALL_MODEL_H

#include <stdbool.h>

/* Makes the folder from a template for mkdtemp; false if it cannot. FOLDER/json holds the same tokenizer as a
 * tokenizer.json. */
bool small_model_create(char *folder);

void small_model_remove(const char *folder);

#endif
