/*
 * PNG: pixels and texts come back through libpng's reader; files appear whole or not at all.
 */
#include "inkstone.h"

#include <dirent.h>
#include <png.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { width = 37, height = 19, path_bytes = 512 };

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/inkstone-png-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

/* Number of entries in the folder; with `remove`, they are deleted. */
static int entries(int remove_them) {
    DIR *d = opendir(folder);
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        n++;
        char path[path_bytes];
        snprintf(path, sizeof path, "%s/%.255s", folder, e->d_name);
        if (remove_them && remove(path) != 0) fail_msg("cannot remove %s", path);
    }
    closedir(d);
    return n;
}

static int empty_folder(void **state) {
    (void)state;
    entries(1);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

static const char *in_folder(const char *name, char path[path_bytes]) {
    snprintf(path, path_bytes, "%s/%s", folder, name);
    return path;
}

static ink_image test_image(void) {
    static uint8_t pixels[width * height * 3];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof pixels; i++) {
        x = x * 1664525u + 1013904223u;
        pixels[i] = (uint8_t)(x >> 24);
    }
    return (ink_image){.width = width, .height = height, .pixels = pixels};
}

typedef struct reader {
    const uint8_t *bytes;
    size_t size, at;
} reader;

static void read_bytes(png_structp png, png_bytep out, png_size_t n) {
    reader *r = png_get_io_ptr(png);
    if (n > r->size - r->at) png_error(png, "short");
    memcpy(out, r->bytes + r->at, n);
    r->at += n;
}

/* Reads a PNG, compares the pixels and the texts under three keys (NULL: the key must be absent). */
static void check_png(const uint8_t *bytes, size_t size, const char *const texts[3]) {
    static const char *const keys[3] = {"parameters", "inkstone", "Software"};
    const ink_image image = test_image();
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    reader r = {bytes, size, 0};
    if (setjmp(png_jmpbuf(png))) fail_msg("libpng cannot read what was written");
    png_set_read_fn(png, &r, read_bytes);
    png_read_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    assert_int_equal(r.at, size);
    assert_int_equal(png_get_image_width(png, info), width);
    assert_int_equal(png_get_image_height(png, info), height);
    assert_int_equal(png_get_color_type(png, info), PNG_COLOR_TYPE_RGB);
    png_bytepp rows = png_get_rows(png, info);
    for (int y = 0; y < height; y++) {
        assert_memory_equal(rows[y], image.pixels + y * width * 3, width * 3);
    }
    png_textp found = NULL;
    int n_found = 0;
    png_get_text(png, info, &found, &n_found);
    for (int k = 0; k < 3; k++) {
        const char *text = NULL;
        for (int i = 0; i < n_found; i++) {
            if (!strcmp(found[i].key, keys[k])) text = found[i].text;
        }
        if (texts[k])
            assert_string_equal(text, texts[k]);
        else
            assert_null(text);
    }
    png_destroy_read_struct(&png, &info, NULL);
}

static void encodes_pixels_and_texts(void **state) {
    (void)state;
    const ink_image image = test_image();
    char *long_text = malloc(300001);
    assert_non_null(long_text);
    memset(long_text, 'x', 300000);
    long_text[300000] = '\0';
    const char *const cases[][3] = {{NULL, NULL, NULL},
                                    {"a cat\nSteps: 1", "{}", "inkstone"},
                                    {"\xE7\x8C\xAB \xF0\x9F\x90\xB1", "{\"p\":\"\xC3\xA9\"}", NULL},
                                    {"", NULL, ""},
                                    {long_text, NULL, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int level = 0; level <= 9; level++) {
            ink_png_options options;
            ink_png_options_init(&options);
            options.parameters = cases[i][0];
            options.record = cases[i][1];
            options.software = cases[i][2];
            options.compression = level;
            uint8_t *bytes;
            size_t size;
            assert_int_equal(ink_image_encode_png(&image, &options, &bytes, &size, NULL), INK_OK);
            check_png(bytes, size, cases[i]);
            ink_free(bytes);
        }
    }
    free(long_text);
}

static void invalid_utf8_becomes_replacement_characters(void **state) {
    (void)state;
    const ink_image image = test_image();
    ink_png_options options;
    ink_png_options_init(&options);
    options.parameters = "a\xFF"
                         "b\xC3";
    uint8_t *bytes;
    size_t size;
    assert_int_equal(ink_image_encode_png(&image, &options, &bytes, &size, NULL), INK_OK);
    check_png(bytes, size,
              (const char *const[3]){"a\xEF\xBF\xBD"
                                     "b\xEF\xBF\xBD",
                                     NULL, NULL});
    ink_free(bytes);
}

static void same_input_gives_same_bytes(void **state) {
    (void)state;
    const ink_image image = test_image();
    uint8_t *a, *b;
    size_t n, m;
    assert_int_equal(ink_image_encode_png(&image, NULL, &a, &n, NULL), INK_OK);
    assert_int_equal(ink_image_encode_png(&image, NULL, &b, &m, NULL), INK_OK);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    ink_free(a);
    ink_free(b);
}

static void refuse(const ink_image *image, const ink_png_options *options, const char *expected) {
    uint8_t none, *bytes = &none;
    size_t size = 1;
    ink_error error = {0};
    assert_int_equal(ink_image_encode_png(image, options, &bytes, &size, &error), INK_ERROR_ARGUMENT);
    assert_null(bytes);
    assert_int_equal(size, 0);
    if (!strstr(error.message, expected)) fail_msg("'%s' does not say '%s'", error.message, expected);
}

static void refuses_bad_arguments(void **state) {
    (void)state;
    ink_image image = test_image();
    ink_png_options options;
    ink_png_options_init(&options);
    options.compression = 10;
    refuse(&image, &options, "compression 10");
    options.compression = -1;
    refuse(&image, &options, "compression -1");
    ink_png_options_init(&options);
    options.struct_size = sizeof options + 8;
    refuse(&image, &options, "struct_size");
    refuse(NULL, NULL, "no pixels");
    image.width = 0;
    refuse(&image, NULL, "0 x 19");
    image.width = 1000001;
    refuse(&image, NULL, "1000001 x 19");
    image = test_image();
    image.pixels = NULL;
    refuse(&image, NULL, "no pixels");
    assert_int_equal(ink_image_encode_png(&image, NULL, NULL, NULL, NULL), INK_ERROR_ARGUMENT);
}

static void write_or_fail(const char *path, ink_status expected_status, const char *expected_text) {
    const ink_image image = test_image();
    ink_error error = {0};
    const ink_status status = ink_image_write_png(&image, path, NULL, &error);
    if (status != expected_status)
        fail_msg("%s: status %d, '%s'", path ? path : "NULL", status, error.message);
    if (expected_text && !strstr(error.message, expected_text)) {
        fail_msg("'%s' does not say '%s'", error.message, expected_text);
    }
}

static void check_file(const char *path) {
    uint8_t bytes[width * height * 6];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    check_png(bytes, n, (const char *const[3]){NULL, NULL, NULL});
}

static void put_text(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void expect_text(const char *path, const char *text) {
    char found[64] = {0};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(found, 1, sizeof found - 1, f), strlen(text));
    fclose(f);
    assert_string_equal(found, text);
}

static mode_t mode_of(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 0777;
}

static void writes_a_file_with_the_umask(void **state) {
    (void)state;
    char path[path_bytes];
    in_folder("cat.png", path);
    const mode_t old = umask(027);
    write_or_fail(path, INK_OK, NULL);
    umask(old);
    check_file(path);
    assert_int_equal(mode_of(path), 0640);
    assert_int_equal(entries(0), 1);
}

static void replaces_a_file_and_keeps_its_permissions(void **state) {
    (void)state;
    char path[path_bytes], other[path_bytes];
    put_text(in_folder("cat.png", path), "old");
    assert_int_equal(link(path, in_folder("other", other)), 0);
    assert_int_equal(chmod(path, 0600), 0);
    write_or_fail(path, INK_OK, NULL);
    check_file(path);
    assert_int_equal(mode_of(path), 0600);
    /* The old file was not written to: whoever reads it goes on reading it. */
    expect_text(other, "old");
    assert_int_equal(entries(0), 2);
}

static void follows_symbolic_links(void **state) {
    (void)state;
    char link[path_bytes], target[path_bytes];
    in_folder("link.png", link);
    in_folder("target.png", target);
    assert_int_equal(symlink("target.png", link), 0);
    for (int i = 0; i < 2; i++) { /* the target is missing, then there */
        write_or_fail(link, INK_OK, NULL);
        struct stat info;
        assert_int_equal(lstat(link, &info), 0);
        assert_true(S_ISLNK(info.st_mode));
        check_file(target);
        assert_int_equal(entries(0), 2);
    }
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("link.png", link), 0);
    write_or_fail(link, INK_ERROR_IO, "link.png");
}

static void takes_the_longest_names(void **state) {
    (void)state;
    char name[256], path[path_bytes];
    memset(name, 'n', 255);
    name[255] = '\0';
    write_or_fail(in_folder(name, path), INK_OK, NULL);
    check_file(path);
}

static void refuses_what_cannot_be_written(void **state) {
    (void)state;
    char path[path_bytes];
    write_or_fail(NULL, INK_ERROR_ARGUMENT, "no file name");
    write_or_fail("", INK_ERROR_ARGUMENT, "no file name");
    write_or_fail(folder, INK_ERROR_IO, "it is a folder");
    write_or_fail(in_folder("new/", path), INK_ERROR_IO, "it is a folder");
    write_or_fail(in_folder("missing/cat.png", path), INK_ERROR_IO, "its folder does not exist");
    put_text(in_folder("file", path), "old");
    write_or_fail(in_folder("file/cat.png", path), INK_ERROR_IO, "its folder does not exist");
    assert_int_equal(entries(0), 1);
}

static void full_disk_leaves_what_was_there(void **state) {
    (void)state;
    char path[path_bytes];
    put_text(in_folder("cat.png", path), "old");
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 1000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    write_or_fail(path, INK_ERROR_IO, "ulimit");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    expect_text(path, "old");
    assert_int_equal(entries(0), 1);
}

static void writes_devices_directly(void **state) {
    (void)state;
    write_or_fail("/dev/null", INK_OK, NULL);
    struct stat info;
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    if (access("/dev/full", W_OK) == 0) write_or_fail("/dev/full", INK_ERROR_IO, "the disk is full");
}

static void respects_permissions(void **state) {
    (void)state;
    if (geteuid() == 0) {
        print_message("skipped: permissions do not bind root\n");
        skip();
    }
    char path[path_bytes];
    put_text(in_folder("cat.png", path), "old");
    assert_int_equal(chmod(path, 0400), 0);
    write_or_fail(path, INK_ERROR_IO, "no permission");
    expect_text(path, "old");
    assert_int_equal(chmod(folder, 0500), 0);
    write_or_fail(in_folder("new.png", path), INK_ERROR_IO, "no permission");
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(entries(0), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_pixels_and_texts),
        cmocka_unit_test(invalid_utf8_becomes_replacement_characters),
        cmocka_unit_test(same_input_gives_same_bytes),
        cmocka_unit_test(refuses_bad_arguments),
        cmocka_unit_test_teardown(writes_a_file_with_the_umask, empty_folder),
        cmocka_unit_test_teardown(replaces_a_file_and_keeps_its_permissions, empty_folder),
        cmocka_unit_test_teardown(follows_symbolic_links, empty_folder),
        cmocka_unit_test_teardown(takes_the_longest_names, empty_folder),
        cmocka_unit_test_teardown(refuses_what_cannot_be_written, empty_folder),
        cmocka_unit_test_teardown(full_disk_leaves_what_was_there, empty_folder),
        cmocka_unit_test(writes_devices_directly),
        cmocka_unit_test_teardown(respects_permissions, empty_folder),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
