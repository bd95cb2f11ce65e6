#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { block_bytes = 64 * 1024, alignment = 16 };

struct ink_arena_block {
    ink_arena_block *next;
    size_t used, size;
    alignas(16) unsigned char data[];
};

void *ink_arena_alloc(ink_arena *arena, size_t bytes) {
    if (bytes > SIZE_MAX / 2) return NULL;
    bytes = (bytes + alignment - 1) & ~(size_t)(alignment - 1);
    if (bytes == 0) bytes = alignment;
    ink_arena_block *block = arena->blocks;
    if (!block || block->size - block->used < bytes) {
        const size_t size = bytes > block_bytes ? bytes : block_bytes;
        block = calloc(1, sizeof *block + size);
        if (!block) return NULL;
        block->size = size;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *memory = block->data + block->used;
    block->used += bytes;
    return memory;
}

char *ink_arena_copy_text(ink_arena *arena, const char *text) {
    const size_t size = strlen(text) + 1;
    char *copy = ink_arena_alloc(arena, size);
    if (copy) memcpy(copy, text, size);
    return copy;
}

char *ink_arena_vprintf(ink_arena *arena, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    const int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0) return NULL;
    char *text = ink_arena_alloc(arena, (size_t)n + 1);
    if (text) vsnprintf(text, (size_t)n + 1, format, arguments);
    return text;
}

void ink_arena_free(ink_arena *arena) {
    ink_arena_block *block = arena->blocks;
    while (block) {
        ink_arena_block *next = block->next;
        free(block);
        block = next;
    }
    arena->blocks = NULL;
}
