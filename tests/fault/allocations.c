#define _DEFAULT_SOURCE /* memalign */

#include "allocations.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__GLIBC__)

#include <malloc.h>

/* What really allocates: a sanitizer's functions under their second names, else those of the C library. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifdef SANITIZED
#define REAL(name) __interceptor_##name
enum { sanitized = true };
#else
#define REAL(name) __libc_##name
enum { sanitized = false };
#endif

void *REAL(malloc)(size_t bytes);
void *REAL(calloc)(size_t count, size_t bytes);
void *REAL(realloc)(void *memory, size_t bytes);
void *REAL(memalign)(size_t alignment, size_t bytes);
void REAL(free)(void *memory);

static atomic_bool armed;
static atomic_int_fast64_t calls, alive, first_to_fail, last_to_fail;

bool allocations_can_fail(void) {
    return true;
}

bool allocations_count_leaks(void) {
    return !sanitized;
}

void allocations_arm(int64_t first, int64_t last) {
    calls = alive = 0;
    first_to_fail = first;
    last_to_fail = last;
    armed = true;
}

allocation_counts allocations_disarm(void) {
    armed = false;
    return (allocation_counts){.calls = calls, .alive = alive};
}

static bool fails(void) {
    if (!armed) return false;
    const int64_t i = atomic_fetch_add(&calls, 1);
    if (i < first_to_fail || i > last_to_fail) return false;
    errno = ENOMEM;
    return true;
}

static void *counted(void *memory) {
    if (armed && memory) alive++;
    return memory;
}

/* Visible to the libraries, for theirs must fail too. */
#pragma GCC visibility push(default)

void *malloc(size_t bytes) {
    return fails() ? NULL : counted(REAL(malloc)(bytes));
}

void *calloc(size_t n, size_t bytes) {
    return fails() ? NULL : counted(REAL(calloc)(n, bytes));
}

void *realloc(void *memory, size_t bytes) {
    if (fails()) return NULL;
    void *result = REAL(realloc)(memory, bytes);
    if (armed && memory && (result || bytes == 0)) alive--;
    return counted(result);
}

void *memalign(size_t alignment, size_t bytes) {
    return fails() ? NULL : counted(REAL(memalign)(alignment, bytes));
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    return fails() ? NULL : counted(REAL(memalign)(alignment, bytes));
}

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    void *result = fails() ? NULL : counted(REAL(memalign)(alignment, bytes));
    if (!result) return ENOMEM;
    *memory = result;
    return 0;
}

void free(void *memory) {
    if (armed && memory) alive--;
    REAL(free)(memory);
}

#pragma GCC visibility pop

#else

bool allocations_can_fail(void) {
    return false;
}

bool allocations_count_leaks(void) {
    return false;
}

void allocations_arm(int64_t first, int64_t last) {
    (void)first;
    (void)last;
}

allocation_counts allocations_disarm(void) {
    return (allocation_counts){0};
}

#endif
