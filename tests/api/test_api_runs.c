/*
 * Whole runs through the public interface: the same request gives the same bytes however it is run, progress
 * comes in order, a run can be stopped anywhere, and threads may share a model or have one each.
 */
#include "support.h"

#include <pthread.h>

/* What a run reported, and when it is to stop. */
typedef struct watch {
    int events, polls;
    ink_progress last;
    int stop_at_event; /* should_cancel answers true from this event on; -1: never */
    int stop_at_poll;  /* or from this poll on; -1: never */
} watch;

static void on_progress(void *user, const ink_progress *p) {
    watch *w = user;
    assert_true(p->done >= 0 && p->done <= p->total && p->total >= 1);
    assert_true(p->stage_seconds >= 0 && p->seconds >= p->stage_seconds);
    if (w->events == 0) {
        assert_int_equal(p->stage, INK_STAGE_TEXT);
        assert_int_equal(p->done, 0);
    } else if (p->stage == w->last.stage) {
        assert_int_equal(p->done, w->last.done + 1);
        assert_int_equal(p->total, w->last.total);
        assert_true(p->seconds >= w->last.seconds);
    } else {
        assert_int_equal(p->stage, w->last.stage + 1);
        assert_int_equal(p->done, 0);
        assert_int_equal(w->last.done, w->last.total);
    }
    w->last = *p;
    w->events++;
}

static bool should_cancel(void *user) {
    watch *w = user;
    w->polls++;
    return (w->stop_at_event >= 0 && w->events > w->stop_at_event) ||
           (w->stop_at_poll >= 0 && w->polls > w->stop_at_poll);
}

static ink_request watched_request(watch *w) {
    *w = (watch){.stop_at_event = -1, .stop_at_poll = -1};
    ink_request request = small_request("a cat", 5);
    request.count = 2;
    request.on_progress = on_progress;
    request.should_cancel = should_cancel;
    request.user = w;
    return request;
}

static void test_progress_comes_in_order(void **state) {
    watch w;
    const ink_request request = watched_request(&w);
    ink_result *result = draw(*state, &request);
    assert_int_equal(w.last.stage, INK_STAGE_DECODE);
    assert_int_equal(w.last.done, 2);
    assert_int_equal(w.last.total, 2);
    assert_true(w.polls > 4);
    assert_true(result->steps == 2 && result->guidance > 1 && result->negative_prompt);
    ink_result_free(result);
}

static void test_cancelling_anywhere(void **state) {
    ink_model *model = *state;
    watch w;
    ink_request request = watched_request(&w);
    ink_result *whole = draw(model, &request), *result = NULL;
    const int events = w.events, polls = w.polls;
    ink_error error = {0};
    /* The last event comes when nothing is left to stop. */
    for (int stop = 0; stop < events - 1; stop++) {
        request = watched_request(&w);
        w.stop_at_event = stop;
        assert_sentence(ink_generate(model, &request, &result, &error), INK_ERROR_CANCELLED, &error,
                        "cancelled");
        assert_null(result);
        assert_true(w.events <= stop + 2);
    }
    for (int stop = 0; stop < polls; stop += 1 + polls / 40) {
        request = watched_request(&w);
        w.stop_at_poll = stop;
        assert_sentence(ink_generate(model, &request, &result, &error), INK_ERROR_CANCELLED, &error,
                        "cancelled");
        assert_null(result);
    }
    /* The model is as good as before. */
    request = watched_request(&w);
    result = draw(model, &request);
    assert_same_picture(&whole->images[0], &result->images[0]);
    assert_same_picture(&whole->images[1], &result->images[1]);
    ink_result_free(whole);
    ink_result_free(result);
}

/* Pictures of a batch share matrices, whose products may be rounded in another order than those of one
 * picture: a value may then fall to the other side of a level of 255. */
static void assert_nearly_same_picture(const ink_image *a, const ink_image *b) {
    for (size_t i = 0; i < (size_t)a->width * (size_t)a->height * 3; i++) {
        const int difference = a->pixels[i] - b->pixels[i];
        if (!(difference >= -1 && difference <= 1)) fail_msg("byte %zu differs by %d", i, difference);
    }
}

static void test_seeds_of_a_batch(void **state) {
    ink_model *model = *state;
    ink_request request = small_request("a cat", 40);
    request.count = 3;
    ink_result *batch = draw(model, &request);
    for (int k = 0; k < 3; k++) {
        const ink_request one = small_request("a cat", 40 + k);
        ink_result *alone = draw(model, &one);
        assert_int_equal(batch->images[k].seed, 40 + k);
        assert_nearly_same_picture(&batch->images[k], &alone->images[0]);
        ink_result_free(alone);
    }
    const size_t bytes = 32 * 32 * 3;
    assert_memory_not_equal(batch->images[0].pixels, batch->images[1].pixels, bytes);
    assert_memory_not_equal(batch->images[1].pixels, batch->images[2].pixels, bytes);
    ink_result_free(batch);
}

static void test_prompts_and_guidance_matter(void **state) {
    ink_model *model = *state;
    ink_request request = small_request("a cat", 1);
    ink_result *cat = draw(model, &request);
    request.guidance = 1;
    ink_result *unguided = draw(model, &request);
    assert_null(unguided->negative_prompt);
    request = small_request("", 1);
    ink_result *nothing = draw(model, &request);
    const size_t bytes = 32 * 32 * 3;
    assert_memory_not_equal(cat->images[0].pixels, unguided->images[0].pixels, bytes);
    assert_memory_not_equal(cat->images[0].pixels, nothing->images[0].pixels, bytes);
    ink_result_free(cat);
    ink_result_free(unguided);
    ink_result_free(nothing);
}

/* The same bytes twice, and with any number of threads of the backend. */
static void test_same_bytes(void **state) {
    const ink_request request = small_request("a cat", 1);
    ink_result *once = draw(*state, &request), *twice = draw(*state, &request);
    assert_same_picture(&once->images[0], &twice->images[0]);
    ink_result_free(twice);
    for (int threads = 2; threads <= 5; threads += 3) {
        ink_model *model = open_model(SMALL_MODEL, threads);
        ink_result *result = draw(model, &request);
        assert_same_picture(&once->images[0], &result->images[0]);
        ink_result_free(result);
        ink_model_close(model);
    }
    ink_result_free(once);
}

enum { n_workers = 4, runs_per_worker = 3 };

/* cmocka's checks may only fail in the thread that runs the test, so workers bring their pictures home. */
typedef struct worker {
    ink_model *shared; /* NULL: opens its own */
    int64_t seed;
    ink_status status;
    ink_error error;
    ink_result *results[runs_per_worker];
} worker;

static void *work(void *argument) {
    worker *w = argument;
    ink_model *model = w->shared;
    if (!model) {
        ink_model_options options;
        ink_model_options_init(&options);
        options.path = SMALL_MODEL;
        options.threads = 2;
        w->status = ink_model_open(&options, &model, &w->error);
    }
    for (int i = 0; w->status == INK_OK && i < runs_per_worker; i++) {
        const ink_request request = small_request("a cat", w->seed);
        w->status = ink_generate(model, &request, &w->results[i], &w->error);
    }
    if (!w->shared) ink_model_close(model);
    return NULL;
}

static void run_workers(ink_model *model, ink_model *shared) {
    pthread_t threads[n_workers];
    worker workers[n_workers];
    memset(workers, 0, sizeof workers);
    for (int i = 0; i < n_workers; i++) {
        workers[i].shared = shared;
        workers[i].seed = 100 + i;
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < n_workers; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < n_workers; i++) {
        if (workers[i].status != INK_OK) fail_msg("%s", workers[i].error.message);
        const ink_request request = small_request("a cat", workers[i].seed);
        ink_result *alone = draw(model, &request);
        for (int k = 0; k < runs_per_worker; k++) {
            assert_same_picture(&alone->images[0], &workers[i].results[k]->images[0]);
            ink_result_free(workers[i].results[k]);
        }
        ink_result_free(alone);
    }
}

static void test_threads_share_a_model(void **state) {
    run_workers(*state, *state);
}

static void test_threads_with_models_of_their_own(void **state) {
    run_workers(*state, NULL);
}

static ink_tokenizer *shared_tokenizer(void) {
    ink_tokenizer *tokenizer = NULL;
    assert_int_equal(ink_tokenizer_open(SMALL_MODEL, &tokenizer, NULL), INK_OK);
    return tokenizer;
}

static const char many_words[] = "The quick brown fox, 12345 times; na\xC3\xAFve \xE4\xB8\xAD\xE6\x96\x87!";

static void *encode_often(void *argument) {
    static const char text[] = "The quick brown fox";
    for (int i = 0; i < 200; i++) {
        int32_t *ids = NULL;
        size_t count = 0;
        const bool odd = i % 2;
        if (ink_tokenizer_encode(argument, odd ? text : many_words, strlen(odd ? text : many_words), !odd,
                                 &ids, &count, NULL) != INK_OK)
            return argument;
        ink_free(ids);
    }
    return NULL;
}

static void test_threads_share_a_tokenizer(void **state) {
    (void)state;
    ink_tokenizer *tokenizer = shared_tokenizer();
    pthread_t threads[n_workers];
    for (int i = 0; i < n_workers; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, tokenizer), 0);
    }
    for (int i = 0; i < n_workers; i++) {
        void *failed = tokenizer;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    ink_tokenizer_close(tokenizer);
}

static int setup(void **state) {
    *state = open_model(SMALL_MODEL, 1);
    return 0;
}

static int teardown(void **state) {
    ink_model_close(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_progress_comes_in_order),
        cmocka_unit_test(test_cancelling_anywhere),
        cmocka_unit_test(test_seeds_of_a_batch),
        cmocka_unit_test(test_prompts_and_guidance_matter),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_threads_share_a_model),
        cmocka_unit_test(test_threads_with_models_of_their_own),
        cmocka_unit_test(test_threads_share_a_tokenizer),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
