/*
 * A damaged weight never becomes a black picture: the run ends with a sentence that names the step, the part
 * of the network and the likely cause.
 */
#define _XOPEN_SOURCE 700

#include "support.h"

#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/inkstone-numeric-XXXXXX";

static const char *const parts[] = {"scheduler", "text_encoder", "tokenizer", "transformer", "vae"};

static void path_of(const char *name, char path[512]) {
    snprintf(path, 512, "%s/%s", folder, name);
}

static unsigned char *read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *bytes = (size_t)ftell(file);
    rewind(file);
    unsigned char *data = malloc(*bytes + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *bytes, file), *bytes);
    fclose(file);
    data[*bytes] = '\0';
    return data;
}

static void write_file(const char *path, const void *data, size_t bytes) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

/* Where the data of a tensor begin in a safetensors file. */
static size_t tensor_offset(const unsigned char *file, const char *name) {
    uint64_t header;
    memcpy(&header, file, sizeof header);
    char quoted[256];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    static const char key[] = "\"data_offsets\":[";
    const char *entry = strstr((const char *)file + 8, quoted);
    assert_non_null(entry);
    const char *offsets = strstr(entry, key);
    assert_non_null(offsets);
    return 8 + (size_t)header + (size_t)strtoull(offsets + strlen(key), NULL, 10);
}

/* The emoji model by links, but for one part whose weights hold a bf16 value `bits` at the start of a tensor.
 */
static void damage(const char *part, const char *file, const char *tensor, uint16_t bits) {
    char path[512], from[512];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        path_of(parts[i], path);
        snprintf(from, sizeof from, "%s/%s", EMOJI_MODEL, parts[i]);
        if (strcmp(parts[i], part) != 0) {
            assert_int_equal(symlink(from, path), 0);
            continue;
        }
        assert_int_equal(mkdir(path, 0700), 0);
        char config[600], weights[600];
        snprintf(config, sizeof config, "%s/config.json", from);
        snprintf(weights, sizeof weights, "%s/config.json", path);
        assert_int_equal(symlink(config, weights), 0);
        snprintf(config, sizeof config, "%s/%s", from, file);
        snprintf(weights, sizeof weights, "%s/%s", path, file);
        size_t bytes;
        unsigned char *data = read_file(config, &bytes);
        memcpy(data + tensor_offset(data, tensor), &bits, sizeof bits);
        write_file(weights, data, bytes);
        free(data);
    }
}

static void repair(const char *part, const char *file) {
    char path[512], inside[600];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        path_of(parts[i], path);
        if (strcmp(parts[i], part) == 0) {
            snprintf(inside, sizeof inside, "%s/config.json", path);
            assert_int_equal(remove(inside), 0);
            snprintf(inside, sizeof inside, "%s/%s", path, file);
            assert_int_equal(remove(inside), 0);
        }
        assert_int_equal(remove(path), 0);
    }
}

static void expect_stop(const char *part, const char *file, const char *tensor, uint16_t bits,
                        const char *const *words) {
    damage(part, file, tensor, bits);
    ink_model *model = open_model(folder, 2);
    ink_request request = small_request("a cat face", 1);
    request.steps = 3;
    ink_result *result = NULL;
    ink_error error = {0};
    const ink_status status = ink_generate(model, &request, &result, &error);
    assert_null(result);
    for (; *words; words++) {
        assert_sentence(status, INK_ERROR_NUMERIC, &error, *words);
    }
    ink_model_close(model);
    repair(part, file);
}

enum { bf16_nan = 0x7FC0, bf16_infinity = 0x7F80 };

static void the_block_is_named(void **state) {
    (void)state;
    static const char *const mlp[] = {"step 1 of 3", "beginning in transformer_blocks.2.img_mlp;",
                                      "probably damaged", NULL};
    expect_stop("transformer", "diffusion_pytorch_model.safetensors",
                "transformer_blocks.2.img_mlp.net.2.weight", bf16_nan, mlp);
    static const char *const attention[] = {"step 1 of 3", "beginning in transformer_blocks.3.attn.txt;",
                                            NULL};
    expect_stop("transformer", "diffusion_pytorch_model.safetensors",
                "transformer_blocks.3.attn.to_add_out.bias", bf16_infinity, attention);
    static const char *const last[] = {"step 1 of 3", "beginning in proj_out;", NULL};
    expect_stop("transformer", "diffusion_pytorch_model.safetensors", "proj_out.bias", bf16_nan, last);
    static const char *const modulation[] = {"step 1 of 3", "beginning in transformer_blocks.1.txt_mod;",
                                             NULL};
    expect_stop("transformer", "diffusion_pytorch_model.safetensors", "transformer_blocks.1.txt_mod.1.bias",
                bf16_nan, modulation);
}

static void the_other_networks_are_watched_too(void **state) {
    (void)state;
    static const char *const text[] = {"text encoder", "text_encoder are probably damaged", NULL};
    expect_stop("text_encoder", "model.safetensors", "model.norm.weight", bf16_nan, text);
    static const char *const vae[] = {"decoding", "vae are probably damaged", NULL};
    expect_stop("vae", "diffusion_pytorch_model.safetensors", "decoder.conv_out.bias", bf16_infinity, vae);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_block_is_named),
        cmocka_unit_test(the_other_networks_are_watched_too),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
