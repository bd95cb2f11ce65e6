/*
 * The pool: workers wait for a loop, join it, take tasks from a shared counter until none is left, and leave
 * it. The caller does the same and then waits only for workers that joined: one that was not woken in time is
 * not waited for. Waiting spins for some microseconds first, because the loops of a network follow each other
 * closely, and then sleeps.
 */
#ifdef __linux__
#define _GNU_SOURCE /* sched_getaffinity */
#endif

#include "base/threads.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef __linux__
#include <sched.h>
#endif

enum { max_threads = 1024, spin_rounds = 1000 };

typedef struct worker {
    ink_pool *pool;
    pthread_t thread;
    int index;
} worker;

struct ink_pool {
    int threads; /* the caller included */
    pthread_mutex_t mutex;
    pthread_cond_t begin, end;
    /* Under the mutex; the atomic ones are also looked at without it, to spin. */
    atomic_uint_fast64_t generation; /* counts loops */
    atomic_int active;               /* workers inside the loop */
    bool open;                       /* the loop of this generation can be joined */
    atomic_bool stop;
    ink_task_fn fn;
    void *context;
    int64_t tasks;
    atomic_int_fast64_t next; /* the next task to hand out */
    /* Only the caller's thread looks at these. */
    bool (*watch)(void *user); /* nullable */
    void *watch_user;
    bool stopped;
    worker workers[]; /* [threads - 1], with indices from 1 */
};

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static int processors(void) {
    long count = 0;
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
#endif
    if (count < 1) count = sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 1) count = 1;
    return count > max_threads ? max_threads : (int)count;
}

/* True once the watcher of the pool wants no more tasks. */
static bool stops(ink_pool *pool) {
    if (!pool->stopped && pool->watch && pool->watch(pool->watch_user)) pool->stopped = true;
    return pool->stopped;
}

static void take_tasks(ink_pool *pool, ink_task_fn fn, void *context, int64_t tasks, int thread) {
    for (;;) {
        const int64_t task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (task >= tasks) return;
        if (thread == 0 && stops(pool)) {
            atomic_store_explicit(&pool->next, tasks, memory_order_relaxed);
            return;
        }
        fn(context, task, thread);
    }
}

/* Waits for a loop that this worker has not seen; false when the pool ends. */
static bool wait_for_loop(ink_pool *pool, uint_fast64_t seen) {
    for (int i = 0; i < spin_rounds; i++) {
        if (atomic_load_explicit(&pool->generation, memory_order_relaxed) != seen ||
            atomic_load_explicit(&pool->stop, memory_order_relaxed)) {
            break;
        }
        pause_briefly();
    }
    pthread_mutex_lock(&pool->mutex);
    while (!pool->stop && pool->generation == seen) {
        pthread_cond_wait(&pool->begin, &pool->mutex);
    }
    return !pool->stop;
}

static void *work(void *argument) {
    const worker *self = argument;
    ink_pool *pool = self->pool;
    uint_fast64_t seen = 0;
    while (wait_for_loop(pool, seen)) { /* holds the mutex when it returns */
        seen = pool->generation;
        if (!pool->open) {
            pthread_mutex_unlock(&pool->mutex);
            continue;
        }
        pool->active++;
        const ink_task_fn fn = pool->fn;
        void *context = pool->context;
        const int64_t tasks = pool->tasks;
        pthread_mutex_unlock(&pool->mutex);

        take_tasks(pool, fn, context, tasks, self->index);

        pthread_mutex_lock(&pool->mutex);
        if (--pool->active == 0) pthread_cond_signal(&pool->end);
        pthread_mutex_unlock(&pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Ends and joins the first `started` workers and frees the pool. */
static void stop_and_free(ink_pool *pool, int started) {
    pthread_mutex_lock(&pool->mutex);
    pool->stop = true;
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < started; i++) {
        pthread_join(pool->workers[i].thread, NULL);
    }
    pthread_cond_destroy(&pool->end);
    pthread_cond_destroy(&pool->begin);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

/* Starts the workers with all signals blocked: those are for the host's own threads. */
static int start_workers(ink_pool *pool) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int started = 0;
    while (started < pool->threads - 1) {
        worker *w = &pool->workers[started];
        w->pool = pool;
        w->index = started + 1;
        if (pthread_create(&w->thread, NULL, work, w) != 0) break;
        started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

ink_status ink_pool_create(int threads, ink_pool **out, ink_error *error) {
    *out = NULL;
    if (threads < 0 || threads > max_threads) {
        return ink_fail(error, INK_ERROR_ARGUMENT,
                        "%d threads were asked for; give 1 to %d, or 0 for one per processor", threads,
                        (int)max_threads);
    }
    if (threads == 0) threads = processors();
    const size_t bytes = sizeof(ink_pool) + (size_t)(threads - 1) * sizeof(worker);
    ink_pool *pool = calloc(1, bytes);
    if (!pool) return ink_fail_memory(error, "a pool of threads", bytes);
    pool->threads = threads;
    if (pthread_mutex_init(&pool->mutex, NULL) != 0) {
        free(pool);
        return ink_fail(error, INK_ERROR_MEMORY, "a mutex could not be made");
    }
    if (pthread_cond_init(&pool->begin, NULL) != 0) {
        pthread_mutex_destroy(&pool->mutex);
        free(pool);
        return ink_fail(error, INK_ERROR_MEMORY, "a condition variable could not be made");
    }
    if (pthread_cond_init(&pool->end, NULL) != 0) {
        pthread_cond_destroy(&pool->begin);
        pthread_mutex_destroy(&pool->mutex);
        free(pool);
        return ink_fail(error, INK_ERROR_MEMORY, "a condition variable could not be made");
    }
    const int started = start_workers(pool);
    if (started < threads - 1) {
        stop_and_free(pool, started);
        return ink_fail(error, INK_ERROR_MEMORY,
                        "only %d of %d threads could be started; ask for fewer threads", started + 1,
                        threads);
    }
    *out = pool;
    return INK_OK;
}

void ink_pool_destroy(ink_pool *pool) {
    if (!pool) return;
    assert(!pool->open && "a loop is running");
    stop_and_free(pool, pool->threads - 1);
}

int ink_pool_threads(const ink_pool *pool) {
    return pool ? pool->threads : 1;
}

void ink_pool_run(ink_pool *pool, int64_t tasks, ink_task_fn fn, void *context) {
    if (!pool || pool->threads == 1 || tasks <= 1) {
        for (int64_t task = 0; task < tasks && !(pool && stops(pool)); task++) {
            fn(context, task, 0);
        }
        return;
    }
    assert(!pool->open && "loops do not nest");
    pthread_mutex_lock(&pool->mutex);
    pool->fn = fn;
    pool->context = context;
    pool->tasks = tasks;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->open = true;
    pool->generation++;
    /* One task is the caller's; more workers than the others need are not woken. */
    if (tasks > pool->threads - 1) {
        pthread_cond_broadcast(&pool->begin);
    } else {
        for (int64_t i = 1; i < tasks; i++) {
            pthread_cond_signal(&pool->begin);
        }
    }
    pthread_mutex_unlock(&pool->mutex);

    take_tasks(pool, fn, context, tasks, 0);

    for (int i = 0; i < spin_rounds && atomic_load_explicit(&pool->active, memory_order_relaxed) > 0; i++) {
        pause_briefly();
    }
    pthread_mutex_lock(&pool->mutex);
    pool->open = false;
    while (pool->active > 0) {
        pthread_cond_wait(&pool->end, &pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
}

void ink_pool_watch(ink_pool *pool, bool (*stop)(void *user), void *user) {
    if (!pool) return;
    pool->watch = stop;
    pool->watch_user = user;
    pool->stopped = false;
}

bool ink_pool_stopped(const ink_pool *pool) {
    return pool && pool->stopped;
}
