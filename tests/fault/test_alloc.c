/*
 * When memory runs out: a whole small run is repeated, and each time another allocation fails, once alone and
 * once with all that follow it. Every run must end in INK_ERROR_MEMORY with a sentence, or draw the very
 * picture that it draws when nothing fails; nothing may leak.
 */
#include "allocations.h"
#include "inkstone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "small_model.h"

typedef struct outcome {
    ink_status status;
    ink_error error;
    bool leftover; /* an output was not NULL after a failure */
    size_t bytes;  /* of what was made */
    uint64_t hash;
} outcome;

typedef void (*run_fn)(const char *folder, outcome *out);

static uint64_t hash_of(const void *data, size_t bytes) {
    const unsigned char *p = data;
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ p[i]) * 1099511628211u;
    return hash;
}

/* Opens the model, draws one picture of 32 x 32 in one step, encodes it as PNG, frees everything. */
static void draw_picture(const char *folder, outcome *out) {
    ink_model *model = NULL;
    ink_result *result = NULL;
    uint8_t *png = NULL;
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = folder;
    options.threads = 1;
    options.backend = "cpu"; /* no search for a device: the loader of libraries counts on its own */
    ink_request request;
    ink_request_init(&request);
    request.prompt = "a cat";
    request.width = request.height = 32;
    request.steps = 1;
    out->status = ink_model_open(&options, &model, &out->error);
    if (out->status == INK_OK) {
        out->status = ink_generate(model, &request, &result, &out->error);
        out->leftover = out->status != INK_OK && result;
    } else {
        out->leftover = model != NULL;
    }
    if (out->status == INK_OK) {
        ink_png_options png_options;
        ink_png_options_init(&png_options);
        png_options.parameters = "a cat";
        out->status = ink_image_encode_png(&result->images[0], &png_options, &png, &out->bytes, &out->error);
        out->leftover = out->status != INK_OK && png;
    }
    if (out->status == INK_OK) out->hash = hash_of(png, out->bytes);
    ink_free(png);
    ink_result_free(result);
    ink_model_close(model);
}

/* One timed run of every stage; the roof takes long, and no two runs of it are alike. */
static void measure(const char *folder, outcome *out) {
    ink_model *model = NULL;
    ink_bench_result *result = NULL;
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = folder;
    options.threads = 1;
    options.backend = "cpu";
    ink_bench_options bench;
    ink_bench_options_init(&bench);
    bench.parts = INK_BENCH_ALL & ~(unsigned)INK_BENCH_ROOF;
    bench.width = bench.height = 32;
    bench.steps = 1;
    bench.tokens = 3;
    out->status = ink_model_open(&options, &model, &out->error);
    if (out->status == INK_OK) out->status = ink_bench(model, &bench, &result, &out->error);
    out->leftover = out->status != INK_OK && result;
    for (size_t i = 0; out->status == INK_OK && i < result->n_stages; i++) {
        for (size_t k = 0; k < result->stages[i].n_kinds; k++) {
            /* Which kind is slower differs from run to run. */
            const ink_bench_kind *kind = &result->stages[i].kinds[k];
            out->bytes += (size_t)kind->launches;
            out->hash += hash_of(kind->name, strlen(kind->name)) * (uint64_t)kind->launches;
        }
    }
    ink_bench_result_free(result);
    ink_model_close(model);
}

static void tokenize(const char *folder, outcome *out) {
    ink_tokenizer *tokenizer = NULL;
    int32_t *ids = NULL;
    size_t count = 0;
    static const char text[] = "a cat<|im_end|> with caf\xC3\xA9 e\xCC\x81 and \xFF\xE2\x82 12345";
    out->status = ink_tokenizer_open(folder, &tokenizer, &out->error);
    out->leftover = out->status != INK_OK && tokenizer;
    if (out->status == INK_OK) {
        out->status = ink_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids, &count, &out->error);
        out->leftover = out->status != INK_OK && ids;
    }
    if (out->status == INK_OK) {
        out->bytes = count * sizeof *ids;
        out->hash = hash_of(ids, out->bytes);
    }
    ink_free(ids);
    ink_tokenizer_close(tokenizer);
}

static void check_outcome(const outcome *got, const outcome *expected, allocation_counts counts,
                          const char *what) {
    if (got->leftover) fail_msg("%s: an output was set after a failure", what);
    if (counts.alive != 0 && allocations_count_leaks()) {
        fail_msg("%s: %lld allocations leaked (status %d)", what, (long long)counts.alive, (int)got->status);
    }
    if (got->status == INK_OK) {
        if (got->bytes != expected->bytes || got->hash != expected->hash)
            fail_msg("%s: succeeded, but made something else", what);
    } else if (got->status != INK_ERROR_MEMORY) {
        fail_msg("%s: status %d (%s) instead of out of memory: %s", what, (int)got->status,
                 ink_status_name(got->status), got->error.message);
    } else if (got->error.status != INK_ERROR_MEMORY || !got->error.message[0]) {
        fail_msg("%s: the error has no sentence", what);
    }
}

/* Runs `run` once per allocation. Under a sanitizer, which is slow, only every few of them fail together with
 * all that follow; that these are cleaned up is the same code. */
static void fail_each(run_fn run, const char *folder) {
    outcome expected = {0};
    run(folder, &expected); /* whatever is set up once per process, is now */
    memset(&expected, 0, sizeof expected);
    allocations_arm(INT64_MAX, INT64_MAX);
    run(folder, &expected);
    const allocation_counts all = allocations_disarm();
    if (expected.status != INK_OK) fail_msg("even with memory: %s", expected.error.message);
    check_outcome(&expected, &expected, all, "with memory");
    assert_true(all.calls > 0);

    int64_t failed = 0;
    const int64_t stride = allocations_count_leaks() ? 1 : 5;
    for (int64_t n = 0; n < all.calls; n++) {
        for (int following = 0; following < 2; following++) {
            if (following && n % stride != 0) continue;
            char what[96];
            snprintf(what, sizeof what, "allocation %lld%s of %lld", (long long)n,
                     following ? " and all after it" : "", (long long)all.calls);
            outcome got = {0};
            allocations_arm(n, following ? INT64_MAX : n);
            run(folder, &got);
            const allocation_counts counts = allocations_disarm();
            check_outcome(&got, &expected, counts, what);
            if (got.status == INK_ERROR_MEMORY) failed++;
        }
    }
    assert_true(failed > all.calls / 2);
    print_message("%lld allocations, %lld runs out of memory\n", (long long)all.calls, (long long)failed);
}

static void test_picture(void **state) {
    fail_each(draw_picture, *state);
}

static void test_tokenizer_from_lists(void **state) {
    fail_each(tokenize, *state);
}

static void test_tokenizer_from_json(void **state) {
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/json", (const char *)*state);
    fail_each(tokenize, folder);
}

static void test_bench(void **state) {
    fail_each(measure, *state);
}

static int setup(void **state) {
    static char folder[] = "/tmp/inkstone-alloc-XXXXXX";
    *state = folder;
    return small_model_create(folder) ? 0 : -1;
}

static int teardown(void **state) {
    small_model_remove(*state);
    return 0;
}

int main(void) {
    if (!allocations_can_fail()) {
        puts("the allocations of this C library cannot be made to fail");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizer_from_lists),
        cmocka_unit_test(test_tokenizer_from_json),
        cmocka_unit_test(test_picture),
        cmocka_unit_test(test_bench),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
