/*
 * A pool of worker threads for loops whose iterations are independent.
 *
 * Why our own and not OpenMP: an OpenMP runtime keeps process-wide state, aborts when threads cannot be made,
 * is a second runtime beside the host's and hides its synchronisation from ThreadSanitizer. A library that is
 * a guest needs a pool per object that can fail with a status.
 *
 * Results must not depend on the number of threads: split work into tasks whose sizes do not depend on it,
 * and let each output element be computed by exactly one task.
 */
#ifndef INK_BASE_THREADS_H
#define INK_BASE_THREADS_H

#include "base/status.h"

typedef struct ink_pool ink_pool;

/* One task of a loop: `task` counts from 0; `thread` is the index of the running thread in [0, threads), for
 * per-thread scratch memory. */
typedef void (*ink_task_fn)(void *context, int64_t task, int thread);

/* `threads` counts the caller; 0 means one per processor this process may use. */
ink_status ink_pool_create(int threads, ink_pool **pool, ink_error *error);
/* NULL is allowed. No loop may be running. */
void ink_pool_destroy(ink_pool *pool);

/* Number of threads, the caller included; 1 for NULL. */
int ink_pool_threads(const ink_pool *pool);

/* Runs fn for every task in [0, tasks) and returns when all are done. Tasks are handed out dynamically, in
 * order. A NULL pool runs them in the caller. One loop at a time per pool; no nesting. */
void ink_pool_run(ink_pool *pool, int64_t tasks, ink_task_fn fn, void *context);

/* From now on the calling thread of a loop asks `stop(user)` before each of its tasks. Once that says true,
 * tasks that have not begun are left out, in this loop and in later ones; ink_pool_stopped tells. NULL ends
 * the watch and forgets that it stopped. Not while a loop is running; a NULL pool ignores it. */
void ink_pool_watch(ink_pool *pool, bool (*stop)(void *user), void *user);
bool ink_pool_stopped(const ink_pool *pool);

#endif
