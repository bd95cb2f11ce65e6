/*
 * The pool of threads: every task runs exactly once, in the right thread, for any number of threads.
 */
#include "base/threads.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { most_tasks = 1000 };

typedef struct tally {
    int threads;
    atomic_int runs[most_tasks];
    atomic_int bad_thread;
    atomic_int busy[16]; /* tasks running on this thread index */
    int64_t sum[16];     /* per-thread, not atomic: an index belongs to one thread at a time */
} tally;

static void count_task(void *context, int64_t task, int thread) {
    tally *t = context;
    atomic_fetch_add(&t->runs[task], 1);
    if (thread < 0 || thread >= t->threads) {
        atomic_fetch_add(&t->bad_thread, 1);
        return;
    }
    if (atomic_fetch_add(&t->busy[thread], 1) != 0) atomic_fetch_add(&t->bad_thread, 1);
    t->sum[thread] += task + 1;
    atomic_fetch_sub(&t->busy[thread], 1);
}

static void check_loop(ink_pool *pool, int threads, int64_t tasks) {
    tally *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->threads = threads;
    ink_pool_run(pool, tasks, count_task, t);
    int64_t sum = 0;
    for (int i = 0; i < 16; i++) {
        sum += t->sum[i];
    }
    for (int64_t i = 0; i < most_tasks; i++) {
        assert_int_equal(t->runs[i], i < tasks);
    }
    assert_int_equal(t->bad_thread, 0);
    assert_true(sum == tasks * (tasks + 1) / 2);
    free(t);
}

static void test_every_task_once(void **state) {
    (void)state;
    for (int threads = 1; threads <= 8; threads++) {
        ink_pool *pool = NULL;
        assert_int_equal(ink_pool_create(threads, &pool, NULL), INK_OK);
        assert_int_equal(ink_pool_threads(pool), threads);
        static const int64_t sizes[] = {0, 1, 2, 3, 7, 8, 9, 100, most_tasks};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            check_loop(pool, threads, sizes[i]);
        }
        ink_pool_destroy(pool);
    }
}

static void test_many_short_loops(void **state) {
    (void)state;
    ink_pool *pool = NULL;
    assert_int_equal(ink_pool_create(4, &pool, NULL), INK_OK);
    for (int i = 0; i < 2000; i++) {
        check_loop(pool, 4, i % 6);
    }
    ink_pool_destroy(pool);
}

static void note_order(void *context, int64_t task, int thread) {
    int64_t *last = context;
    assert_int_equal(thread, 0);
    assert_true(task == *last + 1);
    *last = task;
}

static void test_without_a_pool(void **state) {
    (void)state;
    int64_t last = -1;
    ink_pool_run(NULL, 10, note_order, &last);
    assert_true(last == 9);
    assert_int_equal(ink_pool_threads(NULL), 1);
    ink_pool_destroy(NULL);
}

/* Both threads must take part: each waits (for a bounded time) until the other has arrived. */
typedef struct meeting {
    atomic_int arrived;
    atomic_bool missed;
    int thread[2];
} meeting;

static void meet(void *context, int64_t task, int thread) {
    meeting *m = context;
    m->thread[task] = thread;
    atomic_fetch_add(&m->arrived, 1);
    for (int64_t i = 0; i < 1000000000 && atomic_load(&m->arrived) < 2; i++) {
    }
    if (atomic_load(&m->arrived) < 2) atomic_store(&m->missed, true);
}

static void test_threads_run_at_once(void **state) {
    (void)state;
    ink_pool *pool = NULL;
    assert_int_equal(ink_pool_create(2, &pool, NULL), INK_OK);
    meeting m = {0};
    ink_pool_run(pool, 2, meet, &m);
    assert_false(m.missed);
    assert_int_equal(m.thread[0] + m.thread[1], 1);
    ink_pool_destroy(pool);

    /* With three threads and two tasks, indices differ whoever comes. */
    assert_int_equal(ink_pool_create(3, &pool, NULL), INK_OK);
    m = (meeting){0};
    ink_pool_run(pool, 2, meet, &m);
    assert_int_not_equal(m.thread[0], m.thread[1]);
    ink_pool_destroy(pool);
}

/* ---- leaving a loop early ---- */

static void count_run(void *context, int64_t task, int thread) {
    (void)task, (void)thread;
    atomic_fetch_add((atomic_int *)context, 1);
}

static bool stop_at_third(void *user) {
    return ++*(int *)user >= 3;
}

static void test_a_watched_loop_stops(void **state) {
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        enum { tasks = 10000000 };
        ink_pool *pool = NULL;
        assert_int_equal(ink_pool_create(threads, &pool, NULL), INK_OK);
        atomic_int runs = 0;
        int asked = 0;
        ink_pool_watch(pool, stop_at_third, &asked);
        ink_pool_run(pool, tasks, count_run, &runs);
        assert_true(ink_pool_stopped(pool));
        assert_int_equal(asked, 3);
        assert_true(runs < tasks);
        /* Later loops are left out until the watch ends. */
        const int before = runs;
        ink_pool_run(pool, 1, count_run, &runs);
        assert_int_equal(runs, before);
        ink_pool_watch(pool, NULL, NULL);
        assert_false(ink_pool_stopped(pool));
        ink_pool_run(pool, 100, count_run, &runs);
        assert_int_equal(runs, before + 100);
        ink_pool_destroy(pool);
    }
}

static void test_sizes(void **state) {
    (void)state;
    ink_pool *pool = NULL;
    assert_int_equal(ink_pool_create(0, &pool, NULL), INK_OK);
    assert_true(ink_pool_threads(pool) >= 1);
    ink_pool_destroy(pool);

    static const int wrong[] = {-1, INT_MIN, 1025, INT_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ink_error error = {0};
        ink_pool *none = (ink_pool *)&error;
        assert_int_equal(ink_pool_create(wrong[i], &none, &error), INK_ERROR_ARGUMENT);
        assert_null(none);
        assert_non_null(strstr(error.message, "threads"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_task_once), cmocka_unit_test(test_many_short_loops),
        cmocka_unit_test(test_without_a_pool),  cmocka_unit_test(test_threads_run_at_once),
        cmocka_unit_test(test_sizes),           cmocka_unit_test(test_a_watched_loop_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
