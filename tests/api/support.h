/*
 * What the tests of the public interface share. They include nothing but inkstone.h of the library, as its
 * users do.
 */
#ifndef INK_TESTS_API_SUPPORT_H
#define INK_TESTS_API_SUPPORT_H

#include <inkstone.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SMALL_MODEL INK_SOURCE_DIR "/tests/golden/tiny-random"
#define EMOJI_MODEL INK_SOURCE_DIR "/models/emoji"

/* Opens a model with so many threads; fails the test if that fails. */
ink_model *open_model(const char *path, int threads);

/* A request for one picture of 32 x 32 pixels in two steps. */
ink_request small_request(const char *prompt, int64_t seed);

/* Draws it; fails the test if that fails. */
ink_result *draw(ink_model *model, const ink_request *request);

/* Fails the test unless both pictures hold the same pixels. */
void assert_same_picture(const ink_image *a, const ink_image *b);

/* A failure must give the status, and a sentence that holds `words`. */
void assert_sentence(ink_status got, ink_status expected, const ink_error *error, const char *words);

#endif
