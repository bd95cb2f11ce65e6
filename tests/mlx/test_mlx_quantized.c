/*
 * Quantised checkpoints: MLX multiplies with the small integers, the CPU backend with the matrices that
 * weights/quantized.h says they are. Both must draw the same picture.
 */
#define _XOPEN_SOURCE 700 /* mkdtemp, symlink */

#include "pipeline/model.h"
#include "weights/quantized.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char tiny[] = INK_SOURCE_DIR "/tests/golden/tiny-random";

enum { path_bytes = 512 };

/* A safetensors file while it is written: the header's text, and the data after it. */
typedef struct writer {
    FILE *header, *data;
    long end;
} writer;

static void put(writer *w, const char *name, ink_dtype dtype, const ink_shape *shape, const void *data) {
    static const char *const names[INK_DTYPE_COUNT] = {
        [INK_F32] = "F32", [INK_BF16] = "BF16", [INK_F16] = "F16", [INK_U32] = "U32"};
    const size_t bytes = (size_t)ink_shape_count(shape) * ink_dtype_bytes(dtype);
    char dims[INK_SHAPE_TEXT_BYTES];
    assert_non_null(names[dtype]);
    fprintf(w->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%ld,%ld]}",
            w->end ? "," : "{", name, names[dtype], ink_shape_text(shape, dims), w->end,
            w->end + (long)bytes);
    assert_int_equal(fwrite(data, 1, bytes, w->data), bytes);
    w->end += (long)bytes;
}

static void copy_stream(FILE *from, FILE *to) {
    rewind(from);
    for (int c; (c = fgetc(from)) != EOF;) {
        fputc(c, to);
    }
    fclose(from);
}

static void finish(writer *w, const char *path) {
    fputc('}', w->header);
    while (ftell(w->header) % 8 != 0) {
        fputc(' ', w->header);
    }
    const uint64_t length = (uint64_t)ftell(w->header);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int i = 0; i < 8; i++) {
        fputc((int)(length >> 8 * i & 0xFF), file);
    }
    copy_stream(w->header, file);
    copy_stream(w->data, file);
    assert_int_equal(fclose(file), 0);
}

/* The three tensors of a matrix: each group from its smallest to its largest element. */
static void put_quantized(writer *w, const ink_weight *weight, int bits, int64_t group) {
    const int64_t outputs = weight->shape.dim[0], inputs = weight->shape.dim[1], groups = inputs / group;
    const int64_t words = inputs * bits / 32;
    uint32_t *numbers = calloc((size_t)(outputs * words), sizeof *numbers);
    float *scales = calloc((size_t)(outputs * groups), sizeof *scales);
    float *biases = calloc((size_t)(outputs * groups), sizeof *biases);
    assert_true(numbers && scales && biases);
    for (int64_t at = 0; at < outputs * groups; at++) {
        float low = INFINITY, high = -INFINITY;
        for (int64_t i = at * group; i < (at + 1) * group; i++) {
            const float x = ink_element_f32(weight->data, weight->dtype, i);
            low = fminf(low, x);
            high = fmaxf(high, x);
        }
        scales[at] = fmaxf((high - low) / (float)((1 << bits) - 1), 1e-8f);
        biases[at] = low;
        for (int64_t i = at * group; i < (at + 1) * group; i++) {
            const float x = ink_element_f32(weight->data, weight->dtype, i);
            const uint32_t number = (uint32_t)lrintf((x - low) / scales[at]);
            numbers[i * bits / 32] |= number << (i * bits % 32);
        }
    }
    char name[256];
    const int stem = (int)(strlen(weight->name) - strlen(".weight"));
    const ink_shape packed = ink_shape2(outputs, words), table = ink_shape2(outputs, groups);
    put(w, weight->name, INK_U32, &packed, numbers);
    snprintf(name, sizeof name, "%.*s.scales", stem, weight->name);
    put(w, name, INK_F32, &table, scales);
    snprintf(name, sizeof name, "%.*s.biases", stem, weight->name);
    put(w, name, INK_F32, &table, biases);
    free(numbers);
    free(scales);
    free(biases);
}

static bool ends_with(const char *text, const char *ending) {
    const size_t n = strlen(text), tail = strlen(ending);
    return n >= tail && strcmp(text + n - tail, ending) == 0;
}

/* Writes a component with its matrices quantised; returns how many are. */
static int quantize(const char *folder, const char *part, const char *stem, int bits, int64_t group) {
    char path[path_bytes], command[3 * path_bytes];
    snprintf(command, sizeof command, "mkdir '%s/%s' && cp '%s/%s/'*onfig.json '%s/%s/'", folder, part, tiny,
             part, folder, part);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/%s", tiny, part);
    ink_weights *weights;
    assert_int_equal(ink_weights_open(path, stem, &weights, NULL), INK_OK);
    writer w = {.header = tmpfile(), .data = tmpfile()};
    assert_true(w.header && w.data);
    const ink_weight *weight;
    int quantized = 0;
    for (size_t i = 0; (weight = ink_weights_at(weights, i)); i++) {
        if (weight->shape.rank == 2 && weight->shape.dim[1] % group == 0 &&
            ends_with(weight->name, ".weight")) {
            put_quantized(&w, weight, bits, group);
            quantized++;
        } else {
            put(&w, weight->name, weight->dtype, &weight->shape, weight->data);
        }
    }
    ink_weights_close(weights);
    snprintf(path, sizeof path, "%s/%s/%s.safetensors", folder, part, stem);
    finish(&w, path);
    return quantized;
}

static void make_checkpoint(char *folder, int bits) {
    assert_non_null(mkdtemp(folder));
    static const char *const parts[] = {"model_index.json", "scheduler", "tokenizer", "vae"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char from[path_bytes], to[path_bytes];
        snprintf(from, sizeof from, "%s/%s", tiny, parts[i]);
        snprintf(to, sizeof to, "%s/%s", folder, parts[i]);
        assert_int_equal(symlink(from, to), 0);
    }
    assert_true(quantize(folder, "transformer", "diffusion_pytorch_model", bits, 64) > 5);
    assert_true(quantize(folder, "text_encoder", "model", bits, 32) > 5);
}

static void remove_checkpoint(const char *folder) {
    char command[path_bytes];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

static ink_result *draw(const char *folder, const char *backend) {
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = folder;
    options.backend = backend;
    options.precision = "f32";
    ink_model *model;
    ink_error error = {0};
    if (ink_model_open(&options, &model, &error) != INK_OK) fail_msg("%s", error.message);
    ink_request request;
    ink_request_init(&request);
    request.prompt = "a cat";
    request.width = request.height = 64;
    request.steps = 3;
    ink_result *result;
    if (ink_generate(model, &request, &result, &error) != INK_OK) fail_msg("%s", error.message);
    ink_model_close(model);
    return result;
}

/* The mean difference of two pictures, in levels, and the largest. */
static double distance(const ink_result *a, const ink_result *b, int *most) {
    const int n = a->images->width * a->images->height * 3;
    double sum = 0;
    *most = 0;
    for (int i = 0; i < n; i++) {
        const int d = abs(a->images->pixels[i] - b->images->pixels[i]);
        sum += d;
        if (d > *most) *most = d;
    }
    return sum / n;
}

static void compare(int bits, double nearest, double farthest) {
    char folder[] = "/tmp/inkstone-quantized-XXXXXX";
    int most;
    make_checkpoint(folder, bits);
    ink_result *plain = draw(tiny, "cpu"), *cpu = draw(folder, "cpu"), *mlx = draw(folder, "mlx");
    distance(cpu, mlx, &most);
    assert_true(most <= 1);
    const double lost = distance(plain, mlx, &most);
    print_message("%d bits: %.3f levels from the picture without quantisation\n", bits, lost);
    assert_true(lost >= nearest && lost <= farthest);
    ink_result_free(plain);
    ink_result_free(cpu);
    ink_result_free(mlx);
    remove_checkpoint(folder);
}

static void test_8_bits(void **state) {
    (void)state;
    compare(8, 1e-3, 2);
}

static void test_4_bits(void **state) {
    (void)state;
    compare(4, 0.05, 30);
}

/* Numbers without their scales are no weights. */
static void test_missing_scales(void **state) {
    (void)state;
    char folder[] = "/tmp/inkstone-quantized-XXXXXX", command[2 * path_bytes];
    make_checkpoint(folder, 8);
    snprintf(command, sizeof command,
             "cd '%s/transformer' && LC_ALL=C sed 's/img_in.scales/img_in.scalez/' "
             "diffusion_pytorch_model.safetensors "
             ">x && mv x diffusion_pytorch_model.safetensors",
             folder);
    assert_int_equal(system(command), 0);
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = folder;
    ink_model *model;
    ink_error error = {0};
    assert_int_equal(ink_model_open(&options, &model, &error), INK_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "'img_in.weight' is u32 [128, 16]"));
    assert_non_null(strstr(error.message, "no quantised matrix [128, 64]"));
    remove_checkpoint(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_8_bits), cmocka_unit_test(test_4_bits),
                                       cmocka_unit_test(test_missing_scales)};
    return cmocka_run_group_tests_name("mlx quantised", tests, NULL, NULL);
}
