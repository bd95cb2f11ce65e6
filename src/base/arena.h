/*
 * A bump allocator: many small allocations, freed all at once. Not thread-safe.
 */
#ifndef INK_BASE_ARENA_H
#define INK_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

typedef struct ink_arena_block ink_arena_block;

/* Zero-initialise to begin: `ink_arena arena = {0};` */
typedef struct ink_arena {
    ink_arena_block *blocks;
} ink_arena;

/* `bytes` zeroed bytes aligned to 16, or NULL when memory runs out. */
void *ink_arena_alloc(ink_arena *arena, size_t bytes);

/* A copy of `text`; NULL when memory runs out. */
char *ink_arena_copy_text(ink_arena *arena, const char *text);

/* Formatted text in the arena; NULL when memory runs out. */
char *ink_arena_vprintf(ink_arena *arena, const char *format, va_list arguments);

/* Frees everything; the arena may be used again. */
void ink_arena_free(ink_arena *arena);

#endif
