/*
 * Measuring through the public interface: what comes back adds up, operations are told of in their order, and
 * watching changes no picture.
 */
#include "support.h"

/* What was told so far. */
typedef struct watch {
    int events, operations;
    int of_stage[4]; /* operations */
    int last_index;
    double end; /* of the last operation */
    ink_progress last;
    int stop_at_event; /* -1: never */
} watch;

static void on_progress(void *user, const ink_progress *p) {
    watch *w = user;
    if (w->events > 0 && p->stage == w->last.stage) {
        assert_int_equal(p->done, w->last.done + 1);
        assert_int_equal(p->total, w->last.total);
    } else {
        assert_int_equal(p->done, 0);
    }
    assert_true(p->done <= p->total);
    w->last = *p;
    w->events++;
}

static void on_operation(void *user, const ink_operation *o) {
    watch *w = user;
    assert_true(o->kind[0] && o->label[0]);
    assert_true(o->begin >= w->end && o->seconds >= 0);
    assert_true(o->flops >= 0 && o->bytes > 0);
    assert_int_equal(o->track, 0);
    w->end = o->begin + o->seconds;
    w->of_stage[o->stage]++;
    w->last_index = o->index;
    w->operations++;
}

static bool should_cancel(void *user) {
    const watch *w = user;
    return w->stop_at_event >= 0 && w->events > w->stop_at_event;
}

static ink_bench_options small_options(watch *w, unsigned parts) {
    *w = (watch){.stop_at_event = -1};
    ink_bench_options options;
    ink_bench_options_init(&options);
    options.parts = parts;
    options.width = options.height = 32;
    options.steps = 3;
    options.tokens = 7;
    options.on_progress = on_progress;
    options.should_cancel = should_cancel;
    options.on_operation = on_operation;
    options.user = w;
    return options;
}

static ink_bench_result *measure(ink_model *model, const ink_bench_options *options) {
    ink_bench_result *result = NULL;
    ink_error error = {0};
    if (ink_bench(model, options, &result, &error) != INK_OK) fail_msg("%s", error.message);
    return result;
}

static bool near(double a, double b) {
    return a - b <= 1e-9 * b && b - a <= 1e-9 * b;
}

static void check_stage(const ink_bench_stage *s, int runs) {
    assert_int_equal(s->runs, runs);
    assert_true(s->fastest > 0 && s->fastest <= s->seconds && s->seconds <= s->slowest);
    assert_true(s->first_seconds > 0 && s->program_bytes > 0);
    double flops = 0, bytes = 0, roof_seconds = 0;
    for (size_t k = 0; k < s->n_kinds; k++) {
        assert_true(s->kinds[k].launches > 0 && s->kinds[k].seconds >= 0);
        if (k > 0) assert_true(s->kinds[k].seconds <= s->kinds[k - 1].seconds);
        flops += s->kinds[k].flops;
        bytes += s->kinds[k].bytes;
        roof_seconds += s->kinds[k].roof_seconds;
    }
    assert_true(near(flops, s->flops) && near(bytes, s->bytes) && near(roof_seconds, s->roof_seconds));
}

static void test_stages_in_their_order(void **state) {
    watch w;
    const ink_bench_options options = small_options(&w, INK_BENCH_ALL & ~(unsigned)INK_BENCH_ROOF);
    ink_bench_result *r = measure(*state, &options);
    assert_int_equal(r->n_stages, 4);
    assert_true(r->width == 32 && r->height == 32 && r->steps == 3 && r->tokens == 7 && r->layers == 3);
    assert_true(r->guidance > 1 && r->passes == 2);
    assert_true(r->roof_flops == 0 && r->roof_bytes == 0 && r->stages[2].roof_seconds == 0);
    int launches = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(r->stages[i].stage, i);
        check_stage(&r->stages[i], 3);
        int of_stage = 0;
        for (size_t k = 0; k < r->stages[i].n_kinds; k++) {
            of_stage += (int)r->stages[i].kinds[k].launches;
        }
        assert_int_equal(w.of_stage[i], of_stage); /* of one run alone */
        launches += of_stage;
    }
    assert_int_equal(w.operations, launches);
    assert_int_equal(w.events, 4 * (1 + 1 + 3));
    assert_true(w.last.done == w.last.total);
    ink_bench_result_free(r);
}

/* One pass computes half of what two compute, and a step can be measured without the text encoder. */
static void test_parts(void **state) {
    watch w;
    ink_bench_options options = small_options(&w, INK_BENCH_STEP);
    ink_bench_result *two = measure(*state, &options);
    assert_int_equal(two->n_stages, 1);
    assert_int_equal(two->stages[0].stage, INK_STAGE_DENOISE);
    check_stage(&two->stages[0], 3);
    options.guidance = 1;
    w = (watch){.stop_at_event = -1};
    ink_bench_result *one = measure(*state, &options);
    assert_int_equal(one->passes, 1);
    const double ratio = two->stages[0].flops / one->stages[0].flops;
    assert_true(ratio > 1.9 && ratio <= 2);
    ink_bench_result_free(one);
    ink_bench_result_free(two);
}

static void test_fewer_layers(void **state) {
    (void)state;
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = SMALL_MODEL;
    options.threads = 1;
    double flops[4] = {0};
    ink_error error = {0};
    for (int layers = 1; layers <= 3; layers++) {
        ink_model *model = NULL;
        options.layers = layers;
        if (ink_model_open(&options, &model, &error) != INK_OK) fail_msg("%s", error.message);
        watch w;
        const ink_bench_options what = small_options(&w, INK_BENCH_STEP | INK_BENCH_PREPARE);
        ink_bench_result *r = measure(model, &what);
        assert_int_equal(r->layers, layers);
        flops[layers] = r->stages[1].flops;
        ink_bench_result_free(r);
        ink_model_close(model);
    }
    assert_true(near(flops[3] - flops[2], flops[2] - flops[1]) && flops[2] > flops[1]);
    for (int layers = -1; layers <= 4; layers += 5) {
        ink_model *model = NULL;
        options.layers = layers;
        assert_sentence(ink_model_open(&options, &model, &error), INK_ERROR_ARGUMENT, &error,
                        "the transformer has 3");
    }
}

static void test_the_roof(void **state) {
    watch w;
    ink_bench_options options = small_options(&w, INK_BENCH_ROOF | INK_BENCH_PREPARE);
    ink_bench_result *r = measure(*state, &options);
    assert_true(r->roof_flops > 1e6 && r->roof_flops < 1e16);
    assert_true(r->roof_bytes > 1e6 && r->roof_bytes < 1e15);
    assert_true(r->roof_side >= 256 && r->roof_copied > 0);
    assert_int_equal(r->n_stages, 1);
    check_stage(&r->stages[0], 3);
    assert_true(r->stages[0].roof_seconds > 0);
    ink_bench_result_free(r);
}

static void test_what_is_wrong(void **state) {
    ink_model *model = *state;
    watch w;
    const ink_bench_options good = small_options(&w, INK_BENCH_DECODE);
    ink_bench_options bad = good;
    ink_bench_result *result = NULL;
    ink_error error = {0};
    assert_sentence(ink_bench(NULL, &good, &result, &error), INK_ERROR_ARGUMENT, &error, "model");
    assert_sentence(ink_bench(model, NULL, &result, &error), INK_ERROR_ARGUMENT, &error, "NULL");
    assert_sentence(ink_bench(model, &good, NULL, &error), INK_ERROR_ARGUMENT, &error, "NULL");
    bad.struct_size = sizeof bad + 8;
    assert_sentence(ink_bench(model, &bad, &result, &error), INK_ERROR_ARGUMENT, &error, "struct_size");
    bad = good;
    bad.width = 40;
    assert_sentence(ink_bench(model, &bad, &result, &error), INK_ERROR_ARGUMENT, &error, "width 40");
    bad = good;
    bad.steps = 1001;
    assert_sentence(ink_bench(model, &bad, &result, &error), INK_ERROR_ARGUMENT, &error, "1001 steps");
    for (int tokens = -1; tokens <= 513; tokens += 514) {
        bad = good;
        bad.tokens = tokens;
        assert_sentence(ink_bench(model, &bad, &result, &error), INK_ERROR_ARGUMENT, &error, "tokens");
    }
    for (unsigned parts = 0; parts <= 32; parts += 32) {
        bad = good;
        bad.parts = parts;
        assert_sentence(ink_bench(model, &bad, &result, &error), INK_ERROR_ARGUMENT, &error, "parts");
    }
    assert_null(result);
    ink_bench_result_free(NULL);
}

static void test_cancelling(void **state) {
    watch w;
    ink_bench_options options = small_options(&w, INK_BENCH_ALL & ~(unsigned)INK_BENCH_ROOF);
    for (int stop = 0; stop < 19; stop++) {
        w = (watch){.stop_at_event = stop};
        ink_bench_result *result = NULL;
        ink_error error = {0};
        assert_sentence(ink_bench(*state, &options, &result, &error), INK_ERROR_CANCELLED, &error,
                        "cancelled");
        assert_null(result);
        assert_true(w.events <= stop + 2);
    }
}

/* Drawing tells of every step and picture, and draws what it draws without an observer. */
static void test_watching_a_picture(void **state) {
    ink_request request = small_request("a cat", 3);
    ink_result *alone = draw(*state, &request);
    watch w = {.stop_at_event = -1};
    request.on_operation = on_operation;
    request.user = &w;
    ink_result *watched = draw(*state, &request);
    assert_same_picture(&alone->images[0], &watched->images[0]);
    for (int stage = 0; stage < 4; stage++) {
        assert_true(w.of_stage[stage] > 10);
    }
    assert_int_equal(w.of_stage[INK_STAGE_DENOISE] % 2, 0); /* two steps */
    const int operations = w.operations;
    request.on_operation = NULL;
    ink_result *again = draw(*state, &request);
    assert_int_equal(w.operations, operations);
    /* Whoever uses the model after a picture that was watched is not. */
    w = (watch){.stop_at_event = -1};
    request.on_operation = on_operation;
    ink_result *last = draw(*state, &request);
    assert_int_equal(w.operations, operations);
    const ink_bench_options options = {
        .struct_size = sizeof options, .parts = INK_BENCH_STEP, .width = 32, .height = 32, .steps = 1};
    ink_bench_result_free(measure(*state, &options));
    assert_int_equal(w.operations, operations);
    ink_result_free(last);
    ink_result_free(alone);
    ink_result_free(watched);
    ink_result_free(again);
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
        cmocka_unit_test(test_stages_in_their_order), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_fewer_layers),          cmocka_unit_test(test_the_roof),
        cmocka_unit_test(test_what_is_wrong),         cmocka_unit_test(test_cancelling),
        cmocka_unit_test(test_watching_a_picture),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
