/*
 * Whole models through MLX: golden tensors, the picture of the CPU backend, progress, cancellation, and
 * values that are not finite.
 */
#define _XOPEN_SOURCE 700 /* mkdtemp, symlink */

#include "backend/mlx/mlx.h"
#include "pipeline/model.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char tiny[] = INK_SOURCE_DIR "/tests/golden/tiny-random";
static const char tiny_golden[] = INK_SOURCE_DIR "/tests/golden/tiny-random/golden.safetensors";
static const char emoji[] = INK_SOURCE_DIR "/models/emoji";

static ink_model *open_model(const char *path, const char *backend, const char *precision) {
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = path;
    options.backend = backend;
    options.precision = precision;
    ink_model *model;
    ink_error error = {0};
    if (ink_model_open(&options, &model, &error) != INK_OK) fail_msg("%s", error.message);
    return model;
}

/* The same with settings that the public interface does not have. */
static ink_model *open_with(const char *path, const ink_mlx_settings *settings) {
    ink_model *model = open_model(path, "mlx", "f32");
    ink_backend_destroy(model->backend);
    assert_int_equal(ink_mlx_backend_create_with(settings, &model->backend, NULL), INK_OK);
    return model;
}

/* ---- golden tensors ---- */

static void count_worst(void *user, const ink_check *check) {
    double *worst = user;
    if (!check->passed)
        print_message("%s: %g, at most %g\n", check->name, check->relative_l2, check->tolerance);
    if (check->relative_l2 > *worst) *worst = check->relative_l2;
}

static size_t verify(ink_model *model, double tolerance) {
    size_t checked, failed;
    double worst = 0;
    ink_error error = {0};
    if (ink_verify(model, tiny_golden, tolerance, count_worst, &worst, &checked, &failed, &error) != INK_OK)
        fail_msg("%s", error.message);
    assert_true(checked >= 60);
    assert_true(worst > 0);
    return failed;
}

static void test_golden_f32(void **state) {
    (void)state;
    ink_model *model = open_model(tiny, "mlx", "f32");
    assert_int_equal(verify(model, 1e-5), 0);
    ink_model_close(model);
}

static void test_golden_bf16(void **state) {
    (void)state;
    ink_model *model = open_model(tiny, "mlx", "bf16");
    assert_int_equal(verify(model, 2e-2), 0);
    ink_model_close(model);
}

/* The check itself: bf16 is not within 1e-4. */
static void test_golden_notices(void **state) {
    (void)state;
    ink_model *model = open_model(tiny, "mlx", "bf16");
    assert_true(verify(model, 1e-4) > 20);
    ink_model_close(model);
}

/* ---- pictures ---- */

typedef struct reports {
    int n, last, total;
    bool ordered;
    int cancel_after; /* polls; negative: never */
} reports;

static void on_progress(void *user, const ink_progress *progress) {
    reports *r = user;
    if (progress->stage != INK_STAGE_DENOISE || progress->done == 0) return;
    if (progress->done <= r->last) r->ordered = false;
    r->last = progress->done;
    r->total = progress->total;
    r->n++;
}

static bool should_cancel(void *user) {
    reports *r = user;
    return r->cancel_after >= 0 && r->cancel_after-- == 0;
}

static ink_request cat(reports *r, int steps) {
    *r = (reports){.ordered = true, .cancel_after = -1};
    ink_request request;
    ink_request_init(&request);
    request.prompt = "a cat";
    request.seed = 7;
    request.steps = steps;
    request.on_progress = on_progress;
    request.should_cancel = should_cancel;
    request.user = r;
    return request;
}

static ink_result *draw(ink_model *model, const ink_request *request) {
    ink_result *result;
    ink_error error = {0};
    if (ink_generate(model, request, &result, &error) != INK_OK) fail_msg("%s", error.message);
    return result;
}

/* The largest difference of two pictures, in levels. */
static int distance(const ink_result *a, const ink_result *b) {
    const ink_image *x = a->images, *y = b->images;
    assert_true(x->width == y->width && x->height == y->height);
    int most = 0;
    for (int i = 0; i < x->width * x->height * 3; i++) {
        const int d = abs(x->pixels[i] - y->pixels[i]);
        if (d > most) most = d;
    }
    return most;
}

static void test_same_picture(void **state) {
    (void)state;
    static const ink_mlx_settings ways[] = {
        {.precision = "f32"},
        {.precision = "f32", .page_views = true},
        {.precision = "f32", .compile = "on"},
    };
    reports r;
    const ink_request request = cat(&r, 0);
    ink_model *cpu = open_model(emoji, "cpu", NULL);
    ink_result *want = draw(cpu, &request);
    ink_result *first = NULL;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        ink_model *mlx = open_with(emoji, &ways[i]);
        ink_result *got = draw(mlx, &request);
        const int d = distance(got, want);
        if (!(d <= 1)) fail_msg("way %zu: the pictures are %d levels apart", i, d);
        if (i == 1) assert_int_equal(distance(got, first), 0); /* the same weights, addressed otherwise */
        if (i == 0)
            first = got;
        else
            ink_result_free(got);
        ink_model_close(mlx);
    }
    ink_request other = request;
    other.seed = 8;
    ink_result *different = draw(cpu, &other);
    assert_true(distance(different, want) > 20);
    ink_result_free(different);
    ink_result_free(first);
    ink_result_free(want);
    ink_model_close(cpu);
}

static void *draw_there(void *user) {
    reports r;
    ink_request request = cat(&r, 2);
    ink_result *result = NULL;
    ink_generate(user, &request, &result, NULL);
    return result;
}

/* Opened by one thread, used by two others and this one; the same bytes each time. */
static void test_any_thread(void **state) {
    (void)state;
    ink_model *model = open_model(emoji, "mlx", "f32");
    pthread_t threads[2];
    void *results[3];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, draw_there, model), 0);
    }
    results[2] = draw_there(model);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &results[i]);
    }
    for (int i = 0; i < 3; i++) {
        assert_non_null(results[i]);
        assert_int_equal(distance(results[i], results[2]), 0);
    }
    for (int i = 0; i < 3; i++) {
        ink_result_free(results[i]);
    }
    ink_model_close(model);
}

/* ---- following a run ---- */

static void test_progress(void **state) {
    (void)state;
    ink_model *model = open_model(tiny, "mlx", "f32");
    for (int every = 1; every <= 9; every += 4) {
        reports r;
        ink_request request = cat(&r, 7);
        request.width = request.height = 32;
        request.count = 2;
        request.progress_every = every;
        ink_result_free(draw(model, &request));
        assert_true(r.ordered);
        assert_int_equal(r.last, r.total);
        assert_true(r.n >= 1 && r.n <= r.total);
    }
    reports r;
    ink_request request = cat(&r, 7);
    request.progress_every = -1;
    ink_result *result;
    assert_int_equal(ink_generate(model, &request, &result, NULL), INK_ERROR_ARGUMENT);
    ink_model_close(model);
}

static void test_cancellation(void **state) {
    (void)state;
    ink_model *model = open_model(tiny, "mlx", "f32");
    int cancelled = 0;
    for (int after = 0; after < 20; after++) {
        reports r;
        ink_request request = cat(&r, 6);
        request.width = request.height = 32;
        request.progress_every = 2;
        r.cancel_after = after;
        ink_result *result;
        const ink_status status = ink_generate(model, &request, &result, NULL);
        assert_true(status == INK_ERROR_CANCELLED || status == INK_OK);
        cancelled += status == INK_ERROR_CANCELLED;
        ink_result_free(result);
    }
    assert_true(cancelled >= 5);
    ink_model_close(model);
}

/* ---- values that are not finite ---- */

static void link_part(const char *folder, const char *part) {
    char from[512], to[512];
    snprintf(from, sizeof from, "%s/%s", tiny, part);
    snprintf(to, sizeof to, "%s/%s", folder, part);
    assert_int_equal(symlink(from, to), 0);
}

/* Copies the transformer's files and puts NaN in place of the first numbers of a tensor. */
static void copy_damaged(const char *folder, const char *tensor) {
    char command[2048], path[512];
    snprintf(command, sizeof command, "cp -rL '%s/transformer' '%s/' && chmod -R u+w '%s'", tiny, folder,
             folder);
    assert_int_equal(system(command), 0);
    ink_weights *weights;
    snprintf(path, sizeof path, "%s/transformer", folder);
    assert_int_equal(ink_weights_open(path, "diffusion_pytorch_model", &weights, NULL), INK_OK);
    const ink_weight *weight = ink_weights_find(weights, tensor);
    assert_non_null(weight);
    assert_int_equal(weight->dtype, INK_BF16);
    /* Which file, and where in it: by its own bytes. */
    bool found = false;
    for (int shard = 1; shard < 10 && !found; shard++) {
        snprintf(command, sizeof command, "ls '%s'/transformer/*.safetensors | sed -n %dp", folder, shard);
        FILE *list = popen(command, "r");
        assert_non_null(list);
        const bool named = fgets(path, sizeof path, list) != NULL;
        pclose(list);
        if (!named) break;
        path[strcspn(path, "\n")] = '\0';
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        fseek(file, 0, SEEK_END);
        const long size = ftell(file);
        char *bytes = malloc((size_t)size);
        assert_non_null(bytes);
        rewind(file);
        assert_int_equal(fread(bytes, 1, (size_t)size, file), (size_t)size);
        for (long at = 0; at + 64 <= size && !found; at += 2) {
            if (memcmp(bytes + at, weight->data, 64) != 0) continue;
            const unsigned char nan[2] = {0xC0, 0x7F};
            fseek(file, at, SEEK_SET);
            found = fwrite(nan, 1, sizeof nan, file) == sizeof nan;
        }
        free(bytes);
        fclose(file);
    }
    assert_true(found);
    ink_weights_close(weights);
}

/* The steps are started together; the sentence names the first bad one and where it began. */
static void test_non_finite(void **state) {
    (void)state;
    char folder[] = "/tmp/inkstone-mlx-XXXXXX", command[128];
    assert_non_null(mkdtemp(folder));
    static const char *const parts[] = {"model_index.json", "scheduler", "text_encoder", "tokenizer", "vae"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        link_part(folder, parts[i]);
    }
    copy_damaged(folder, "transformer_blocks.1.img_mlp.net.2.weight");
    ink_model *model = open_model(folder, "mlx", "f32");
    reports r;
    ink_request request = cat(&r, 4);
    request.width = request.height = 32;
    ink_result *result;
    ink_error error = {0};
    assert_int_equal(ink_generate(model, &request, &result, &error), INK_ERROR_NUMERIC);
    assert_non_null(strstr(error.message, "step 1 of 4"));
    assert_non_null(strstr(error.message, "transformer_blocks.1.img_mlp"));
    ink_model_close(model);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_f32),     cmocka_unit_test(test_golden_bf16),
        cmocka_unit_test(test_golden_notices), cmocka_unit_test(test_same_picture),
        cmocka_unit_test(test_any_thread),     cmocka_unit_test(test_progress),
        cmocka_unit_test(test_cancellation),   cmocka_unit_test(test_non_finite),
    };
    return cmocka_run_group_tests_name("mlx models", tests, NULL, NULL);
}
