/*
 * Statuses and their sentences. Every fallible function takes a nullable `ink_error *error` last; the place
 * where a failure is detected fills it once, everybody above forwards with INK_TRY.
 */
#ifndef INK_BASE_STATUS_H
#define INK_BASE_STATUS_H

#include "inkstone.h"

#include <stdarg.h>

/* Fills *error (if not NULL) and returns `status`, so that `return ink_fail(...)` reads well. The message is
 * one sentence that names the offending value and the remedy. Long messages are cut at INK_MESSAGE_BYTES - 1
 * bytes, on a UTF-8 boundary. */
ink_status ink_fail(ink_error *error, ink_status status, const char *format, ...) INK_PRINTF(3, 4);

/* "out of memory for <what>: <bytes> bytes". */
ink_status ink_fail_memory(ink_error *error, const char *what, size_t bytes);

/* Returns from the calling function if `expression` is not INK_OK. */
#define INK_TRY(expression)                                                                                  \
    do {                                                                                                     \
        const ink_status ink_try_status_ = (expression);                                                     \
        if (ink_try_status_ != INK_OK) return ink_try_status_;                                               \
    } while (0)

/* Checked products and sums of sizes: false (and *out = SIZE_MAX) if the result does not fit. */
bool ink_size_mul(size_t a, size_t b, size_t *out);
bool ink_size_add(size_t a, size_t b, size_t *out);

#endif
