/*
 * MLX's limits of memory, for tests in C.
 */
#ifndef INK_TESTS_MLX_LIMITS_NOW_H
#define INK_TESTS_MLX_LIMITS_NOW_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct limits {
    size_t memory, cache;
} limits;

limits limits_now(void);
void limits_set(limits l);

#ifdef __cplusplus
}
#endif

#endif
