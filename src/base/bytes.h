/*
 * Amounts of memory as people write them: 8G, 512M, 1.5G. Units are powers of 1024.
 */
#ifndef INK_BASE_BYTES_H
#define INK_BASE_BYTES_H

#include <stdint.h>

typedef enum ink_bytes_fault {
    INK_BYTES_OK = 0,
    INK_BYTES_NO_NUMBER, /* not a number and a unit */
    INK_BYTES_NO_UNIT,   /* a number alone: gigabytes to some programs, bytes to others */
    INK_BYTES_TOO_LARGE  /* more than can be counted */
} ink_bytes_fault;

/* Reads digits, a fraction if there is one, and K, M, G or T, also in lower case and with B or iB behind it.
 * *bytes is only set if all is well; parts of a byte are dropped. */
ink_bytes_fault ink_bytes_parse(const char *text, int64_t *bytes);

enum { ink_bytes_text_size = 32 };

/* `bytes` >= 0 in the unit that fits best, to a tenth: "8G", "1.5G", "512M", "12". Returns `text`. */
const char *ink_bytes_text(int64_t bytes, char text[ink_bytes_text_size]);

#endif
